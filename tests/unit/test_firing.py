"""Schedules whose last run goes on in another way: as another run, or once more after it failed."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from atomic.application import firing
from atomic.application.ports import StoreUnavailable
from atomic.domain.schedules import Schedule
from atomic.protocol.wire import to_rfc3339
from atomic.testing import EndpointCall, EndpointReply, LocalAtomic, run
from atomic.testing.virtual_time import EPOCH_MS
from unit.asking import ask

MINUTE_MS = 60_000
# Behind the second slot.
UNTIL = to_rfc3339(EPOCH_MS + 5 * MINUTE_MS // 2)
DONE = EndpointReply(status=200, json=None)


async def put(atomic: LocalAtomic, url: str, **members: Any) -> None:
    """A schedule with two runs, a minute apart."""
    start = {"workflowName": "digest", "stepInvokeUrl": url, "retry": {"count": 0}}
    await ask(
        atomic, "PUT", "/schedules/digest", {"start": start, "every": MINUTE_MS, "until": UNTIL, **members}
    )


async def shown(atomic: LocalAtomic) -> Any:
    return await ask(atomic, "GET", "/schedules/digest")


async def until(atomic: LocalAtomic, condition: Callable[[Any], bool]) -> Any:
    for _ in range(1_000):
        now = await shown(atomic)
        if condition(now):
            return now
        await asyncio.sleep(1)
    raise AssertionError(now)


class GoingOn:
    """A workflow whose first run goes on as another one, which lasts until it is told to end."""

    def __init__(self, atomic: LocalAtomic) -> None:
        self._atomic = atomic
        self.ends = asyncio.Event()
        self.calls: list[str] = []
        self.url = atomic.endpoint("/digest", self._digest)
        self._following = atomic.endpoint("/following", self._follow)

    async def _digest(self, call: EndpointCall) -> EndpointReply:
        self.calls.append(call.json["idempotencyKey"])
        if len(self.calls) > 1:
            return DONE
        document = {
            "workflowName": "digest",
            "idempotencyKey": "following",
            "stepInvokeUrl": self._following,
            "continues": call.json["stepId"],
            "attemptTimeout": 900_000,
        }
        token = {"Atomic_Attempt_Token": call.headers["atomic-attempt-token"], "Prefer": "respond-async"}
        following = await ask(self._atomic, "POST", "/steps", document, **token)
        await asyncio.sleep(10)
        return EndpointReply(status=202, headers={"Atomic-Continue-As": following["id"]})

    async def _follow(self, _: EndpointCall) -> EndpointReply:
        await self.ends.wait()
        return DONE


def test_the_last_queued_slot_waits_for_the_run_that_goes_on() -> None:
    """The schedule has no other slot that would look at it."""

    async def main() -> None:
        async with LocalAtomic() as atomic:
            work = GoingOn(atomic)
            await put(atomic, work.url, overlap="queue")
            await until(atomic, lambda now: now["queued"] is not None)
            await asyncio.sleep(300)
            assert ((await shown(atomic))["started"], len(work.calls)) == (1, 1)
            work.ends.set()
            over = await until(atomic, lambda now: now["started"] == 2)
            assert (over["queued"], over["dueAt"], over["skipped"]) == (None, None, 0)

    run(main())


def test_a_run_that_goes_on_as_another_one_is_cancelled_for_the_next() -> None:
    async def main() -> None:
        async with LocalAtomic() as atomic:
            work = GoingOn(atomic)
            await put(atomic, work.url, overlap="cancel")
            await until(atomic, lambda now: now["started"] == 2)
            runs = (await ask(atomic, "GET", "/runs"))["runs"]
            assert {run["idempotencyKey"].partition("@")[0]: run["status"] for run in runs} == {
                "following": "cancelled",
                "digest": "succeeded",
            }
            assert len(work.calls) == 2

    run(main())


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_slot_is_queued_behind_a_run_that_was_redriven(is_lost: bool) -> None:
    """Also when the wake-up at its end is lost: the queued slot is looked at from time to time."""

    async def main() -> None:
        async with LocalAtomic() as atomic:
            ends, calls = asyncio.Event(), list[str]()

            async def digest(call: EndpointCall) -> EndpointReply:
                calls.append(call.json["idempotencyKey"])
                if len(calls) == 1:
                    return EndpointReply(status=400, json=None)
                if len(calls) == 2:
                    await ends.wait()
                return DONE

            start = {"attemptTimeout": 900_000}
            url = atomic.endpoint("/digest", digest)
            await put(
                atomic,
                url,
                overlap="queue",
                start={"workflowName": "digest", "stepInvokeUrl": url, "retry": {"count": 0}, **start},
            )
            failed = await until(
                atomic, lambda now: bool(now["last"]) and now["last"]["status"] == "failed"
            )
            await ask(atomic, "POST", f"/steps/{failed['last']['runId']}-root/redrive")
            await until(atomic, lambda now: now["queued"] is not None)
            if is_lost:
                await _forget_waiters(atomic, f"{failed['last']['runId']}-root")
            ends.set()
            over = await until(atomic, lambda now: now["started"] == 2)
            assert (over["queued"], over["last"]["status"] in {"running", "succeeded"}) == (None, True)
            assert len(calls) == 3

    run(main())


async def _forget_waiters(atomic: LocalAtomic, root_id: str) -> None:
    store = atomic.engine.store
    root = await store.get(root_id)
    assert root is not None
    assert await store.replace(replace(root, waiters=(), version=root.version + 1), root.version) is None


def ends(*_: object) -> Schedule:
    """In place of a change of the row: the process ends before it."""
    raise StoreUnavailable("ended")


class Renamed:
    """A schedule with one slot, whose workflow is named otherwise while that slot is due."""

    def __init__(self, atomic: LocalAtomic) -> None:
        self.atomic = atomic
        self.calls: list[str] = []
        self.url = atomic.endpoint("/renamed", self._called)

    async def _called(self, call: EndpointCall) -> EndpointReply:
        self.calls.append(call.json["workflowName"])
        return DONE

    async def put(self, name: str, **members: Any) -> None:
        start = {"workflowName": name, "stepInvokeUrl": self.url, "payload": "x" * 20_000}
        await put(self.atomic, self.url, start=start, until=to_rfc3339(EPOCH_MS + MINUTE_MS), **members)

    async def row(self) -> Schedule:
        row = await self.atomic.engine.store.get_schedule("me", "digest")
        assert row is not None
        return row

    async def runs(self) -> dict[str, str]:
        found = (await ask(self.atomic, "GET", "/runs"))["runs"]
        return {run["workflowName"]: run["status"] for run in found}


@pytest.mark.parametrize("names", [("new",), ("other", "new"), ("new", "old", "new")])
def test_a_slot_that_was_started_is_not_started_under_another_name(
    names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that started it ended before it moved the row."""

    async def main() -> None:
        async with LocalAtomic() as atomic:
            renamed = Renamed(atomic)
            await renamed.put("old")
            with monkeypatch.context() as planted:
                planted.setattr(firing, "started", ends)
                await until(atomic, lambda now: len(renamed.calls) > 0)
                for name in names:
                    await renamed.put(name)
            over = await until(atomic, lambda now: now["dueAt"] is None)
            assert (renamed.calls, over["started"], over["start"]["workflowName"]) == (["old"], 1, "new")
            assert (await renamed.row()).last_run == (await ask(atomic, "GET", "/runs"))["runs"][-1][
                "runId"
            ]

    run(main())


