"""When a step starts, by when it has to, and steps that an operator makes due at another moment."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.cases.child_runs import Starter
from scenarios.runtime import Runtime, always, answer_ok, failing_first
from scenarios.starts import Gate, assert_problem, document, moment

HOUR = 3_600_000
ASYNC = {"Prefer": "respond-async"}
NO_RETRY = {"count": 0}


async def time_of(runtime: Runtime, after_ms: int = 0) -> str:
    """The server's time, or a later one."""
    started = await runtime.start(document(runtime.endpoint("/clock", answer_ok), key="clock"), **ASYNC)
    now = moment(started.json["createdAt"])
    if started.json["status"] == "succeeded":
        # The run exists: the time of its start is past, and a later start tells the time.
        key = f"clock-{after_ms}"
        again = await runtime.start(document(runtime.endpoint("/clock", answer_ok), key=key), **ASYNC)
        now = moment(again.json["createdAt"])
    return text_of(now + timedelta(milliseconds=after_ms))


def text_of(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def due(runtime: Runtime, step_id: str, at: str | None = None) -> ApiReply:
    return await runtime.post(f"/steps/{step_id}/due", None if at is None else {"at": at})


async def step(runtime: Runtime, step_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await runtime.get(f"/steps/{step_id}")).json
    return found


class Sleeper:
    """A workflow that sleeps, and then succeeds."""

    def __init__(self, runtime: Runtime, number: int = 0, **timer: Any) -> None:
        self._runtime, self._timer = runtime, timer
        self._key, self.url = f"k-{number}", runtime.endpoint(f"/sleeper-{number}", self._handler)
        self.nap_id = ""

    async def begin(self) -> str:
        """Start it; the id of its root, which waits for the timer."""
        started = await self._runtime.start(document(self.url, key=self._key, retry=NO_RETRY), **ASYNC)
        root_id: str = started.json["id"]
        await self._runtime.step_in(root_id, "waiting")
        return root_id

    async def _handler(self, call: EndpointCall) -> EndpointReply:
        nap = {"workflowName": "w", "kind": "timer", "stepName": "nap", "idempotencyKey": "k"}
        reply = await self._runtime.start({**nap, **self._timer, "parent": call.json["stepId"]}, **ASYNC)
        self.nap_id = reply.json["id"]
        if reply.status == 202:
            return EndpointReply(status=202, headers={"Atomic-Waiting-For": self.nap_id})
        return EndpointReply(json=reply.status)


async def scenario_a_run_starts_at_its_time(runtime: Runtime) -> None:
    url = runtime.endpoint("/work", answer_ok)
    at = await time_of(runtime, runtime.ms(400))

    started = await runtime.start(document(url, startAt=at), **ASYNC)

    assert (started.status, started.json["status"], started.json["dueAt"]) == (202, "pending", at)
    assert (await step(runtime, started.json["id"]))["startAt"] == at
    # A second start with another time attaches, and changes nothing.
    again = await runtime.start(document(url, startAt=await time_of(runtime, HOUR)), **ASYNC)
    assert (again.json["id"], again.json["dueAt"]) == (started.json["id"], at)
    assert (await runtime.finish(document(url, startAt=at))).status == 200
    ended = await step(runtime, started.json["id"])
    assert ended["attemptLog"][0]["startedAt"] >= at
    assert len(runtime.calls(url)) == 1


async def scenario_a_run_whose_time_is_past_starts_at_once(runtime: Runtime) -> None:
    url = runtime.endpoint("/work", answer_ok)
    for number, at in enumerate(("1969-07-20T20:17:40+00:00", await time_of(runtime))):
        reply = await runtime.finish(document(url, key=f"k-{number}", startAt=at))
        assert (reply.status, reply.json["attempts"]) == (200, 1)


async def scenario_a_sleep_until_a_time(runtime: Runtime) -> None:
    at = await time_of(runtime, runtime.ms(300))
    sleeper = Sleeper(runtime, startAt=at)
    root_id = await sleeper.begin()
    nap = await step(runtime, sleeper.nap_id)
    assert nap["startAt"] == at
    root = await runtime.step_in(root_id, "succeeded")
    assert root["response"] == 200
    assert (await step(runtime, sleeper.nap_id))["finishedAt"] >= at


async def scenario_a_step_that_has_not_begun_in_time_is_never_called(runtime: Runtime) -> None:
    url = runtime.endpoint("/work", answer_ok)
    by = await time_of(runtime, runtime.ms(100))
    start = document(url, key="k", workflowName="late", delay=HOUR, startBy=by)
    started = await runtime.start(start, **ASYNC)
    assert (await step(runtime, started.json["id"]))["startBy"] == by

    failed = await runtime.step_in(started.json["id"], "failed")

    assert (failed["errorKind"], failed["attempts"]) == ("start_expired", 0)
    assert failed["error"] == f"its first attempt had not begun by {by}"
    told = await runtime.start(start)
    assert_problem(told, 424, "step-failed")
    assert told.json["lastErrorKind"] == "start_expired"
    assert told.json["detail"].startswith("The step failed before its first attempt: its first")
    letters = (await runtime.get("/dead-letters?workflowName=late")).json["deadLetters"]
    assert [letter["id"] for letter in letters] == [started.json["id"]]
    assert runtime.calls(url) == []

    # An operator may have it made in spite of that.
    await runtime.post(f"/steps/{started.json['id']}/redrive")
    redriven = await runtime.step_in(started.json["id"], "succeeded")
    assert (redriven["attempts"], redriven["generation"]) == (1, 2)


async def scenario_a_start_that_comes_too_late_is_never_called(runtime: Runtime) -> None:
    url = runtime.endpoint("/work", answer_ok)
    # The epoch is a time like any other.
    pasts = ("2001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1969-07-20T20:17:40Z")
    late = [
        *({"startBy": past} for past in pasts),
        *({"startAt": past, "startBy": 60_000} for past in pasts),
    ]
    for number, times in enumerate(late):
        reply = await runtime.finish(document(url, key=f"k-{number}", **times))
        assert_problem(reply, 424, "step-failed")
        assert reply.json["lastErrorKind"] == "start_expired"
    assert runtime.calls(url) == []


async def scenario_what_has_begun_in_time_may_take_longer(runtime: Runtime) -> None:
    url = runtime.endpoint("/work", failing_first(2, 503, then="done"))
    retry = {"count": 3, "backOff": runtime.ms(200), "strategy": "fixed", "jitter": "none"}
    # It counts from the start, which is later than the post.
    times = {"delay": runtime.ms(150), "startBy": runtime.ms(200)}

    reply = await runtime.finish(document(url, retry=retry, **times))

    assert (reply.status, reply.json["response"], reply.json["attempts"]) == (200, "done", 3)


async def scenario_a_delayed_start_is_made_now(runtime: Runtime) -> None:
    url = runtime.endpoint("/work", answer_ok)
    far = {"delay": HOUR}, {"startAt": await time_of(runtime, 300 * 24 * HOUR)}
    for number, later in enumerate(far):
        started = await runtime.start(document(url, key=f"k-{number}", **later), **ASYNC)
        step_id = started.json["id"]

        replies = await asyncio.gather(*(due(runtime, step_id) for _ in range(4)))

        assert 200 in {reply.status for reply in replies} <= {200, 409}
        ended = await runtime.step_in(step_id, "succeeded")
        assert (ended["attempts"], len(runtime.calls(url))) == (1, number + 1)
        again = await due(runtime, step_id)
        assert_problem(again, 409, "not-reschedulable")
        assert again.json["stepStatus"] == "succeeded"
        assert "succeeded already" in again.json["detail"]


async def scenario_a_retry_is_made_now(runtime: Runtime) -> None:
    url = runtime.endpoint("/work", failing_first(1, 503, then="done"))
    retry = {"count": 1, "backOff": HOUR, "strategy": "fixed", "jitter": "none"}
    started = await runtime.start(document(url, retry=retry), **ASYNC)
    await runtime.step_in(started.json["id"], "retrying")

    reply = await due(runtime, started.json["id"], "now")

    assert (reply.status, reply.json["attempts"]) == (200, 1)
    ended = await runtime.step_in(started.json["id"], "succeeded")
    assert (ended["response"], ended["attempts"], ended["retriesUsed"]) == ("done", 2, 1)


async def scenario_a_retry_that_is_made_now_uses_the_retries_as_always(runtime: Runtime) -> None:
    url = runtime.endpoint("/work", always(503))
    retry = {"count": 1, "backOff": HOUR, "strategy": "fixed", "jitter": "none"}
    started = await runtime.start(document(url, retry=retry), **ASYNC)
    await runtime.step_in(started.json["id"], "retrying")
    await due(runtime, started.json["id"])
    ended = await runtime.step_in(started.json["id"], "failed")
    assert (ended["attempts"], ended["retriesUsed"]) == (2, 1)


async def scenario_a_sleep_is_skipped(runtime: Runtime) -> None:
    sleeper = Sleeper(runtime, delay=200 * 24 * HOUR)
    root_id = await sleeper.begin()

    replies = await asyncio.gather(*(due(runtime, sleeper.nap_id) for _ in range(4)))

    # One of them ends it; the others find it ended, or ended it in the same millisecond, which is the same.
    done = [reply.json for reply in replies if reply.status == 200]
    assert done
    assert all((each["status"], each["response"]) == ("succeeded", None) for each in done)
    refused = [reply for reply in replies if reply.status != 200]
    assert all((r.status, r.json["stepStatus"]) == (409, "succeeded") for r in refused)
    root = await runtime.step_in(root_id, "succeeded")
    assert (root["response"], root["attempts"]) == (200, 2)


async def scenario_a_sleep_that_ends_while_it_is_skipped_ends_once(runtime: Runtime) -> None:
    naps = [Sleeper(runtime, number, delay=runtime.ms(60 + 20 * number)) for number in range(5)]
    roots = [await nap.begin() for nap in naps]
    await asyncio.sleep(runtime.ms(60) / 1000)
    replies = await asyncio.gather(*(due(runtime, nap.nap_id) for nap in naps))
    assert {reply.status for reply in replies} <= {200, 409}
    for root_id in roots:
        root = await runtime.step_in(root_id, "succeeded")
        assert (root["response"], root["attempts"]) == (200, 2)


async def scenario_a_start_is_moved_to_another_time(runtime: Runtime) -> None:
    url = runtime.endpoint("/work", answer_ok)
    started = await runtime.start(document(url, delay=HOUR), **ASYNC)
    later, sooner = await time_of(runtime, 50 * HOUR), await time_of(runtime, runtime.ms(500))
    for at in (later, later, sooner):
        reply = await due(runtime, started.json["id"], at)
        assert (reply.status, reply.json["status"], reply.json["dueAt"]) == (200, "pending", at)
    ended = await runtime.step_in(started.json["id"], "succeeded")
    assert ended["attemptLog"][0]["startedAt"] >= sooner
    assert (ended["attempts"], len(runtime.calls(url))) == (1, 1)


async def scenario_a_start_that_is_moved_later_waits(runtime: Runtime) -> None:
    url = runtime.endpoint("/work", answer_ok)
    soon = runtime.ms(300)
    started = await runtime.start(document(url, delay=soon), **ASYNC)
    later = text_of(moment(started.json["dueAt"]) + timedelta(milliseconds=runtime.ms(400)))
    assert (await due(runtime, started.json["id"], later)).json["dueAt"] == later
    ended = await runtime.step_in(started.json["id"], "succeeded")
    assert ended["attemptLog"][0]["startedAt"] >= later


async def scenario_limits_stay_when_a_step_is_moved(runtime: Runtime) -> None:
    url = runtime.endpoint("/work", answer_ok)
    started = await runtime.start(document(url, delay=HOUR, deadline=2 * HOUR), **ASYNC)
    shown = await step(runtime, started.json["id"])
    reply = await due(runtime, started.json["id"], await time_of(runtime, 9 * HOUR))
    assert (reply.status, reply.json["dueAt"]) == (200, shown["deadlineAt"])
    await due(runtime, started.json["id"])
    await runtime.step_in(started.json["id"], "succeeded")


async def scenario_what_waits_for_no_moment_is_not_moved(runtime: Runtime) -> None:
    gate = Gate()
    running = await runtime.start(document(runtime.endpoint("/slow", gate), key="slow"), **ASYNC)
    await gate.entered.wait()
    sleeper = Sleeper(runtime, delay=HOUR)
    root_id = await sleeper.begin()
    event = {"workflowName": "w", "kind": "event", "stepName": "e", "idempotencyKey": "k"}
    opened = await runtime.start({**event, "parent": root_id, "deadline": HOUR}, **ASYNC)

    for step_id, status, says in (
        (running.json["id"], "running", "An attempt is under way"),
        (root_id, "waiting", "waits for other steps"),
        (opened.json["id"], "pending", "waits for its result"),
    ):
        for at in (None, await time_of(runtime, HOUR)):
            reply = await due(runtime, step_id, at)
            assert_problem(reply, 409, "not-reschedulable")
            assert (reply.json["id"], reply.json["stepStatus"]) == (step_id, status)
            assert says in reply.json["detail"]
    assert (await due(runtime, root_id)).json["waitingFor"] == [sleeper.nap_id]
    gate.open()
    assert (await due(runtime, sleeper.nap_id)).status == 200
    await runtime.step_in(root_id, "succeeded")


async def scenario_a_link_is_not_moved_and_names_its_run(runtime: Runtime) -> None:
    gate = Gate()
    held, child = runtime.endpoint("/held", gate), runtime.endpoint("/child", Gate())
    root = await runtime.start(document(held, key="parent"), **ASYNC)
    link = {"kind": "run", "run": {"workflowName": "child", "idempotencyKey": "c"}}
    linked = await runtime.start(document(child, key="k", parent=root.json["id"], **link), **ASYNC)

    reply = await due(runtime, linked.json["id"])

    assert_problem(reply, 409, "not-reschedulable")
    [child_root] = reply.json["waitingFor"]
    assert child_root.removesuffix("-root") in reply.json["detail"]
    gate.open()


async def scenario_a_run_that_a_handler_starts_begins_at_its_time(runtime: Runtime) -> None:
    url = runtime.endpoint("/child", answer_ok)
    at = await time_of(runtime, runtime.ms(400))
    starter = Starter(runtime, url, startAt=at, startBy=60_000)
    root_id = await starter.begin()

    child = await step(runtime, starter.child_root)
    assert (child["status"], child["dueAt"], child["startAt"]) == ("pending", at, at)
    assert moment(child["startBy"]) - moment(at) == timedelta(minutes=1)
    assert (await step(runtime, starter.link_id))["startAt"] == at
    await runtime.step_in(root_id, "succeeded")
    child = await step(runtime, starter.child_root)
    assert child["attemptLog"][0]["startedAt"] >= at
    assert len(runtime.calls(url)) == 1


async def scenario_a_delayed_run_of_a_handler_is_made_due(runtime: Runtime) -> None:
    url = runtime.endpoint("/child", answer_ok)
    starter = Starter(runtime, url, delay=HOUR, startBy=60_000)
    root_id = await starter.begin()
    child = await step(runtime, starter.child_root)
    waits = moment(child["dueAt"]) - moment((await step(runtime, starter.link_id))["createdAt"])
    assert (child["status"], waits) == ("pending", timedelta(hours=1))

    assert (await due(runtime, starter.child_root)).status == 200

    assert (await runtime.step_in(root_id, "succeeded"))["attempts"] == 2
    assert len(runtime.calls(url)) == 1


async def scenario_a_run_of_a_handler_that_comes_too_late_fails_its_link(runtime: Runtime) -> None:
    url = runtime.endpoint("/child", answer_ok)
    starter = Starter(runtime, url, startBy="2001-01-01T00:00:00Z")

    assert_problem(await runtime.finish(document(starter.url)), 424, "step-failed")

    assert_problem(starter.told[-1], 424, "step-failed")
    assert starter.told[-1].json["lastErrorKind"] == "child_failed"
    assert (await step(runtime, starter.child_root))["errorKind"] == "start_expired"
    assert runtime.calls(url) == []


async def scenario_a_moment_that_cannot_be_is_refused(runtime: Runtime) -> None:
    url = runtime.endpoint("/work", answer_ok)
    step_id = (await runtime.start(document(url, delay=HOUR), **ASYNC)).json["id"]
    for at, says in (
        ("later", "its offset from UTC"),
        ("2026-11-23T07:38:00", "its offset from UTC"),
        ("9999-01-01T00:00:00Z", "within 366 days"),
    ):
        reply = await due(runtime, step_id, at)
        assert_problem(reply, 400, "invalid-request")
        assert says in reply.json["detail"]
        assert reply.json["errors"][0]["field"] == "at"
    for body in ({"when": "now"}, {"at": None}, {"at": 5}):
        assert (await runtime.post(f"/steps/{step_id}/due", body)).status == 400
    missing = await due(runtime, f"{step_id.removesuffix('-root')}-{'0' * 32}")
    assert missing.status == 404
    assert (await step(runtime, step_id))["status"] == "pending"
