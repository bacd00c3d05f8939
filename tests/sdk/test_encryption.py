"""Encryption: its form, its keys, their rotation, and what the server's files hold."""

import asyncio
import hashlib
import hmac
import json
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from atomic.protocol.strict_json import canonical_json, fingerprint
from atomic.sdk import (
    AsyncClient,
    AsyncContext,
    AttemptOverError,
    Call,
    Client,
    Codec,
    Context,
    NotAnOpenEventError,
    PayloadMismatchError,
    UnknownKeyError,
    Where,
)
from atomic.sdk._wire.values import jsonable
from atomic.sdk.encryption import MEMBER, CiphertextError, Encryption
from atomic.sdk.starlette import Endpoints
from atomic.testing import LocalAtomic, run
from scenarios.embedded_runtime import AtomicServer
from sdk.scripted import MISMATCH, answer, called, called_async, done
from sdk.threads import asgi_server

VECTORS: Final = json.loads((Path(__file__).parents[1] / "vectors" / "encryption.json").read_text())
OLD, NEW = b"o" * 32, b"n" * 32
RUN: Final = "run_0123456789abcdef0123456789abcdef"
PLACE: Final = Where(run_id=RUN, step_id=f"{RUN}-root", kind="step", part="payload")
OTHERS: Final = [
    Where(run_id=f"{RUN[:-1]}0", step_id=PLACE.step_id, kind="step", part="payload"),
    Where(run_id=RUN, step_id=f"{RUN}-{'1' * 32}", kind="step", part="payload"),
    Where(run_id=RUN, step_id=PLACE.step_id, kind="step", part="result"),
    Where(run_id=RUN, step_id=PLACE.step_id, kind="value", part="result"),
    Where(run_id=RUN, step_id=None, kind="event", part="result"),
]
# All that `jsonable` makes: values that are their own JSON form.
VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(), below, max_size=4),
    max_leaves=12,
).map(lambda value: jsonable(json.loads(json.dumps(value).replace("Infinity", "1"))))
both = pytest.mark.parametrize("variant", ["def", "async"])


def where_of(row: Mapping[str, Any]) -> Where:
    at = row["where"]
    return Where(run_id=at["runId"], step_id=at["stepId"], kind=at["kind"], part=at["part"])


class TestVectors:
    @pytest.mark.parametrize("row", VECTORS["values"], ids=lambda row: row["json"][:30])
    def test_a_value(self, row: dict[str, Any]) -> None:
        key_id = row["encrypted"][MEMBER]["k"]
        encryption = Encryption({key_id: VECTORS["keys"][key_id]})
        value = json.loads(row["json"])
        assert encryption.encode(value, where_of(row)) == row["encrypted"]
        assert encryption.decode(row["encrypted"], where_of(row)) == value

    @pytest.mark.parametrize("row", VECTORS["refused"], ids=lambda row: row["what"])
    def test_what_is_refused(self, row: dict[str, Any]) -> None:
        with pytest.raises(CiphertextError):
            Encryption(VECTORS["keys"]).decode(row["encrypted"], where_of(row))

    def test_the_form_by_hand(self) -> None:
        """HKDF, HMAC and AES-GCM as docs/encryption.md describes them, written out."""
        row = VECTORS["values"][6]
        form, at = row["encrypted"][MEMBER], row["where"]

        def derived(purpose: bytes) -> bytes:
            extracted = hmac.digest(bytes(32), bytes(range(32)), hashlib.sha256)
            return hmac.digest(extracted, purpose + b"\x01", hashlib.sha256)

        parts = ["$enc", 1, form["k"], at["runId"], at["stepId"], at["kind"], at["part"]]
        place = json.dumps(parts, separators=(",", ":")).encode()
        text = canonical_json(json.loads(row["json"]))
        framed = len(place).to_bytes(8, "big") + place + text
        nonce = hmac.digest(derived(b"atomic encryption 1: nonce"), framed, hashlib.sha256)[:12]
        sealed = AESGCM(derived(b"atomic encryption 1: cipher")).encrypt(nonce, text, place)
        assert Encryption({form["k"]: bytes(range(32))}).encode(json.loads(row["json"]), where_of(row)) == {
            MEMBER: form
        }
        assert json.loads(json.dumps(form)) == {
            "v": 1,
            "k": form["k"],
            "n": b64encode(nonce).decode(),
            "c": b64encode(sealed).decode(),
        }


