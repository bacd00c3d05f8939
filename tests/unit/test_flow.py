"""Flow control of the whole engine: limits hold, nothing polls, no slot is lost, no run blocks itself."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from atomic.adapters.memory.store import MemoryStepStore
from atomic.application.flow import look_at_leases, release_slots
from atomic.application.ports import StoreUnavailable
from atomic.application.process_wakeup import process_wakeup
from atomic.application.sweep import purge, sweep
from atomic.domain.flow import FlowEntry
from atomic.domain.steps import Step
from atomic.domain.transitions import begin
from atomic.protocol import keys
from atomic.testing import ApiReply, EndpointCall, EndpointReply, LocalAtomic, run
from contract.builders import a_spec

HOUR_S = 3600.0
ONE = {"key": "k", "concurrency": 1}


class CountedStore(MemoryStepStore):
    """Counts the operations on rows."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = self.writes = 0

    async def get(self, step_id: str) -> Step | None:
        self.reads += 1
        return await super().get(step_id)

    async def create(self, step: Step) -> Step | None:
        self.writes += 1
        return await super().create(step)

    async def replace(self, step: Step, expected_version: int) -> Step | None:
        self.writes += 1
        return await super().replace(step, expected_version)


class Api:
    """An endpoint that knows how many attempts it has open, and when each of them began."""

    def __init__(self, lasts_s: float = 1.0) -> None:
        self.lasts_s = lasts_s
        self.began: list[tuple[float, str]] = []
        self.open: Counter[str] = Counter()
        self.most = 0

    async def __call__(self, call: EndpointCall) -> EndpointReply:
        key = call.headers["idempotency-key"]
        self.began.append((asyncio.get_running_loop().time(), key))
        self.open[key] += 1
        self.most = max(self.most, self.open.total())
        try:
            await asyncio.sleep(self.lasts_s)
        finally:
            self.open[key] -= 1
        return EndpointReply(json="done")


