"""What moves the time of a server in virtual time, without its sockets."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from atomic.application.ports import StoreUnavailable
from atomic.domain.steps import Step
from atomic.domain.transitions import begin
from atomic.entrypoints.embedded.settings import ServerSettings
from atomic.entrypoints.embedded.wiring import Server, wired
from atomic.protocol import keys
from atomic.protocol.enums import Status
from atomic.protocol.wire import from_rfc3339
from atomic.runtime import virtual_time
from atomic.runtime.virtual_time import EndedMeanwhile, NotReached, VirtualTime
from contract.builders import a_child, a_root, a_spec
from unit.test_processes import MemoryBackend

START = "2026-01-01T00:00:00.000Z"
START_MS = from_rfc3339(START)
HOUR_MS = 3_600_000
MONTH_MS = 30 * 24 * HOUR_MS

Play = Callable[[Server, VirtualTime], Awaitable[None]]


def played(directory: Path, play: Play, *rows: Step) -> None:
    async def main() -> None:
        backend = MemoryBackend(None)
        for row in rows:
            await backend.steps.create(row)
        settings = ServerSettings(dev=True, data_dir=directory, virtual_time=START)
        async with wired(settings, backend) as server:
            assert server.time is not None
            server.start()
            async with asyncio.timeout(20):
                await play(server, server.time)
            await server.kill()

    asyncio.run(main())


def timer(key: str, delay_ms: int) -> Step:
    """A timer that falls due after its delay."""
    spec = replace(a_spec(key=key), kind="timer", url="", delay_ms=delay_ms, retention_ms=MONTH_MS)
    return begin(spec, keys.ROOT, START_MS, None)


async def moved(time: VirtualTime, by_ms: int) -> int:
    await time.advance(lambda now_ms: now_ms + by_ms)
    return time.clock.now_ms() - START_MS


def test_all_that_is_due_on_the_way_is_done_at_its_own_time(tmp_path: Path) -> None:
    naps = [timer(f"k{number}", number * HOUR_MS // 7) for number in range(1, 30)]

    async def play(server: Server, time: VirtualTime) -> None:
        assert await time.next_due_ms() == START_MS + HOUR_MS // 7
        assert await moved(time, 2 * HOUR_MS) == 2 * HOUR_MS
        for nap in naps:
            row = await server.store.get(nap.id)
            assert row is not None
            is_over = (nap.due_at_ms or 0) <= START_MS + 2 * HOUR_MS
            assert row.finished_at_ms == (nap.due_at_ms if is_over else None)

    played(tmp_path, play, *naps)


def test_a_request_that_may_change_something_holds_the_time(tmp_path: Path) -> None:
    async def play(server: Server, time: VirtualTime) -> None:
        with server.activity_of("POST /me"):
            moving = asyncio.create_task(moved(time, HOUR_MS))
            await asyncio.sleep(0.05)
            assert (time.clock.now_ms(), time.in_flight()) == (START_MS, 1)
        assert await moving == HOUR_MS

    played(tmp_path, play, timer("k", 10))


def test_a_request_that_only_waits_does_not(tmp_path: Path) -> None:
    nap = timer("k", HOUR_MS)

    async def play(server: Server, time: VirtualTime) -> None:
        async def wait() -> Step | None:
            with server.activity_of("POST /me"), server.engine.notifier.subscribe(nap.id) as listening:
                return await listening.next(20_000)

        waiting = asyncio.create_task(wait())
        while not time.waiting():
            await time.changes.after(time.changes.count)
        assert time.in_flight() == 0
        assert await moved(time, HOUR_MS) == HOUR_MS
        told = await waiting
        assert told is not None
        assert told.status is Status.SUCCEEDED

    played(tmp_path, play, nap)


def test_it_gives_up_after_its_limit_and_says_what_is_in_flight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(virtual_time, "LIMIT_S", 0.1)

    async def play(server: Server, time: VirtualTime) -> None:
        async def work() -> None:
            await asyncio.sleep(60)

        server.tasks.spawn(work(), step_id="run_1-root")
        with server.activity_of("POST /me"), pytest.raises(NotReached) as raised:
            await moved(time, HOUR_MS)
        assert str(raised.value) == (
            "it took longer than 0.1 s of real time; in flight: attempt of run_1-root, POST /me"
        )
        assert time.clock.now_ms() == START_MS

    played(tmp_path, play)


def test_a_reset_ends_what_moves_the_time_and_a_close_also_what_comes_later(tmp_path: Path) -> None:
    async def play(server: Server, time: VirtualTime) -> None:
        with server.activity_of("POST /me"):
            moving = [asyncio.create_task(moved(time, HOUR_MS)) for _ in range(2)]
            await asyncio.sleep(0.01)
            time.reset()
            ends = await asyncio.gather(*moving, return_exceptions=True)
            assert list(map(type, ends)) == [EndedMeanwhile, EndedMeanwhile]
        assert await moved(time, HOUR_MS) == HOUR_MS
        time.close()
        with pytest.raises(EndedMeanwhile):
            await moved(time, HOUR_MS)

    played(tmp_path, play)


def test_what_a_run_has_left_behind_ends_and_what_has_expired_goes(tmp_path: Path) -> None:
    spec = replace(a_spec(), retention_ms=MONTH_MS)
    left = replace(a_child("call", spec, at_ms=START_MS), due_at_ms=START_MS + 10**9)
    root = a_root(spec, at_ms=START_MS, status=Status.CANCELLED)

    async def play(server: Server, time: VirtualTime) -> None:
        await moved(time, HOUR_MS)
        row = await server.store.get(left.id)
        assert row is not None
        assert row.is_settled
        await moved(time, 32 * 24 * HOUR_MS)
        assert [await server.store.get(step.id) for step in (root, left)] == [None, None]

    played(tmp_path, play, root, left)


def test_it_moves_by_itself_also_after_the_store_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(virtual_time, "AGAIN_AFTER_S", 0.01)
    naps = [timer("a", HOUR_MS), timer("b", 5 * HOUR_MS)]

    async def play(server: Server, time: VirtualTime) -> None:
        due, failures = server.store.due, iter([True, True])

        async def failing(before_ms: int, limit: int) -> object:
            if next(failures, False):
                raise StoreUnavailable("the disk is busy")
            return await due(before_ms, limit)

        monkeypatch.setattr(server.store, "due", failing)
        time.auto = True
        while time.clock.now_ms() < START_MS + 5 * HOUR_MS or time.in_flight():
            await time.changes.after(time.changes.count)
        row = await server.store.get(naps[1].id)
        assert row is not None
        assert row.finished_at_ms == START_MS + 5 * HOUR_MS

    played(tmp_path, play, *naps)
