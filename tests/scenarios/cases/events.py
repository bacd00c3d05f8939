"""Events by name: their results come before or after a handler asks for them, once only."""

import asyncio
import json
from typing import Any

from atomic.protocol.constants import RESPONSE_MAX_BYTES
from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.cases.results import results
from scenarios.cases.suspension import event_document
from scenarios.runtime import Runtime, always
from scenarios.starts import assert_problem, document, retries

REFUSED = "not-an-open-event"


def addressed(name: str = "payment", **members: Any) -> dict[str, Any]:
    """The result of an event of the run `k`."""
    return {"workflowName": "w", "idempotencyKey": "k", "name": name, **members}


async def post(runtime: Runtime, **members: Any) -> ApiReply:
    """Post the result of an event by its name."""
    return await runtime.post("/events", addressed(**members))


class Order:
    """A plain workflow that waits for its payment, and answers with what it was told."""

    def __init__(self, runtime: Runtime, **of_the_event: Any) -> None:
        self.told: list[ApiReply] = []
        self.accepts_rejection = False
        self._runtime = runtime
        self._event = of_the_event
        self.url = runtime.endpoint("/order", self)

    def document(self, **members: Any) -> dict[str, Any]:
        """The start of the run."""
        return document(self.url, key="k", timeout=20_000, **{"retry": retries(0), **members})

    async def __call__(self, call: EndpointCall) -> EndpointReply:
        """Handle one call."""
        post = event_document("payment", parent=call.json["stepId"], timeout=20, **self._event)
        reply = await self._runtime.start(post)
        self.told.append(reply)
        if reply.status == 200:
            return EndpointReply(json=reply.json["response"])
        if reply.status == 424 and self.accepts_rejection:
            return EndpointReply(json=reply.json["response"])
        return EndpointReply(status=504 if reply.status == 504 else 410)


async def scenario_an_event_is_told_before_its_run_exists(runtime: Runtime) -> None:
    early = await post(runtime, result={"paid": 42})
    again = await post(runtime, result={"paid": 42})
    other = await post(runtime, result={"paid": 43})

    assert (early.status, early.json["was"], early.json["status"]) == (200, "early", "succeeded")
    assert (again.status, again.json) == (200, {**early.json, "was": "done"})
    assert_problem(other, 409, REFUSED)
    assert (other.json["was"], other.json["stepStatus"]) == ("done", "succeeded")
    # There is no run of this name and key yet.
    assert (await runtime.get(f"/runs/{early.json['runId']}")).status == 404

    order = Order(runtime)
    reply = await runtime.finish(order.document())

    assert (reply.status, reply.json["response"]) == (200, {"paid": 42})
    assert (len(order.told), order.told[0].json["id"]) == (1, early.json["id"])
    assert order.told[0].headers["idempotency-replayed"] == "true"
    assert early.json["parent"] == reply.json["id"]
    [step] = (await runtime.get(f"/runs/{reply.json['runId']}")).json["steps"]
    assert (step["id"], step["kind"], step["attempts"]) == (early.json["id"], "event", 0)


async def scenario_an_event_is_told_while_its_handler_waits(runtime: Runtime) -> None:
    order = Order(runtime)
    started = await runtime.start(order.document(), Prefer="respond-async")
    await runtime.step_in(started.json["id"], "waiting")

    told = await post(runtime, result="paid")

    ended = await runtime.step_in(started.json["id"], "succeeded")
    assert (told.status, told.json["was"]) == (200, "open")
    assert (ended["response"], ended["attempts"], ended["retriesUsed"]) == ("paid", 2, 0)
    late, other = await post(runtime, result="paid"), await post(runtime, name="refund")
    # The same result again is fine also when its run has ended. Another event is for no handler any more.
    assert (late.status, late.json["was"]) == (200, "done")
    assert_problem(other, 409, REFUSED)
    assert other.json["workflowStatus"] == "succeeded"


