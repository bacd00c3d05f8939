"""Cancel and redrive, alone and against each other."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

from atomic.testing import EndpointCall, EndpointReply, Reply
from scenarios.home import Handler, Home, always, answer_ok
from scenarios.starts import document as start_document

RETRY = {"count": 1, "backOff": 20, "strategy": "fixed", "jitter": "none"}
FOR_LONG = {**RETRY, "count": 1000}


async def scenario_cancel_ends_a_live_run_with_all_its_steps(home: Home) -> None:
    flow = Flow(home, always(500), retry=FOR_LONG)
    caller = asyncio.create_task(home.start(flow.document()))
    run_id = await flow.run_id_once_called(flow.step)

    cancelled = await home.post(f"/runs/{run_id}/cancel")

    assert (cancelled.status, cancelled.json["status"]) == (200, "cancelled")
    reply = await caller
    assert (reply.status, reply.json["type"]) == (409, "urn:atomic:problem:cancelled")
    calls = len(home.calls(flow.step))
    await asyncio.sleep(0.15)
    assert len(home.calls(flow.step)) <= calls + 1  # one may have been under way
    run = (await home.get(f"/runs/{run_id}")).json
    statuses = [step["status"] for step in (run["root"], *run["steps"])]
    assert statuses == ["cancelled", "cancelled"]
    assert all(step["dueAt"] is None and step["finishedAt"] for step in (run["root"], *run["steps"]))


async def scenario_the_handler_of_a_cancelled_run_is_told_409_and_posts_no_more(home: Home) -> None:
    flow = Flow(home, always(500), retry=FOR_LONG)
    caller = asyncio.create_task(home.start(flow.document()))
    run_id = await flow.run_id_once_called(flow.step)

    await home.post(f"/runs/{run_id}/cancel")
    await caller

    async def told_twice() -> bool:
        return len(flow.told) == 2

    await home.until(told_twice)
    assert flow.told == [409, 409]
    assert home.calls(flow.after) == []
    assert len((await home.get(f"/runs/{run_id}")).json["steps"]) == 1


async def scenario_a_cancelled_run_takes_no_new_step(home: Home) -> None:
    flow = Flow(home, always(500), retry=FOR_LONG)
    started = await home.start(flow.document(), Prefer="respond-async")
    await home.post(f"/runs/{started.json['runId']}/cancel")

    naive = await home.start(flow.document(stepInvokeUrl=flow.after))
    named = await home.start(flow.document(stepInvokeUrl=flow.after, parent=started.json["id"]))
    again = await home.finish(flow.document())

    assert [reply.status for reply in (naive, named, again)] == [409, 409, 409]
    assert home.calls(flow.after) == []


async def scenario_cancelling_twice_is_cancelling_once(home: Home) -> None:
    flow = Flow(home, always(500), retry=FOR_LONG)
    started = await home.start(flow.document(), Prefer="respond-async")
    cancel = f"/runs/{started.json['runId']}/cancel"

    replies = await asyncio.gather(*(home.post(cancel) for _ in range(5)))
    replies.append(await home.post(cancel))

    assert {reply.status for reply in replies} == {200}
    assert len({reply.body for reply in replies}) == 1


async def scenario_a_waiting_run_is_cancelled_too(home: Home) -> None:
    async def suspended(call: EndpointCall) -> EndpointReply:
        event = {"workflowName": "w", "kind": "event", "stepName": "e", "idempotencyKey": "k"}
        reply = await home.start({**event, "parent": call.json["stepId"]}, Prefer="respond-async")
        return EndpointReply(status=202, headers={"Atomic-Waiting-For": reply.json["id"]})

    root = home.endpoint("/root", suspended)
    started = await home.start(document(root), Prefer="respond-async")
    waiting = await home.step_in(started.json["id"], "waiting")

    await home.post(f"/runs/{started.json['runId']}/cancel")

    await asyncio.sleep(0.1)
    event = (await home.get(f"/steps/{waiting['waitingFor'][0]}")).json
    after = (await home.get(f"/steps/{started.json['id']}")).json
    assert [event["status"], after["status"]] == ["cancelled", "cancelled"]
    assert after["waitingFor"] == []
    assert len(home.calls(root)) == 1


async def scenario_cancel_after_the_end_changes_nothing(home: Home) -> None:
    good = await home.start(document(home.endpoint("/good", answer_ok), idempotencyKey="good"))
    bad = await home.start(document(home.endpoint("/bad", always(500)), idempotencyKey="bad"))

    for reply, status in ((good, "succeeded"), (bad, "failed")):
        run = f"/runs/{reply.json['runId']}"
        before = (await home.get(run)).body
        cancelled = await home.post(f"{run}/cancel")
        assert (cancelled.status, cancelled.json["status"]) == (200, status)
        assert (await home.get(run)).body == before


async def scenario_a_failed_run_that_was_cancelled_in_vain_can_be_redriven(home: Home) -> None:
    step = Breakable()
    flow = Flow(home, step)
    failed = await home.finish(flow.document())
    await home.post(f"/runs/{failed.json['runId']}/cancel")
    step.repaired = True

    await home.post(f"/steps/{failed.json['id']}/redrive")

    ended = await home.step_in(failed.json["id"], "succeeded", "failed")
    assert (ended["status"], flow.told[-2:]) == ("succeeded", [200, 200])


async def scenario_cancel_races_with_completion_and_one_of_them_wins(home: Home) -> None:
    async def brief(call: EndpointCall) -> EndpointReply:
        await asyncio.sleep(0.05)
        return EndpointReply(json="done")

    url = home.endpoint("/step", brief)

    async def race(number: int) -> str:
        key = f"k-{number}"
        started = await home.start(document(url, idempotencyKey=key), Prefer="respond-async")
        caller = asyncio.create_task(home.start(document(url, idempotencyKey=key)))
        await asyncio.sleep(0.04 + number * 0.0007)
        cancelled = await home.post(f"/runs/{started.json['runId']}/cancel")
        told = await caller
        end: str = (await home.get(f"/steps/{started.json['id']}")).json["status"]
        assert cancelled.json["status"] == end
        assert told.status == {"succeeded": 200, "cancelled": 409}[end]
        assert (await home.start(document(url, idempotencyKey=key))).status == told.status
        return end

    ends = await asyncio.gather(*(race(number) for number in range(30)))

    assert set(ends) <= {"succeeded", "cancelled"}


async def scenario_a_redriven_step_has_a_fresh_budget(home: Home) -> None:
    step = Breakable()
    url = home.endpoint("/step", step)
    failed = await home.finish(document(url))
    assert (failed.status, failed.json["attempts"]) == (424, 2)
    redrive = f"/steps/{failed.json['id']}/redrive"

    in_vain = await home.post(redrive)
    await home.step_in(failed.json["id"], "failed")
    step.repaired = True
    await home.post(redrive)

    ended = await home.step_in(failed.json["id"], "succeeded")
    assert (in_vain.status, in_vain.json["generation"], in_vain.json["error"]) == (200, 2, None)
    assert (ended["generation"], ended["attempts"], ended["retriesUsed"]) == (3, 5, 0)
    assert [attempt["generation"] for attempt in ended["attemptLog"]] == [1, 1, 2, 2, 3]
    assert [attempt["number"] for attempt in ended["attemptLog"]] == [1, 2, 3, 4, 5]
    again = await home.finish(document(url))
    assert (again.status, again.json["response"]) == (200, "repaired")


async def scenario_redriving_a_step_resumes_its_failed_run(home: Home) -> None:
    step = Breakable()
    flow = Flow(home, step)
    failed = await home.finish(flow.document())
    assert failed.status == 424
    [dead] = (await home.get(f"/runs/{failed.json['runId']}")).json["steps"]
    step.repaired = True

    await home.post(f"/steps/{dead['id']}/redrive")

    root = await home.step_in(failed.json["id"], "succeeded")
    assert (root["generation"], root["response"]) == (2, "all done")
    assert (await home.get(f"/steps/{dead['id']}")).json["generation"] == 2
    assert (await home.start(flow.document())).status == 200


async def scenario_redriving_the_root_takes_its_failed_steps_along(home: Home) -> None:
    step = Breakable()
    flow = Flow(home, step)
    failed = await home.finish(flow.document())
    step.repaired = True

    await home.post(f"/steps/{failed.json['id']}/redrive")

    await home.step_in(failed.json["id"], "succeeded")
    steps = (await home.get(f"/runs/{failed.json['runId']}")).json["steps"]
    first, second = steps
    assert (first["status"], first["generation"], first["attempts"]) == ("succeeded", 2, 3)
    assert (second["status"], second["generation"]) == ("succeeded", 1)


async def scenario_redriving_a_leaf_resumes_every_level_above(home: Home) -> None:
    step = Breakable()
    leaf = home.endpoint("/leaf", step)
    middle = home.endpoint("/middle", nested(home, leaf))
    root = home.endpoint("/root", nested(home, middle))
    failed = await home.finish(document(root))
    assert failed.status == 424
    run = (await home.get(f"/runs/{failed.json['runId']}")).json
    ids = {found["stepInvokeUrl"]: found["id"] for found in run["steps"]}
    step.repaired = True

    await home.post(f"/steps/{ids[leaf]}/redrive")

    ended = await home.step_in(failed.json["id"], "succeeded")
    assert ended["generation"] == 2
    assert (await home.get(f"/steps/{ids[middle]}")).json["generation"] == 2


async def scenario_redriving_many_times_at_once_makes_one_generation(home: Home) -> None:
    step = Breakable(takes_s=0.2)
    url = home.endpoint("/step", step)
    failed = await home.finish(document(url, retry={"count": 0}))
    step.repaired = True

    redrive = f"/steps/{failed.json['id']}/redrive"
    replies = await asyncio.gather(*(home.post(redrive) for _ in range(8)))

    assert {(reply.status, reply.json["generation"]) for reply in replies} == {(200, 2)}
    ended = await home.step_in(failed.json["id"], "succeeded")
    assert (ended["generation"], ended["attempts"], len(home.calls(url))) == (2, 2, 2)


async def scenario_redriving_what_did_not_fail_changes_nothing(home: Home) -> None:
    succeeded = await home.start(document(home.endpoint("/good", answer_ok), idempotencyKey="good"))
    retried = document(home.endpoint("/bad", always(500)), idempotencyKey="live", retry=FOR_LONG)
    cancelled = await home.start({**retried, "idempotencyKey": "cancelled"}, Prefer="respond-async")
    await home.post(f"/runs/{cancelled.json['runId']}/cancel")
    live = await home.start(retried, Prefer="respond-async")

    for step, statuses in (
        (succeeded, {"succeeded"}),
        (cancelled, {"cancelled"}),
        (live, {"running", "retrying"}),
    ):
        reply = await home.post(f"/steps/{step.json['id']}/redrive")
        assert reply.status == 200
        assert reply.json["status"] in statuses
        assert reply.json["generation"] == 1
    await home.post(f"/runs/{live.json['runId']}/cancel")


async def scenario_a_bulk_redrive_wants_a_condition(home: Home) -> None:
    await home.start(document(home.endpoint("/bad", always(500))))

    filters: list[Any] = [{}, {"workflowName": None}, {"status": "failed"}]
    bodies: list[Any] = [None, {}, *({"filter": condition} for condition in filters)]
    replies = [await home.post("/redrive", body) for body in bodies]

    assert [reply.status for reply in replies] == [400] * 5
    assert len(home.seen) == 2


async def scenario_a_bulk_redrive_takes_what_fits_its_filter(home: Home) -> None:
    failed = await three_failed_runs(home)
    moments = [datetime.fromisoformat(reply.json["createdAt"]) for reply in failed.values()]
    filters: list[tuple[dict[str, str], set[str]]] = [
        ({"gaveUpBefore": failed["a-2"].json["finishedAt"]}, {"a-1"}),
        ({"workflowName": "w2"}, {"b-1"}),
        ({"keyPrefix": "a-"}, {"a-1", "a-2"}),
        ({"workflowName": "w2", "keyPrefix": "a-"}, set()),
        ({"createdAfter": moments[1].isoformat()}, {"a-2", "b-1"}),
        ({"createdBefore": moments[1].isoformat()}, {"a-1"}),
        ({"createdAfter": (moments[2] + timedelta(seconds=60)).isoformat()}, set()),
    ]

    for condition, keys in filters:
        reply = await home.post("/redrive", {"filter": condition})
        assert (reply.status, reply.json["redriven"], reply.json["more"]) == (200, len(keys), False)
        assert set(reply.json["steps"]) == {failed[key].json["id"] for key in keys}, condition
        for key in keys:
            await home.step_in(failed[key].json["id"], "failed")


async def scenario_a_bulk_redrive_makes_whole_runs_succeed_and_finds_nothing_twice(home: Home) -> None:
    step = Breakable()
    flow = Flow(home, step)
    failed = await home.finish(flow.document())
    step.repaired = True

    first = await home.post("/redrive", {"filter": {"workflowName": "w"}})
    await home.step_in(failed.json["id"], "succeeded")
    second = await home.post("/redrive", {"filter": {"workflowName": "w"}})

    assert first.json["redriven"] in {1, 2}  # the root and its step are two dead letters of one run
    assert (second.json["redriven"], second.json["steps"]) == (0, [])
    run = (await home.get(f"/runs/{failed.json['runId']}")).json
    assert [step["generation"] for step in (run["root"], *run["steps"])] == [2, 2, 1]


class Flow:
    """A workflow of two steps, a plain handler; `told` is what it was answered for them."""

    def __init__(self, home: Home, step: Handler, *, retry: dict[str, Any] = RETRY) -> None:
        self.home = home
        self.told: list[int] = []
        self.root = home.endpoint("/root", self._workflow)
        self.step = home.endpoint("/step", step)
        self.after = home.endpoint("/after", answer_ok)
        self._retry = retry

    def document(self, **members: Any) -> dict[str, Any]:
        """The start of the workflow."""
        return document(self.root, **{"retry": {"count": 0}, **members})

    async def run_id_once_called(self, url: str) -> str:
        """The run's id, as soon as one of its endpoints was called."""

        async def called() -> bool:
            return bool(self.home.calls(url))

        await self.home.until(called)
        run_id: str = self.home.calls(url)[0].call.json["runId"]
        return run_id

    async def _workflow(self, call: EndpointCall) -> EndpointReply:
        for url in (self.step, self.after):
            reply = await self.home.start(document(url, retry=self._retry))
            self.told.append(reply.status)
            if reply.status not in {200, 409}:
                return EndpointReply(status=500)
        return EndpointReply(status=200 if reply.status == 200 else 500, json="all done")


