"""Codecs: Atomic stores what they make, and handlers, steps and clients see their own values."""

import base64
import json
import zlib
from threading import Timer
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from atomic.sdk import Call, Client, DecodingError, StepFailedError, UnknownKeyError, Where
from atomic.sdk.encryption import Encryption
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


ENCRYPTION = Encryption({"k": b"k" * 32})


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
    play(world, ENCRYPTION)


def case_a_client_with_another_key_reads_no_result(world: World) -> None:
    address = world.client.connection
    sender, other = (
        Client(address.url, client_id=address.client_id, codec=Encryption({"k": key}))
        for key in (b"k" * 32, b"x" * 32)
    )
    world.step("/echo", lambda payload: payload, codec=ENCRYPTION)
    with sender, other:
        outcome = sender.start("case", world.url("/echo"), TEXT, key="e")
        assert outcome.response == TEXT
        with pytest.raises(DecodingError, match="The response cannot be decoded: CiphertextError: it was"):
            other.wait(outcome.id)
        with pytest.raises(StepFailedError, match="The payload cannot be decoded: CiphertextError: it was"):
            other.start("case", world.url("/echo"), TEXT, key="e2", retry=0)


def case_a_client_without_the_key_is_told_its_id(world: World) -> None:
    address = world.client.connection
    sender = Client(address.url, client_id=address.client_id, codec=ENCRYPTION)
    other = Client(address.url, client_id=address.client_id, codec=Encryption({"new": b"n" * 32}))
    world.step("/echo", lambda payload: payload, codec=ENCRYPTION)
    with sender, other:
        outcome = sender.start("case", world.url("/echo"), TEXT, key="u")
        with pytest.raises(UnknownKeyError) as caught:
            other.wait(outcome.id)
        assert caught.value.key_id == "k"
        detail = f"The result of {outcome.id} is encrypted with key 'k', and this program has 'new'. Give"
        assert str(caught.value).startswith(detail)


def case_a_plain_endpoint_gets_the_ciphertext(world: World) -> None:
    address = world.client.connection
    sender = Client(address.url, client_id=address.client_id, codec=ENCRYPTION)
    world.step("/echo", lambda payload: list(payload["$enc"]))
    with sender:
        outcome = sender.start("case", world.url("/echo"), TEXT, key="p")
        assert outcome.response == ["c", "k", "n", "v"]
        wary = Encryption({"k": b"k" * 32}, refuse_plain=True)
        with (
            Client(address.url, client_id=address.client_id, codec=wary) as client,
            pytest.raises(DecodingError, match="it is not encrypted, and `refuse_plain` is set"),
        ):
            client.wait(outcome.id)
