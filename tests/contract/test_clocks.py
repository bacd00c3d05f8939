"""The contracts of clocks and entropy, for those of production and those of tests."""

import asyncio
import time
from collections.abc import Callable

from atomic.adapters.system import SteadyClock, SystemClock, SystemEntropy
from atomic.application.ports import Clock, Entropy
from atomic.testing.local import SeededEntropy
from atomic.testing.virtual_time import LoopClock, VirtualTimeLoop
from contract.clock_contract import ClockContract, EntropyContract


def let_pass(ms: int) -> None:
    """Wait in real time."""
    time.sleep(ms / 1000)


class TestSystemClock(ClockContract):
    def on(self, body: Callable[[Clock, Callable[[int], None]], None]) -> None:
        body(SystemClock(), let_pass)


class TestSteadyClock(ClockContract):
    def on(self, body: Callable[[Clock, Callable[[int], None]], None]) -> None:
        body(SteadyClock(), let_pass)


class TestLoopClock(ClockContract):
    """Its time is that of the running loop, so it can only be read inside of it."""

    def on(self, body: Callable[[Clock, Callable[[int], None]], None]) -> None:
        class Inside:
            def now_ms(self) -> int:
                return runner.run(ask(LoopClock().now_ms))

            def wall_ms(self) -> int:
                return runner.run(ask(LoopClock().wall_ms))

        async def ask(told: Callable[[], int]) -> int:
            return told()

        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            body(Inside(), lambda ms: runner.run(asyncio.sleep(ms / 1000)))


class TestSystemEntropy(EntropyContract):
    def entropy(self) -> Entropy:
        return SystemEntropy()


class TestSeededEntropy(EntropyContract):
    def entropy(self) -> Entropy:
        return SeededEntropy(0)
