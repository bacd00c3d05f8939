"""Hooks (10-1 to 10-7), and the logger (1-7)."""

from collections.abc import Sequence
from typing import Any

from atomic.sdk import Call, End, HandlerCall, Hooks, Operation, Retry, ValueAttempt
from sdk.cases.logs import logged
from sdk.durable.flows import VARIANTS, Flow, fails, key_of, serve
from sdk.world import World

ONCE = Retry(count=1, back_off=0.02, jitter="none", strategy="fixed")
Told = list[tuple[Any, ...]]


class Plugin(Hooks):
    """Notes what it is told, by the key of the run."""

    def __init__(self, told: dict[str, Told]) -> None:
        self._told = told

    def _note(self, call: Call, *about: Any) -> None:
        self._told.setdefault(call.idempotency_key, []).append(about)

    def call_started(self, call: HandlerCall) -> None:
        self._note(call.call, "call", call.call.attempt == 1)

    def call_ended(self, call: HandlerCall, end: End) -> None:
        self._note(call.call, "call ends", end.outcome)

    def operation_started(self, operation: Operation) -> None:
        self._note(operation.call, "operation", operation.step_id)

    def operation_ended(self, operation: Operation, end: End) -> None:
        self._note(operation.call, "operation ends", operation.step_id, end.outcome)

    def attempt_started(self, attempt: ValueAttempt) -> None:
        self._note(attempt.call, "attempt", attempt.step_id, attempt.number)

    def attempt_ended(self, attempt: ValueAttempt, end: End) -> None:
        self._note(attempt.call, "attempt ends", attempt.step_id, attempt.number, end.outcome)


class Faulty(Plugin):
    """Notes what it is told, and fails each time."""

    def _note(self, call: Call, *about: Any) -> None:
        super()._note(call, *about)
        raise LookupError("a faulty plugin")


def told(world: World, name: str, *, failing: str = "") -> list[tuple[str, str]]:
    """Start both variants; returns the key and the id of the only step of each run."""
    if failing:
        fails(world, name, failing)
    found = []
    for variant in VARIANTS:
        key = key_of(name, variant)
        root = (
            world.client.runs(key_prefix=key)[0] if failing else world.start(f"/{variant}/{name}", key=key)
        )
        [step] = world.client.get(root.run_id).steps
        found.append((key, step.id))
    return found


def greet(world: World, name: str, hooks: Sequence[Hooks]) -> None:
    """Serve a workflow with one value."""

    def flow(ctx: Any, _: Any) -> Flow:
        return (yield ctx.run("greet", lambda: "hello"))

    serve(world, name, flow, hooks=hooks)


def case_hooks_are_told_of_calls_and_operations(world: World) -> None:
    """The ids are those of the run, and two sets of hooks are told the same."""
    one: dict[str, Told] = {}
    other: dict[str, Told] = {}
    greet(world, "greet", [Plugin(one), Plugin(other)])
    for key, step_id in told(world, "greet"):
        assert one[key] == [
            ("call", True),
            ("operation", step_id),
            ("attempt", step_id, 1),
            ("attempt ends", step_id, 1, "succeeded"),
            ("operation ends", step_id, "succeeded"),
            ("call ends", "succeeded"),
        ]
    assert one == other


def case_errors_of_hooks_change_nothing(world: World) -> None:
    """Each hook fails, and is told all the same."""
    faulty: dict[str, Told] = {}
    greet(world, "faulty", [Faulty(faulty)])
    for key, _ in told(world, "faulty"):
        assert [about[0] for about in faulty[key]] == [
            *("call", "operation", "attempt"),
            *("attempt ends", "operation ends", "call ends"),
        ]
        assert world.client.runs(key_prefix=key)[0].attempts == 1


def case_hooks_are_told_of_each_attempt(world: World) -> None:
    """A value that is computed at its second attempt, and a step that is."""
    noted: dict[str, Told] = {}

    def flow(ctx: Any, _: Any) -> Flow:
        failures = iter([OSError("no"), None])

        def draw() -> str:
            if error := next(failures):
                raise error
            return "drawn"

        return (yield ctx.run("draw", draw, retry=ONCE))

    serve(world, "draw", flow, hooks=[Plugin(noted)], wait=5)
    for key, step_id in told(world, "draw"):
        assert [about for about in noted[key] if about[0].startswith("attempt")] == [
            ("attempt", step_id, 1),
            ("attempt ends", step_id, 1, "failed"),
            ("attempt", step_id, 2),
            ("attempt ends", step_id, 2, "succeeded"),
        ]


def case_hooks_tell_the_first_call_from_a_replay(world: World) -> None:
    """A wait is longer than the first call."""
    noted: dict[str, Told] = {}

    def flow(ctx: Any, _: Any) -> Flow:
        yield ctx.sleep(0.5)

    serve(world, "sleep", flow, hooks=[Plugin(noted)], wait=0.1)
    for key, _ in told(world, "sleep"):
        calls = [about for about in noted[key] if about[0].startswith("call")]
        first, replay = ("call", True), ("call", False)
        assert calls == [first, ("call ends", "suspended"), replay, ("call ends", "succeeded")]


def case_hooks_are_told_of_a_failure(world: World) -> None:
    """A step fails permanently, and so does its workflow."""
    noted: dict[str, Told] = {}

    def flow(ctx: Any, _: Any) -> Flow:
        yield ctx.step("/fail", retry=0)

    def fail(_: Any) -> None:
        raise OSError("broken")

    serve(world, "failing", flow, hooks=[Plugin(noted)], wait=5)
    world.step("/fail", fail)
    for key, step_id in told(world, "failing", failing="broken"):
        assert ("operation ends", step_id, "failed") in noted[key]
        assert noted[key][-1] == ("call ends", "failed")


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
