"""A handler that waits for many steps: how often it is called, and what the engine looks at meanwhile."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from atomic.adapters.memory.store import MemoryStepStore
from atomic.domain.steps import Step, StepOutline
from atomic.protocol.enums import Status
from atomic.testing import EndpointCall, EndpointReply, LocalAtomic, run

STEPS = 1_000
# About ln 1,000, which is 7, are to be expected; first instead of random takes 1,000.
LOOKS_MAX = 24
ORDERS: dict[str, Callable[[list[str]], list[str]]] = {
    "in order": sorted,
    "in reverse": lambda ids: sorted(ids, reverse=True),
    "at random": lambda ids: random.Random(14).sample(sorted(ids), len(ids)),
}


class Counting(MemoryStepStore):
    """Counts what is read and written."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()
        self.root_chars = 0

    async def children(self, parent_id: str, *, after: str, limit: int) -> Sequence[StepOutline]:
        found = await super().children(parent_id, after=after, limit=limit)
        self.count["outlines"] += len(found)
        return found

    async def run(self, run_id: str, *, after: str | None, limit: int) -> Sequence[Step]:
        raise AssertionError("nobody reads a run to wait for steps")

    async def outline(self, run_id: str) -> Sequence[StepOutline]:
        raise AssertionError("nobody reads a run to wait for steps")

    async def replace(self, step: Step, expected_version: int) -> Step | None:
        before = self._rows[step.id]
        existing = await super().replace(step, expected_version)
        if existing is None:
            self.count["watches"] += len(step.watches) > len(before.watches)
            self.count["waiters"] += len(step.waiters) > len(before.waiters)
            self.count["writes of the root"] += step.is_root
            if step.is_root:
                self.root_chars = max(self.root_chars, len(repr(step)))
        return existing


class Fan:
    """A workflow of many steps that end when the test says so."""

    def __init__(self, atomic: LocalAtomic, *, wake: str, named: int, steps: int) -> None:
        self._atomic, self._wake, self._named, self._steps = atomic, wake, named, steps
        self._ends: dict[str, asyncio.Future[int]] = {}
        self.calls: list[float] = []
        self._leaf = atomic.endpoint("/leaf", self._step)
        self._root = atomic.endpoint("/root", self._handler)

    async def begin(self) -> list[str]:
        """Start it; the ids of its steps, which are all under way."""
        document = {"workflowName": "w", "idempotencyKey": "k", "stepInvokeUrl": self._root}
        await self._atomic.request("POST", "/me", body=_json(document), headers={"Prefer": "respond-async"})
        await asyncio.sleep(30)
        assert len(self._ends) == self._steps
        return list(self._ends)

    async def end(self, step_id: str, status: int = 200) -> None:
        """Let the step answer, and everything that follows happen."""
        self._ends[step_id].set_result(status)
        await asyncio.sleep(0.05)

    async def _step(self, call: EndpointCall) -> EndpointReply:
        end = self._ends[call.json["stepId"]] = asyncio.get_running_loop().create_future()
        status = await end
        return EndpointReply(status=status, headers={} if status == 200 else {"Atomic-No-Retry": "true"})

    async def _handler(self, call: EndpointCall) -> EndpointReply:
        self.calls.append(asyncio.get_running_loop().time())
        statuses, live = set(), []
        for number in range(self._steps):
            document = {
                "workflowName": "w",
                "idempotencyKey": f"k-{number}",
                "stepInvokeUrl": self._leaf,
                "parent": call.json["stepId"],
                "attemptTimeout": 900_000,
            }
            reply = await self._atomic.request(
                "POST", "/me", body=_json(document), headers={"Prefer": "respond-async"}
            )
            statuses.add(reply.status)
            if reply.status == 202:
                live.append(reply.json["id"])
        if 424 in statuses:
            return EndpointReply(status=500, headers={"Atomic-No-Retry": "true"})
        if live:
            waiting_for = ", ".join(live) if len(live) <= self._named else "*"
            headers = {"Atomic-Waiting-For": waiting_for, "Atomic-Wake": self._wake}
            return EndpointReply(status=202, headers=headers)
        return EndpointReply(status=200)


def _json(document: Any) -> bytes:
    import orjson

    return orjson.dumps(document)


@pytest.mark.parametrize("named", [0, STEPS], ids=["every child", "named"])
@pytest.mark.parametrize("wake", ["all", "settled"])
@pytest.mark.parametrize("order", ORDERS)
def test_a_handler_of_many_steps_is_called_twice(order: str, wake: str, named: int) -> None:
    store = Counting()

    async def main() -> list[float]:
        async with LocalAtomic(store=store) as atomic:
            fan = Fan(atomic, wake=wake, named=named, steps=STEPS)
            ids = ORDERS[order](await fan.begin())
            for number, step_id in enumerate(ids):
                assert len(fan.calls) == 1, f"called after {number} steps"
                await fan.end(step_id)
            await asyncio.sleep(1)
            return fan.calls

    calls = run(main())
    print(order, wake, named, store.count, store.root_chars)
    assert len(calls) == 2
    [root] = [row for row in store._rows.values() if row.is_root]
    assert root.status is Status.SUCCEEDED
    assert root.retries_used == 0
    assert store.count["watches"] <= LOOKS_MAX
    assert store.count["waiters"] == 0
    # It suspends, is looked at, woken, claimed, and ends; no write of it for any look of a step.
    assert store.count["writes of the root"] <= 6
    assert store.count["outlines"] <= (store.count["watches"] + 2) * STEPS
    assert named or store.root_chars < 3_000
