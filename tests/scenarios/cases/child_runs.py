"""A handler starts a run of its own name and key, and waits for it or not."""

import asyncio
from typing import Any

from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.runtime import Runtime, answer_ok
from scenarios.starts import Gate, assert_problem, document, retries


def run_id_of(step_id: str) -> str:
    """The run of a step."""
    return step_id.rpartition("-")[0]


def link(call: EndpointCall, url: str, key: str = "child", **members: Any) -> dict[str, Any]:
    """What a handler posts to start the run `key` of the workflow `c`."""
    return {
        "kind": "run",
        "workflowName": call.json["workflowName"],
        "idempotencyKey": call.json["idempotencyKey"],
        "parent": call.json["stepId"],
        "run": {"workflowName": "c", "idempotencyKey": key},
        "stepInvokeUrl": url,
        "retry": retries(1),
        **members,
    }


class Starter:
    """A workflow that starts a run and answers what it was told of it."""

    def __init__(self, runtime: Runtime, url: str, key: str = "child", **members: Any) -> None:
        self._runtime = runtime
        self._child = url
        self._key = key
        self._members = members
        self.told: list[ApiReply] = []
        self.url = runtime.endpoint(f"/starts-{key}", self)

    async def __call__(self, call: EndpointCall) -> EndpointReply:
        """Handle one call."""
        reply = await self._runtime.start(
            link(call, self._child, self._key, **self._members), Prefer="respond-async"
        )
        self.told.append(reply)
        if reply.status == 202:
            return EndpointReply(status=202, headers={"Atomic-Waiting-For": reply.json["id"]})
        if reply.status == 200:
            return EndpointReply(json=reply.json["response"])
        headers = {"Atomic-No-Retry": "true"} if reply.status == 424 else {}
        return EndpointReply(status=500 if headers else 200, json=reply.json, headers=headers)

    async def begin(self, key: str = "k-1") -> str:
        """Start it, until it waits for its run; the id of its root."""
        reply = await self._runtime.start(document(self.url, key=key), Prefer="respond-async")
        root_id: str = reply.json["id"]
        await self._runtime.step_in(root_id, "waiting")
        return root_id

    @property
    def link_id(self) -> str:
        """The link that it has posted."""
        link_id: str = self.told[0].json["id"]
        return link_id

    @property
    def child_root(self) -> str:
        """The root of the run."""
        return f"{self.told[0].json['childRunId']}-root"


async def scenario_a_run_takes_over_the_outcome_of_the_run_that_it_starts(runtime: Runtime) -> None:
    gate = Gate(then={"total": 7})
    starter = Starter(runtime, runtime.endpoint("/child", gate), payload={"n": 1}, stepName="invoice")
    root_id = await starter.begin()
    await gate.entered.wait()

    waiting = (await runtime.get(f"/steps/{starter.link_id}")).json
    assert (waiting["kind"], waiting["status"], waiting["attempts"]) == ("run", "waiting", 0)
    assert (waiting["parent"], waiting["stepName"]) == (root_id, "invoice")
    child = (await runtime.get(f"/steps/{starter.child_root}")).json
    assert (child["startedBy"], child["parent"], child["payload"]) == (starter.link_id, None, {"n": 1})
    assert (child["workflowName"], child["idempotencyKey"]) == ("c", "child")
    gate.open()

    root = await runtime.step_in(root_id, "succeeded")
    assert (root["response"], root["attempts"]) == ({"total": 7}, 2)
    settled = (await runtime.get(f"/steps/{starter.link_id}")).json
    assert (settled["status"], settled["response"]) == ("succeeded", {"total": 7})
    assert settled["childRunId"] == child["runId"] != root["runId"]
    runs = (await runtime.get("/runs?workflowName=c")).json["runs"]
    assert [run["id"] for run in runs] == [child["id"]]


