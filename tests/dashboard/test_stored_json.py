"""Payloads and answers are shown and copied as stored, without changes by JavaScript's JSON parser."""

import json
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from answering import Answering
from dashboard.stage import Api
from scenarios.embedded_runtime import AtomicServer

# Numbers beyond 2^53 or with more digits than a double, and members that JavaScript would reorder.
PAYLOAD = {"10": 9007199254740993, "9": -9223372036854775808, "max": 2**64 - 1, "tiny": 5e-324}
ANSWER = (
    b'{"whole":1.0,"minus":-0.0,"small":1e-7,"long":0.10000000000000000555,"2":1E5,"1":1541815603606036481,'
    b'"payload":{"response":"}\\"]"},"text":"\\u00fc \\\\u00fc","none":[],"nothing":{}}'
)
SHOWN = """{
  "whole": 1.0,
  "minus": -0.0,
  "small": 1e-7,
  "long": 0.10000000000000000555,
  "2": 1E5,
  "1": 1541815603606036481,
  "payload": {
    "response": "}\\"]"
  },
  "text": "ü \\\\u00fc",
  "none": [],
  "nothing": {}
}"""


@pytest.fixture
def called() -> Iterator[list[Any]]:
    """The payloads that the endpoint received, after its URL, which is the first element."""
    seen: list[Any] = []

    def answer(_: str, call: Any) -> tuple[int, bytes]:
        seen.append(call["payload"])
        return 200, ANSWER

    server = Answering(answer)
    seen.append(server.url)
    yield seen
    server.close()


def copied(page: Page, name: str) -> str:
    panel = page.get_by_role("complementary")
    if name.startswith("Copy as") or "endpoint" in name:
        panel.locator(".step-details").evaluate("details => details.open = true")
    panel.get_by_role("button", name=name).click()
    note = page.locator(".note").filter(has_text="Copied.")
    note.get_by_role("button", name="Dismiss").click()
    expect(note).to_have_count(0)
    text = page.evaluate("navigator.clipboard.readText()")
    assert isinstance(text, str)
    return text


@pytest.mark.skipif(shutil.which("curl") is None, reason="the copied commands use curl")
def test_numbers_keep_every_digit_and_members_their_order(page: Page, api: Api, called: list[Any]) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    run = api.start(f"{called.pop()}/pay", "k", payload=PAYLOAD)
    page.goto(f"{api.server}/dashboard#/{api.client}/runs/{run['runId']}?step={run['id']}")
    expect(page.get_by_role("region", name="Result")).to_have_text(SHOWN)
    expect(page.get_by_role("region", name="Input")).to_have_text(json.dumps(PAYLOAD, indent=2))
    assert copied(page, "Copy result") == SHOWN
    assert json.loads(copied(page, "Copy input")) == PAYLOAD
    for name in ("Copy as curl", "Copy endpoint call"):
        command = f"{copied(page, name)} -s"
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, timeout=30)
        assert json.loads(done.stdout).get("status", "succeeded") == "succeeded", done.stdout
    # Called once by the run and once by the copied call; the copied start attached to the run.
    assert called == [PAYLOAD, PAYLOAD]


def test_a_value_that_is_too_long_for_the_page_is_named_with_its_size(page: Page, api: Api) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    payload = "x" * 300_000
    run = api.start("http://127.0.0.1:9/later", "k", wait=False, delay=3_600_000, payload=payload)
    page.goto(f"{api.server}/dashboard#/{api.client}/runs/{run['runId']}?step={run['id']}")
    path = f"/{api.client}/steps/{run['id']}/payload"
    shown = page.get_by_text(f"GET {path}")
    expect(shown).to_be_visible()
    expect(page.get_by_text("300,002 bytes, too many to show here.")).to_be_visible()
    expect(page.get_by_role("region", name="Input")).to_have_count(0)
    assert "put here the payload, of 300002 bytes" in copied(page, "Copy as curl")


def test_an_encrypted_value_is_named_with_its_key(page: Page, api: Api) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    sealed = {
        "$enc": {"v": 1, "k": "<b>2026</b>", "n": "cluwqbjN5cFmAGwT", "c": "u5LFTlQ9rBFTRcWxwfaoS70pU6k="}
    }
    run = api.start("http://127.0.0.1:9/later", "k", wait=False, delay=3_600_000, payload=sealed)
    page.goto(f"{api.server}/dashboard#/{api.client}/runs/{run['runId']}?step={run['id']}")
    shown = page.get_by_text(
        "Encrypted with key <b>2026</b>, 20 bytes. Programs that have this key can read it."
    )
    expect(shown).to_be_visible()
    expect(page.get_by_role("region", name="Input")).to_have_count(0)
    assert json.loads(copied(page, "Copy input")) == sealed


