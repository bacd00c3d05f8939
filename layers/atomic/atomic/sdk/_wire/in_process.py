"""Atomic in the process of a test: clients then send nothing over a network, and its time counts.

`CURRENT` is set around what runs in such a test, and around every call of a handler there. Threads that go
on in the context of their handler have it, too.
"""

import time
from collections.abc import Callable, Coroutine, Sequence
from contextvars import ContextVar
from typing import Any, Final, Protocol, TypeVar

from atomic.sdk._wire.transport import Flow, HttpRequest, HttpResponse, drive_async

Result = TypeVar("Result")


class InProcess(Protocol):
    """What the SDK needs of Atomic in its process. `hooks` watch every call of a handler."""

    hooks: Sequence[Any]

    def now_s(self) -> float:
        """Seconds of its time."""
        ...

    async def send(self, request: HttpRequest) -> HttpResponse:
        """The answer to a request. It runs on the event loop of Atomic."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let time pass, on the event loop of Atomic."""
        ...

    def block(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do the work on the event loop of Atomic, while the calling thread waits."""
        ...

    async def join(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do the work on the event loop of Atomic, on which the caller may be, too."""
        ...


CURRENT: Final[ContextVar[InProcess | None]] = ContextVar("CURRENT", default=None)


def clock() -> Callable[[], float]:
    """What tells the seconds: the clock of Atomic in this process, else the monotonic clock."""
    current = CURRENT.get()
    return time.monotonic if current is None else current.now_s


def pause(seconds: float) -> None:
    """Let the calling thread wait, in the time of Atomic in this process, else in real time."""
    current = CURRENT.get()
    if current is None:
        time.sleep(seconds)
    else:
        current.block(current.sleep(seconds))


async def driven(current: InProcess, flow: Flow[Result]) -> Result:
    """The result of a flow whose requests go to Atomic in this process."""
    return await drive_async(flow, current.send, current.sleep)