async def scenario_a_run_that_was_started_before_is_attached_to(runtime: Runtime) -> None:
    url = runtime.endpoint("/child", answer_ok)
    first = await runtime.finish({**document(url, key="child"), "workflowName": "c"})
    starter = Starter(runtime, url)

    reply = await runtime.finish(document(starter.url))

    assert (reply.status, reply.json["response"]) == (200, first.json["response"])
    assert "startedBy" not in (await runtime.get(f"/steps/{first.json['id']}")).json
    assert len(runtime.calls(url)) == 1


async def scenario_a_run_that_exists_with_another_payload_or_url_is_left_alone(runtime: Runtime) -> None:
    url = runtime.endpoint("/child", answer_ok)
    other = runtime.endpoint("/other", answer_ok)
    await runtime.finish({**document(url, key="child"), "workflowName": "c", "payload": 1})
    for number, (to, payload) in enumerate([(url, 2), (other, 1)]):
        starter = Starter(runtime, to, payload=payload)
        for _ in range(2):
            await runtime.finish(document(starter.url, key=f"k-{number}"))
        [told] = starter.told
        assert_problem(told, 422, "payload-mismatch")
        link_ = (await runtime.get(f"/steps/{told.json['id']}")).json
        assert (link_["status"], link_["errorKind"]) == ("failed", "child_differs")
    assert (len(runtime.calls(url)), len(runtime.calls(other))) == (1, 0)
    assert (await runtime.get("/dead-letters")).json["deadLetters"] == []


async def scenario_a_run_that_fails_fails_its_link_and_is_the_one_dead_letter(runtime: Runtime) -> None:
    async def broken(_: EndpointCall) -> EndpointReply:
        return EndpointReply(status=500, json={"detail": "out of stock"})

    starter = Starter(runtime, runtime.endpoint("/child", broken))
    reply = await runtime.finish(document(starter.url))

    assert_problem(reply, 424, "step-failed")
    told = starter.told[-1].json
    assert_problem(starter.told[-1], 424, "step-failed")
    assert (told["lastErrorKind"], told["lastStatus"]) == ("child_failed", 500)
    assert (told["lastErrorExcerpt"], told["response"]) == ("out of stock", {"detail": "out of stock"})
    letters = (await runtime.get("/dead-letters")).json["deadLetters"]
    assert {letter["workflowName"] for letter in letters} == {"c", "w"}
    assert starter.link_id not in {letter["id"] for letter in letters}


async def scenario_a_cancel_reaches_the_run_that_the_link_has_created(runtime: Runtime) -> None:
    for of in ("run", "step"):
        gate = Gate()
        starter = Starter(runtime, runtime.endpoint(f"/child-{of}", gate), key=of)
        root_id = await starter.begin(key=of)
        await gate.entered.wait()

        target = f"/runs/{run_id_of(root_id)}" if of == "run" else f"/steps/{starter.link_id}"
        assert (await runtime.post(f"{target}/cancel")).status == 200

        assert (await runtime.get(f"/steps/{starter.child_root}")).json["status"] == "cancelled"
        assert (await runtime.get(f"/steps/{starter.link_id}")).json["status"] == "cancelled"
        if of == "step":
            await runtime.step_in(root_id, "succeeded")
            assert_problem(starter.told[-1], 409, "step-cancelled")
        gate.open()


async def scenario_a_cancel_spares_runs_that_others_have_started_or_that_are_to_be_kept(
    runtime: Runtime,
) -> None:
    gate = Gate()
    url = runtime.endpoint("/child", gate)
    await runtime.start({**document(url, key="shared"), "workflowName": "c"}, Prefer="respond-async")
    for key, members in (("shared", {}), ("kept", {"onCancel": "keep"})):
        starter = Starter(runtime, url, key=key, **members)
        root_id = await starter.begin(key=key)
        await gate.entered.wait()

        await runtime.post(f"/runs/{run_id_of(root_id)}/cancel")

        assert (await runtime.get(f"/steps/{starter.link_id}")).json["status"] == "cancelled"
        assert (await runtime.get(f"/steps/{starter.child_root}")).json["status"] == "running"
    gate.open()
    await runtime.step_in(starter.child_root, "succeeded")