@pytest.mark.parametrize(
    "payload", [{"$enc": 1}, {"$enc": {"v": 1}}, {"$enc": {"c": 1, "k": "k"}}, {"a": {"$enc": {}}}]
)
def test_what_only_looks_encrypted_is_shown(page: Page, api: Api, payload: Any) -> None:
    run = api.start("http://127.0.0.1:9/later", "k", wait=False, delay=3_600_000, payload=payload)
    page.goto(f"{api.server}/dashboard#/{api.client}/runs/{run['runId']}?step={run['id']}")
    expect(page.get_by_role("region", name="Input")).to_have_text(json.dumps(payload, indent=2))


def test_bytes_are_named_with_their_type_and_size(page: Page, api: Api, called: list[Any]) -> None:
    run = api.start(f"{called.pop()}/pay", "k")

    def as_bytes(route: Route) -> None:
        answer = route.fetch()
        said = answer.json()
        said["root"] |= {"response": "aGVsbG8hIQ==", "responseEncoding": "base64"}
        said["root"]["responseContentType"] = "image/png"
        route.fulfill(response=answer, body=json.dumps(said))

    page.route("**/runs/run_*", as_bytes)
    page.goto(f"{api.server}/dashboard#/{api.client}/runs/{run['runId']}")
    expect(page.get_by_text("Status 200 · image/png, 7 bytes, as base64")).to_be_visible()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download").click()
    assert saved.value.suggested_filename == "order.png"
    assert Path(saved.value.path()).read_bytes() == b"hello!!"


@pytest.mark.parametrize("value", ["", "a\nb", "2", 'say "payload":1, \\', "<b>"])
def test_a_string_is_shown_without_its_quotes(page: Page, api: Api, value: str) -> None:
    run = api.start("http://127.0.0.1:9/later", "k", wait=False, delay=3_600_000, payload=value)
    page.goto(f"{api.server}/dashboard#/{api.client}/runs/{run['runId']}?step={run['id']}")
    shown = page.get_by_role("region", name="Input")
    expect(shown).to_be_attached()
    assert shown.evaluate("node => node.textContent") == value


def some_json(dice: random.Random, depth: int = 0) -> Any:
    kind = dice.randrange(8 if depth < 4 else 5)
    if kind < 5:
        texts = ["", "payload", '"', "\\", '\\"', "}", '","payload":', "ü\n\u2028", "a" * 30]
        return [None, True, dice.randint(-100, 100), dice.random(), dice.choice(texts)][kind]
    items = [some_json(dice, depth + 1) for _ in range(dice.randrange(4))]
    names = ["payload", "response", 'x"', "\\", "a:b", "é", "", "z"]
    return items if kind == 5 else {dice.choice(names): item for item in items}


def test_whatever_is_stored_is_found_and_indented(page: Page, server: AtomicServer) -> None:
    """Compared with JSON.parse and JSON.stringify, for documents in which these lose nothing."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    page.goto(f"{server.url}/dashboard")
    values = [some_json(dice) for _ in range(400)]
    texts = [json.dumps(value, ensure_ascii=dice.random() < 0.5, separators=(",", ":")) for value in values]
    gaps = [dice.choice(["", " ", "\n"]) for _ in values]
    answers = [
        f'{{"run":{{"a":1}},"root":{{"id":"x","payload"{gap}:{gap}{text}{gap},"n":1,"response":{text}}},'
        f'"steps":[{{"payload":{text}}}],"next":null}}'
        for text, gap in zip(texts, gaps, strict=True)
    ]
    script = """async ([texts, answers]) => {
        const { parse, write } = await import("/static/core/stored.js");
        return answers.filter((answer, at) => {
            const { run, root, steps, next } = parse(answer);
            const plain = JSON.parse(answer);
            const values = [root.payload, root.response, steps[0].payload];
            const lines = (value) => JSON.stringify(value, null, 2);
            const body = { a: plain.root.payload, b: { c: 1, d: plain.root.payload } };
            return !(
                values.every((each) => each.text === texts[at]) &&
                run.a === 1 && root.n === 1 && next === null &&
                root.payload.indented === lines(plain.root.payload) &&
                write({ a: root.payload, b: { c: 1, d: root.response } }) === lines(body)
            );
        });
    }"""
    assert page.evaluate(script, [texts, answers]) == []