def document(url: str, **members: Any) -> dict[str, Any]:
    """A start that gives up soon."""
    return start_document(url, "k", **{"timeout": 20_000, "retry": RETRY, **members})


class Breakable:
    """An endpoint that fails until it is repaired."""

    def __init__(self, *, takes_s: float = 0) -> None:
        self.repaired = False
        self._takes_s = takes_s

    async def __call__(self, call: EndpointCall) -> EndpointReply:
        """Answer."""
        repaired = self.repaired
        await asyncio.sleep(self._takes_s)
        return EndpointReply(status=200 if repaired else 500, json="repaired" if repaired else "broken")


def nested(home: Home, url: str) -> Handler:
    """A handler that posts one step as its parent."""

    async def handler(call: EndpointCall) -> EndpointReply:
        reply = await home.start(document(url, parent=call.json["stepId"]))
        return EndpointReply(status=200 if reply.status == 200 else 500)

    return handler


async def three_failed_runs(home: Home) -> dict[str, Reply]:
    """Two of workflow w1 and, after them, one of w2; the steps by their keys, in the order of creation."""
    url = home.endpoint("/bad", always(500))
    failed = {}
    for key, name in (("a-1", "w1"), ("a-2", "w1"), ("b-1", "w2")):
        wanted = document(url, workflowName=name, idempotencyKey=key, retry={"count": 0})
        reply = await home.start(wanted)
        assert reply.status == 424
        failed[key] = await home.get(f"/steps/{reply.json['id']}")
        await asyncio.sleep(0.02)
    return failed