async def scenario_a_cancel_reaches_runs_over_several_links(runtime: Runtime) -> None:
    gate = Gate()
    lower = Starter(runtime, runtime.endpoint("/leaf", gate), key="leaf")
    upper = Starter(runtime, lower.url, key="middle")
    root_id = await upper.begin()
    await gate.entered.wait()

    await runtime.post(f"/runs/{run_id_of(root_id)}/cancel")

    for step_id in (root_id, upper.child_root, lower.child_root, upper.link_id, lower.link_id):
        assert (await runtime.get(f"/steps/{step_id}")).json["status"] == "cancelled"
    gate.open()


async def scenario_a_run_that_is_cancelled_cancels_its_link_alone(runtime: Runtime) -> None:
    gate = Gate()
    starter = Starter(runtime, runtime.endpoint("/child", gate))
    root_id = await starter.begin()

    await runtime.post(f"/runs/{run_id_of(starter.child_root)}/cancel")

    await runtime.step_in(root_id, "succeeded")
    assert_problem(starter.told[-1], 409, "step-cancelled")
    told = (await runtime.get(f"/steps/{starter.link_id}")).json
    assert (told["status"], told["errorKind"]) == ("cancelled", "child_cancelled")
    gate.open()


async def scenario_a_detached_run_is_not_waited_for_and_not_cancelled(runtime: Runtime) -> None:
    gate = Gate()
    starter = Starter(runtime, runtime.endpoint("/child", gate), detached=True)

    reply = await runtime.finish(document(starter.url))

    assert reply.status == 200
    child_root = reply.json["response"]["id"]
    assert child_root == f"{reply.json['response']['runId']}-root" == starter.child_root
    await gate.entered.wait()
    await runtime.post(f"/runs/{reply.json['runId']}/cancel")
    child = (await runtime.get(f"/steps/{child_root}")).json
    assert (child["status"], child["startedBy"]) == ("running", starter.link_id)
    gate.open()
    await runtime.step_in(child_root, "succeeded")


async def scenario_runs_may_start_each_other_32_levels_deep(runtime: Runtime) -> None:
    told: list[ApiReply] = []

    async def nested(call: EndpointCall) -> EndpointReply:
        level = call.payload
        reply = await runtime.start(
            link(call, url, f"level-{level + 1}", payload=level + 1), Prefer="respond-async"
        )
        if reply.status == 202:
            return EndpointReply(status=202, headers={"Atomic-Waiting-For": reply.json["id"]})
        if reply.status == 409:
            told.append(reply)
            return EndpointReply(json=level)
        return EndpointReply(json=reply.json["response"])

    url = runtime.endpoint("/nested", nested)
    reply = await runtime.finish(document(url, payload=0))

    assert reply.json["response"] == 32
    [refused] = told
    assert_problem(refused, 409, "too-deep")


async def scenario_a_run_cannot_wait_for_itself_over_others(runtime: Runtime) -> None:
    """`a` starts `b`, and `b` starts the run of `a`, or of itself."""
    told: dict[str, ApiReply] = {}

    async def b(call: EndpointCall) -> EndpointReply:
        for key in ("a", "b"):
            # The same payload, URL and key as the run that is meant.
            to = a.url if key == "a" else url
            told[key] = await runtime.start(link(call, to, key))
        told["detached"] = await runtime.start(link(call, a.url, "a", detached=True))
        return EndpointReply(json=1)

    url = runtime.endpoint("/b", b)
    a = Starter(runtime, url, key="b")
    reply = await runtime.finish({**document(a.url, key="a"), "workflowName": "c"})

    assert (reply.status, reply.json["response"]) == (200, 1)
    for key in ("a", "b"):
        assert_problem(told[key], 409, "run-cycle")
        assert told[key].json["lastErrorKind"] == "run_cycle"
    assert told["detached"].status == 200


