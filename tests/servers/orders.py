"""Callers in a closed loop: each starts its next order when its last one is done. No order may be lost."""

import asyncio
import itertools
import time
from collections import Counter
from dataclasses import dataclass

from atomic.sdk import AsyncClient

_serial = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Orders:
    """The results. `latencies_s` is sorted; `calls` is the number of calls of workflows."""

    elapsed_s: float
    latencies_s: list[float]
    calls: Counter[int]

    @property
    def per_s(self) -> float:
        """Runs a second."""
        return len(self.latencies_s) / self.elapsed_s

    @property
    def calls_each(self) -> float:
        """How often a workflow was called, on average."""
        return sum(count * number for count, number in self.calls.items()) / self.calls.total()


async def order(atomic_url: str, url: str, *, runs: int, callers: int) -> Orders:
    """Make orders, and wait for each until it is done. Raises AssertionError unless all succeed."""
    numbers, prefix = iter(range(runs)), f"{time.time_ns()}-{next(_serial)}"
    latencies_s: list[float] = []
    calls: Counter[int] = Counter()
    async with AsyncClient(atomic_url) as client:

        async def caller() -> None:
            for number in numbers:
                began_s = time.perf_counter()
                outcome = await client.start("order", url, number, key=f"{prefix}-{number}", timeout=None)
                latencies_s.append(time.perf_counter() - began_s)
                assert outcome.response == number * 10 + 1
                calls[outcome.attempts] += 1

        began_s = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(callers)))
        elapsed_s = time.perf_counter() - began_s
        lost = await client.dead_letters(key_prefix=prefix)
        assert lost == [], f"{len(lost)} dead letters: {lost[0].error}"
    return Orders(elapsed_s, sorted(latencies_s), calls)