def on_engine(body: Callable[[LocalAtomic], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with LocalAtomic(**options) as atomic:
            await body(atomic)

    run(main())


async def post(
    atomic: LocalAtomic, url: str, key: str, *flow: dict[str, Any], apart_s: float = 0.001, **members: Any
) -> ApiReply:
    document = {
        "workflowName": "w",
        "stepInvokeUrl": url,
        "idempotencyKey": key,
        "flow": list(flow),
        **members,
    }
    reply = await atomic.request(
        "POST", "/me", body=json.dumps(document).encode(), headers={"Prefer": "respond-async"}
    )
    # Steps that are due in the same millisecond have no order.
    if apart_s:
        await asyncio.sleep(apart_s)
    return reply


async def cancel(atomic: LocalAtomic, posted: ApiReply) -> None:
    reply = await atomic.post(f"/me/runs/{posted.json['runId']}/cancel", {})
    assert reply.status == 200


async def key_of(atomic: LocalAtomic, key: str = "k") -> dict[str, Any]:
    found: dict[str, Any] = (await atomic.get(f"/me/flow/{key}")).json
    return found


async def numbers(atomic: LocalAtomic) -> tuple[int, int]:
    found = await key_of(atomic)
    return found["running"], found["queued"]


def test_ten_thousand_jobs_behind_five_slots_take_no_longer_than_they_must() -> None:
    api = Api()

    async def body(atomic: LocalAtomic) -> None:
        url, loop = atomic.endpoint("/api", api), asyncio.get_running_loop()
        for number in range(10_000):
            await post(atomic, url, f"{number}", {"key": "k", "concurrency": 5}, apart_s=0)
        began_s, ideal_s = loop.time(), 10_000 / 5 * api.lasts_s
        await asyncio.sleep(ideal_s / 0.95)
        assert await numbers(atomic) == (0, 0)
        assert api.most == 5
        assert max(at_s for at_s, _ in api.began) - began_s <= ideal_s
        assert len(api.began) == 10_000

    on_engine(body)


def test_what_waits_in_line_costs_nothing_but_its_own_turn() -> None:
    store, api, waiting = CountedStore(), Api(lasts_s=10), 100_000

    async def body(atomic: LocalAtomic) -> None:
        url = atomic.endpoint("/api", api)
        entry = FlowEntry(key="k", concurrency=5)
        for number in range(waiting):
            spec = replace(a_spec(key=f"{number}", client_id="me", flow=(entry,)), url=url)
            step = begin(spec, keys.ROOT, atomic.engine.clock.now_ms(), None)
            await store.create(step)
            await atomic.engine.send_wakeup(step, step.due_at_ms or 0)
        await asyncio.sleep(0.001)
        assert await numbers(atomic) == (5, waiting - 5)
        store.reads = store.writes = 0
        await asyncio.sleep(9)
        assert (store.reads, store.writes) == (0, 0)
        calls = len(api.began)
        await asyncio.sleep(100)
        served = len(api.began) - calls
        assert served == 50
        # Of each: a read when it is handed the slot, one of its run, the claim, the end.
        assert store.reads <= 2 * served
        assert store.writes == 2 * served

    on_engine(body, store=store)


def test_a_step_without_flow_control_costs_what_it_did() -> None:
    costs = []
    for flow in ([], [{"key": "k"}]):
        store = CountedStore()

        async def body(atomic: LocalAtomic, flow: Any = flow, store: CountedStore = store) -> None:
            url = atomic.endpoint("/api", Api(lasts_s=0))
            await post(atomic, url, "a", *flow)
            await asyncio.sleep(1)
            costs.append((store.writes, store.reads))

        on_engine(body, store=store)
    # With it, the first attempt is made by the receiver of the wake-up.
    assert costs == [(2, 0), (3, 1)]


def test_ten_a_second_are_never_eleven() -> None:
    api = Api(lasts_s=0.3)

    async def body(atomic: LocalAtomic) -> None:
        url = atomic.endpoint("/api", api)
        for number in range(700):
            await post(
                atomic, url, f"{number}", {"key": "k", "rate": {"limit": 10, "per": 1000}}, apart_s=0
            )
        await asyncio.sleep(0.001)
        state = await key_of(atomic)
        assert state["pace"]["limit"] == 10
        await asyncio.sleep(59.9)
        times = [at_s for at_s, _ in api.began]
        assert 590 <= len(times) <= 600
        assert all(after - first > 1 for first, after in zip(times, times[10:], strict=False))

    on_engine(body)


def test_a_slot_that_its_process_did_not_release_comes_back_when_its_lease_ends() -> None:
    api = Api()

    async def body(atomic: LocalAtomic) -> None:
        url = atomic.endpoint("/api", api)
        flow = atomic.engine.admission.flow
        assert flow is not None
        # The process ends between the row and the release.
        kept, flow.leave = flow.leave, _nobody  # type: ignore[method-assign]
        await post(atomic, url, "a", ONE)
        await post(atomic, url, "b", ONE)
        await asyncio.sleep(2)
        flow.leave = kept  # type: ignore[method-assign]
        assert await numbers(atomic) == (1, 1)
        await look_at_leases(atomic.engine)
        assert await numbers(atomic) == (1, 1)
        await asyncio.sleep(60)
        await sweep(atomic.engine, _all(atomic), ahead_ms=0, limit=10)
        await asyncio.sleep(2)
        assert await numbers(atomic) == (0, 0)
        assert [key for _, key in api.began] == ["a", "b"]

    on_engine(body)


async def _nobody(*_: Any) -> list[Any]:
    return []


def _all(atomic: LocalAtomic) -> Any:
    return atomic.engine.store


def test_a_step_whose_wakeup_was_lost_when_it_was_handed_its_slot_is_woken_again() -> None:
    api = Api()

    async def body(atomic: LocalAtomic) -> None:
        url, queue = atomic.endpoint("/api", api), atomic._queue
        await post(atomic, url, "a", ONE)
        await post(atomic, url, "b", ONE)
        await asyncio.sleep(0.5)
        send, queue.send = queue.send, lambda *_, **__: queue._ACKNOWLEDGED  # type: ignore[method-assign]
        await asyncio.sleep(1)
        queue.send = send  # type: ignore[method-assign]
        await asyncio.sleep(20)
        assert [key for _, key in api.began] == ["a"]
        await asyncio.sleep(20)
        await look_at_leases(atomic.engine)
        await asyncio.sleep(2)
        assert [key for _, key in api.began] == ["a", "b"]

    on_engine(body)


def test_a_running_attempt_keeps_its_slot_beyond_the_lease_that_was_seen() -> None:
    async def body(atomic: LocalAtomic) -> None:
        url = atomic.endpoint("/api", Api(lasts_s=5))
        await post(atomic, url, "a", ONE)
        await post(atomic, url, "b", ONE)
        await asyncio.sleep(1)
        await look_at_leases(atomic.engine, all_of_them=True)
        assert await numbers(atomic) == (1, 1)

    on_engine(body)


def test_a_suspended_handler_holds_no_slot_for_attempts_and_one_for_runs() -> None:
    for scope, running in (("attempt", 0), ("run", 1)):

        async def body(atomic: LocalAtomic, scope: str = scope, running: int = running) -> None:
            async def workflow(call: EndpointCall) -> EndpointReply:
                timer = {
                    "workflowName": "w",
                    "kind": "timer",
                    "stepName": "t",
                    "idempotencyKey": "t",
                    "delay": 600_000,
                    "parent": call.headers["atomic-step-id"],
                    "timeout": 0,
                }
                posted = await atomic.post("/me", timer)
                if posted.status == 200:
                    return EndpointReply(json="done")
                return EndpointReply(status=202, headers={"Atomic-Waiting-For": posted.json["id"]})

            url = atomic.endpoint("/workflow", workflow)
            await post(atomic, url, "a", {**ONE, "scope": scope})
            await asyncio.sleep(300)
            await look_at_leases(atomic.engine)
            assert await numbers(atomic) == (running, 0)
            await asyncio.sleep(600)
            assert await numbers(atomic) == (0, 0)

        on_engine(body)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_run_that_is_inside_never_waits_for_itself(depth: int) -> None:
    async def body(atomic: LocalAtomic) -> None:
        async def workflow(call: EndpointCall) -> EndpointReply:
            level = call.json["payload"]
            if level == depth:
                return EndpointReply(json="bottom")
            child = {
                "workflowName": "w",
                "stepInvokeUrl": url,
                "stepName": f"level {level + 1}",
                "idempotencyKey": "child",
                "payload": level + 1,
                "parent": call.headers["atomic-step-id"],
                "flow": [{**ONE, "scope": "run"}],
            }
            posted = await atomic.post("/me", child)
            if posted.status == 200:
                return EndpointReply(json=posted.json["response"])
            return EndpointReply(status=202, headers={"Atomic-Waiting-For": posted.json["id"]})

        url = atomic.endpoint("/workflow", workflow)
        for key in ("a", "b", "c"):
            await post(atomic, url, key, {**ONE, "scope": "run"}, payload=0)
        await asyncio.sleep(60)
        runs = (await atomic.get("/me/runs")).json["runs"]
        assert [each["status"] for each in runs] == ["succeeded"] * 3
        assert await numbers(atomic) == (0, 0)

    on_engine(body)


def test_runs_of_a_singleton_keep_their_order_whatever_else_they_wait_for() -> None:
    async def body(atomic: LocalAtomic) -> None:
        api, queue = Api(), {"key": "sync", "onBusy": "queue"}
        url = atomic.endpoint("/queue", api)
        await post(atomic, url, "holder", ONE)
        # It waits in another line when the second one comes.
        await post(atomic, url, "first", ONE, singleton=queue)
        await post(atomic, url, "second", singleton=queue)
        await asyncio.sleep(60)
        assert [key for _, key in api.began] == ["holder", "first", "second"]

    on_engine(body)


def test_a_child_run_is_inside_with_the_run_that_waits_for_it() -> None:
    async def body(atomic: LocalAtomic) -> None:
        async def workflow(call: EndpointCall) -> EndpointReply:
            link = {
                "workflowName": "w",
                "kind": "run",
                "stepInvokeUrl": leaf,
                "idempotencyKey": "link",
                "parent": call.headers["atomic-step-id"],
                "run": {"workflowName": "child", "idempotencyKey": "child"},
                "flow": [ONE],
            }
            posted = await atomic.post("/me", link)
            if posted.status == 200:
                return EndpointReply(json=posted.json["response"])
            return EndpointReply(status=202, headers={"Atomic-Waiting-For": posted.json["id"]})

        leaf = atomic.endpoint("/leaf", Api())
        url = atomic.endpoint("/workflow", workflow)
        await post(atomic, url, "a", {**ONE, "scope": "run"})
        await asyncio.sleep(60)
        runs = (await atomic.get("/me/runs")).json["runs"]
        assert [each["status"] for each in runs] == ["succeeded"] * 2
        assert await numbers(atomic) == (0, 0)

    on_engine(body)


def test_a_cancelled_attempt_holds_its_slot_until_its_call_has_ended() -> None:
    api = Api(lasts_s=10)

    async def body(atomic: LocalAtomic) -> None:
        url = atomic.endpoint("/api", api)
        first = await post(atomic, url, "a", ONE)
        await post(atomic, url, "b", ONE)
        await asyncio.sleep(1)
        await cancel(atomic, first)
        await asyncio.sleep(1)
        assert await numbers(atomic) == (1, 1)
        await asyncio.sleep(30)
        assert await numbers(atomic) == (0, 0)
        assert api.most == 1
        assert [key for _, key in api.began] == ["a", "b"]

    on_engine(body)


def test_a_second_wakeup_of_a_cancelled_step_does_not_give_its_slot_back() -> None:
    api = Api(lasts_s=10)

    async def body(atomic: LocalAtomic) -> None:
        first = await post(atomic, atomic.endpoint("/api", api), "a", ONE)
        await asyncio.sleep(1)
        await cancel(atomic, first)
        # Its call is still open.
        await process_wakeup(atomic.engine, first.json["id"])
        assert await numbers(atomic) == (1, 0)
        await asyncio.sleep(10)
        assert await numbers(atomic) == (0, 0)

    on_engine(body)


def test_a_step_that_is_cancelled_or_late_in_line_leaves_it() -> None:
    api = Api(lasts_s=10)

    async def body(atomic: LocalAtomic) -> None:
        url = atomic.endpoint("/api", api)
        await post(atomic, url, "a", ONE)
        second = await post(atomic, url, "b", ONE)
        late = await post(atomic, url, "c", ONE, deadline=3000)
        await asyncio.sleep(1)
        shown = (await atomic.get(f"/me/steps/{second.json['id']}")).json
        assert (shown["inLine"], shown["dueAt"], shown["flow"][0]["key"]) == ("k", None, "k")
        assert await numbers(atomic) == (1, 2)
        await cancel(atomic, second)
        assert await numbers(atomic) == (1, 1)
        await asyncio.sleep(3)
        assert (await atomic.get(f"/me/steps/{late.json['id']}")).json["status"] == "failed"
        assert await numbers(atomic) == (1, 0)
        await asyncio.sleep(10)
        assert [key for _, key in api.began] == ["a"]

    on_engine(body)


def test_a_failing_step_keeps_its_place_for_its_retries() -> None:
    calls: list[str] = []

    async def flaky(call: EndpointCall) -> EndpointReply:
        key = call.headers["idempotency-key"]
        calls.append(key)
        await asyncio.sleep(1)
        return EndpointReply(status=200 if calls.count(key) > 1 or key != "b" else 500)

    async def body(atomic: LocalAtomic) -> None:
        url = atomic.endpoint("/flaky", flaky)
        for key in "abcde":
            await post(atomic, url, key, ONE, retry={"backOff": 1, "jitter": "none"})
        await asyncio.sleep(20)
        # The back-off passes while `c` is inside.
        assert "".join(calls) == "abcbde"
        assert await numbers(atomic) == (0, 0)

    on_engine(body)


def test_a_wakeup_that_comes_twice_takes_one_slot() -> None:
    api = Api()

    async def body(atomic: LocalAtomic) -> None:
        url = atomic.endpoint("/api", api)
        posted = [await post(atomic, url, key, ONE) for key in "abc"]
        for _ in range(3):
            await asyncio.gather(*(process_wakeup(atomic.engine, reply.json["id"]) for reply in posted))
        await asyncio.sleep(10)
        assert (len(api.began), api.most) == (3, 1)
        step = await atomic.engine.store.get(posted[0].json["id"])
        assert step is not None
        await release_slots(atomic.engine, step)
        assert await numbers(atomic) == (0, 0)

    on_engine(body)


def test_a_key_that_nobody_names_for_a_day_is_forgotten() -> None:
    async def body(atomic: LocalAtomic) -> None:
        await post(atomic, atomic.endpoint("/api", Api()), "a", ONE)
        await asyncio.sleep(23 * HOUR_S)
        await purge(atomic.engine, _all(atomic))
        assert (await atomic.get("/me/flow/k")).status == 200
        await asyncio.sleep(2 * HOUR_S)
        await purge(atomic.engine, _all(atomic))
        assert (await atomic.get("/me/flow/k")).status == 404

    on_engine(body)


@pytest.mark.parametrize(
    ("entry", "waits"),
    [
        ({"key": "k", "rate": {"limit": 1, "per": 1000}}, False),
        ({"key": "k"}, False),
        ({"key": "k", "concurrency": 11}, False),
        ({"key": "k", "concurrency": 10}, True),
        ({"key": "k", "concurrency": 1000, "scope": "run"}, True),
    ],
)
def test_a_key_that_cannot_be_read_lets_many_in_and_few_wait(entry: dict[str, Any], waits: bool) -> None:
    api = Api()

    async def body(atomic: LocalAtomic) -> None:
        flow = atomic.engine.admission.flow
        assert flow is not None
        enter, flow.enter = flow.enter, _refused  # type: ignore[method-assign]
        posted = await post(atomic, atomic.endpoint("/api", api), "a", entry, retry={"count": 0})
        await asyncio.sleep(10)
        shown = (await atomic.get(f"/me/steps/{posted.json['id']}")).json
        assert (len(api.began), shown["status"]) == ((0, "pending") if waits else (1, "succeeded"))
        flow.enter = enter  # type: ignore[method-assign]
        await asyncio.sleep(10)
        shown = (await atomic.get(f"/me/steps/{posted.json['id']}")).json
        # It has used no retry, of which it has none.
        assert (len(api.began), shown["status"]) == (1, "succeeded")
        assert await numbers(atomic) == (0, 0) if waits else True

    on_engine(body)


async def _refused(*_: Any) -> Any:
    raise StoreUnavailable("throttled")