async def scenario_a_link_that_is_posted_again_is_the_same_link(runtime: Runtime) -> None:
    gate = Gate(then=1)
    url = runtime.endpoint("/child", gate)
    replies: list[ApiReply] = []

    async def twice(call: EndpointCall) -> EndpointReply:
        documents = [link(call, url), link(call, url), link(call, url, payload=2)]
        replies.extend(
            await asyncio.gather(*(runtime.start(each, Prefer="respond-async") for each in documents[:2]))
        )
        replies.append(await runtime.start(documents[2], Prefer="respond-async"))
        gate.open()
        return EndpointReply(json=(await runtime.finish(documents[0])).json["response"])

    reply = await runtime.finish(document(runtime.endpoint("/twice", twice)))

    assert reply.json["response"] == 1
    assert [told.status for told in replies] == [202, 202, 422]
    assert replies[0].json["id"] == replies[1].json["id"]
    assert len(runtime.calls(url)) == 1


async def scenario_what_a_link_must_say(runtime: Runtime) -> None:
    url = runtime.endpoint("/child", answer_ok)
    replies: list[tuple[str, ApiReply]] = []

    async def asks(call: EndpointCall) -> EndpointReply:
        for field, members in (
            ("parent", {"parent": None}),
            ("run", {"run": None}),
            ("stepInvokeUrl", {"stepInvokeUrl": None}),
            ("startAt", {"startAt": "2100-01-01T00:00:00Z"}),
            ("onCancel", {"onCancel": "stop"}),
            ("run.workflowName", {"run": {"workflowName": "hook/c", "idempotencyKey": "a"}}),
            ("run.idempotencyKey", {"run": {"workflowName": "c", "idempotencyKey": "a b"}}),
        ):
            replies.append((field, await runtime.start(link(call, url, **members))))
        plain = document(url, key="k-2", parent=call.json["stepId"], detached=True)
        replies.append(("detached", await runtime.start(plain)))
        return EndpointReply(json=1)

    await runtime.finish(document(runtime.endpoint("/asks", asks)))
    for field, reply in replies:
        assert_problem(reply, 400, "invalid-request")
        assert reply.json["errors"][0]["field"] == field, reply.json
    assert runtime.calls(url) == []


class Repaired:
    """An endpoint that fails until it works again."""

    def __init__(self) -> None:
        self.works = False

    async def __call__(self, _: EndpointCall) -> EndpointReply:
        """Handle one call."""
        return EndpointReply(json=5) if self.works else EndpointReply(status=500)


async def scenario_a_redrive_of_either_run_lets_both_go_on(runtime: Runtime) -> None:
    for redriven in ("root", "link", "child"):
        repaired = Repaired()
        starter = Starter(runtime, runtime.endpoint(f"/child-{redriven}", repaired), key=redriven)
        failed = await runtime.finish(document(starter.url, key=redriven))
        assert_problem(failed, 424, "step-failed")
        repaired.works = True
        root_id = failed.json["id"]
        step_id = {"root": root_id, "link": starter.link_id, "child": starter.child_root}[redriven]

        assert (await runtime.post(f"/steps/{step_id}/redrive")).status == 200

        root = await runtime.step_in(root_id, "succeeded")
        assert (root["response"], root["generation"]) == (5, 2)
        settled = (await runtime.get(f"/steps/{starter.link_id}")).json
        assert (settled["status"], settled["generation"], settled["response"]) == ("succeeded", 2, 5)
        assert (await runtime.get(f"/steps/{starter.child_root}")).json["generation"] == 2


async def scenario_a_child_that_its_parent_went_on_without_is_redriven_alone(runtime: Runtime) -> None:
    repaired = Repaired()
    url = runtime.endpoint("/child", repaired)

    async def goes_on(call: EndpointCall) -> EndpointReply:
        return EndpointReply(json=(await runtime.finish(link(call, url))).json)

    done = await runtime.finish(document(runtime.endpoint("/goes-on", goes_on)))
    told = done.json["response"]
    repaired.works = True

    child_root = f"{told['childRunId']}-root"
    assert (await runtime.post(f"/steps/{child_root}/redrive")).status == 200

    await runtime.step_in(child_root, "succeeded")
    assert (await runtime.get(f"/steps/{told['id']}")).json["status"] == "failed"
    assert (await runtime.post(f"/steps/{told['id']}/redrive")).status == 409
