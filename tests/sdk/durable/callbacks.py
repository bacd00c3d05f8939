"""Results that somebody gives from outside (4-1 to 4-19): events of a workflow.

`Client.signal` and `reject` name the run and the event. A callback that was opened has an id, too.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from atomic.sdk import StepFailedError
from sdk.durable.flows import VARIANTS, Flow, ends, failures, key_of, runs, serve, start, until
from sdk.world import World

# What a workflow does: open the event, take a step, wait, take the result, wait again.
Order = list[str]


class Received(BaseModel):
    """What somebody sends, with a time that JSON does not have."""

    id: str
    message: str
    timestamp: datetime


def give(world: World, name: str, event: str, result: Any) -> None:
    """Give an event of both variants its result."""
    for variant in VARIANTS:
        world.client.signal("case", key_of(name, variant), event, result)


def refuse(world: World, name: str, event: str) -> None:
    """Reject an event of both variants."""
    for variant in VARIANTS:
        more = {"type": "RejectedError"}
        world.client.reject("case", key_of(name, variant), event, "not approved", more=more)


def reached(world: World, started: list[Any], *names: str) -> None:
    """Wait until runs have these events and pauses."""
    until(lambda: all({step.step_name for step in run.steps} >= {*names} for run in runs(world, started)))


def case_callbacks_are_given_their_result(world: World) -> None:
    """By a name that the input says, by one that the code says, by an id, and read as a type."""

    def flow(ctx: Any, name: str) -> Flow:
        first = yield ctx.event(name)
        opened = yield ctx.open_event("approval")
        yield ctx.step("/complete", opened)
        approval = yield ctx.event("approval")
        received = yield ctx.event("received", result=Received)
        assert received.timestamp == datetime(2026, 1, 1, tzinfo=UTC)
        at = int(received.timestamp.timestamp())
        count = yield ctx.event("count", result=int)
        return [first, approval, {**received.model_dump(), "timestamp": at}, [count, 2 * count]]

    serve(world, "flow", flow)
    world.step("/complete", lambda event_id: world.client.complete(event_id, "by id").status)
    started = start(world, "flow", "any")
    reached(world, started, "any")
    give(world, "flow", "any", "by name")
    sent = {"id": "r1", "message": "hello", "timestamp": "2026-01-01T00:00:00.000Z"}
    give(world, "flow", "received", sent)
    give(world, "flow", "count", 42)
    expected = ["by name", "by id", {**sent, "timestamp": 1767225600}, [42, 84]]
    assert ends(world, started) == [expected] * 2
    for run in runs(world, started):
        events = {step.step_name for step in run.steps if step.kind == "event"}
        assert events == {"any", "approval", "received", "count"}


def waiting(order: Order, *, deadline: float | None = None, catches: bool = False) -> Callable[..., Flow]:
    """A workflow that opens the event "answer", does what the order says, and returns the result."""

    def flow(ctx: Any, payload: Any) -> Flow:
        found: Any = None
        yield ctx.open_event("answer", deadline=deadline)
        for what in order:
            if what == "step":
                yield ctx.step("/same", 1)
            elif what == "wait":
                yield ctx.sleep(0.3, name="wait")
            else:
                try:
                    found = yield ctx.event("answer")
                except StepFailedError as failed:
                    if not catches:
                        raise
                    found = type(failed).__name__
        return found

    return flow


def case_callbacks_resolve_beside_steps_and_waits(world: World) -> None:
    """While a wait is on, and before one: with a result, with a rejection that is caught, by the time."""
    flows = {
        "wait-first": waiting(["wait", "result"]),
        "wait-after": waiting(["result", "wait"]),
        "refused": waiting(["result", "wait"], catches=True),
        "late": waiting(["result", "wait"], catches=True, deadline=0.2),
    }
    for name, flow in flows.items():
        serve(world, name, flow)
    started = {name: start(world, name) for name in flows}
    reached(world, started["wait-first"], "answer", "wait")
    give(world, "wait-first", "answer", "during")
    for name in ("wait-after", "refused"):
        reached(world, started[name], "answer")
    give(world, "wait-after", "answer", "before")
    refuse(world, "refused", "answer")
    expected = {
        "wait-first": "during",
        "wait-after": "before",
        "refused": "EventRejectedError",
        "late": "EventTimeoutError",
    }
    for name, outcomes in started.items():
        assert ends(world, outcomes) == [expected[name]] * 2
        for run in runs(world, outcomes):
            assert run.root.attempts >= 2
            assert [step.step_name for step in run.steps].count("answer") == 1


def case_callbacks_that_fail_fail_their_workflow(world: World) -> None:
    """Rejected or too late: at once, after a step, and while a wait is on."""
    orders = {"alone": ["result"], "step": ["step", "result"], "wait": ["wait", "result"]}
    world.step("/same", lambda payload: payload)
    for name, order in orders.items():
        serve(world, f"{name}-refused", waiting(order))
        serve(world, f"{name}-late", waiting(order, deadline=0.2))
    late = {name: start(world, f"{name}-late") for name in orders}
    refused = {name: start(world, f"{name}-refused") for name in orders}
    for name, order in orders.items():
        reached(world, refused[name], *(["answer", "wait"] if "wait" in order else ["answer"]))
        refuse(world, f"{name}-refused", "answer")
    for name in orders:
        for failed in failures(world, refused[name]):
            assert "not approved" in failed.reason
            assert failed.response["lastErrorKind"] == "event_rejected"
        for failed in failures(world, late[name]):
            assert failed.response["lastErrorKind"] == "event_expired"
    for run in [*runs(world, late["wait"]), *runs(world, refused["wait"])]:
        assert {step.step_name: step.status for step in run.steps} == {
            "answer": "failed",
            "wait": "succeeded",
        }


def both_open(order: list[int]) -> Callable[..., Flow]:
    """A workflow that opens two callbacks, and awaits them in this order."""

    def flow(ctx: Any, names: list[str]) -> Flow:
        for name in names:
            yield ctx.open_event(name)
        found = {}
        for at in order:
            found[at] = yield ctx.event(names[at])
        return [found[0], found[1]]

    return flow


def case_callbacks_need_heartbeats(world: World) -> None:
    """Without one they fail as if they were too late; with one they go on, beyond the first interval."""

    def flow(ctx: Any, seconds: float) -> Flow:
        return (yield ctx.event("answer", heartbeat=seconds))

    for name in ("silent", "alive"):
        serve(world, name, flow)
    silent, alive = start(world, "silent", 0.2), start(world, "alive", 1.0)
    reached(world, alive, "answer")
    begun_s = time.monotonic()
    for failed in failures(world, silent):
        assert failed.response["lastErrorKind"] == "heartbeat_missed"
    while time.monotonic() < begun_s + 1.2:
        for variant in VARIANTS:
            world.client.heartbeat("case", key_of("alive", variant), "answer")
        time.sleep(0.1)
    give(world, "alive", "answer", "at last")
    assert ends(world, alive) == ["at last"] * 2


def case_two_callbacks_are_awaited_in_any_order(world: World) -> None:
    """One after the other, both open and awaited in their order, and in the other order."""

    def after_each_other(ctx: Any, names: list[str]) -> Flow:
        first = yield ctx.event(names[0])
        return [first, (yield ctx.event(names[1]))]

    served = {"each": after_each_other, "both": both_open([0, 1]), "reverse": both_open([1, 0])}
    for name, flow in served.items():
        serve(world, name, flow)
    started = {name: start(world, name, ["a", "b"]) for name in served}
    reached(world, started["each"], "a")
    for name in ("both", "reverse"):
        reached(world, started[name], "a", "b")
    for event in ("a", "b"):
        for name in served:
            reached(world, started[name], event)
            give(world, name, event, event.upper())
    for name, outcomes in started.items():
        assert ends(world, outcomes) == [["A", "B"]] * 2, name
