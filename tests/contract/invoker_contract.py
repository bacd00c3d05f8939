"""What every `EndpointInvoker` must do. Inherit `InvokerContract` and define `runtime`."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from atomic.application.ports import EndpointInvoker, EndpointRequest
from atomic.domain.outcomes import timed_out
from atomic.protocol.constants import RESPONSE_MAX_BYTES
from atomic.testing.endpoints import EndpointCall, EndpointHandler, EndpointReply


@dataclass(frozen=True)
class InvokerRuntime:
    """An invoker, a way to serve functions as its endpoints, and a URL without a server."""

    invoker: EndpointInvoker
    serve: Callable[[EndpointHandler], str]
    nowhere: str


def a_request(url: str, **more: Any) -> EndpointRequest:
    """The request of an attempt."""
    request = EndpointRequest(
        client_id="acme",
        url=url,
        headers={"Content-Type": "application/json", "Atomic-Attempt": "3"},
        body=b'{"payload":1}',
        timeout_ms=10_000,
    )
    return replace(request, **more)


def on_runtime(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run the test on a fresh invoker."""

    def run(self: "InvokerContract", **arguments: Any) -> None:
        async def body() -> None:
            async with self.runtime() as runtime:
                await asyncio.wait_for(test(self, runtime, **arguments), 60)

        asyncio.run(body())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def answering(reply: EndpointReply, heard: list[EndpointCall] | None = None) -> EndpointHandler:
    """An endpoint that always gives the same answer."""

    async def handler(call: EndpointCall) -> EndpointReply:
        if heard is not None:
            heard.append(call)
        return reply

    return handler


class InvokerContract:
    """Inherit and define `runtime`."""

    def runtime(self) -> AbstractAsyncContextManager[InvokerRuntime]:
        raise NotImplementedError

    @on_runtime
    async def test_a_request_arrives_as_it_is_and_so_does_the_answer(self, runtime: InvokerRuntime) -> None:
        heard: list[EndpointCall] = []
        reply = EndpointReply(
            status=201, body=b"\x00made", headers={"X-Made": "yes", "Content-Type": "a/b"}
        )
        url = runtime.serve(answering(reply, heard))
        answer = await runtime.invoker.post(a_request(url))
        assert (answer.status, answer.body, answer.error) == (201, b"\x00made", None)
        assert (answer.headers["x-made"], answer.headers["content-type"]) == ("yes", "a/b")
        assert (timed_out(answer.error), answer.too_large, answer.not_made) == (False, False, None)
        [call] = heard
        assert (call.body, call.attempt, call.headers["content-type"]) == (
            b'{"payload":1}',
            3,
            "application/json",
        )

    @pytest.mark.parametrize("status", [200, 204, 301, 404, 429, 500, 503])
    def test_every_status_is_reported_and_no_redirect_is_followed(self, status: int) -> None:
        async def body(_: Any, runtime: InvokerRuntime) -> None:
            heard: list[EndpointCall] = []
            headers = {"Location": runtime.nowhere, "Retry-After": "7"}
            url = runtime.serve(answering(EndpointReply(status=status, body=b"", headers=headers), heard))
            answer = await runtime.invoker.post(a_request(url))
            assert (answer.status, answer.headers["retry-after"], len(heard)) == (status, "7", 1)

        on_runtime(body)(self)

    @on_runtime
    async def test_a_missing_server_is_an_outcome_and_no_exception(self, runtime: InvokerRuntime) -> None:
        answer = await runtime.invoker.post(a_request(runtime.nowhere))
        assert (answer.status, timed_out(answer.error), answer.not_made) == (None, False, None)
        assert answer.error is not None
        assert str(answer.error).startswith("network: ")

    @on_runtime
    async def test_an_attempt_ends_within_its_time(self, runtime: InvokerRuntime) -> None:
        async def slow(_: EndpointCall) -> EndpointReply:
            await asyncio.sleep(30)
            return EndpointReply()

        loop = asyncio.get_running_loop()
        began_s = loop.time()
        answer = await runtime.invoker.post(a_request(runtime.serve(slow), timeout_ms=200))
        assert loop.time() - began_s < 10
        assert (answer.status, timed_out(answer.error)) == (None, True)
        assert answer.error is not None
        assert str(answer.error).startswith("timeout: ")

    @on_runtime
    async def test_an_answer_that_is_too_large_keeps_its_status_only(self, runtime: InvokerRuntime) -> None:
        for size, too_large in ((RESPONSE_MAX_BYTES, False), (RESPONSE_MAX_BYTES + 1, True)):
            url = runtime.serve(answering(EndpointReply(body=b"x" * size)))
            answer = await runtime.invoker.post(a_request(url))
            assert (answer.status, answer.too_large, len(answer.body)) == (
                200,
                too_large,
                0 if too_large else size,
            )

    @on_runtime
    async def test_attempts_go_on_side_by_side(self, runtime: InvokerRuntime) -> None:
        inside = asyncio.Barrier(5)

        async def together(_: EndpointCall) -> EndpointReply:
            await inside.wait()
            return EndpointReply()

        url = runtime.serve(together)
        answers = await asyncio.gather(*(runtime.invoker.post(a_request(url)) for _ in range(5)))
        assert [answer.status for answer in answers] == [200] * 5
