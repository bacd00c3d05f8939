"""Child contexts (3-1 to 3-18).

A child is a workflow that a workflow calls as a step. It has a record of its own: its outcome is kept, and
its code does not run again. Several calls in a branch are a child as well, which keeps only its steps: its
code runs again in a replay, so its result may be of any size (3-11).
"""

from typing import Any

from atomic.sdk import AsyncContext, Call, Context, Retry, StepFailedError
from sdk.durable.flows import VARIANTS, Flow, branch, ends, fails, noting, results, runs, serve, start
from sdk.durable.forms import Wrapped
from sdk.durable.steps import FAST, dying
from sdk.world import World


class DiedError(BaseException):
    """The process of a handler ends here, whatever its code catches."""


def as_branch(ctx: Any, flow: Flow, name: str) -> Flow:
    """Run a child as a branch of its own."""
    [result] = yield ctx.gather(branch(ctx, flow), name=name)
    return result


def case_a_child_has_the_result_of_its_steps(world: World) -> None:
    """One step, a name, two steps of which one needs the other, a child in a child, no result."""

    def inner(ctx: Any, text: str) -> Flow:
        return (yield ctx.step("/same", f"{text}3"))

    def child(ctx: Any, text: str) -> Flow:
        first = yield ctx.step("/same", f"{text}1")
        second = yield ctx.step("/same", f"{first}2")
        return (yield ctx.step("inner", second))

    def nothing(ctx: Any, payload: Any) -> Flow:
        yield from ()

    def flow(ctx: Any, text: str) -> Flow:
        one = yield ctx.step("child", text, name=f"child of {text}")
        other = yield from as_branch(ctx, child(ctx, text), "branch")
        none = yield from as_branch(ctx, nothing(ctx, None), "nothing")
        return [one, other, none, (yield ctx.step("nothing"))]

    served = {"flow": flow, "child": child, "inner": inner, "nothing": nothing}
    for name, each in served.items():
        serve(world, name, each, wait=5)
    world.step("/same", lambda text: text)
    started = start(world, "flow", "in")
    assert ends(world, started) == [["in123", "in123", None, None]] * 2
    for run in runs(world, started):
        [named] = [step for step in run.steps if step.step_name == "child of in"]
        assert [step.response for step in run.steps if step.parent == named.id] == ["in1", "in12", "in123"]


def mixed(ctx: Any, text: str) -> Flow:
    """A step, then a wait."""
    found = yield ctx.step("/note", text)
    yield ctx.sleep(0.15)
    return found


def waits(ctx: Any, text: str) -> Flow:
    """A wait alone."""
    yield ctx.sleep(0.15)
    return text


def case_a_child_goes_on_after_its_waits(world: World) -> None:
    """A step and a wait inside, a wait alone, both after the child, and a child without any call.

    What is done is not done again.
    """
    ran: list[str] = []
    note = noting(ran)

    def plain(ctx: Any, text: str) -> Flow:
        yield from ()
        return note(text)

    def steps(ctx: Any, text: str) -> Flow:
        inside = yield ctx.step("mixed", "inside a step")
        awake, same = (yield ctx.step("waits", text)), (yield ctx.step("plain", "step"))
        after = yield ctx.step("/note", "after steps")
        yield ctx.sleep(0.15)
        return [inside, awake, same, after]

    def branches(ctx: Any, text: str) -> Flow:
        inside = yield from as_branch(ctx, mixed(ctx, "inside a branch"), "mixed")
        awake = yield from as_branch(ctx, waits(ctx, text), "waits")
        same = yield ctx.run("plain", lambda: note("value"))
        after = yield ctx.step("/note", "after branches")
        yield ctx.sleep(0.15)
        return [inside, awake, same, after]

    served = {"steps": steps, "branches": branches, "mixed": mixed, "waits": waits, "plain": plain}
    for name, each in served.items():
        serve(world, name, each)
    world.step("/note", note)
    started, others = start(world, "steps", "in"), start(world, "branches", "in")
    assert ends(world, started) == [["inside a step", "in", "step", "after steps"]] * 2
    assert ends(world, others) == [["inside a branch", "in", "value", "after branches"]] * 2
    once = ["inside a step", "step", "after steps", "inside a branch", "value", "after branches"]
    assert sorted(ran) == sorted(2 * once)
    assert all(run.root.attempts > 1 for run in runs(world, [*started, *others]))


def failing(ctx: Any, given: str) -> Flow:
    """A child that fails by its own code, by a step without retries, or by one with three."""
    if given == "own":
        raise RuntimeError("no step at all")
    yield ctx.step("/fail", given, retry=0 if given == "never" else FAST)


def failing_step(ctx: Any, given: str) -> Flow:
    """A workflow that such a child fails."""
    yield ctx.step("failing", given, retry=0)


def failing_branch(ctx: Any, given: str) -> Flow:
    """The same, where the child is a branch."""
    yield from as_branch(ctx, failing(ctx, given), "branch")


