"""Another function that is invoked (5-1 to 5-16): a workflow, as a run of its own, and as a step."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, PlainSerializer

from atomic.sdk import StepFailedError, StepOutcome
from sdk.durable.flows import Flow, branch, ends, failures, runs, serve, start
from sdk.durable.forms import Shouted
from sdk.world import World

# Stored apart from its row, in a bucket where there is one.
LARGE = 250_000
Invoke = Callable[..., Any]
# Makes a workflow that invokes in a way.
FlowOf = Callable[[Invoke], Callable[..., Flow]]


class Loud(BaseModel):
    """A payload whose text is written in capital letters."""

    data: Annotated[str, PlainSerializer(str.upper)]


def as_run(ctx: Any, target: str, payload: Any = None, **options: Any) -> Any:
    """Start a run of its own, and wait for it."""
    return ctx.run_workflow(target, payload, workflow_name=target, **options)


def as_step(ctx: Any, target: str, payload: Any = None, **options: Any) -> Any:
    """Call a workflow as a step of this run."""
    return ctx.step(target, payload, **options)


def targets(world: World) -> list[Any]:
    """Serve the functions that are invoked; return the list of what they were invoked with."""
    called: list[Any] = []

    def echo(ctx: Any, payload: Any) -> Flow:
        called.append(payload)
        yield from ()
        return payload

    def broken(ctx: Any, payload: Any) -> Flow:
        yield ctx.step("/fail", payload, retry=0)

    def fail(payload: Any) -> None:
        called.append(payload)
        raise ValueError("no luck")

    serve(world, "echo", echo)
    serve(world, "broken", broken)
    world.step("/fail", fail)
    world.step("/greet", lambda name: f"Hello, {name}!")
    return called


def in_each_way(
    world: World, flow_of: FlowOf, payload: Any = None, *, name: str = "flow"
) -> Callable[[], list[StepOutcome]]:
    """Serve a workflow for each way of invoking. The result starts all of them, in both variants."""
    served = {f"{name}-{invoke.__name__}": flow_of(invoke) for invoke in (as_run, as_step)}
    for path, flow in served.items():
        serve(world, path, flow)
    return lambda: [outcome for path in served for outcome in start(world, path, payload)]


def case_an_invoked_function_gives_its_result(world: World) -> None:
    """Text, a name, a nested object, no result, a payload near the limit."""

    def flow_of(invoke: Invoke) -> Callable[..., Flow]:
        def flow(ctx: Any, given: dict[str, Any]) -> Flow:
            plain = yield invoke(ctx, "echo", given["payload"])
            named = yield invoke(ctx, "echo", given["payload"], name=given["name"])
            nested = yield invoke(ctx, "echo", given)
            nothing = yield invoke(ctx, "echo", None)
            large = yield invoke(ctx, "echo", "x" * LARGE)
            return [plain, named, nested, nothing, len(large)]

        return flow

    called = targets(world)
    given = {"name": "custom", "payload": "in", "nested": {"key": "value", "items": [1, 2, 3]}}
    started = in_each_way(world, flow_of, given)()
    assert ends(world, started) == [["in", "in", given, None, LARGE]] * 4
    assert len(called) == 20
    for run in runs(world, started):
        assert [step.step_name for step in run.steps].count("custom") == 1
    kinds = [{step.kind for step in run.steps} for run in runs(world, started)]
    assert kinds == [{"run"}, {"run"}, {"http"}, {"http"}]


def case_an_invoked_function_fails(world: World) -> None:
    """Its error fails the workflow, or is caught; a replay raises it again and invokes nothing."""

    def uncaught_of(invoke: Invoke) -> Callable[..., Flow]:
        def uncaught(ctx: Any, payload: Any) -> Flow:
            yield invoke(ctx, "broken", "uncaught")

        return uncaught

    def caught_of(invoke: Invoke) -> Callable[..., Flow]:
        def caught(ctx: Any, payload: Any) -> Flow:
            found = "nothing"
            try:
                yield invoke(ctx, "broken", "caught")
            except StepFailedError as failed:
                found = failed.reason.partition(" (")[0]
            yield ctx.sleep(0.1)
            return found

        return caught

    called = targets(world)
    start_uncaught = in_each_way(world, uncaught_of, name="uncaught")
    start_caught = in_each_way(world, caught_of, name="caught")
    reasons = [failed.reason for failed in failures(world, start_uncaught())]
    assert ["no luck" in reason for reason in reasons] == [True] * 4
    assert ends(world, start_caught()) == ["ValueError: no luck"] * 4
    assert called == ["uncaught"] * 4 + ["caught"] * 4


def case_functions_are_invoked_among_other_calls(world: World) -> None:
    """After a step and before one, one after the other, in a child, and once in spite of replays."""

    def child_of(invoke: Invoke) -> Callable[..., Flow]:
        def child(ctx: Any, payload: str) -> Flow:
            return (yield invoke(ctx, "echo", payload, name="inner"))

        return child

    def flow_of(invoke: Invoke) -> Callable[..., Flow]:
        child = child_of(invoke)

        def flow(ctx: Any, payload: str) -> Flow:
            greeting = yield ctx.step("/greet", payload)
            first = yield invoke(ctx, "echo", greeting)
            second = yield invoke(ctx, "echo", f"{first}!")
            last = yield ctx.step("/greet", second)
            [inner] = yield ctx.gather(branch(ctx, child(ctx, "branch")), name="child")
            yield ctx.sleep(0.1)
            return [last, inner, (yield ctx.step(f"child-{invoke.__name__}", "child"))]

        return flow

    called = targets(world)
    for invoke in (as_run, as_step):
        serve(world, f"child-{invoke.__name__}", child_of(invoke))
    started = in_each_way(world, flow_of, "Ann")()
    assert ends(world, started) == [["Hello, Hello, Ann!!!", "branch", "child"]] * 4
    assert sorted(called) == sorted(["Hello, Ann!", "Hello, Ann!!", "branch", "child"] * 4)


def case_an_invocation_has_forms_of_its_own(world: World) -> None:
    """The payload's type says how it is written, and the type of the result how that is read."""

    def flow_of(invoke: Invoke) -> Callable[..., Flow]:
        def flow(ctx: Any, text: str) -> Flow:
            sent = yield invoke(ctx, "echo", Loud(data=text))
            return [sent, (yield invoke(ctx, "echo", text, result=Shouted))]

        return flow

    called = targets(world)
    started = in_each_way(world, flow_of, "hello")()
    assert ends(world, started) == [[{"data": "HELLO"}, "HELLO"]] * 4
    assert called.count({"data": "HELLO"}) == called.count("hello") == 4
