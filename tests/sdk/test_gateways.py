"""What a gateway answers itself, in place of Atomic, costs a workflow no retry."""

import asyncio
from typing import Any

import pytest

from atomic.sdk import AsyncContext
from atomic.sdk._wire.transport import HttpRequest, HttpResponse
from sdk.in_process import InProcess, in_process

THROTTLED = b'{"message":"Too Many Requests"}'
NO_ENVIRONMENT = b'{"message":"Service Unavailable"}'
CRASHED = b'{"message":"Internal Server Error"}'
TIMED_OUT = b'{"message":"Endpoint request timed out"}'
OF_FUNCTION_URL = (
    b'{"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded","Message":"Rate Exceeded."}'
)
PAGE = b"<html><head><title>504 Gateway Timeout ERROR</title></head></html>"


class Gateway:
    """Stands before the server of a scenario, and answers the posts of steps itself for some seconds."""

    def __init__(self, app: InProcess, status: int, body: bytes, seconds: float) -> None:
        self._next, self._status, self._body, self._seconds = app.client._send, status, body, seconds
        self.answered_s: list[float] = []
        app.client._send = self.send  # type: ignore[method-assign]

    async def send(self, request: HttpRequest) -> HttpResponse:
        now_s = asyncio.get_running_loop().time()
        if not request.target.endswith("/steps") or now_s > self._seconds:
            return await self._next(request)
        self.answered_s.append(now_s)
        return HttpResponse(
            status=self._status, body=self._body, url="http://atomic.test", at_s=now_s, jitter=0.5
        )


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, THROTTLED),
        (429, OF_FUNCTION_URL),
        (500, CRASHED),
        (502, CRASHED),
        (503, NO_ENVIRONMENT),
        (504, TIMED_OUT),
        (504, PAGE),
    ],
)
def test_a_handler_ends_soon_and_is_called_again_without_a_retry(status: int, body: bytes) -> None:
    async def play(app: InProcess) -> None:
        async def main(ctx: AsyncContext) -> Any:
            return await ctx.step("item", 7)

        app.workflow(main, wait=15)
        app.step("item")
        gateway = Gateway(app, status, body, 10)
        # `start` gives the root no retry.
        assert await app.start() == 7
        assert app.done == ["item 7"]
        refused, last = app.answers[:-1], app.answers[-1]
        assert last[0] == 200
        assert {answer for answer, _ in refused} == {503}
        assert max(seconds for _, seconds in refused) <= 2
        assert len(gateway.answered_s) < 40

    in_process(play)


def test_a_gateway_that_waits_less_than_the_server_delays_nothing() -> None:
    """It answers 504 to a post that Atomic has taken: the handler waits for that step as usual."""

    async def play(app: InProcess) -> None:
        async def main(ctx: AsyncContext) -> Any:
            return await ctx.step("item", 7)

        app.workflow(main, wait=15)
        app.step("item", seconds=12)
        server = app.client._send

        async def send(request: HttpRequest) -> HttpResponse:
            answer = asyncio.create_task(server(request))
            await asyncio.wait({answer}, timeout=5)
            if answer.done():
                return answer.result()
            now_s = asyncio.get_running_loop().time()
            return HttpResponse(status=504, body=PAGE, url="http://atomic.test", at_s=now_s, jitter=0.5)

        app.client._send = send  # type: ignore[method-assign]
        assert await app.start() == 7
        assert app.done == ["item 7"]
        assert [status for status, _ in app.answers] == [202, 200]

    in_process(play)