async def scenario_an_event_is_told_before_its_handler_asks(runtime: Runtime) -> None:
    asks = asyncio.Event()
    order = Order(runtime)

    async def slow(call: EndpointCall) -> EndpointReply:
        await asks.wait()
        return await order(call)

    url = runtime.endpoint("/slow", slow)
    started = await runtime.start({**order.document(), "stepInvokeUrl": url}, Prefer="respond-async")

    told = await post(runtime, result=None)
    asks.set()

    ended = await runtime.step_in(started.json["id"], "succeeded")
    assert (told.json["was"], ended["response"], ended["attempts"]) == ("early", None, 1)


async def scenario_an_early_event_is_found_whatever_its_handler_asks_with(runtime: Runtime) -> None:
    await post(runtime, result="paid")
    order = Order(runtime, payload={"of": "order-1"}, deadline=10_000)

    reply = await runtime.finish(order.document())
    again = await runtime.start(event_document("payment", payload=2))

    assert (reply.status, reply.json["response"]) == (200, "paid")
    assert (again.status, again.json["response"]) == (200, "paid")


async def scenario_an_event_is_rejected_and_its_handler_may_go_on(runtime: Runtime) -> None:
    rejection = {"detail": "The card was declined.", "code": "declined"}
    order = Order(runtime)
    order.accepts_rejection = True
    started = await runtime.start(order.document(), Prefer="respond-async")
    await runtime.step_in(started.json["id"], "waiting")

    rejected = await post(runtime, reject=rejection)
    again = await post(runtime, reject=rejection)
    others = [await post(runtime, reject={"detail": "no"}), await post(runtime, result=rejection)]

    ended = await runtime.step_in(started.json["id"], "succeeded")
    assert (rejected.status, rejected.json["was"], rejected.json["status"]) == (200, "open", "failed")
    assert (again.status, again.json["was"]) == (200, "done")
    for other in others:
        assert_problem(other, 409, REFUSED)
    assert ended["response"] == rejection
    told = order.told[-1]
    assert_problem(told, 424, "event-rejected")
    assert told.json["detail"] == "The event was rejected: The card was declined."
    assert (told.json["lastErrorKind"], told.json["stepName"]) == ("event_rejected", "payment")
    assert (await runtime.get("/dead-letters")).json["deadLetters"] == []
    assert (await runtime.get("/stats")).json["deadLetters"] == 0


async def scenario_an_event_is_rejected_before_its_run_exists(runtime: Runtime) -> None:
    rejected = await post(runtime, reject={"detail": "no"})
    order = Order(runtime)

    failed = await runtime.finish(order.document())

    assert (rejected.json["was"], rejected.json["status"]) == ("early", "failed")
    assert (failed.status, len(order.told)) == (424, 1)
    assert_problem(order.told[0], 424, "event-rejected")
    letters = (await runtime.get("/dead-letters")).json["deadLetters"]
    assert [letter["id"] for letter in letters] == [failed.json["id"]]

    # A rejection is a result: a redrive does not ask for another one.
    order.accepts_rejection = True
    await runtime.post(f"/steps/{failed.json['id']}/redrive")

    ended = await runtime.step_in(failed.json["id"], "succeeded")
    assert (ended["response"], ended["generation"]) == ({"detail": "no"}, 2)
    assert (await runtime.get(f"/steps/{rejected.json['id']}")).json["generation"] == 1


async def scenario_an_event_is_rejected_by_its_id(runtime: Runtime) -> None:
    opened = await runtime.start(event_document("payment"), Prefer="respond-async")
    reject = f"/steps/{opened.json['id']}/reject"

    for wrong in (None, "no", {}, {"detail": ""}, {"detail": 7}):
        assert_problem(await runtime.post(reject, wrong), 400, "invalid-request")
    rejected = await runtime.post(reject, {"detail": "no"})
    again = await runtime.post(reject, {"detail": "no"})
    result = await runtime.post(f"/steps/{opened.json['id']}/result", {"detail": "no"})

    assert (rejected.status, rejected.json["status"]) == (200, "failed")
    assert (rejected.json["error"], rejected.json["response"]) == (
        "the event was rejected: no",
        {"detail": "no"},
    )
    assert (again.status, again.body) == (200, rejected.body)
    assert_problem(result, 409, REFUSED)


