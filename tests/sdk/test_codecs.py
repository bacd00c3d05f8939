"""Codecs: what they are told, what is refused, and what stays as it is."""

import asyncio
import json
import secrets
from typing import Any

import pytest

from atomic.sdk import (
    AsyncContext,
    Client,
    Codec,
    Context,
    DecodingError,
    SerializationError,
    StepFailedError,
    Where,
)
from atomic.sdk._endpoints.endpoint import Endpoint
from atomic.sdk._wire.answers import HandlerResponse
from scenarios.embedded_runtime import AtomicServer
from sdk.cases.codecs import ENCRYPTION
from sdk.scripted import FAILED, MISMATCH, called, called_async, done

both = pytest.mark.parametrize("variant", ["def", "async"])


class Marking:
    """Wraps each value, and notes where it belongs."""

    def __init__(self) -> None:
        self.encoded: list[Where] = []
        self.decoded: list[Where] = []

    def encode(self, value: Any, where: Where) -> Any:
        self.encoded.append(where)
        return {"marked": value}

    def decode(self, value: Any, where: Where) -> Any:
        self.decoded.append(where)
        return value["marked"]


class Drawing(Marking):
    """Draws a nonce, which is wrong."""

    def encode(self, value: Any, where: Where) -> Any:
        return {"nonce": secrets.token_hex(8), "value": value}


class Foreign(Marking):
    """Makes something that is not JSON."""

    def encode(self, value: Any, where: Where) -> Any:
        return b"\xff"


def call(variant: str, act: Any, answers: Any, **options: Any) -> HandlerResponse:
    """Call a workflow that makes one call of its context."""

    def blocking(ctx: Context, payload: Any) -> Any:
        return act(ctx)

    async def asynchronous(ctx: AsyncContext, payload: Any) -> Any:
        return await act(ctx)

    options = {"payload": {"marked": "the payload"}, **options}
    if variant == "def":
        return called(blocking, answers, **options)[0]
    return asyncio.run(called_async(asynchronous, answers, **options))[0]


@both
def test_a_codec_is_told_where_a_value_belongs(variant: str) -> None:
    codec, posted = Marking(), []

    def post(document: dict[str, Any]) -> Any:
        posted.append(document["payload"])
        return done({"marked": "an answer"})

    response = call(variant, lambda ctx: ctx.step("pay", [1, 2]), {"pay": post}, codec=codec)
    assert (posted, json.loads(response.body)) == ([{"marked": [1, 2]}], {"marked": "an answer"})
    root = Where(run_id="run_1", step_id="run_1-root", kind="step", part="payload")
    result = Where(run_id="run_1", step_id="run_1-root", kind="step", part="result")
    assert (codec.decoded[0], codec.encoded[-1]) == (root, result)
    [*payload, of_step] = codec.encoded[0], codec.decoded[1]
    assert [of_step.part, *(where.part for where in payload)] == ["result", "payload"]
    assert of_step.step_id == payload[0].step_id != "run_1-root"


@both
def test_values_are_encoded_and_versions_are_not(variant: str) -> None:
    def kept(document: dict[str, Any]) -> Any:
        return done(document["payload"])

    response = call(variant, lambda ctx: ctx.run("n", lambda: 1), {"n": kept}, codec=Marking())
    assert json.loads(response.body) == {"marked": 1}
    codec = Marking()
    call(variant, lambda ctx: ctx.version("v", 3), {"version v": kept}, codec=codec)
    assert {where.step_id for where in (*codec.encoded, *codec.decoded)} == {"run_1-root"}


@both
def test_a_codec_that_draws_is_refused_before_the_post(variant: str) -> None:
    response = call(variant, lambda ctx: ctx.step("pay", 1), {}, codec=Drawing())
    assert response.status == 500
    detail = json.loads(response.body)["detail"]
    assert detail.startswith(
        "The codec Drawing encodes the payload of step 'pay' in two ways. Encode equal"
    )
    assert "atomic-no-retry" in {name.lower() for name in response.headers}


@both
def test_a_payload_that_differs_from_that_of_an_earlier_call_names_the_codec(variant: str) -> None:
    response = call(variant, lambda ctx: ctx.step("pay", 1), {"pay": MISMATCH}, codec=Marking())
    assert "A codec must encode equal payloads equally" in json.loads(response.body)["detail"]


@both
def test_an_encoding_that_is_not_json(variant: str) -> None:
    response = call(variant, lambda ctx: ctx.step("pay", 1), {}, codec=Foreign())
    assert "The encoding of the payload of step 'pay' has bytes" in json.loads(response.body)["detail"]


@both
def test_a_result_that_cannot_be_decoded_is_an_error_of_its_own(variant: str) -> None:
    raised: list[DecodingError] = []

    def blocking(ctx: Context) -> Any:
        with pytest.raises(DecodingError) as caught:
            ctx.step("pay")
        raised.append(caught.value)

    async def asynchronous(ctx: AsyncContext) -> Any:
        with pytest.raises(DecodingError) as caught:
            await ctx.step("pay")
        raised.append(caught.value)

    if variant == "def":
        called(blocking, {"pay": done("plain")}, codec=Marking())
    else:
        asyncio.run(called_async(asynchronous, {"pay": done("plain")}, codec=Marking()))
    [error] = raised
    assert (error.code, type(error.__cause__)) == ("not-decodable", TypeError)
    assert str(error).startswith("The result of step 'pay' cannot be decoded: TypeError: string indices")


@both
def test_a_payload_that_cannot_be_decoded_is_retried(variant: str) -> None:
    response = call(variant, lambda ctx: ctx.step("pay"), {}, codec=Marking(), payload="plain")
    assert response.status == 503
    assert "The payload cannot be decoded" in json.loads(response.body)["detail"]


@both
def test_errors_are_plain(variant: str) -> None:
    codec = Marking()
    response = call(variant, lambda ctx: ctx.step("pay"), {"pay": FAILED}, codec=codec)
    assert (response.status, json.loads(response.body)["detail"]) == (500, "no answer (step run_1-x)")
    assert [where.part for where in codec.decoded] == ["payload"]


def test_the_codec_of_a_client_is_that_of_its_endpoints() -> None:
    codec: Codec = Marking()
    client = Client("http://atomic.test", codec=codec)

    def main(ctx: Context) -> None: ...

    endpoint = Endpoint(main, is_workflow=True, options={"client": client})
    own = Endpoint(main, is_workflow=True, options={"client": client, "codec": ENCRYPTION})
    assert endpoint._coder._codec is codec
    assert own._coder._codec is ENCRYPTION


class TestClients:
    """On a server, with no endpoint."""

    def test_the_response_of_a_run_that_failed_is_plain(self, server: AtomicServer) -> None:
        with Client(server.url, client_id="codecs", codec=ENCRYPTION) as client:
            with pytest.raises(StepFailedError):
                client.start("w", "http://127.0.0.1:9/x", 1, key="k2", retry=0)
            assert client.runs(key_prefix="k2", status="failed")

    def test_a_drawing_codec_starts_nothing(self, server: AtomicServer) -> None:
        with Client(server.url, client_id="codecs", codec=Drawing()) as client:
            with pytest.raises(SerializationError, match="in two ways"):
                client.start("w", "http://127.0.0.1:9/x", 1, key="k3", timeout=0)
            assert client.runs(key_prefix="k3") == []
