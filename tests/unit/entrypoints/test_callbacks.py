"""Callback URLs as browsers, scanners and forgers meet them; the scenarios have the rest."""

import asyncio
import random
import re
from collections.abc import Mapping
from contextlib import suppress
from html.parser import HTMLParser
from typing import Any

import pytest

from atomic.adapters.memory.store import MemoryStepStore
from atomic.application.engine import Settings
from atomic.domain import event_steps
from atomic.domain.steps import Step
from atomic.entrypoints.http_api.callback_bodies import captured, read_body
from atomic.entrypoints.http_api.events import stored_result
from atomic.protocol.problems import Problem
from atomic.testing import ApiReply, LocalAtomic, run
from scenarios.cases.callbacks import FIELDS, FILES

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


TEXT = {"h1", "p", "form", "label", "input", "button"}
OF_FORMS = {"method", "action", "maxlength", "autocomplete"}


class Tags(HTMLParser):
    """The names of a page's tags and of their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Parser: a tag."""
        self.names.add(tag)
        self.attributes.update(name for name, _ in attrs)


class CountingStore(MemoryStepStore):
    """Counts its reads of rows."""

    reads = 0

    async def get(self, step_id: str) -> Step | None:
        """A step."""
        self.reads += 1
        return await super().get(step_id)


async def opened(atomic: LocalAtomic, **members: Any) -> ApiReply:
    """A new event."""
    event = {"kind": "event", "workflowName": "w", "idempotencyKey": "k", "stepName": "e", "timeout": 1}
    return await atomic.post("/me", {**event, **members})


async def ask(
    atomic: LocalAtomic, target: str, method: str = "GET", body: bytes = b"", **given: Mapping[str, str]
) -> ApiReply:
    """Send a request as a browser does."""
    return await atomic.request(method, target, body=body, headers={**BROWSER, **given.get("more", {})})


def test_forged_tokens_cost_no_read() -> None:
    async def main() -> None:
        store = CountingStore()
        async with LocalAtomic(store=store) as atomic:
            path = (await opened(atomic)).json["callbackUrl"]
            chance, before = random.Random(3), store.reads
            for _ in range(500):
                at = chance.randrange(len("/callbacks/"), len(path))
                forged = path[:at] + chance.choice("AB_-".replace(path[at], "")) + path[at + 1 :]
                for method in ("GET", "HEAD", "POST"):
                    assert (await ask(atomic, forged, method)).status == 404
            assert store.reads == before
            assert (await atomic.request("POST", path)).status == 200

    run(main())


def test_a_token_ends_a_fixed_time_after_its_event_began(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_steps, "DURATION_MAX_MS", 60_000)

    async def main() -> None:
        async with LocalAtomic() as atomic:
            path = (await opened(atomic)).json["callbackUrl"]
            await asyncio.sleep(58)
            assert (await ask(atomic, path)).status == 200
            await asyncio.sleep(3)
            assert [(await ask(atomic, path, method)).status for method in ("GET", "POST")] == [404, 404]

    run(main())


def test_a_url_is_of_one_event_and_not_of_a_later_one_with_its_identity() -> None:
    async def main() -> None:
        async with LocalAtomic(settings=Settings(retention_ms=60_000)) as atomic:
            first = (await opened(atomic)).json["callbackUrl"]
            assert (await atomic.request("POST", first)).status == 200
            await asyncio.sleep(120)
            later = (await opened(atomic)).json
            assert later["callbackUrl"] != first
            assert (await atomic.request("POST", first)).status == 404
            assert (await atomic.request("POST", later["callbackUrl"])).status == 200

    run(main())


@pytest.mark.parametrize("base", ["", "https://atomic.example/api"])
def test_the_url_is_as_public_as_the_server_knows(base: str) -> None:
    async def main() -> None:
        async with LocalAtomic(settings=Settings(public_url=base)) as atomic:
            url = (await opened(atomic)).json["callbackUrl"]
            assert re.fullmatch(re.escape(base) + r"/callbacks/[A-Za-z0-9_-]{70}", url), url

    run(main())


@pytest.mark.parametrize("first", ["", "https://old.example"])
def test_an_event_keeps_its_url_when_the_server_gets_another(first: str) -> None:
    """The URL is in payloads. If it changed, a run that waits would fail with a payload mismatch."""

    async def main() -> None:
        store = MemoryStepStore()
        async with LocalAtomic(store=store, settings=Settings(public_url=first)) as atomic:
            url = (await opened(atomic)).json["callbackUrl"]
            early = {"workflowName": "w", "idempotencyKey": "k", "name": "early", "result": 1}
            assert (await atomic.post("/me/events", early)).status == 200
        async with LocalAtomic(store=store, settings=Settings(public_url="https://new.example")) as atomic:
            assert (await opened(atomic)).json["callbackUrl"] == url
            told = await opened(atomic, stepName="early")
            assert told.json["callbackUrl"].startswith(f"{first}/callbacks/")
            other = await opened(atomic, stepName="other")
            assert other.json["callbackUrl"].startswith("https://new.example/")

    run(main())


def test_a_browser_is_led_back_to_the_page() -> None:
    async def main() -> None:
        async with LocalAtomic() as atomic:
            path = (await opened(atomic)).json["callbackUrl"]
            token = path.rpartition("/")[2]
            rejected = await ask(atomic, f"{path}/reject", "POST", b"detail=no", more=FORM)
            again = await ask(atomic, path, "POST", b"a=1", more=FORM)
            page = await ask(atomic, path)

            assert (rejected.status, rejected.headers["location"]) == (303, f"../{token}")
            # It has ended otherwise, which the page says as well.
            assert (again.status, again.headers["location"]) == (303, token)
            assert b"It was rejected." in page.body
            wrong = await ask(atomic, "/callbacks/https:evil.example", "POST")
            assert (wrong.status, "location" in wrong.headers) == (404, False)
            assert wrong.headers["content-type"] == "application/problem+json"
            malformed = (await opened(atomic, stepName="f")).json["callbackUrl"]
            refused = await ask(atomic, malformed, "POST", b"{", more={"Content-Type": "application/json"})
            assert refused.status == 400

    run(main())