def reason_of(ctx: Any, given: str) -> Flow:
    """Why a child fails, which is caught."""
    try:
        yield from failing_step(ctx, given)
    except StepFailedError as failed:
        return failed.reason.partition(" (")[0]


def case_a_child_fails_with_its_step(world: World) -> None:
    """At once, when no retry is left, by an error of its own; and each of these is caught."""
    called: list[str] = []

    def fail(given: str) -> None:
        called.append(given)
        raise ValueError("no luck")

    def caught(ctx: Any, payload: Any) -> Flow:
        never = yield from reason_of(ctx, "never")
        own = yield from reason_of(ctx, "own")
        always = yield from reason_of(ctx, "always")
        try:
            in_branch = yield from failing_branch(ctx, "never")
        except StepFailedError as failed:
            in_branch = failed.reason
        return [never, own, always, in_branch, (yield ctx.step("/recover", "recovered"))]

    served = {"failing": failing, "step": failing_step, "in-branch": failing_branch, "caught": caught}
    for name, each in served.items():
        serve(world, name, each, wait=2)
    world.step("/fail", fail)
    world.step("/recover", lambda text: text)
    for given, why in (("never", "no luck"), ("own", "no step at all"), ("always", "no luck")):
        for name in ("step", "in-branch"):
            fails(world, name, why, given, key=f"{name}/{given}")
    assert sorted(called) == ["always"] * 16 + ["never"] * 4
    no_luck = "ValueError: no luck"
    told = [no_luck, "RuntimeError: no step at all", no_luck, no_luck, "recovered"]
    assert results(world, "caught") == [told] * 2


def case_a_child_retries_its_step(world: World) -> None:
    """The step of a child fails once and succeeds then."""

    def child(ctx: Any, text: str) -> Flow:
        return (yield ctx.step("/second", text, retry=FAST))

    def flow(ctx: Any, text: str) -> Flow:
        one = yield ctx.step("child", text)
        return [one, (yield from as_branch(ctx, child(ctx, text), "branch"))]

    def second(text: str, call: Call) -> str:
        if call.attempt == 1:
            raise ConnectionError("not yet")
        return text

    serve(world, "flow", flow)
    serve(world, "child", child)
    world.step("/second", second)
    started = start(world, "flow", "in")
    assert ends(world, started) == [["in", "in"]] * 2
    for run in runs(world, started):
        tried = [step.attempts for step in run.steps if (step.step_invoke_url or "").endswith("/second")]
        assert tried == [2, 2]


def case_a_child_has_a_result_of_any_size(world: World) -> None:
    """A branch makes a large result of a small one; a replay makes it again, and no step runs again."""
    built: list[str] = []

    def child(ctx: Any, letter: str) -> Flow:
        small = yield ctx.step("/same", letter)
        built.append(small)
        return small * 300_000

    def flow(ctx: Any, letter: str) -> Flow:
        large = yield from as_branch(ctx, child(ctx, letter), "large")
        yield ctx.sleep(0.2)
        return len(large)

    called: list[str] = []
    world.step("/same", noting(called))
    serve(world, "flow", flow)
    assert results(world, "flow", "a") == [300_000] * 2
    assert (called, len(built) >= 4) == (["a", "a"], True)


def case_a_child_goes_on_where_its_process_died(world: World) -> None:
    """The process of its step dies, then its own; what is done is not done again."""
    died: list[str] = []

    def child(ctx: Any, url: str) -> Flow:
        found = yield ctx.step(url, "in", retry=FAST)
        if ctx.attempt == 1:
            died.append(url)
            raise DiedError
        return found

    def flow(ctx: Any, url: str) -> Flow:
        return (yield ctx.step("child", url, retry=Retry(count=1, back_off=0.02)))

    serve(world, "flow", flow)
    serve(world, "child", child, wait=5)
    with dying() as (url, called):
        for variant in VARIANTS:
            assert world.start(f"/{variant}/flow", url, key=variant).response == "alive"
        assert (len(called), len(died)) == (4, 2)


def case_a_child_has_a_form_of_its_own(world: World) -> None:
    """The type of a child says how its result is written, and how a replay reads it."""

    def flow(ctx: Any, text: str) -> Flow:
        whole = yield ctx.step("child", text, result=Wrapped)
        yield ctx.sleep(0.05)
        return whole

    def blocking(ctx: Context, text: str) -> Wrapped:
        return str(ctx.step("/capital", text))

    async def asynchronous(ctx: AsyncContext, text: str) -> Wrapped:
        return str(await ctx.step("/capital", text))

    serve(world, "flow", flow, wait=0.03)
    world.workflow("/def/child", blocking)
    world.workflow("/async/child", asynchronous, variant="async")
    world.step("/capital", str.upper)
    started = start(world, "flow", "hello child")
    assert ends(world, started) == ["HELLO CHILD"] * 2
    for run in runs(world, started):
        assert run.steps[0].response == {"wrapped": "HELLO CHILD"}
