"""The end of an attempt reads one or two rows, however many steps its run has."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from atomic.adapters.memory.store import MemoryStepStore
from atomic.domain.outlines import StepOutline
from atomic.domain.steps import Step
from atomic.protocol.enums import Status
from atomic.testing import EndpointCall, EndpointReply, LocalAtomic, run

STEPS, RETRIES = 200, 4
RETRY = {"count": RETRIES, "backOff": 1_000, "strategy": "fixed", "jitter": "none"}


class Reads(MemoryStepStore):
    """Counts the rows that are read, by the kind of read, once it is switched on."""

    def __init__(self) -> None:
        super().__init__()
        self.read: Counter[str] = Counter()

    async def get(self, step_id: str) -> Step | None:
        self.read["get"] += 1
        return await super().get(step_id)

    async def outline(self, run_id: str) -> Sequence[StepOutline]:
        found = await super().outline(run_id)
        self.read["outline"] += len(found)
        return found

    async def children(self, parent_id: str, *, after: str, limit: int) -> Sequence[StepOutline]:
        found = await super().children(parent_id, after=after, limit=limit)
        self.read["children"] += len(found)
        return found

    async def run(self, run_id: str, *, after: str | None, limit: int) -> Sequence[Step]:
        raise AssertionError("the end of an attempt must not read the run")


async def fails(call: EndpointCall) -> EndpointReply:
    return EndpointReply(status=503)


async def waits(call: EndpointCall) -> EndpointReply:
    await asyncio.sleep(10**6)
    raise AssertionError


def document(url: str, key: str, **members: Any) -> dict[str, Any]:
    return {"workflowName": "w", "stepInvokeUrl": url, "idempotencyKey": key, "timeout": 1, **members}


@pytest.mark.parametrize("ends", [fails, waits], ids=["fail", "time out"])
def test_steps_of_one_run_that_fail_read_no_more_than_runs_of_their_own(ends: Any) -> None:
    reads = {}
    for in_one_run in (True, False):
        store = Reads()

        async def main(store: Reads = store, in_one_run: bool = in_one_run) -> None:
            async with LocalAtomic(store=store) as atomic:
                url = atomic.endpoint("/step", ends)
                root = await atomic.post("/me", document(atomic.endpoint("/root", waits), "root"))
                parent = {"parent": root.json["id"]} if in_one_run else {}
                for number in range(STEPS):
                    more: dict[str, Any] = {"retry": RETRY, "attemptTimeout": 1_000, **parent}
                    await atomic.post("/me", document(url, f"k-{number}", **more))
                # The root's own attempt has ended; its reads are not counted here.
                store.read.clear()
                await asyncio.sleep(19)

        run(main())
        steps = [row for row in store._rows.values() if row.spec.url.endswith("/step")]
        assert {(row.status, row.attempt_count) for row in steps} == {(Status.FAILED, 1 + RETRIES)}
        reads[in_one_run] = store.read
    assert reads[True]["outline"] == reads[True]["children"] == 0
    # A claim and a dead letter each read the row; a settled step reads its waiter; the state of a run is
    # cached for five seconds.
    assert reads[True]["get"] <= reads[False]["get"] + STEPS + 10


def test_a_time_out_reads_only_the_steps_of_its_own_attempt() -> None:
    store = Reads()

    async def main() -> None:
        async with LocalAtomic(store=store) as atomic:
            leaf = atomic.endpoint("/leaf", waits)

            async def middle(call: EndpointCall) -> EndpointReply:
                parent = call.json["stepId"]
                await atomic.post("/me", document(leaf, "leaf", parent=parent, timeout=20_000))
                return await waits(call)

            root = await atomic.post("/me", document(atomic.endpoint("/root", waits), "root"))
            parent = root.json["id"]
            for number in range(STEPS):
                await atomic.post(
                    "/me", document(leaf, f"k-{number}", parent=parent, attemptTimeout=900_000)
                )
            url = atomic.endpoint("/middle", middle)
            told = await atomic.post("/me", document(url, "middle", parent=parent, attemptTimeout=1_000))
            store.read.clear()
            await asyncio.sleep(1.5)
            row = store._rows[told.json["id"]]
            assert (row.status, len(row.waiting_for)) == (Status.WAITING, 1)

    run(main())
    assert store.read["children"] == 1
    assert store.read["outline"] == 0