def test_the_page_runs_nothing_and_escapes_everything() -> None:
    async def main() -> None:
        async with LocalAtomic() as atomic:
            names = {"stepName": "<script>alert(1)</script>", "workflowName": "\"'><img src=x onerror=y>"}
            path = (await opened(atomic, **names)).json["callbackUrl"]
            pages = [
                await ask(atomic, path),
                await ask(atomic, "/callbacks/<script>"),
                await ask(atomic, "/callbacks/x"),
            ]

            assert [page.status for page in pages] == [200, 404, 404]
            for page in pages:
                tags = Tags(page.body.decode())
                assert tags.names <= {"html", "head", "meta", "title", "style", "body", "main"} | TEXT
                assert tags.attributes <= {"lang", "charset", "name", "content"} | OF_FORMS
                policy = page.headers["content-security-policy"]
                assert policy.startswith("default-src 'none'; style-src 'sha256-")
                assert "frame-ancestors 'none'" in policy
                assert page.headers["referrer-policy"] == "no-referrer"
                assert page.headers["x-robots-tag"] == "noindex, nofollow"
                assert page.headers["cache-control"] == "no-store"
            assert b"&lt;script&gt;" in pages[0].body

    run(main())


def test_each_end_of_an_event_has_its_sentence() -> None:
    async def main() -> None:
        async with LocalAtomic() as atomic:
            expired = await opened(atomic, stepName="late", deadline=1)
            cancelled = await opened(atomic, stepName="off")
            await atomic.request("POST", f"/me/steps/{cancelled.json['id']}/cancel")
            answered = await opened(atomic, stepName="done")
            await atomic.request("POST", answered.json["callbackUrl"] + "/approve")
            sentences = (
                (expired, b"Its time is over."),
                (cancelled, b"No answer is needed any more."),
                (answered, b"It was answered."),
            )
            await asyncio.sleep(1)
            for event, sentence in sentences:
                assert sentence in (await ask(atomic, event.json["callbackUrl"])).body

    run(main())


@pytest.mark.parametrize(
    ("given", "body", "value"),
    [
        ({}, b"17", 17),
        ({"content-type": "nonsense"}, b"x", "x"),
        ({"content-type": "application/json"}, b"", None),
        (
            {"content-type": "multipart/form-data"},
            b"x",
            {"contentType": "multipart/form-data", "encoding": "base64", "body": "eA=="},
        ),
    ],
)
def test_a_body_without_a_useful_type_is_read(given: dict[str, str], body: bytes, value: Any) -> None:
    assert read_body(given, body).value == value


def test_every_body_is_read_or_refused() -> None:
    chance = random.Random(7)
    whole = FIELDS + FILES
    types = (
        "multipart/form-data; boundary=b",
        "application/x-www-form-urlencoded",
        "text/plain; charset=utf-8",
    )
    odd = (b'"', b";", b"=", b"*", b"=?utf-8?q?x?=", b"\r\n", b"\xff", b"'", b"(", b"[", b":", b"%", b"b")
    for _ in range(5_000):
        content_type, body = bytearray(chance.choice(types).encode()), bytearray(whole)
        for text in (body, body, body, content_type):
            at = chance.randrange(len(text))
            text[at : at + chance.randrange(3)] = chance.choice(odd)
        with suppress(Problem):
            given = {"content-type": content_type.decode("ascii", "surrogateescape")}
            stored_result(read_body(given, bytes(body)).value, "body")


NESTED = b"--%s\r\nContent-Type: multipart/mixed; boundary=%s\r\n\r\n"
PART = b"--b\r\nContent-Disposition: form-data; name=a\r\n"


@pytest.mark.parametrize(
    "body",
    [
        # A parser that goes down into them needs a frame for each.
        NESTED % (b"b", b"1") + b"".join(NESTED % (b"%d" % at, b"%d" % (at + 1)) for at in range(1, 3_000)),
        (PART + b"\r\nx\r\n") * 1_001 + b"--b--\r\n",
        PART[:-2] + b'; ";"' * 20_000 + b"\r\n\r\nx\r\n--b--\r\n",
        PART + b"Content-Transfer-Encoding: base64\r\n\r\nYQ==\r\n--b--\r\n",
    ],
    ids=["nested", "many", "parameters", "encoded"],
)
def test_a_form_that_no_browser_sends_is_kept_as_it_was_sent(body: bytes) -> None:
    kept = read_body({"content-type": "multipart/form-data; boundary=b"}, body).value
    assert kept["encoding"] == "base64"


@pytest.mark.parametrize("charset", ["unicode_escape", "utf-7", "punycode", "rot13"])
def test_charsets_of_python_are_no_charsets(charset: str) -> None:
    kept = read_body({"content-type": f"text/plain; charset={charset}"}, b"\\ud800+2AA-").value
    assert kept["encoding"] == "base64"


def test_headers_of_any_bytes_are_kept() -> None:
    odd = b"\xff".decode("ascii", "surrogateescape")
    kept = captured({"x-sign": odd, "content-type": odd}, b"1", ["x-sign"]).value
    assert stored_result(kept, "body").text == (
        b'{"body":"1","contentType":"?","encoding":"text","headers":{"x-sign":"?"}}'
    )
