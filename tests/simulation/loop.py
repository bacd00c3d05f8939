"""A minimal event loop in virtual time, three times as fast as `atomic.testing.VirtualTimeLoop`.

Thousands of seeds run on one loop. It has no sockets, signals or threads: a task waits only for timers and
other tasks.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

from atomic.testing.virtual_time import NothingLeftError

Result = TypeVar("Result")
_CALLS_MAX = 200_000


class _Handle:
    __slots__ = ("args", "call", "cancelled", "when_s")

    def __init__(self, call: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.call = call
        self.args = args
        self.cancelled = False
        self.when_s = 0.0

    def cancel(self) -> None:
        self.cancelled = True

    def when(self) -> float:
        return self.when_s


class SimulationLoop(asyncio.AbstractEventLoop):
    """Runs coroutines one after the other. Each begins at 0 s, without remains of the one before."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._made = 0
        self._ready: deque[_Handle] = deque()
        self._timers: list[tuple[float, int, _Handle]] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    def play(self, main: Coroutine[Any, Any, Result]) -> Result:
        """Run `main` to its end, and drop everything that is then still scheduled."""
        self._now_s = 0.0
        asyncio.events._set_running_loop(self)
        try:
            task = self.create_task(main)
            self._turn_until(task)
            return task.result()
        finally:
            self._clear()
            asyncio.events._set_running_loop(None)

    def time(self) -> float:
        return self._now_s

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Ignore unretrieved errors, which come from processes that died."""

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]  # only what the engine uses
        self, coro: Coroutine[Any, Any, Result], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Result]:
        task = asyncio.Task(coro, loop=self, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def call_soon(  # type: ignore[override]  # only what the engine uses
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Handle:
        handle = _Handle(callback, args)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]  # only what the engine uses
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Handle:
        return self.call_at(self._now_s + delay, callback, *args)

    def call_at(  # type: ignore[override]  # only what the engine uses
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Handle:
        handle = _Handle(callback, args)
        handle.when_s = when
        self._made += 1
        heapq.heappush(self._timers, (when, self._made, handle))
        return handle

    def _turn_until(self, task: asyncio.Task[Any]) -> None:
        ready, timers, calls = self._ready, self._timers, 0
        while not task.done():
            while ready:
                handle = ready.popleft()
                calls += 1
                if not handle.cancelled:
                    handle.call(*handle.args)
            if task.done():
                return
            if not timers:
                raise NothingLeftError("nothing is scheduled, but a task still waits")
            if calls > _CALLS_MAX:
                raise NothingLeftError(f"a hot loop: {calls} calls until {self._now_s:.3f} s")
            when, _, handle = heapq.heappop(timers)
            if not handle.cancelled:
                self._now_s = max(self._now_s, when)
                ready.append(handle)

    def _clear(self) -> None:
        while self._tasks:
            for task in list(self._tasks):
                task.cancel()
            while self._ready:
                handle = self._ready.popleft()
                if not handle.cancelled:
                    handle.call(*handle.args)
        self._timers.clear()
        self._ready.clear()


def simulation_loop() -> SimulationLoop:
    """A loop that implements only the methods that the engine and asyncio call."""
    return SimulationLoop()  # type: ignore[abstract]  # on purpose
