"""A flow yields the requests it wants made and is sent their answers; it does no I/O itself.

Time and chance come with each answer, so a flow is a plain function of what it is sent, and one flow
serves the blocking and the asynchronous client.
"""

from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from pydantic import BaseModel

Result = TypeVar("Result")

# Beyond the time that the server was asked to wait: connecting, and the answer's way back.
GRACE_S: Final = 10.0
# On AWS a first attempt that is made inline holds the answer for up to 20 s, however short the wait.
_AT_LEAST_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """To be made after `pause_s`. `target` is path and query; `wait_s` is how long the server may wait."""

    method: str
    target: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    pause_s: float = 0.0
    wait_s: float = 0.0

    @property
    def timeout_s(self) -> float:
        """When to give up on the answer."""
        return max(self.wait_s + GRACE_S, _AT_LEAST_S) if self.wait_s else GRACE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """What came of a request. Status 0: nothing did, `error` says why and `cure` what to do about it, where
    that is known. Header names are lower case, `url` is that of the server.

    `at_s` is the moment (any clock that only goes on), `chance` a random number in [0, 1).
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    error: str = ""
    cure: str = ""
    url: str = ""
    at_s: float
    chance: float


Flow = Generator[HttpRequest, HttpResponse, Result]
Model = TypeVar("Model", bound=BaseModel)


def drive(
    flow: Flow[Result], send: Callable[[HttpRequest], HttpResponse], sleep: Callable[[float], None]
) -> Result:
    """Run a flow with a blocking transport."""
    try:
        request = next(flow)
        while True:
            if request.pause_s > 0:
                sleep(request.pause_s)
            request = flow.send(send(request))
    except StopIteration as end:
        result: Result = end.value
        return result


async def drive_async(
    flow: Flow[Result],
    send: Callable[[HttpRequest], Awaitable[HttpResponse]],
    sleep: Callable[[float], Awaitable[Any]],
) -> Result:
    """Run a flow with an asynchronous transport."""
    try:
        request = next(flow)
        while True:
            if request.pause_s > 0:
                await sleep(request.pause_s)
            answer = await send(request)
            request = flow.send(answer)
    except StopIteration as end:
        result: Result = end.value
        return result
