"""Codecs: Atomic stores what they make, and handlers, steps and clients see their own values."""

import base64
import hashlib
import hmac
import json
import zlib
from threading import Timer
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import BaseModel

from atomic.sdk import Call, Client, DecodingError, StepFailedError, Where
from sdk.durable.flows import VARIANTS, Flow, serve
from sdk.world import World

TEXT = "a text that is repeated " * 40


class Order(BaseModel):
    """A typed value."""

    id: UUID
    text: str


ORDER = Order(id=UUID(int=7), text=TEXT)


class Compressing:
    """Compresses long values; all others stay as they are."""

    def encode(self, value: Any, where: Where) -> Any:
        text = json.dumps(value, sort_keys=True)
        return value if len(text) < 100 else {"$z": base64.b64encode(zlib.compress(text.encode())).decode()}

    def decode(self, value: Any, where: Where) -> Any:
        is_own = isinstance(value, dict) and value.keys() == {"$z"}
        return json.loads(zlib.decompress(base64.b64decode(value["$z"]))) if is_own else value


class Encrypting:
    """Encrypts each value for its place. Its nonce is made of the value, so it is the same each time."""

    def __init__(self, key: bytes = b"k" * 32) -> None:
        self._key = key

    def encode(self, value: Any, where: Where) -> Any:
        text, place = json.dumps(value, sort_keys=True).encode(), repr(where).encode()
        nonce = hmac.digest(self._key, place + text, hashlib.sha256)[:12]
        return {"$enc": base64.b64encode(nonce + AESGCM(self._key).encrypt(nonce, text, place)).decode()}

    def decode(self, value: Any, where: Where) -> Any:
        if value is None:
            return None
        sent = base64.b64decode(value["$enc"])
        return json.loads(AESGCM(self._key).decrypt(sent[:12], sent[12:], repr(where).encode()))


def play(world: World, codec: Any) -> None:
    """Run a workflow with all kinds of values, in both variants, and look at what Atomic keeps."""
    seen: list[Any] = []
    address = world.client.connection
    sender = Client(address.url, client_id=address.client_id, codec=codec)

    def flow(ctx: Any, order: Any) -> Flow:
        seen.append(Order.model_validate(order))
        first = yield ctx.step("/echo", order)
        seen.append((yield ctx.run("drawn", lambda: ORDER, returns=Order)))
        batch = yield ctx.map([order, order], "/echo", name="echoes")
        yield ctx.sleep(0.4)
        version = yield ctx.version("change", 2)
        opened = yield ctx.open_event("by id")
        yield ctx.step("/tell", opened)
        seen.append((yield ctx.event("by id", result=Order)))
        seen.append((yield ctx.event("ok", result=Order)))
        later = yield ctx.step("/later", order)
        return [first, version, later, *batch.results()]

    serve(world, "flow", flow, wait=0.1, codec=codec)
    world.step("/echo", lambda payload: payload, codec=codec)
    world.step("/tell", lambda event_id: sender.complete(event_id, ORDER).status, codec=codec)

    def later(order: Order, call: Call) -> Any:
        Timer(0.1, sender.answer, (call.answer_token, order)).start()
        return call.answer_later(30)

    world.step("/later", later, codec=codec)
    plain = ORDER.model_dump(mode="json")
    for variant in VARIANTS:
        del seen[:]
        url = world.url(f"/{variant}/flow")
        started = sender.start("case", url, ORDER, key=variant, timeout=0, retry=0)
        sender.signal("case", variant, "ok", ORDER)
        assert sender.wait(started.id, timeout=20).response == [plain, 2, plain, plain, plain]
        assert set(map(repr, seen)) == {repr(ORDER)}
        run = world.client.get(started.run_id)
        assert len(run.steps) == 10
        for step in [run.root, *run.steps]:
            assert "repeated" not in json.dumps([step.payload, step.response]), step
        assert sender.start("case", url, ORDER, key=variant).status == "succeeded"
    sender.close()


def case_a_codec_that_compresses(world: World) -> None:
    play(world, Compressing())


def case_a_codec_that_encrypts(world: World) -> None:
    play(world, Encrypting())


def case_a_client_with_another_key_reads_no_result(world: World) -> None:
    address = world.client.connection
    sender, other = (
        Client(address.url, client_id=address.client_id, codec=Encrypting(key))
        for key in (b"k" * 32, b"x" * 32)
    )
    world.step("/echo", lambda payload: payload, codec=Encrypting())
    with sender, other:
        outcome = sender.start("case", world.url("/echo"), TEXT, key="e")
        assert outcome.response == TEXT
        with pytest.raises(DecodingError, match="The response cannot be decoded: InvalidTag"):
            other.wait(outcome.id)
        with pytest.raises(StepFailedError, match="The payload cannot be decoded: InvalidTag"):
            other.start("case", world.url("/echo"), TEXT, key="e2", retry=0)