async def scenario_an_event_of_a_nested_workflow_is_told_by_its_parent(runtime: Runtime) -> None:
    called: list[EndpointCall] = []
    asks = asyncio.Event()

    async def inner(call: EndpointCall) -> EndpointReply:
        called.append(call)
        await asks.wait()
        members = {name: call.json[name] for name in ("workflowName", "idempotencyKey")}
        reply = await runtime.start(event_document("payment", parent=call.json["stepId"], **members))
        return EndpointReply(status=reply.status, json=reply.json.get("response"))

    inner_url = runtime.endpoint("/inner", inner)

    async def outer(call: EndpointCall) -> EndpointReply:
        reply = await runtime.finish(
            document(inner_url, key="k", parent=call.json["stepId"], stepName="nested", timeout=10_000)
        )
        return EndpointReply(status=reply.status, json=reply.json.get("response"))

    url = runtime.endpoint("/outer", outer)
    started = await runtime.start(document(url, key="k"), Prefer="respond-async")

    async def is_called() -> bool:
        return bool(called)

    await runtime.until(is_called)
    of_the_root = await post(runtime, result="to the root")
    told = await runtime.post(
        "/events", {"parent": called[0].json["stepId"], "name": "payment", "result": "to the nested one"}
    )
    asks.set()

    ended = await runtime.step_in(started.json["id"], "succeeded")
    assert (of_the_root.json["was"], told.json["was"]) == ("early", "early")
    assert told.json["parent"] == called[0].json["stepId"]
    assert ended["response"] == "to the nested one"
    after = await runtime.post("/events", {"parent": called[0].json["stepId"], "name": "other"})
    assert_problem(after, 409, REFUSED)


async def scenario_an_event_of_a_cancelled_run_is_refused(runtime: Runtime) -> None:
    order = Order(runtime)
    started = await runtime.start(order.document(), Prefer="respond-async")
    await runtime.step_in(started.json["id"], "waiting")
    await runtime.post(f"/runs/{started.json['runId']}/cancel")

    opened, unknown = await post(runtime, result="late"), await post(runtime, name="other", result="late")

    assert_problem(opened, 409, REFUSED)
    assert (opened.json["was"], opened.json["stepStatus"]) == ("done", "cancelled")
    assert_problem(unknown, 409, REFUSED)
    assert unknown.json["workflowStatus"] == "cancelled"


async def scenario_an_event_after_its_deadline_is_refused(runtime: Runtime) -> None:
    expired = await runtime.finish(event_document("payment", deadline=100))
    assert_problem(expired, 424, "event-expired")

    late = await post(runtime, result="late")

    assert_problem(late, 409, REFUSED)
    assert (late.json["was"], late.json["stepStatus"]) == ("done", "failed")


async def scenario_an_event_of_a_failed_run_is_kept_for_its_redrive(runtime: Runtime) -> None:
    down = True
    order = Order(runtime)

    async def breakable(call: EndpointCall) -> EndpointReply:
        return EndpointReply(status=410) if down else await order(call)

    url = runtime.endpoint("/breakable", breakable)
    failed = await runtime.finish({**order.document(), "stepInvokeUrl": url})
    assert failed.status == 424

    told = await post(runtime, result="paid")
    down = False
    # Beside the redrive, the same result comes again.
    _, again = await asyncio.gather(
        runtime.post(f"/steps/{failed.json['id']}/redrive"), post(runtime, result="paid")
    )

    ended = await runtime.step_in(failed.json["id"], "succeeded")
    assert (told.json["was"], again.json["was"], ended["response"]) == ("early", "done", "paid")


async def scenario_an_expired_event_is_open_again_after_a_redrive(runtime: Runtime) -> None:
    order = Order(runtime, deadline=runtime.ms(150))
    failed = await runtime.finish(order.document())
    assert failed.status == 424
    assert_problem(await post(runtime, result="late"), 409, REFUSED)

    await runtime.post(f"/steps/{failed.json['id']}/redrive")
    told = await post(runtime, result="paid")

    ended = await runtime.step_in(failed.json["id"], "succeeded")
    assert (told.status, told.json["was"], ended["response"]) == (200, "open", "paid")


