"""One step is cancelled, and its run goes on."""

import asyncio
from functools import partial

from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.runtime import Runtime, answer_ok
from scenarios.starts import Gate, document

NO_RETRY = {"count": 0}


class Race:
    """A handler with a step that never ends by itself beside one that does."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.slow = Gate()
        self.slow_url = runtime.endpoint("/slow", self.slow)
        self.told: list[ApiReply] = []
        self.root_id = ""

    async def begin(self, wake: str = "any") -> str:
        """Start it; the id of the slow step."""
        self._wake = wake
        root = document(self._runtime.endpoint("/root", self._handler), key=wake, retry=NO_RETRY)
        self.root_id = (await self._runtime.start(root, Prefer="respond-async")).json["id"]
        await self._runtime.step_in(self.root_id, "waiting")
        step_id: str = self.told[0].json["id"]
        return step_id

    async def _handler(self, call: EndpointCall) -> EndpointReply:
        reply = await self._runtime.start(
            document(self.slow_url, key="k-1", parent=call.json["stepId"], retry=NO_RETRY),
            Prefer="respond-async",
        )
        self.told.append(reply)
        if reply.status == 202:
            headers = {"Atomic-Waiting-For": reply.json["id"], "Atomic-Wake": self._wake}
            return EndpointReply(status=202, headers=headers)
        return EndpointReply(json=reply.status)


async def scenario_a_cancelled_step_is_told_to_its_handler_which_goes_on(runtime: Runtime) -> None:
    for wake in ("any", "all", "settled"):
        race = Race(runtime)
        step_id = await race.begin(wake)

        cancelled = await runtime.post(f"/steps/{step_id}/cancel")

        assert (cancelled.status, cancelled.json["status"]) == (200, "cancelled")
        root = await runtime.step_in(race.root_id, "succeeded")
        assert (root["response"], root["attempts"], root["retriesUsed"]) == (409, 2, 0)
        told = race.told[1].json
        assert (told["type"], told["id"]) == ("urn:atomic:problem:step-cancelled", step_id)
        step = (await runtime.get(f"/steps/{step_id}")).json
        assert (step["status"], step["errorKind"]) == ("cancelled", "step_cancelled")
        race.slow.open()


async def scenario_cancelling_a_step_again_changes_nothing(runtime: Runtime) -> None:
    race = Race(runtime)
    step_id = await race.begin()

    replies = await asyncio.gather(*(runtime.post(f"/steps/{step_id}/cancel") for _ in range(5)))
    replies.append(await runtime.post(f"/steps/{step_id}/cancel"))

    assert {reply.status for reply in replies} == {200}
    assert len({reply.body for reply in replies}) == 1
    race.slow.open()


async def scenario_what_cannot_be_cancelled_as_a_step(runtime: Runtime) -> None:
    url = runtime.endpoint("/done", answer_ok)
    race = Race(runtime)
    step_id = await race.begin()
    run_id = step_id.rpartition("-")[0]
    done = await runtime.start(document(url, key="k-2", parent=race.root_id))

    root = await runtime.post(f"/steps/{race.root_id}/cancel")
    assert (root.status, root.json["type"]) == (409, "urn:atomic:problem:is-root")
    assert f"runs/{run_id}/cancel" in root.json["detail"]
    ended = await runtime.post(f"/steps/{done.json['id']}/cancel")
    assert (ended.status, ended.json["status"]) == (200, "succeeded")
    missing = await runtime.post(f"/steps/{run_id}-{'0' * 32}/cancel")
    assert missing.status == 404
    with_body = await runtime.post(f"/steps/{step_id}/cancel", {"because": "I say so"})
    assert with_body.status == 400
    assert (await runtime.get(f"/steps/{step_id}")).json["status"] in {"pending", "running"}
    assert (await runtime.get(f"/steps/{race.root_id}")).json["status"] == "waiting"
    race.slow.open()


async def scenario_what_is_below_a_cancelled_step_is_cancelled_too(runtime: Runtime) -> None:
    held = Gate()
    leaf = runtime.endpoint("/leaf", held)
    beside: list[str] = []

    async def middle(call: EndpointCall) -> EndpointReply:
        parent = call.json["stepId"]
        event = {"workflowName": "w", "kind": "event", "stepName": "e", "idempotencyKey": "k"}
        posts = ({**event, "parent": parent}, document(leaf, key="k", parent=parent))
        live = [(await runtime.start(post, Prefer="respond-async")).json["id"] for post in posts]
        return EndpointReply(status=202, headers={"Atomic-Waiting-For": ", ".join(live)})

    middle_url = runtime.endpoint("/middle", middle)

    async def root(call: EndpointCall) -> EndpointReply:
        parent = call.json["stepId"]
        reply = await runtime.start(document(middle_url, key="k", parent=parent), Prefer="respond-async")
        other = await runtime.start(document(leaf, key="k-2", parent=parent), Prefer="respond-async")
        if reply.status == 202:
            beside[:] = [reply.json["id"], other.json["id"]]
            return EndpointReply(status=202, headers={"Atomic-Waiting-For": reply.json["id"]})
        return EndpointReply(json=reply.status)

    started = await runtime.start(document(runtime.endpoint("/root", root)), Prefer="respond-async")
    await runtime.step_in(started.json["id"], "waiting")
    middle_id, other_id = beside
    waiting = await runtime.step_in(middle_id, "waiting")

    await runtime.post(f"/steps/{middle_id}/cancel")

    for step_id in waiting["waitingFor"]:
        below = (await runtime.get(f"/steps/{step_id}")).json
        assert (below["status"], below["errorKind"]) == ("cancelled", "step_cancelled")
    result = await runtime.post(f"/steps/{waiting['waitingFor'][0]}/result", "late")
    assert result.status == 409
    assert (await runtime.get(f"/steps/{other_id}")).json["status"] in {"pending", "running"}
    await runtime.step_in(started.json["id"], "succeeded")
    held.open()


async def scenario_the_handler_of_a_cancelled_step_leaves_nothing_behind(runtime: Runtime) -> None:
    at_work, go_on = asyncio.Event(), asyncio.Event()
    told: list[int] = []
    leaf = runtime.endpoint("/leaf", answer_ok)

    async def middle(call: EndpointCall) -> EndpointReply:
        at_work.set()
        await go_on.wait()
        post = document(leaf, key="k", parent=call.json["stepId"], delay=60_000)
        told.append((await runtime.start(post, Prefer="respond-async")).status)
        return EndpointReply()

    middle_url = runtime.endpoint("/middle", middle)
    root_id = await Race(runtime).begin()
    posted = await runtime.start(
        document(middle_url, key="k", parent=f"{root_id.rpartition('-')[0]}-root"), Prefer="respond-async"
    )
    await asyncio.wait_for(at_work.wait(), 20)

    await runtime.post(f"/steps/{posted.json['id']}/cancel")
    go_on.set()

    # On AWS another environment may not know of it yet; what it posted ends when it answers.
    await runtime.until(partial(_has_none_live, runtime, posted.json["runId"], below=posted.json["id"]))
    assert told in ([409], [202])
    assert runtime.calls(leaf) == []


async def _has_none_live(runtime: Runtime, run_id: str, *, below: str) -> bool:
    run = (await runtime.get(f"/runs/{run_id}")).json
    handler_is_over = any(seen.call.json["stepId"] == below for seen in runtime.seen)
    statuses = [step["status"] for step in run["steps"] if step["parent"] == below]
    return handler_is_over and set(statuses) <= {"cancelled"}
