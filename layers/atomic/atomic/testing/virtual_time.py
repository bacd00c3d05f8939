"""An event loop with virtual time: when nothing is left to do, its clock jumps to the next timer."""

import asyncio
import selectors
import sys
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeVar, TypeVarTuple

Result = TypeVar("Result")
Given = TypeVarTuple("Given")
Selected = list[tuple[selectors.SelectorKey, int]]

# 2026-01-01T00:00:00Z: an arbitrary time that looks real in a printed document.
EPOCH_MS = 1_767_225_600_000
# How long the loop waits for threads, in seconds of real time.
THREADS_MAX_S: Final = 60.0
# How long it waits for other threads of a handler of which one waits for Atomic.
_BESIDE_S: Final = 0.002
# The call of a handler that a thread works for.
CALL: Final[ContextVar[object]] = ContextVar("CALL", default=None)


class NothingLeftError(RuntimeError):
    """All tasks wait, and nothing could wake one of them: no timer is set, and no thread is at work."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """For code that waits for timers, and for threads that `run_in_executor` has started.

    Time stands still while such a thread is at work, and goes on while it waits for Atomic. Sockets take
    real time, for which the loop does not wait.
    """

    def __init__(self) -> None:
        self._virtual_s = 0.0
        self._jobs: Counter[object] = Counter()
        self._waiting: Counter[object] = Counter()
        super().__init__(_JumpingSelector(self))
        # asyncio calls timers that are due within this many seconds. Its own value is that of the machine's
        # clock, 1 ns. After 194 days, that is less than the distance from one float to the next, so a timer
        # that is due now would never be called.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._virtual_s

    def jump(self, seconds: float) -> None:
        """Move the clock on."""
        self._virtual_s += seconds

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Given], Result], *args: *Given
    ) -> "asyncio.Future[Result]":
        """As in asyncio; time stands still meanwhile."""
        call = CALL.get()
        done = super().run_in_executor(executor, func, *args)
        self._jobs[call] += 1
        done.add_done_callback(lambda _: self._ended(call))
        return done

    async def shutdown_default_executor(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is asyncio's
    ) -> None:
        """As in asyncio, where a thread does it."""
        del timeout
        self._jobs[self] += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._ended(self)

    @contextmanager
    def thread_waits(self, call: object) -> Iterator[None]:
        """While a thread of the call waits for this loop, time goes on."""
        self._waiting[call] += 1
        try:
            yield
        finally:
            self._waiting[call] -= 1

    def real_pause_s(self, timeout_s: float | None) -> float:
        """How long to wait in real time for threads, before time jumps by this much; 0: not at all."""
        if not +self._jobs and not _has_busy_workers(self):
            return 0.0
        if timeout_s is None or _has_busy_workers(self):
            return THREADS_MAX_S
        if any(map(self._is_at_work, +self._jobs)):
            return THREADS_MAX_S
        # A handler may have other threads beside the one that waits. Those of the test are counted.
        return _BESIDE_S if any(call is not None for call in +self._jobs) else 0.0

    def _is_at_work(self, call: object) -> bool:
        # Without a call, the threads are those of the test.
        return self._waiting[call] < (1 if call is not None else self._jobs[call])

    def _ended(self, call: object) -> None:
        self._jobs[call] -= 1


class LoopClock:
    """The engine's clock, taken from the running loop."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, in the loop's time."""
        return EPOCH_MS + round(asyncio.get_running_loop().time() * 1000)

    def wall_ms(self) -> int:
        """The same as `now_ms`: virtual time has one clock."""
        return self.now_ms()


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """`asyncio.run` in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)


def _has_busy_workers(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether anyio's threads are at work, in which FastAPI and Starlette call plain functions."""
    if "anyio._backends._asyncio" not in sys.modules:
        return False
    return any(
        getattr(thread, "loop", None) is loop and thread not in getattr(thread, "idle_workers", ())
        for thread in threading.enumerate()
        if type(thread).__module__ == "anyio._backends._asyncio"
    )


class _JumpingSelector(selectors.BaseSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        self._loop = loop
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> Selected:
        if timeout == 0:
            return []
        pause_s = self._loop.real_pause_s(timeout)
        events = self._real.select(pause_s)
        if events:
            return events
        if pause_s == THREADS_MAX_S:
            raise NothingLeftError(f"a thread has not ended in {THREADS_MAX_S:.0f} s of real time")
        if timeout is None:
            raise NothingLeftError("nothing is scheduled, but a task still waits")
        self._loop.jump(timeout)
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def close(self) -> None:
        self._real.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()
