"""Cancel and redrive, alone and concurrently."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.runtime import Handler, Runtime, always, answer_ok
from scenarios.starts import document as start_document

RETRY = {"count": 1, "backOff": 20, "strategy": "fixed", "jitter": "none"}
FOR_LONG = {**RETRY, "count": 1000}


async def scenario_cancel_ends_a_live_run_with_all_its_steps(runtime: Runtime) -> None:
    flow = Flow(runtime, always(500), retry=FOR_LONG)
    caller = asyncio.create_task(runtime.start(flow.document()))
    run_id = await flow.run_id_once_called(flow.step)

    cancelled = await runtime.post(f"/runs/{run_id}/cancel")

    assert (cancelled.status, cancelled.json["status"]) == (200, "cancelled")
    reply = await caller
    assert (reply.status, reply.json["type"]) == (409, "urn:atomic:problem:cancelled")
    calls = len(runtime.calls(flow.step))
    await asyncio.sleep(0.15)
    assert len(runtime.calls(flow.step)) <= calls + 1  # one may have been in progress
    run = (await runtime.get(f"/runs/{run_id}")).json
    statuses = [step["status"] for step in (run["root"], *run["steps"])]
    assert statuses == ["cancelled", "cancelled"]
    assert all(step["dueAt"] is None and step["finishedAt"] for step in (run["root"], *run["steps"]))


async def scenario_the_handler_of_a_cancelled_run_gets_409_and_posts_no_more(runtime: Runtime) -> None:
    flow = Flow(runtime, always(500), retry=FOR_LONG)
    caller = asyncio.create_task(runtime.start(flow.document()))
    run_id = await flow.run_id_once_called(flow.step)

    await runtime.post(f"/runs/{run_id}/cancel")
    await caller

    async def told_twice() -> bool:
        return len(flow.told) == 2

    await runtime.until(told_twice)
    assert flow.told == [409, 409]
    assert runtime.calls(flow.after) == []
    assert len((await runtime.get(f"/runs/{run_id}")).json["steps"]) == 1


async def scenario_a_cancelled_run_takes_no_new_step(runtime: Runtime) -> None:
    flow = Flow(runtime, always(500), retry=FOR_LONG)
    started = await runtime.start(flow.document(), Prefer="respond-async")
    await runtime.post(f"/runs/{started.json['runId']}/cancel")

    naive = await runtime.start(flow.document(stepInvokeUrl=flow.after))
    named = await runtime.start(flow.document(stepInvokeUrl=flow.after, parent=started.json["id"]))
    again = await runtime.finish(flow.document())

    assert [reply.status for reply in (naive, named, again)] == [409, 409, 409]
    assert runtime.calls(flow.after) == []


async def scenario_cancelling_twice_is_cancelling_once(runtime: Runtime) -> None:
    flow = Flow(runtime, always(500), retry=FOR_LONG)
    started = await runtime.start(flow.document(), Prefer="respond-async")
    cancel = f"/runs/{started.json['runId']}/cancel"

    replies = await asyncio.gather(*(runtime.post(cancel) for _ in range(5)))
    replies.append(await runtime.post(cancel))

    assert {reply.status for reply in replies} == {200}
    assert len({reply.body for reply in replies}) == 1


async def scenario_a_waiting_run_is_cancelled_too(runtime: Runtime) -> None:
    async def suspended(call: EndpointCall) -> EndpointReply:
        event = {"workflowName": "w", "kind": "event", "stepName": "e", "idempotencyKey": "k"}
        reply = await runtime.start({**event, "parent": call.json["stepId"]}, Prefer="respond-async")
        return EndpointReply(status=202, headers={"Atomic-Waiting-For": reply.json["id"]})

    root = runtime.endpoint("/root", suspended)
    started = await runtime.start(document(root), Prefer="respond-async")
    waiting = await runtime.step_in(started.json["id"], "waiting")

    await runtime.post(f"/runs/{started.json['runId']}/cancel")

    await asyncio.sleep(0.1)
    event = (await runtime.get(f"/steps/{waiting['waitingFor'][0]}")).json
    after = (await runtime.get(f"/steps/{started.json['id']}")).json
    assert [event["status"], after["status"]] == ["cancelled", "cancelled"]
    assert after["waitingFor"] == []
    assert len(runtime.calls(root)) == 1


async def scenario_cancel_after_the_end_changes_nothing(runtime: Runtime) -> None:
    good = await runtime.start(document(runtime.endpoint("/good", answer_ok), idempotencyKey="good"))
    bad = await runtime.start(document(runtime.endpoint("/bad", always(500)), idempotencyKey="bad"))

    for reply, status in ((good, "succeeded"), (bad, "failed")):
        run = f"/runs/{reply.json['runId']}"
        before = (await runtime.get(run)).body
        cancelled = await runtime.post(f"{run}/cancel")
        assert (cancelled.status, cancelled.json["status"]) == (200, status)
        assert (await runtime.get(run)).body == before


async def scenario_a_failed_run_whose_cancel_changed_nothing_can_be_redriven(runtime: Runtime) -> None:
    step = Breakable()
    flow = Flow(runtime, step)
    failed = await runtime.finish(flow.document())
    await runtime.post(f"/runs/{failed.json['runId']}/cancel")
    step.repaired = True

    await runtime.post(f"/steps/{failed.json['id']}/redrive")

    ended = await runtime.step_in(failed.json["id"], "succeeded", "failed")
    assert (ended["status"], flow.told[-2:]) == ("succeeded", [200, 200])


async def scenario_cancel_races_with_completion_and_one_of_them_wins(runtime: Runtime) -> None:
    async def brief(call: EndpointCall) -> EndpointReply:
        await asyncio.sleep(0.05)
        return EndpointReply(json="done")

    url = runtime.endpoint("/step", brief)

    async def race(number: int) -> str:
        key = f"k-{number}"
        started = await runtime.start(document(url, idempotencyKey=key), Prefer="respond-async")
        caller = asyncio.create_task(runtime.start(document(url, idempotencyKey=key)))
        await asyncio.sleep(0.04 + number * 0.0007)
        cancelled = await runtime.post(f"/runs/{started.json['runId']}/cancel")
        told = await caller
        end: str = (await runtime.get(f"/steps/{started.json['id']}")).json["status"]
        assert cancelled.json["status"] == end
        assert told.status == {"succeeded": 200, "cancelled": 409}[end]
        assert (await runtime.start(document(url, idempotencyKey=key))).status == told.status
        return end

    ends = await asyncio.gather(*(race(number) for number in range(30)))

    assert set(ends) <= {"succeeded", "cancelled"}


async def scenario_a_redriven_step_has_a_fresh_budget(runtime: Runtime) -> None:
    step = Breakable()
    url = runtime.endpoint("/step", step)
    failed = await runtime.finish(document(url))
    assert (failed.status, failed.json["attempts"]) == (424, 2)
    redrive = f"/steps/{failed.json['id']}/redrive"

    in_vain = await runtime.post(redrive)
    await runtime.step_in(failed.json["id"], "failed")
    step.repaired = True
    await runtime.post(redrive)

    ended = await runtime.step_in(failed.json["id"], "succeeded")
    assert (in_vain.status, in_vain.json["generation"], in_vain.json["error"]) == (200, 2, None)
    assert (ended["generation"], ended["attempts"], ended["retriesUsed"]) == (3, 5, 0)
    assert [attempt["generation"] for attempt in ended["attemptLog"]] == [1, 1, 2, 2, 3]
    assert [attempt["number"] for attempt in ended["attemptLog"]] == [1, 2, 3, 4, 5]
    again = await runtime.finish(document(url))
    assert (again.status, again.json["response"]) == (200, "repaired")


async def scenario_redriving_a_step_resumes_its_failed_run(runtime: Runtime) -> None:
    step = Breakable()
    flow = Flow(runtime, step)
    failed = await runtime.finish(flow.document())
    assert failed.status == 424
    [dead] = (await runtime.get(f"/runs/{failed.json['runId']}")).json["steps"]
    step.repaired = True

    await runtime.post(f"/steps/{dead['id']}/redrive")

    root = await runtime.step_in(failed.json["id"], "succeeded")
    assert (root["generation"], root["response"]) == (2, "all done")
    assert (await runtime.get(f"/steps/{dead['id']}")).json["generation"] == 2
    assert (await runtime.start(flow.document())).status == 200


async def scenario_redriving_the_root_takes_its_failed_steps_along(runtime: Runtime) -> None:
    step = Breakable()
    flow = Flow(runtime, step)
    failed = await runtime.finish(flow.document())
    step.repaired = True

    await runtime.post(f"/steps/{failed.json['id']}/redrive")

    await runtime.step_in(failed.json["id"], "succeeded")
    steps = (await runtime.get(f"/runs/{failed.json['runId']}")).json["steps"]
    first, second = steps
    assert (first["status"], first["generation"], first["attempts"]) == ("succeeded", 2, 3)
    assert (second["status"], second["generation"]) == ("succeeded", 1)


async def scenario_redriving_a_leaf_resumes_every_level_above(runtime: Runtime) -> None:
    step = Breakable()
    leaf = runtime.endpoint("/leaf", step)
    middle = runtime.endpoint("/middle", nested(runtime, leaf))
    root = runtime.endpoint("/root", nested(runtime, middle))
    failed = await runtime.finish(document(root))
    assert failed.status == 424
    run = (await runtime.get(f"/runs/{failed.json['runId']}")).json
    ids = {found["stepInvokeUrl"]: found["id"] for found in run["steps"]}
    step.repaired = True

    await runtime.post(f"/steps/{ids[leaf]}/redrive")

    ended = await runtime.step_in(failed.json["id"], "succeeded")
    assert ended["generation"] == 2
    assert (await runtime.get(f"/steps/{ids[middle]}")).json["generation"] == 2


async def scenario_redriving_many_times_at_once_makes_one_generation(runtime: Runtime) -> None:
    step = Breakable(takes_s=0.2)
    url = runtime.endpoint("/step", step)
    failed = await runtime.finish(document(url, retry={"count": 0}))
    step.repaired = True

    redrive = f"/steps/{failed.json['id']}/redrive"
    replies = await asyncio.gather(*(runtime.post(redrive) for _ in range(8)))

    assert {(reply.status, reply.json["generation"]) for reply in replies} == {(200, 2)}
    ended = await runtime.step_in(failed.json["id"], "succeeded")
    assert (ended["generation"], ended["attempts"], len(runtime.calls(url))) == (2, 2, 2)


async def scenario_redriving_what_did_not_fail_changes_nothing(runtime: Runtime) -> None:
    succeeded = await runtime.start(document(runtime.endpoint("/good", answer_ok), idempotencyKey="good"))
    retried = document(runtime.endpoint("/bad", always(500)), idempotencyKey="live", retry=FOR_LONG)
    cancelled = await runtime.start({**retried, "idempotencyKey": "cancelled"}, Prefer="respond-async")
    await runtime.post(f"/runs/{cancelled.json['runId']}/cancel")
    live = await runtime.start(retried, Prefer="respond-async")

    for step, statuses in (
        (succeeded, {"succeeded"}),
        (cancelled, {"cancelled"}),
        (live, {"running", "retrying"}),
    ):
        reply = await runtime.post(f"/steps/{step.json['id']}/redrive")
        assert reply.status == 200
        assert reply.json["status"] in statuses
        assert reply.json["generation"] == 1
    await runtime.post(f"/runs/{live.json['runId']}/cancel")


async def scenario_a_bulk_redrive_wants_a_condition(runtime: Runtime) -> None:
    await runtime.start(document(runtime.endpoint("/bad", always(500))))

    filters: list[Any] = [{}, {"workflowName": None}, {"status": "failed"}]
    bodies: list[Any] = [None, {}, *({"filter": condition} for condition in filters)]
    replies = [await runtime.post("/redrive", body) for body in bodies]

    assert [reply.status for reply in replies] == [400] * 5
    assert len(runtime.seen) == 2


async def scenario_a_bulk_redrive_takes_what_fits_its_filter(runtime: Runtime) -> None:
    failed = await three_failed_runs(runtime)
    moments = [datetime.fromisoformat(reply.json["createdAt"]) for reply in failed.values()]
    filters: list[tuple[dict[str, str], set[str]]] = [
        ({"failedBefore": failed["a-2"].json["finishedAt"]}, {"a-1"}),
        ({"workflowName": "w2"}, {"b-1"}),
        ({"keyPrefix": "a-"}, {"a-1", "a-2"}),
        ({"workflowName": "w2", "keyPrefix": "a-"}, set()),
        ({"createdAfter": moments[1].isoformat()}, {"a-2", "b-1"}),
        ({"createdBefore": moments[1].isoformat()}, {"a-1"}),
        ({"createdAfter": (moments[2] + timedelta(seconds=60)).isoformat()}, set()),
    ]

    for condition, keys in filters:
        reply = await runtime.post("/redrive", {"filter": condition})
        assert (reply.status, reply.json["redriven"], reply.json["more"]) == (200, len(keys), False)
        assert set(reply.json["steps"]) == {failed[key].json["id"] for key in keys}, condition
        for key in keys:
            await runtime.step_in(failed[key].json["id"], "failed")


async def scenario_a_bulk_redrive_makes_whole_runs_succeed_and_finds_nothing_twice(
    runtime: Runtime,
) -> None:
    step = Breakable()
    flow = Flow(runtime, step)
    failed = await runtime.finish(flow.document())
    step.repaired = True

    first = await runtime.post("/redrive", {"filter": {"workflowName": "w"}})
    await runtime.step_in(failed.json["id"], "succeeded")
    second = await runtime.post("/redrive", {"filter": {"workflowName": "w"}})

    assert first.json["redriven"] in {1, 2}  # the root and its step are two dead letters of one run
    assert (second.json["redriven"], second.json["steps"]) == (0, [])
    run = (await runtime.get(f"/runs/{failed.json['runId']}")).json
    assert [step["generation"] for step in (run["root"], *run["steps"])] == [2, 2, 1]


class Flow:
    """A workflow of two steps with a plain handler; `told` holds the answers that it got for them."""

    def __init__(self, runtime: Runtime, step: Handler, *, retry: dict[str, Any] = RETRY) -> None:
        self.runtime = runtime
        self.told: list[int] = []
        self.root = runtime.endpoint("/root", self._workflow)
        self.step = runtime.endpoint("/step", step)
        self.after = runtime.endpoint("/after", answer_ok)
        self._retry = retry

    def document(self, **members: Any) -> dict[str, Any]:
        """The start of the workflow."""
        return document(self.root, **{"retry": {"count": 0}, **members})

    async def run_id_once_called(self, url: str) -> str:
        """Wait until one of the run's endpoints was called; return the run's id."""

        async def called() -> bool:
            return bool(self.runtime.calls(url))

        await self.runtime.until(called)
        run_id: str = self.runtime.calls(url)[0].call.json["runId"]
        return run_id

    async def _workflow(self, call: EndpointCall) -> EndpointReply:
        for url in (self.step, self.after):
            reply = await self.runtime.start(document(url, retry=self._retry))
            self.told.append(reply.status)
            if reply.status not in {200, 409}:
                return EndpointReply(status=500)
        return EndpointReply(status=200 if reply.status == 200 else 500, json="all done")


def document(url: str, **members: Any) -> dict[str, Any]:
    """A start that fails soon."""
    return start_document(url, "k", **{"timeout": 20_000, "retry": RETRY, **members})


class Breakable:
    """An endpoint that fails until it is repaired."""

    def __init__(self, *, takes_s: float = 0) -> None:
        self.repaired = False
        self._takes_s = takes_s

    async def __call__(self, call: EndpointCall) -> EndpointReply:
        """Answer one call."""
        repaired = self.repaired
        await asyncio.sleep(self._takes_s)
        return EndpointReply(status=200 if repaired else 500, json="repaired" if repaired else "broken")


def nested(runtime: Runtime, url: str) -> Handler:
    """A handler that posts one step, and names itself as its parent."""

    async def handler(call: EndpointCall) -> EndpointReply:
        reply = await runtime.start(document(url, parent=call.json["stepId"]))
        return EndpointReply(status=200 if reply.status == 200 else 500)

    return handler


async def three_failed_runs(runtime: Runtime) -> dict[str, ApiReply]:
    """Two failed runs of workflow w1, then one of w2; returns their steps by key, in order of creation."""
    url = runtime.endpoint("/bad", always(500))
    failed = {}
    for key, name in (("a-1", "w1"), ("a-2", "w1"), ("b-1", "w2")):
        wanted = document(url, workflowName=name, idempotencyKey=key, retry={"count": 0})
        reply = await runtime.start(wanted)
        assert reply.status == 424
        failed[key] = await runtime.get(f"/steps/{reply.json['id']}")
        await asyncio.sleep(0.02)
    return failed