async def scenario_of_two_results_at_once_one_counts(runtime: Runtime) -> None:
    order = Order(runtime)
    replies = await asyncio.gather(
        *(post(runtime, result=number % 3) for number in range(9)), runtime.finish(order.document())
    )

    *told, run = replies
    winner = run.json["response"]
    assert [reply.status for reply in told] == [200 if at % 3 == winner else 409 for at in range(9)]
    # A repeat in the millisecond of the first one is also told "early".
    assert {reply.json["was"] for reply in told if reply.status == 200} <= {"done", "early", "open"}


async def scenario_an_early_event_is_among_the_results_once_it_was_asked_for(runtime: Runtime) -> None:
    url = runtime.endpoint("/gone", always(410))
    await runtime.finish(document(url, key="k"))
    [call] = [seen.call for seen in runtime.calls(url)]
    told = await post(runtime, result="paid")

    async def listed() -> list[list[str]]:
        pages = [await results(runtime, call, query) for query in ("", f"&id={told.json['id']}")]
        return [[step["id"] for step in page.json["steps"]] for page in pages]

    before = await listed()
    await runtime.start(event_document("payment", parent=call.json["stepId"]))

    assert (before, await listed()) == ([[], []], [[told.json["id"]], [told.json["id"]]])


async def scenario_an_address_that_is_wrong_is_explained(runtime: Runtime) -> None:
    step = f"run_{'f' * 32}-root"
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"name": "e"}, "workflowName"),
        ({"name": "e", "workflowName": "w"}, "idempotencyKey"),
        ({"workflowName": "w", "idempotencyKey": "k"}, "name"),
        (addressed(parent=step), "workflowName"),
        ({"name": "e", "parent": step, "idempotencyKey": "k"}, "idempotencyKey"),
        (addressed(result=1, reject={"detail": "no"}), "reject"),
        (addressed(result=None, reject={"detail": "no"}), "reject"),
        (addressed(reject={}), "reject"),
        (addressed(reject="no"), "reject"),
        (addressed(reject={"detail": 7}), "reject"),
        (addressed(payload=1), "payload"),
    ]
    for body, field in wrong:
        reply = await runtime.post("/events", body)
        assert_problem(reply, 400, "invalid-request")
        assert [error["field"] for error in reply.json["errors"]] == [field], body
    assert_problem(await runtime.post("/events", {"name": "e", "parent": step}), 404, "not-found")
    event = await runtime.start(event_document("payment"), Prefer="respond-async")
    reply = await runtime.post("/events", {"name": "e", "parent": event.json["id"]})
    assert_problem(reply, 400, "invalid-request")


async def scenario_a_result_that_is_too_large_is_refused(runtime: Runtime) -> None:
    for size in (RESPONSE_MAX_BYTES, RESPONSE_MAX_BYTES + 16 * 1024):
        large = await post(runtime, result="x" * size)
        assert_problem(large, 413, "too-large")
    assert (await post(runtime, result="x" * (RESPONSE_MAX_BYTES - 2))).json["was"] == "early"


async def scenario_an_early_event_is_of_its_own_client_alone(runtime: Runtime) -> None:
    told = await post(runtime, result="mine")
    body = json.dumps(addressed(result="theirs")).encode()
    theirs = await runtime.request("POST", "/other/events", body=body, key_of="other")
    if theirs.status == 200:
        assert theirs.json["id"] != told.json["id"]
    assert (await post(runtime, result="mine")).json["was"] == "done"


async def scenario_a_run_that_failed_before_takes_no_result_of_another_step(runtime: Runtime) -> None:
    failed = await runtime.finish(document(runtime.endpoint("/gone", always(410)), key="k"))
    assert failed.status == 424
    assert_problem(await runtime.post(f"/steps/{failed.json['id']}/result", 1), 409, REFUSED)
    assert_problem(await runtime.post(f"/steps/{failed.json['id']}/reject", {"detail": "no"}), 409, REFUSED)
