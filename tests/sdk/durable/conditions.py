"""Conditions that are waited for (6-1 to 6-13)."""

from typing import Any

from atomic.sdk import ConditionNotMetError
from sdk.durable.flows import Flow, ends, fails, results, runs, serve, start
from sdk.durable.forms import Wrapped
from sdk.world import World


def case_conditions_are_met_by_their_state(world: World) -> None:
    """A threshold, at once, a name, a first state, equal pauses.

    And an object as the state, no result, a result that a step is given, one condition after another.
    """

    def upto(most: int) -> Any:
        return lambda seen: [seen + 1 >= most, seen + 1]

    def job(state: dict[str, Any]) -> list[Any]:
        attempts = state["attempts"] + 1
        return [attempts == 2, {"status": "DONE" if attempts == 2 else "PENDING", "attempts": attempts}]

    def flow(ctx: Any, threshold: int) -> Flow:
        counted = yield ctx.until(upto(threshold), state=0, every=0.02, name="poll-status")
        at_once = yield ctx.until(lambda seen: [seen >= 5, seen], state=5, every=3600)
        later = yield ctx.until(upto(8), state=5, every=0.02)
        done = yield ctx.until(job, state={"status": "PENDING", "attempts": 0}, every=0.02)
        nothing = yield ctx.until(lambda state: [True, state], state=None, every=3600)
        after = yield ctx.step("/times10", counted)
        first = yield ctx.until(upto(2), state=0, every=0.02)
        second = yield ctx.until(upto(4), state=first, every=0.02)
        return [counted, at_once, later, done, nothing, after, second]

    serve(world, "flow", flow, wait=0.01)
    world.step("/times10", lambda number: 10 * number)
    started = start(world, "flow", 3)
    expected = [3, 5, 8, {"status": "DONE", "attempts": 2}, None, 30, 4]
    assert ends(world, started) == [expected] * 2
    for run in runs(world, started):
        named = [step for step in run.steps if step.step_name == "poll-status"]
        assert [step.kind for step in named].count("value") == 3
        assert [step.delay for step in named if step.kind == "timer"] == [20, 20]


def case_a_state_has_a_form_of_its_own(world: World) -> None:
    """The type of a state says how it is written after a check, and how the next check reads it."""

    def grow(state: Wrapped) -> tuple[bool, Wrapped]:
        return len(state) == 1, state + "x"

    def flow(ctx: Any, payload: Any) -> Flow:
        return (yield ctx.until(grow, state="", every=0.02))

    serve(world, "flow", flow, wait=0.01)
    started = start(world, "flow")
    assert ends(world, started) == ["xx"] * 2
    for run in runs(world, started):
        states = [step.response for step in run.steps if step.kind == "value"]
        assert states == [[False, {"wrapped": "x"}], [True, {"wrapped": "xx"}]]


def case_conditions_that_are_not_met_fail(world: World) -> None:
    """No attempt is left, the check fails, and the handler catches its failure."""

    def never(seen: int) -> list[Any]:
        return [False, seen + 1]

    def broken(seen: int) -> Any:
        raise ValueError("no luck")

    def exhausted(ctx: Any, payload: Any) -> Flow:
        yield ctx.until(never, state=0, every=0.02, max_attempts=3)

    def failing(ctx: Any, payload: Any) -> Flow:
        yield ctx.until(broken, state=0, every=0.02)

    def caught(ctx: Any, payload: Any) -> Flow:
        try:
            yield ctx.until(never, state=0, every=0.02, max_attempts=3)
        except ConditionNotMetError as error:
            found = [error.attempts, error.state]
        try:
            yield ctx.until(broken, state=0, every=0.02)
        except ValueError:
            return [*found, "recovered"]

    serve(world, "exhausted", exhausted, wait=0.2)
    serve(world, "failing", failing, wait=0.2)
    serve(world, "caught", caught, wait=0.2)
    assert results(world, "caught") == [[3, 3, "recovered"]] * 2
    fails(world, "exhausted", "no attempt is left")
    fails(world, "failing", "no luck")
