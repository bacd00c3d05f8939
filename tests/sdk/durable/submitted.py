"""Callbacks that a step passes on (7-1 to 7-15): `ctx.callback`.

What a step passes on is a URL. Somebody posts the result to it, a rejection, or a heartbeat.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import requests

from atomic.sdk import Call, Retry, StepFailedError, StepOutcome
from sdk.durable.flows import Flow, branch, ends, failures, runs, serve, start, until
from sdk.world import World

QUICK = Retry(count=1, back_off=0.02, jitter="none")


class Outside:
    """Somebody outside, whom a step tells the URL of a callback, and who posts to it."""

    def __init__(self, world: World) -> None:
        self._urls: dict[str, list[str]] = defaultdict(list)
        world.step("/submit", self._submit)

    def _submit(self, url: str, call: Call) -> None:
        self._urls[call.run_id].append(url)

    def urls(self, started: list[StepOutcome], number: int = 1) -> list[str]:
        """Wait until each of the runs has passed on so many URLs; return the last one of each."""
        told = [self._urls[run.run_id] for run in started]
        until(lambda: all(len(urls) >= number for urls in told))
        return [urls[number - 1] for urls in told]

    def post(self, started: list[StepOutcome], result: Any, number: int = 1, what: str = "") -> None:
        """Post to the last URL that each of the runs has passed on."""
        for url in self.urls(started, number):
            given = {} if result is None else {"json": result}
            assert requests.post(url + what, timeout=10, **given).status_code == 200


def waiting(**options: Any) -> Callable[..., Flow]:
    """A workflow of one callback."""

    def flow(ctx: Any, name: str) -> Flow:
        return (yield ctx.callback(name, submit="/submit", **options))

    return flow


def caught(**options: Any) -> Callable[..., Flow]:
    """A workflow of one callback, which catches its failure."""

    def flow(ctx: Any, name: str) -> Flow:
        try:
            return (yield ctx.callback(name, submit="/submit", **options))
        except StepFailedError as failed:
            return type(failed).__name__

    return flow


def fixed(ctx: Any, payload: Any) -> Flow:
    """A workflow of one callback with a fixed name, which a function passes on."""
    return (yield ctx.callback("approval", submit=lambda url: ctx.step("/submit", url)))


def in_child(ctx: Any, name: str) -> Flow:
    """A callback in a branch."""
    [found] = yield ctx.gather(branch(ctx, waiting()(ctx, name)), name="wrapper")
    return found


def mixed(ctx: Any, name: str) -> Flow:
    """A callback after a wait and a step."""
    yield ctx.sleep(0.1)
    yield ctx.step("/same", "data")
    return (yield from waiting()(ctx, name))


def read(ctx: Any, name: str) -> Flow:
    """A callback whose result is read as a type."""
    found = yield from waiting(result=dict[str, str])(ctx, name)
    return found["status"]


def case_a_step_passes_a_callback_on(world: World) -> None:
    """By a name that the input says, by a fixed one, in a child, after a wait and a step.

    An object as the result, and no result.
    """
    outside = Outside(world)
    world.step("/same", lambda text: text)
    served = {"plain": waiting(), "fixed": fixed, "in-child": in_child, "mixed": mixed, "read": read}
    served["nothing"] = waiting()
    given: dict[str, Any] = {"read": {"status": "approved"}, "nothing": None}
    for name, flow in served.items():
        serve(world, name, flow)
    started = {name: start(world, name, "answer") for name in served}
    for name, outcomes in started.items():
        outside.post(outcomes, given.get(name, "done"))
    expected = {"read": "approved", "nothing": None}
    for name, outcomes in started.items():
        assert ends(world, outcomes) == [expected.get(name, "done")] * 2, name
    for run in runs(world, started["fixed"]):
        assert "approval" in {step.step_name for step in run.steps}


def case_callbacks_are_passed_on_one_after_the_other(world: World) -> None:
    """Two callbacks, of one name and of two."""

    def flow(ctx: Any, names: list[str]) -> Flow:
        first = yield ctx.callback(names[0], submit="/submit")
        return [first, (yield ctx.callback(names[1], submit="/submit"))]

    outside = Outside(world)
    serve(world, "flow", flow)
    for names in (["first", "second"], ["same", "same"]):
        started = start(world, "flow", names, key=names[0])
        outside.post(started, "one", 1)
        outside.post(started, "two", 2)
        assert ends(world, started) == [["one", "two"]] * 2


def case_callbacks_that_were_passed_on_fail(world: World) -> None:
    """Rejected, too late, without a heartbeat; the step that passes it on fails; and what is caught."""

    def not_passed_on(ctx: Any, name: str) -> Flow:
        yield ctx.callback(name, submit=lambda url: ctx.step("/fail", url, retry=QUICK))

    called: list[str] = []

    def fail(url: str) -> None:
        called.append(url)
        raise ValueError("no way out")

    outside = Outside(world)
    world.step("/fail", fail)
    flows = {
        "refused": waiting(),
        "late": waiting(deadline=0.3),
        "silent": waiting(heartbeat=0.3),
        "not-passed-on": not_passed_on,
        "refused-caught": caught(),
        "late-caught": caught(deadline=0.3),
    }
    for name, flow in flows.items():
        serve(world, name, flow)
    started = {name: start(world, name, "answer") for name in flows}
    for name in ("refused", "refused-caught"):
        outside.post(started[name], {"detail": "not approved"}, what="/reject")
    kinds = {"refused": "event_rejected", "late": "event_expired", "silent": "heartbeat_missed"}
    for name, kind in kinds.items():
        for failed in failures(world, started[name]):
            assert failed.response["lastErrorKind"] == kind
    for failed in failures(world, started["not-passed-on"]):
        assert "no way out" in failed.reason
    assert len(called) == 4
    assert ends(world, started["refused-caught"]) == ["EventRejectedError"] * 2
    assert ends(world, started["late-caught"]) == ["EventTimeoutError"] * 2


def case_a_callback_that_was_passed_on_lives_by_heartbeats(world: World) -> None:
    """Heartbeats beyond the first interval, then a result."""
    outside = Outside(world)
    serve(world, "flow", waiting(heartbeat=1.0))
    started = start(world, "flow", "answer")
    begun_s = time.monotonic()
    while time.monotonic() < begun_s + 1.3:
        outside.post(started, None, what="/heartbeat")
        time.sleep(0.1)
    outside.post(started, "at last")
    assert ends(world, started) == ["at last"] * 2