class TestValues:
    @given(VALUES)
    def test_each_value_comes_back_and_is_written_equally(self, value: Any) -> None:
        encryption = Encryption({"k": OLD})
        encoded = encryption.encode(value, PLACE)
        assert encryption.decode(encoded, PLACE) == value
        # Another process, and a value whose members have another order.
        shuffled = json.loads(canonical_json(value))
        assert Encryption({"k": OLD, "other": NEW}).encode(shuffled, PLACE) == encoded

    @given(VALUES, st.sampled_from(OTHERS))
    def test_another_place_gives_other_bytes_and_reads_nothing(self, value: Any, other: Where) -> None:
        encryption = Encryption({"k": OLD})
        encoded, elsewhere = encryption.encode(value, PLACE), encryption.encode(value, other)
        assert all(encoded[MEMBER][part] != elsewhere[MEMBER][part] for part in ("n", "c"))
        with pytest.raises(CiphertextError):
            encryption.decode(encoded, other)

    @given(VALUES, st.data())
    def test_each_changed_character_is_refused(self, value: Any, data: st.DataObject) -> None:
        encryption = Encryption({"k": OLD})
        form = encryption.encode(value, PLACE)[MEMBER]
        part = data.draw(st.sampled_from(["n", "c"]))
        at = data.draw(st.integers(0, len(form[part]) - 1))
        put = data.draw(st.sampled_from("Az09+/=").filter(lambda put: put != form[part][at]))
        changed = {**form, part: form[part][:at] + put + form[part][at + 1 :]}
        with pytest.raises(CiphertextError):
            encryption.decode({MEMBER: changed}, PLACE)

    def test_a_plain_value_that_looks_encrypted_is_encrypted_like_any_other(self) -> None:
        encryption = Encryption({"k": OLD})
        inner = encryption.encode(1, PLACE)
        assert encryption.decode(encryption.encode(inner, PLACE), PLACE) == inner

    @pytest.mark.parametrize("form", [None, [], {}, {"v": 1}, {"v": 1, "k": "k", "n": None, "c": 7}])
    def test_malformed_forms(self, form: Any) -> None:
        with pytest.raises(CiphertextError):
            Encryption({"k": OLD}).decode({MEMBER: form}, PLACE)

    @pytest.mark.parametrize("plain", [None, 1, "text", {"$enc": 1, "more": 2}])
    def test_plain_values(self, plain: Any) -> None:
        assert Encryption({"k": OLD}).decode(plain, PLACE) == plain
        with pytest.raises(CiphertextError, match="not encrypted"):
            Encryption({"k": OLD}, refuse_plain=True).decode(plain, PLACE)


