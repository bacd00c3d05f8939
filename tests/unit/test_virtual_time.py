"""Virtual time goes on, however long a test plays."""

import asyncio

import pytest

from atomic.testing import VirtualTimeLoop

DAY = 86_400


class Bounded(VirtualTimeLoop):
    """Fails instead of standing still."""

    asked = 0

    def time(self) -> float:
        self.asked += 1
        assert self.asked < 100_000, "the time stands still"
        return super().time()


@pytest.mark.parametrize("days", [190, 200, 4_000])
def test_timers_end_after_many_days(days: int) -> None:
    async def sleep() -> float:
        await asyncio.sleep(days * DAY)
        await asyncio.sleep(0.1)
        await asyncio.sleep(DAY)
        return asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=Bounded) as runner:
        assert round(runner.run(sleep()), 1) == (days + 1) * DAY + 0.1
