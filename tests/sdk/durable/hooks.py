"""Hooks of calls, operations and attempts (10-1 to 10-7), and the logger (1-7)."""

from collections import defaultdict
from typing import Any

from atomic.sdk import Call, End, HandlerCall, Hooks, Operation, Retry, ValueAttempt
from sdk.cases.logs import logged
from sdk.durable.flows import VARIANTS, Flow, ends, failures, key_of, results, runs, serve, start
from sdk.world import World

QUICK = Retry(count=1, back_off=0.02, jitter="none")


class Recorder(Hooks):
    """Records what it is told, for each run; if it `fails`, each of its methods raises an error as well."""

    def __init__(self, *, fails: bool = False) -> None:
        self.told: dict[str, list[Any]] = defaultdict(list)
        self._fails = fails

    def call_started(self, call: HandlerCall) -> None:
        self.note(call.call, "call", call.call.attempt)

    def call_ended(self, call: HandlerCall, end: End) -> None:
        self.note(call.call, "call", call.call.attempt, end.outcome)

    def operation_started(self, operation: Operation) -> None:
        self.note(operation.call, operation.kind, operation.step_id)

    def operation_ended(self, operation: Operation, end: End) -> None:
        self.note(operation.call, operation.kind, operation.step_id, end.outcome)

    def attempt_started(self, attempt: ValueAttempt) -> None:
        self.note(attempt.call, "attempt", attempt.step_id, attempt.number)

    def attempt_ended(self, attempt: ValueAttempt, end: End) -> None:
        self.note(attempt.call, "attempt", attempt.step_id, attempt.number, end.outcome)

    def note(self, of: Any, *told: Any) -> None:
        """Record something of a run, which `of` names."""
        self.told[of.run_id].append(told)
        if self._fails:
            raise LookupError("a broken hook")


def case_hooks_are_told_of_calls_and_operations(world: World) -> None:
    """The start and the end of a call and of its step, by two sets of hooks, of which one fails."""
    first, broken, of_step = Recorder(), Recorder(fails=True), Recorder()

    def flow(ctx: Any, name: str) -> Flow:
        first.note(ctx, "code runs")
        return (yield ctx.step("/greet", name))

    def greet(name: str, call: Call) -> str:
        of_step.note(call, "code runs")
        return f"Hello, {name}!"

    serve(world, "flow", flow, wait=5, hooks=[first, broken])
    world.step("/greet", greet, hooks=[of_step, broken])
    started = start(world, "flow", "Ann")
    assert ends(world, started) == ["Hello, Ann!"] * 2
    for run in runs(world, started):
        [step] = run.steps
        operation = [("step", step.id), ("step", step.id, "succeeded")]
        call, end = [("call", 1)], [("call", 1, "succeeded")]
        assert first.told[run.run.run_id] == [*call, ("code runs",), *operation, *end]
        assert of_step.told[run.run.run_id] == [*call, ("code runs",), *end]
        told = [*call, operation[0], *call, *end, operation[1], *end]
        assert sorted(broken.told[run.run.run_id], key=str) == sorted(told, key=str)


def case_hooks_are_told_of_attempts(world: World) -> None:
    """Each attempt of a step, and of a value, with its number and its outcome."""
    of_flow, of_step = Recorder(), Recorder()

    def flow(ctx: Any, payload: Any) -> Flow:
        errors = [ConnectionError("not yet")]

        def unreliable() -> str:
            if errors:
                raise errors.pop()
            return "done"

        value = yield ctx.run("value", unreliable, retry=QUICK)
        return [value, (yield ctx.step("/second", retry=QUICK))]

    def second(call: Call) -> str:
        if call.attempt == 1:
            raise ConnectionError("not yet")
        return "Operation succeeded"

    serve(world, "flow", flow, wait=5, hooks=[of_flow])
    world.step("/second", second, hooks=[of_step])
    started = start(world, "flow")
    assert ends(world, started) == [["done", "Operation succeeded"]] * 2
    for run in runs(world, started):
        value, step = run.steps
        tries = [(1,), (1, "failed"), (2,), (2, "succeeded")]
        told = of_flow.told[run.run.run_id]
        assert [each for each in told if each[0] == "attempt"] == [("attempt", value.id, *e) for e in tries]
        assert of_step.told[run.run.run_id] == [("call", *each) for each in tries]
        assert step.attempts == 2


def case_hooks_tell_a_replay_from_a_first_call(world: World) -> None:
    """A wait: the first call is suspended, and the second one succeeds."""
    recorder = Recorder()

    def flow(ctx: Any, payload: Any) -> Flow:
        yield ctx.sleep(0.4)

    serve(world, "flow", flow, hooks=[recorder])
    assert results(world, "flow") == [None, None]
    calls = [("call", 1), ("call", 1, "suspended"), ("call", 2), ("call", 2, "succeeded")]
    for told in recorder.told.values():
        assert [each for each in told if each[0] == "call"] == calls


def case_hooks_are_told_of_a_failure(world: World) -> None:
    """A step fails, and so does its workflow."""
    recorder = Recorder()

    def flow(ctx: Any, payload: Any) -> Flow:
        yield ctx.step("/fail", retry=0)

    def fail(payload: Any) -> None:
        raise ValueError("no luck")

    serve(world, "flow", flow, wait=5, hooks=[recorder])
    world.step("/fail", fail)
    started = start(world, "flow")
    assert len(failures(world, started)) == 2
    for run in runs(world, started):
        failed = ("step", run.steps[0].id, "failed")
        assert recorder.told[run.run.run_id][-2:] == [failed, ("call", 1, "failed")]
        assert recorder.told[run.run.run_id][0] == ("call", 1)


def case_a_logger_knows_its_step(world: World) -> None:
    """A line of a value is logged once, also where the workflow is called again."""

    def flow(ctx: Any, _: Any) -> Flow:
        yield ctx.run("greet", lambda: ctx.logger.info("hello from a step"))
        yield ctx.sleep(0.5)

    serve(world, "logging", flow, wait=0.1)
    for variant in VARIANTS:
        with logged() as records:
            outcome = world.start(f"/{variant}/logging", key=key_of("logging", variant))
        [record] = [vars(record) for record in records]
        assert (record["msg"], record["run_id"]) == ("hello from a step", outcome.run_id)
        assert outcome.attempts == 2
