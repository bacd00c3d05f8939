"""An event loop with virtual time: when nothing is left to do, its clock jumps to the next timer."""

import asyncio
import selectors
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

Result = TypeVar("Result")
Selected = list[tuple[selectors.SelectorKey, int]]

# 2026-01-01T00:00:00Z: an arbitrary time that looks real in a printed document.
EPOCH_MS = 1_767_225_600_000


class NothingLeftError(RuntimeError):
    """All tasks wait, and no timer is set that could wake one of them."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """For code that waits only for timers. Sockets and threads take real time, so they cannot be used."""

    def __init__(self) -> None:
        self._virtual_s = 0.0
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


class _JumpingSelector(selectors.BaseSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        self._loop = loop
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> Selected:
        if timeout == 0:
            return []
        events = self._real.select(0)
        if events:
            return events
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