def test_a_process_that_read_the_former_name_starts_nothing_after_the_new_one() -> None:
    async def main() -> None:
        async with LocalAtomic() as atomic:
            renamed = Renamed(atomic)
            await renamed.put("old")
            before = await renamed.row()
            slot_ms = before.next_slot_ms or 0
            await asyncio.sleep((slot_ms - atomic.engine.clock.now_ms() - 1000) / 1000)
            await renamed.put("new")
            over = await until(atomic, lambda now: now["dueAt"] is None)
            # It was stopped between its read and its start for a minute.
            found = await firing.start_run(atomic.engine, before, firing.key_of(before, slot_ms), slot_ms)
            assert isinstance(found, tuple)
            assert not found[1]
            await asyncio.sleep(600)
            assert (renamed.calls, over["started"]) == (["new"], 1)
            assert await renamed.runs() == {"old": "cancelled", "new": "succeeded"}

    run(main())


def test_a_name_that_changes_between_slots_leaves_no_trace() -> None:
    async def main() -> None:
        async with LocalAtomic() as atomic:
            renamed = Renamed(atomic)
            await renamed.put("old")
            await renamed.put("new")
            await until(atomic, lambda now: now["dueAt"] is None)
            assert await renamed.runs() == {"new": "succeeded"}

    run(main())


def test_a_chain_of_runs_is_read_on_from_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last run went on a hundred times. No look reads all of them."""

    async def main() -> None:
        async with LocalAtomic() as atomic:
            ends = asyncio.Event()

            async def digest(call: EndpointCall) -> EndpointReply:
                number = call.json["payload"] or 0
                if number == 100:
                    await ends.wait()
                if number in {100, -1}:
                    return DONE
                document = {
                    "workflowName": "digest",
                    "idempotencyKey": f"part-{number}",
                    "stepInvokeUrl": url,
                    "payload": number + 1,
                    "continues": call.json["stepId"],
                    "attemptTimeout": 900_000,
                }
                token = {"Atomic_Attempt_Token": call.headers["atomic-attempt-token"]}
                following = await ask(atomic, "POST", "/steps", document, Prefer="respond-async", **token)
                return EndpointReply(status=202, headers={"Atomic-Continue-As": following["id"]})

            url = atomic.endpoint("/digest", digest)
            await put(atomic, url, overlap="queue")
            reads: list[str] = []
            store, get = atomic.engine.store, atomic.engine.store.get

            async def counted(step_id: str) -> Any:
                reads.append(step_id)
                return await get(step_id)

            await until(atomic, lambda now: now["queued"] is not None)
            row = await store.get_schedule("me", "digest")
            assert row is not None
            assert row.last_root != f"{row.last_run}-root"
            monkeypatch.setattr(store, "get", counted)
            last = await firing.last_root(atomic.engine, row)
            assert last is not None
            assert (last.spec.payload, last.status.value, len(reads)) == (b"100", "running", 1)
            assert (await shown(atomic))["last"]["status"] == "running"
            ends.set()
            start = {"workflowName": "digest", "stepInvokeUrl": url, "payload": -1}
            await put(atomic, url, overlap="queue", start=start)
            over = await until(atomic, lambda now: now["started"] == 2)
            assert over["queued"] is None

    run(main())
