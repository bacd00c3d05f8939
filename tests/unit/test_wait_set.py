"""A handler that waits for many steps: how often it is called, and what the engine looks at meanwhile."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest

from atomic.adapters.aws import rows
from atomic.adapters.memory.store import MemoryStepStore
from atomic.application.attempts import end_attempt
from atomic.application.process_wakeup import process_wakeup
from atomic.domain.outcomes import EndpointResponse
from atomic.domain.outlines import StepOutline
from atomic.domain.steps import Attempt, Step
from atomic.protocol.constants import NAMED_MAX
from atomic.protocol.enums import Status, WakePolicy
from atomic.testing import EndpointCall, EndpointReply, LocalAtomic, run
from contract.builders import a_child, a_root
from contract.store_suite import put

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
        # Nobody reads a run to wait for steps. One that fails is read for its cause.
        self.count["runs"] += 1
        return await super().outline(run_id)

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
    assert (store.count["waiters"], store.count["runs"]) == (0, 0)
    # It suspends, is looked at, woken, claimed, and ends; no write of it for any look of a step.
    assert store.count["writes of the root"] <= 6
    # Once more if names are turned into `*`.
    assert store.count["outlines"] <= (store.count["watches"] + 2 + bool(named)) * STEPS
    assert store.root_chars < (12_000 if named else 3_000)


MANY = 20_000


@pytest.mark.parametrize(
    ("wake", "named"), [*((w, n) for w in (None, "all") for n in (1, 100, 101, 1_000)), ("settled", MANY)]
)
def test_the_row_of_a_handler_that_waits_for_many_steps_stays_small(
    wake: WakePolicy | None, named: int
) -> None:
    """D31: with the names of all of them, it was above 400 KB, which no table takes."""

    async def main() -> None:
        engine = LocalAtomic(store=MemoryStepStore()).engine
        root = claimed(a_root())
        live = [a_child(f"step-{number}", root.spec) for number in range(named)]
        await put(engine.store, root, *live)
        header = ", ".join(step.id for step in live)
        said = {"atomic-waiting-for": header, "atomic-wake": wake or "any"}
        await end_attempt(engine, root, EndpointResponse(status=202, headers=said))
        waiting = await engine.store.get(root.id)
        assert waiting is not None
        assert waiting.status is Status.WAITING
        first = tuple(step.id for step in live)
        kept = first if named <= 100 else ("*",) if named <= NAMED_MAX else first[:100]
        assert waiting.waiting_for == kept
        assert sum(len(value["B"]) for value in rows.encode(waiting).item.values() if "B" in value) < 8_000

    run(main())


def test_names_of_which_one_is_missing_are_no_star() -> None:
    """A live step that the handler does not wait for must not hold it back."""

    async def main() -> None:
        engine = LocalAtomic(store=MemoryStepStore()).engine
        root = claimed(a_root())
        live = [a_child(f"step-{number}", root.spec) for number in range(200)]
        await put(engine.store, root, *live, a_child("left out", root.spec))
        said = {"atomic-waiting-for": ", ".join(step.id for step in live), "atomic-wake": "all"}
        await end_attempt(engine, root, EndpointResponse(status=202, headers=said))
        waiting = await engine.store.get(root.id)
        assert waiting is not None
        assert waiting.waiting_for == tuple(step.id for step in live[:100])

    run(main())


def claimed(root: Step) -> Step:
    """A root whose first attempt is under way."""
    attempt = Attempt(number=1, generation=1, started_at_ms=root.created_at_ms)
    return replace(root, status=Status.RUNNING, nonce="n", attempt_count=1, attempt_log=(attempt,))


FEW = 20


def watched(store: Counting) -> list[Step]:
    """The live steps that are watched."""
    return [row for row in store._rows.values() if row.watches and not row.is_settled]


def test_a_failure_wakes_at_once_although_another_step_is_watched() -> None:
    store = Counting()

    async def main() -> int:
        async with LocalAtomic(store=store) as atomic:
            fan = Fan(atomic, wake="all", named=0, steps=FEW)
            ids = await fan.begin()
            [chosen] = watched(store)
            before = store.count["outlines"]
            await fan.end(next(step_id for step_id in ids if step_id != chosen.id), 500)
            assert store.count["outlines"] == before
            return len(fan.calls)

    assert run(main()) == 2
    [root] = [row for row in store._rows.values() if row.is_root]
    assert root.status is Status.FAILED


def test_a_wake_up_that_comes_again_makes_no_second_chain() -> None:
    store = Counting()

    async def main() -> None:
        async with LocalAtomic(store=store) as atomic:
            fan = Fan(atomic, wake="settled", named=0, steps=FEW)
            await fan.begin()
            settled = []
            for _ in range(3):
                [chosen] = watched(store)
                await fan.end(chosen.id)
                settled.append(chosen.id)
                for step_id in settled:
                    await process_wakeup(atomic.engine, step_id)
                assert len(watched(store)) == 1
            assert store.count["watches"] == 4

    run(main())


def test_a_chain_that_broke_off_is_begun_anew_by_the_recheck() -> None:
    store = Counting()

    async def main() -> list[float]:
        async with LocalAtomic(store=store) as atomic:
            fan = Fan(atomic, wake="all", named=0, steps=FEW)
            ids = await fan.begin()
            # The process that settled the watched step died before its look; its wake-up is lost.
            [chosen] = watched(store)
            store._rows[chosen.id] = replace(chosen, watches=())
            for step_id in ids[: FEW // 2]:
                await fan.end(step_id)
            if chosen.id in ids[FEW // 2 :]:
                await fan.end(chosen.id)
            assert watched(store) == []
            await asyncio.sleep(61)
            assert len(watched(store)) == 1
            for step_id in ids[FEW // 2 :]:
                if step_id != chosen.id:
                    await fan.end(step_id)
            return fan.calls

    assert len(run(main())) == 2


def test_a_step_of_another_handler_is_asked_to_tell_of_its_failure() -> None:
    store = Counting()

    async def main() -> list[float]:
        async with LocalAtomic(store=store) as atomic:
            called, strange = [], asyncio.get_running_loop().create_future()

            async def stranger(call: EndpointCall) -> EndpointReply:
                await strange
                return EndpointReply(status=410)

            other = {
                "workflowName": "w",
                "idempotencyKey": "o",
                "stepInvokeUrl": atomic.endpoint("/o", stranger),
            }
            reply = await atomic.request(
                "POST", "/me", body=_json(other), headers={"Prefer": "respond-async"}
            )
            named = reply.json["id"]

            async def handler(call: EndpointCall) -> EndpointReply:
                called.append(asyncio.get_running_loop().time())
                headers = {"Atomic-Waiting-For": named, "Atomic-Wake": "all"}
                return EndpointReply(status=202, headers=headers) if len(called) == 1 else EndpointReply()

            root = {
                "workflowName": "w",
                "idempotencyKey": "k",
                "stepInvokeUrl": atomic.endpoint("/r", handler),
            }
            await atomic.request("POST", "/me", body=_json(root), headers={"Prefer": "respond-async"})
            await asyncio.sleep(5)
            strange.set_result(None)
            await asyncio.sleep(1)
            return called

    first, second = run(main())
    assert second - first < 6


def test_what_a_cancelled_handler_posts_elsewhere_ends_with_its_answer() -> None:
    """Another process takes the post: it has not seen the cancel."""
    store = Counting()

    async def main() -> list[str]:
        async with LocalAtomic(store=store) as atomic, LocalAtomic(store=store) as elsewhere:
            go_on = asyncio.get_running_loop().create_future()
            statuses: list[str] = []
            leaf = elsewhere.endpoint("/leaf", lambda call: asyncio.sleep(10**6))

            async def middle(call: EndpointCall) -> EndpointReply:
                await go_on
                post = {"workflowName": "w", "idempotencyKey": "l", "stepInvokeUrl": leaf}
                post |= {"parent": call.json["stepId"], "delay": 1_000_000}
                reply = await elsewhere.request(
                    "POST", "/me", body=_json(post), headers={"Prefer": "respond-async"}
                )
                statuses.append(reply.json["status"])
                return EndpointReply()

            async def root(call: EndpointCall) -> EndpointReply:
                await asyncio.sleep(10**6)
                raise AssertionError

            urls = {name: atomic.endpoint(f"/{name}", each) for name, each in (("m", middle), ("r", root))}
            prefer = {"Prefer": "respond-async"}
            start = {"workflowName": "w", "idempotencyKey": "k", "stepInvokeUrl": urls["r"]}
            started = await atomic.request("POST", "/me", body=_json(start), headers=prefer)
            post = {**start, "stepInvokeUrl": urls["m"], "parent": started.json["id"]}
            posted = await atomic.request("POST", "/me", body=_json(post), headers=prefer)
            await asyncio.sleep(0.1)
            cancelled = await atomic.request("POST", f"/me/steps/{posted.json['id']}/cancel")
            assert cancelled.status == 200
            go_on.set_result(None)
            await asyncio.sleep(1)
            below = [row for row in store._rows.values() if row.spec.parent == posted.json["id"]]
            return [*statuses, *(row.status.value for row in below)]

    assert run(main()) == ["pending", "cancelled"]