class TestKeys:
    @pytest.mark.parametrize(
        ("keys", "why"),
        [
            ({}, "give at least one"),
            ([OLD], "give at least one"),
            ({"k": b"short-secret"}, "key 'k': give 32 random bytes"),
            ({"k": "bm90IDMyIGJ5dGVz"}, "key 'k': give 32 random bytes"),
            ({"k": "%%%"}, "key 'k': give 32 random bytes"),
            ({"k": 32}, "key 'k': give 32 random bytes"),
            ({'a"b': OLD}, "key id 'a\"b'"),
            ({"": OLD}, "key id ''"),
        ],
    )
    def test_wrong_keys(self, keys: Any, why: str) -> None:
        with pytest.raises(ValueError, match=why) as caught:
            Encryption(keys)
        assert "short-secret" not in str(caught.value)

    def test_a_missing_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "cryptography", None)
        with pytest.raises(ImportError, match=r"pip install 'atomic-workflows\[encryption\]'"):
            Encryption({"k": OLD})

    def test_an_unknown_key_names_it_and_the_cure(self) -> None:
        stored = Encryption({"2025": OLD}).encode("x", PLACE)
        with pytest.raises(UnknownKeyError) as caught:
            Encryption({"2026": NEW}).decode(stored, PLACE)
        assert (caught.value.key_id, caught.value.code) == ("2025", "unknown-key")
        assert (
            "is encrypted with key '2025', and this program has '2026'. Give this program that key"
            in str(caught.value)
        )

    def test_a_function_is_called_when_keys_are_needed_and_for_an_unknown_id(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = [100.0]
        monkeypatch.setattr("atomic.sdk.encryption.time.monotonic", lambda: now[0])
        stored = Encryption({"new": NEW}).encode("x", PLACE)
        current: dict[str, bytes | str] = {"old": OLD}
        fetched: list[int] = []

        def fetch() -> Mapping[str, bytes | str]:
            fetched.append(1)
            return dict(current)

        encryption = Encryption(fetch)
        assert not fetched
        assert encryption.decode(encryption.encode("y", PLACE), PLACE) == "y"
        assert len(fetched) == 1
        current["new"] = NEW
        with pytest.raises(UnknownKeyError):
            encryption.decode(stored, PLACE)
        assert len(fetched) == 1, "not more often than each ten seconds"
        now[0] += 11
        assert encryption.decode(stored, PLACE) == "x"
        assert len(fetched) == 2

    def test_a_coroutine_function_in_a_thread_on_a_loop_and_before(self) -> None:
        loops: list[asyncio.AbstractEventLoop] = []

        async def fetch() -> Mapping[str, bytes | str]:
            await asyncio.sleep(0)
            loops.append(asyncio.get_running_loop())
            return {"k": OLD}

        expected = Encryption({"k": OLD}).encode(1, PLACE)
        assert Encryption(fetch).encode(1, PLACE) == expected

        async def on_a_loop(*, loads: bool) -> Any:
            encryption = Encryption(fetch)
            if loads:
                await encryption.load()
            encoded = encryption.encode(1, PLACE)
            return encoded, loops[-1] is asyncio.get_running_loop()

        assert asyncio.run(on_a_loop(loads=False)) == (expected, False)
        assert asyncio.run(on_a_loop(loads=True)) == (expected, True)


class TestRotationWithoutServer:
    """A workflow whose step was posted with the old key, in a program that writes with the new one."""

    KEYS: Final = {"new": NEW, "old": OLD}

    def call(self, variant: str, answers: Any, *, is_run: bool = False, **options: Any) -> Any:
        def blocking(ctx: Context) -> Any:
            if is_run:
                return ctx.start_run("pay", "secret", workflow_name="pay", name="pay").run_id
            return ctx.step("pay", "secret")

        async def asynchronous(ctx: AsyncContext) -> Any:
            if is_run:
                return (await ctx.start_run("pay", "secret", workflow_name="pay", name="pay")).run_id
            return await ctx.step("pay", "secret")

        options = {"codec": Encryption(self.KEYS), **options}
        if variant == "def":
            return called(blocking, answers, **options)
        return asyncio.run(called_async(asynchronous, answers, **options))

    def accepting(self, *key_ids: str) -> tuple[list[str], Callable[[dict[str, Any]], Any]]:
        posted: list[str] = []

        def post(document: dict[str, Any]) -> Any:
            posted.append(document["payload"][MEMBER]["k"])
            return done("paid") if posted[-1] in key_ids else MISMATCH

        return posted, post

    @both
    def test_each_live_key_is_tried(self, variant: str) -> None:
        posted, post = self.accepting("old")
        response, _ = self.call(variant, {"pay": post})
        codec = Encryption(self.KEYS)
        result = Where(run_id="run_1", step_id="run_1-root", kind="step", part="result")
        assert codec.decode(json.loads(response.body), result) == "paid"
        assert posted == ["new", "old"]

    @both
    def test_each_live_key_is_tried_for_a_run(self, variant: str) -> None:
        posted, post = self.accepting("old")
        response, _ = self.call(variant, {"pay": post}, is_run=True)
        assert (response.status, posted) == (200, ["new", "old"])

    @both
    def test_a_payload_that_no_key_wrote_is_refused(self, variant: str) -> None:
        posted, post = self.accepting()
        response, _ = self.call(variant, {"pay": post})
        assert (response.status, posted) == (500, ["new", "old"])
        assert "Other payload." in json.loads(response.body)["detail"]

    @both
    def test_a_known_result_of_the_old_key_costs_no_post(self, variant: str) -> None:
        old, ids = Encryption({"old": OLD}), []

        class Noting(Encryption):
            def encode(self, value: Any, where: Where) -> Any:
                ids.append(where.step_id)
                return super().encode(value, where)

        self.call(variant, {"pay": done("paid")}, codec=Noting(self.KEYS))
        [step_id] = {each for each in ids if each != "run_1-root"}
        place = Where(run_id="run_1", step_id=step_id, kind="step", part="payload")
        known = {
            "id": step_id,
            "kind": "http",
            "status": "succeeded",
            "stepName": None,
            "fingerprint": fingerprint(canonical_json(old.encode("secret", place))),
            "finishedAt": "2026-01-01T00:00:00.000Z",
            "response": "paid",
        }
        results = answer(200, parent="run_1-root", steps=[known], next=None)
        response, posts = self.call(variant, {"results": results}, attempt=2, token="2.token")
        assert (response.status, posts) == (200, ["results"])


@contextmanager
def served(server: AtomicServer, codec: Codec, tokens: list[str], port: int = 0) -> Iterator[str]:
    """An application with all kinds of values, as one that is deployed with these keys."""
    client = AsyncClient(server.url, client_id="rotated", codec=codec)
    app = Starlette()
    endpoints = Endpoints(app, "/app", client=client, wait=0.05)

    @endpoints.step
    def echo(payload: Any) -> Any:
        return payload

    @endpoints.step
    def later(payload: Any, call: Call) -> Any:
        tokens.append(call.answer_token)
        return call.answer_later(60)

    @endpoints.workflow
    async def child(ctx: AsyncContext, payload: Any) -> Any:
        return await ctx.step(echo, payload)

    @endpoints.workflow
    async def whole(ctx: AsyncContext, payload: str) -> Any:
        seen = [await ctx.step(echo, payload), await ctx.run("value", lambda: f"{payload} drawn")]
        seen += (await ctx.map([payload, f"{payload} again"], echo)).results()
        handle = await ctx.start_run(child, payload)
        seen.append(await handle.result())
        seen.append(await ctx.event("go"))
        seen.append(await ctx.step(echo, f"{payload} at last"))
        return seen

    with asgi_server(app, port=port) as url:
        yield f"{url}/app"


def until(is_so: Callable[[], bool]) -> None:
    for _ in range(200):
        if is_so():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come about in 10 s")


def expected(text: str) -> list[str]:
    return [text, f"{text} drawn", text, f"{text} again", text, "a canary of an event", f"{text} at last"]


def test_a_workflow_in_one_process() -> None:
    """In the test of an application: a client of the test encrypts, and its answers are plain."""
    codec = Encryption({"k": OLD})
    endpoints = Endpoints(Starlette(), "/app", codec=codec)
    seen: list[Any] = []

    @endpoints.workflow
    async def main(ctx: AsyncContext, payload: str) -> Any:
        seen.append(payload)
        await ctx.sleep(3600)
        return [await ctx.step(own, payload), await ctx.step("http://elsewhere.test/mail", payload)]

    @endpoints.step
    def own(payload: str) -> str:
        return payload.upper()

    async def play() -> None:
        async with LocalAtomic(always_replay=True) as atomic:
            url = atomic.serve(endpoints)
            atomic.answer("mail", "sent")
            client = AsyncClient(codec=codec)
            outcome = await client.start("main", f"{url}/app/main", "ada", key="k", timeout=None)
            assert outcome.response == ["ADA", "sent"]
            known = await client.get(outcome.run_id)
            stored = [each for step in (known.root, *known.steps) for each in (step.payload, step.response)]
            assert "ada" not in json.dumps(stored).lower()

    run(play())
    assert set(seen) == {"ada"}


CANARY: Final = "a canary that nobody may read"


def test_runs_of_the_old_key_go_on_under_rotation_and_no_file_has_plaintext(server: AtomicServer) -> None:
    before, between, after = (
        Encryption(keys) for keys in ({"old": OLD}, {"old": OLD, "new": NEW}, {"new": NEW, "old": OLD})
    )
    tokens: list[str] = []
    old, rotated = (Client(server.url, client_id="rotated", codec=codec) for codec in (before, after))
    with old, rotated:
        with served(server, before, tokens) as url:
            port = int(url.split(":")[2].split("/")[0])
            begun = old.start("whole", f"{url}/whole", CANARY, key="r", timeout=0)
            until(lambda: any(step.kind == "event" for step in old.get(begun.run_id).steps))
            early = old.signal("whole", "r", "other", "noted")
            postponed = old.start("later", f"{url}/later", CANARY, key="l", timeout=0)
            until(lambda: bool(tokens))
            old.answer(tokens[0], "a canary of an answer")
        with served(server, after, tokens, port) as url:
            # A start, and a message, are repeated by a program that has the new key.
            attached = rotated.start("whole", f"{url}/whole", CANARY, key="r", timeout=0)
            assert attached.id == begun.id
            assert rotated.signal("whole", "r", "other", "noted").id == early.id
            assert rotated.complete(early.id, "noted").id == early.id
            with pytest.raises(NotAnOpenEventError):
                rotated.signal("whole", "r", "other", "another")
            assert rotated.answer(tokens[0], "a canary of an answer").id == postponed.id
            assert rotated.wait(postponed.id).response == "a canary of an answer"
            with pytest.raises(AttemptOverError):
                rotated.answer(tokens[0], "another")
            with pytest.raises(PayloadMismatchError):
                rotated.start("whole", f"{url}/whole", "another", key="r", timeout=0)
            rotated.signal("whole", "r", "go", "a canary of an event")
            assert rotated.wait(begun.id, timeout=20).response == expected(CANARY)
            run = rotated.get(begun.run_id)
            keys = [step.payload[MEMBER]["k"] for step in run.steps if step.payload]
            assert (set(keys), keys[-1]) == ({"old", "new"}, "new")
            assert {step.attempts for step in run.steps if step.kind == "http"} == {1}, "nothing ran twice"
            # A program that was not deployed yet has the new key to read with.
            with Client(server.url, client_id="rotated", codec=between) as slow:
                assert slow.wait(begun.id).response == expected(CANARY)
    with Client(server.url, client_id="rotated") as plain:
        plain.start("whole", "http://127.0.0.1:9/x", "readable by all", key="p", timeout=0, retry=0)
    stored = b"".join(file.read_bytes() for file in server.data_dir.rglob("*") if file.is_file())
    assert b"readable by all" in stored, "what is not encrypted is found"
    assert b"$enc" in stored
    assert begun.run_id.encode() in stored
    assert b"canary" not in stored
    assert "canary" not in server.log()
