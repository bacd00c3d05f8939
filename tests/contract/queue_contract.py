"""What every `HintQueue` must do. A backend's test class inherits `QueueContract` and defines `home`."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import pytest

from atomic.application.ports import HintQueue
from atomic.protocol import keys

RUN = keys.run_id("acme", "createUser", "k")
STEP = keys.root_of(RUN)
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
# Queues count delays in whole seconds, upwards.
ROUNDING = SECOND - 1


class ManualClock:
    """The time stands still until a test moves it."""

    def __init__(self, now_ms: int = 1_767_225_600_123) -> None:
        self.ms = now_ms

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return self.ms

    def wall_ms(self) -> int:
        """The same."""
        return self.ms


class QueueHome(Protocol):
    """A queue, its clock, and the far end of it."""

    clock: ManualClock
    queue: HintQueue

    async def arrived(self) -> Sequence[str]:
        """The step ids of all hints that can be received now."""
        ...


def on_queue(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run the test on a fresh queue."""

    def run(self: "QueueContract", **arguments: Any) -> None:
        async def body() -> None:
            async with self.home() as home:
                await asyncio.wait_for(test(self, home, **arguments), 60)

        asyncio.run(body())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def hint(
    queue: HintQueue,
    step_id: str,
    at_ms: int,
    *,
    client_id: str = "acme",
    attempt_ms: int | None = 20_000,
) -> Awaitable[None]:
    """Send a hint for a step of which only the id counts."""
    return queue.send(step_id, at_ms, client_id=client_id, attempt_ms=attempt_ms)


async def arrived_at(home: QueueHome, due: dict[str, int], at_ms: int) -> set[str]:
    """Which steps were due when their hint came, the time now being `at_ms`.

    As `application.drive` does it, a hint that is early is sent again.
    """
    home.clock.ms = at_ms
    came = set()
    for step_id in await home.arrived():
        if at_ms >= due[step_id]:
            came.add(step_id)
        else:
            await hint(home.queue, step_id, due[step_id])
    return came


class QueueContract:
    """Inherit and define `home`."""

    def home(self) -> AbstractAsyncContextManager[QueueHome]:
        """A fresh, empty queue."""
        raise NotImplementedError

    @on_queue
    async def test_what_is_due_arrives(self, home: QueueHome) -> None:
        now = home.clock.ms
        steps = {
            keys.step_id(RUN, keys.identity("a", "b", "c", "d", "e", f"{n}")): now - n for n in range(15)
        }
        for step_id, at_ms in steps.items():
            await hint(home.queue, step_id, at_ms)
        assert await arrived_at(home, steps, now) == steps.keys()
        assert await home.arrived() == []

    @pytest.mark.parametrize(
        "wait_ms", [1, SECOND, 90 * SECOND + 1, 16 * MINUTE, HOUR - 1, HOUR, 2 * HOUR, 3 * DAY]
    )
    def test_a_hint_arrives_when_it_is_due(self, wait_ms: int) -> None:
        async def body() -> None:
            async with self.home() as home:
                start = home.clock.ms
                due = {STEP: start + wait_ms}
                await hint(home.queue, STEP, due[STEP])
                hops = [at for at in range(15 * MINUTE, wait_ms, 15 * MINUTE) if wait_ms <= HOUR]
                moments = sorted({0, wait_ms // 2, *hops, max(0, wait_ms - 30 * SECOND), wait_ms - 1})
                for moment in moments:
                    assert await arrived_at(home, due, start + moment) == set(), moment
                assert await arrived_at(home, due, due[STEP] + ROUNDING) == {STEP}

        asyncio.run(body())

    @on_queue
    async def test_two_hints_for_a_step_are_one_at_least(self, home: QueueHome) -> None:
        now = home.clock.ms
        for at_ms in (now + 5_000, now + 2_000, now + 2_000, now + HOUR, now + HOUR):
            await hint(home.queue, STEP, at_ms)
        assert STEP in await arrived_at(home, {STEP: now + 2_000}, now + 2_000)

    @on_queue
    async def test_sending_begins_before_anybody_waits_for_it(self, home: QueueHome) -> None:
        sending = hint(home.queue, STEP, home.clock.ms)
        came: list[str] = []
        for _ in range(5_000):
            came += await home.arrived()
            if came:
                break
            await asyncio.sleep(0.001)
        assert came == [STEP]
        await sending

    @on_queue
    async def test_a_dead_letter_is_no_hint(self, home: QueueHome) -> None:
        await home.queue.dead_letter(STEP, "the endpoint answered 500 – \x00")
        assert await home.arrived() == []
