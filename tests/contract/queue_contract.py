"""What every `WakeupQueue` must do. A test class inherits `QueueContract` and defines `runtime`."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import pytest

from atomic.application.ports import WakeupQueue
from atomic.protocol import keys

RUN = keys.run_id("acme", "createUser", "k")
STEP = keys.root_of(RUN)
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
# Queues round delays up to whole seconds.
ROUNDING = SECOND - 1


class ManualClock:
    """A clock that only a test advances."""

    def __init__(self, now_ms: int = 1_767_225_600_123) -> None:
        self.ms = now_ms

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return self.ms

    def wall_ms(self) -> int:
        """The same."""
        return self.ms


class QueueRuntime(Protocol):
    """A queue, its clock, and its receiving end."""

    clock: ManualClock
    queue: WakeupQueue

    async def arrived(self) -> Sequence[str]:
        """Receive all wake-ups that are available now; return their step ids."""
        ...


def on_queue(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run the test on a fresh queue."""

    def run(self: "QueueContract", **arguments: Any) -> None:
        async def body() -> None:
            async with self.runtime() as runtime:
                await asyncio.wait_for(test(self, runtime, **arguments), 60)

        asyncio.run(body())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def wakeup(
    queue: WakeupQueue,
    step_id: str,
    at_ms: int,
    *,
    client_id: str = "acme",
    attempt_ms: int | None = 20_000,
    is_watchdog: bool = False,
) -> Awaitable[None]:
    """Send a wake-up for a step; only the step's id matters."""
    known: Any = {"client_id": client_id, "attempt_ms": attempt_ms, "is_watchdog": is_watchdog}
    return queue.send(step_id, at_ms, **known)


async def arrived_at(runtime: QueueRuntime, due: dict[str, int], at_ms: int) -> set[str]:
    """The steps whose wake-up has arrived and is due at `at_ms`.

    An early wake-up is sent again, as `application.process_wakeup` does.
    """
    runtime.clock.ms = at_ms
    came = set()
    for step_id in await runtime.arrived():
        if at_ms >= due[step_id]:
            came.add(step_id)
        else:
            await wakeup(runtime.queue, step_id, due[step_id])
    return came


class QueueContract:
    """Inherit and define `runtime`."""

    def runtime(self) -> AbstractAsyncContextManager[QueueRuntime]:
        """A fresh, empty queue."""
        raise NotImplementedError

    @on_queue
    async def test_a_due_wakeup_arrives(self, runtime: QueueRuntime) -> None:
        now = runtime.clock.ms
        steps = {
            keys.step_id(RUN, keys.identity("a", "b", "c", "d", "e", f"{n}")): now - n for n in range(15)
        }
        for step_id, at_ms in steps.items():
            await wakeup(runtime.queue, step_id, at_ms)
        assert await arrived_at(runtime, steps, now) == steps.keys()
        assert await runtime.arrived() == []

    @pytest.mark.parametrize(
        "wait_ms", [1, SECOND, 90 * SECOND + 1, 16 * MINUTE, HOUR - 1, HOUR, 2 * HOUR, 3 * DAY]
    )
    def test_a_wakeup_arrives_when_it_is_due(self, wait_ms: int) -> None:
        async def body() -> None:
            async with self.runtime() as runtime:
                start = runtime.clock.ms
                due = {STEP: start + wait_ms}
                await wakeup(runtime.queue, STEP, due[STEP])
                hops = [at for at in range(15 * MINUTE, wait_ms, 15 * MINUTE) if wait_ms <= HOUR]
                moments = sorted({0, wait_ms // 2, *hops, max(0, wait_ms - 30 * SECOND), wait_ms - 1})
                for moment in moments:
                    assert await arrived_at(runtime, due, start + moment) == set(), moment
                assert await arrived_at(runtime, due, due[STEP] + ROUNDING) == {STEP}

        asyncio.run(body())

    @on_queue
    async def test_two_wakeups_for_a_step_arrive_at_least_once(self, runtime: QueueRuntime) -> None:
        now = runtime.clock.ms
        for at_ms in (now + 5_000, now + 2_000, now + 2_000, now + HOUR, now + HOUR):
            await wakeup(runtime.queue, STEP, at_ms)
        assert STEP in await arrived_at(runtime, {STEP: now + 2_000}, now + 2_000)

    @on_queue
    async def test_sending_begins_before_it_is_awaited(self, runtime: QueueRuntime) -> None:
        sending = wakeup(runtime.queue, STEP, runtime.clock.ms)
        came: list[str] = []
        for _ in range(5_000):
            came += await runtime.arrived()
            if came:
                break
            await asyncio.sleep(0.001)
        assert came == [STEP]
        await sending

    @on_queue
    async def test_a_dead_letter_is_no_wakeup(self, runtime: QueueRuntime) -> None:
        await runtime.queue.dead_letter(STEP, "the endpoint answered 500 – \x00")
        assert await runtime.arrived() == []
