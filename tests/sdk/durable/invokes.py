"""Another function that is invoked (5-1 to 5-16), which is a workflow of its own."""

from typing import Annotated, Any

from pydantic import BaseModel, PlainSerializer

from atomic.sdk import StepFailedError
from sdk.durable.flows import Flow, branch, ends, fails, results, runs, serve, start
from sdk.durable.forms import Shouted
from sdk.world import World

# Near the limit of a payload, which is 256 KiB.
LARGE = 250_000


class Loud(BaseModel):
    """A payload whose text is written in capital letters."""

    data: Annotated[str, PlainSerializer(str.upper)]


def invoke(ctx: Any, target: str, payload: Any = None, **options: Any) -> Any:
    """A call of another workflow."""
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


def case_an_invoked_function_gives_its_result(world: World) -> None:
    """Text, a name, a nested object, no result, a payload near the limit."""

    def flow(ctx: Any, given: dict[str, Any]) -> Flow:
        plain = yield invoke(ctx, "echo", given["payload"])
        named = yield invoke(ctx, "echo", given["payload"], name=given["name"])
        nested = yield invoke(ctx, "echo", given)
        nothing = yield invoke(ctx, "echo", None)
        large = yield invoke(ctx, "echo", "x" * LARGE)
        return [plain, named, nested, nothing, len(large)]

    called = targets(world)
    serve(world, "flow", flow, wait=5)
    given = {"name": "custom", "payload": "in", "nested": {"key": "value", "items": [1, 2, 3]}}
    started = start(world, "flow", given)
    assert ends(world, started) == [["in", "in", given, None, LARGE]] * 2
    assert len(called) == 10
    for run in runs(world, started):
        assert [step.step_name for step in run.steps].count("custom") == 1


def case_an_invoked_function_fails(world: World) -> None:
    """Its error fails the workflow, or is caught; a replay raises it again and invokes nothing."""

    def uncaught(ctx: Any, payload: Any) -> Flow:
        yield invoke(ctx, "broken", "uncaught")

    def caught(ctx: Any, payload: Any) -> Flow:
        found = "nothing"
        try:
            yield invoke(ctx, "broken", "caught")
        except StepFailedError as failed:
            found = failed.reason.partition(" (")[0]
        yield ctx.sleep(0.1)
        return found

    called = targets(world)
    serve(world, "uncaught", uncaught)
    serve(world, "caught", caught)
    fails(world, "uncaught", "no luck")
    assert results(world, "caught") == ["ValueError: no luck"] * 2
    assert called == ["uncaught"] * 2 + ["caught"] * 2


def case_functions_are_invoked_among_other_calls(world: World) -> None:
    """After a step and before one, one after the other, in a child, and once in spite of replays."""

    def child(ctx: Any, payload: str) -> Flow:
        return (yield invoke(ctx, "echo", payload, name="inner"))

    def flow(ctx: Any, payload: str) -> Flow:
        greeting = yield ctx.step("/greet", payload)
        first = yield invoke(ctx, "echo", greeting)
        second = yield invoke(ctx, "echo", f"{first}!")
        last = yield ctx.step("/greet", second)
        [inner] = yield ctx.gather(branch(ctx, child(ctx, "branch")), name="child")
        yield ctx.sleep(0.1)
        return [last, inner, (yield ctx.step("child", "child"))]

    called = targets(world)
    serve(world, "child", child)
    serve(world, "flow", flow)
    assert results(world, "flow", "Ann") == [["Hello, Hello, Ann!!!", "branch", "child"]] * 2
    assert sorted(called) == sorted(["Hello, Ann!", "Hello, Ann!!", "branch", "child"] * 2)


def case_an_invocation_has_forms_of_its_own(world: World) -> None:
    """The payload's type says how it is written, and the type of the result how that is read."""

    def flow(ctx: Any, text: str) -> Flow:
        sent = yield invoke(ctx, "echo", Loud(data=text))
        return [sent, (yield invoke(ctx, "echo", text, result=Shouted))]

    called = targets(world)
    serve(world, "flow", flow)
    assert results(world, "flow", "hello") == [[{"data": "HELLO"}, "HELLO"]] * 2
    assert called.count({"data": "HELLO"}) == called.count("hello") == 2
