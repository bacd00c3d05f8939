"""What AWS's suite for durable execution checks of conditions (6-1 to 6-13), parallel (8-1 to 8-22) and map
(9-1 to 9-20), by meaning. `durable` has steps and waits.

- 8-2, 9-2, 9-3: a branch or an item that calls no step is a value of the handler's own, so a map is given
  such items by a step; an item with its index is an item, too.
- 8-12, 9-12: branches and items have no records of their own, so there is no other nesting.
- 8-13, 8-22, 9-10: a percentage of failures is a number of them.

Left out: serializers (6-11, 8-15, 9-14, 9-19, 9-20). Left to a later issue: a name for each item of a map
(9-13). A result of a batch is stored nowhere, so it may be of any size (9-16); a result of a step may not.
"""

from collections.abc import Callable
from typing import Any

import pytest

from atomic.sdk import AsyncContext, Call, ConditionNotMetError, Context, StepFailedError
from sdk.cases.durable import VARIANTS, Flow, results, serve
from sdk.world import World

Works = Callable[[Any], list[Any]]


def steps(world: World) -> list[Any]:
    """Serve the steps of the cases; return the list of the payloads that they were called with."""
    called: list[Any] = []

    def give(payload: Any) -> Any:
        called.append(payload)
        return payload

    def fail(payload: Any) -> None:
        called.append(payload)
        raise ValueError(f"no {payload}")

    def good(payload: str) -> str:
        if payload.startswith("bad"):
            fail(payload)
        return str(give(payload))

    world.step("/give", give)
    world.step("/good", good)
    world.step("/hello", lambda name: f"Hello, {give(name)}!")
    return called


def parallel(
    world: World, name: str, plain: Works, later: Works, told: Callable[[Any], Any], **policy: Any
) -> None:
    """Serve a batch of calls in both variants. It responds with what is told of the batch after a wait."""
    policy = {"concurrency": 1, **policy}

    def blocking(ctx: Context) -> Any:
        batch = ctx.parallel(plain(ctx), **policy)
        ctx.sleep(0.05)
        return told(batch)

    async def asynchronous(ctx: AsyncContext) -> Any:
        batch = await ctx.parallel(later(ctx), **policy)
        await ctx.sleep(0.05)
        return told(batch)

    world.workflow(f"/def/{name}", blocking, wait=0.03)
    world.workflow(f"/async/{name}", asynchronous, variant="async", wait=0.03)


def summary(batch: Any) -> list[Any]:
    """Why a batch ended, and how many of its calls succeeded, failed and did not start."""
    counts = batch.counts
    return [batch.ended_by, counts["succeeded"], counts["failed"], counts["not_started"]]


def given(*payloads: str) -> tuple[Works, Works]:
    """The same calls of the step `good`, for both variants."""
    return (
        lambda ctx: [ctx.call("/good", payload, retry=0) for payload in payloads],
        lambda ctx: [ctx.step("/good", payload, retry=0) for payload in payloads],
    )


def fails(world: World, name: str, why: str) -> None:
    """Assert that both variants fail for this reason."""
    for variant in VARIANTS:
        with pytest.raises(StepFailedError, match=why):
            world.start(f"/{variant}/{name}", key=name + variant)


# Conditions


def case_conditions_are_met_by_their_state(world: World) -> None:
    """6-1 to 6-5, 6-9, 6-10, 6-12, 6-13: a threshold, at once, a name, a first state, equal pauses.

    And an object as the state, no result, a result that a step is given, one condition after another.
    """

    def upto(most: int) -> Callable[[int], list[Any]]:
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
        after = yield ctx.step("/give", 10 * counted)
        second = yield ctx.until(upto(4), state=(yield ctx.until(upto(2), state=0, every=0.02)), every=0.02)
        return [counted, at_once, later, done, nothing, after, second]

    steps(world)
    serve(world, "flow", flow, wait=0.01)
    expected = [3, 5, 8, {"status": "DONE", "attempts": 2}, None, 30, 4]
    assert results(world, "flow", 3) == [expected] * 2
    run = world.run_of(world.start("/def/flow", 3, key="flowdef"))
    named = [step for step in run.steps if step.step_name == "poll-status"]
    assert [step.kind for step in named].count("value") == 3
    pauses = [step.delay for step in named if step.kind == "timer"]
    assert pauses == [20, 20]


def case_conditions_that_are_not_met_fail(world: World) -> None:
    """6-6 to 6-8: no attempt is left, the check fails, and the handler catches its failure."""

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


# Parallel


def case_branches_have_results_in_their_order(world: World) -> None:
    """8-1 to 8-5, 8-11, 8-12, 8-21: steps, branches without a step, names, types, no branch, concurrency.

    And a batch in a branch.
    """

    def plain(ctx: Context) -> Any:
        def inner() -> Any:
            return ctx.parallel([ctx.call("/give", "i1"), ctx.call("/give", "i2")], concurrency=1).results()

        calls = [
            ctx.call("/give", "task-1", name="first"),
            lambda: ctx.step("/give", "task-2"),
            lambda: "alpha",
            lambda: 42,
            lambda: {"k": "v"},
            inner,
        ]
        batches = [ctx.parallel(calls, concurrency=2), ctx.parallel([])]
        ctx.sleep(0.05)
        return [batch.results() for batch in batches]

    async def later(ctx: AsyncContext) -> Any:
        async def inner() -> Any:
            batch = await ctx.parallel([ctx.step("/give", "i1"), ctx.step("/give", "i2")], concurrency=1)
            return batch.results()

        async def branch() -> Any:
            return await ctx.step("/give", "task-2")

        async def same(value: Any) -> Any:
            return value

        values = [same("alpha"), same(42), same({"k": "v"})]
        calls = [ctx.step("/give", "task-1", name="first"), branch(), *values, inner()]
        batches = [await ctx.parallel(calls, concurrency=2), await ctx.parallel([])]
        await ctx.sleep(0.05)
        return [batch.results() for batch in batches]

    called = steps(world)
    world.workflow("/def/flow", plain, wait=0.03)
    world.workflow("/async/flow", later, variant="async", wait=0.03)
    expected = ["task-1", "task-2", "alpha", 42, {"k": "v"}, ["i1", "i2"]]
    assert results(world, "flow") == [[expected, []]] * 2
    assert sorted(called) == ["i1", "i1", "i2", "i2", "task-1", "task-1", "task-2", "task-2"]
    run = world.run_of(world.start("/def/flow", key="flowdef"))
    assert "first" in [step.step_name for step in run.steps]


def case_branches_end_by_their_policy(world: World) -> None:
    """8-6, 8-8 to 8-10, 8-13, 8-16 to 8-18, 8-20, 8-22: all policies, and what a batch tells.

    Each of the batches is replayed after a wait.
    """
    called = steps(world)
    policies: dict[str, tuple[list[str], dict[str, int], list[Any]]] = {
        "fail-fast": (["a", "bad1", "c"], {"tolerated_failures": 0}, ["failures_exceeded", 1, 1, 1]),
        "enough": (["a", "b", "c", "d"], {"min_successful": 2}, ["min_successful", 2, 0, 2]),
        "tolerated": (["a", "bad1", "c"], {"tolerated_failures": 1}, ["all_completed", 2, 1, 0]),
        "exceeded": (["bad1", "bad2", "c"], {"tolerated_failures": 1}, ["failures_exceeded", 0, 2, 1]),
        "percent": (
            ["bad1", "bad2", "c", "d"],
            {"tolerated_failures": 4 * 25 // 100},
            ["failures_exceeded", 0, 2, 2],
        ),
        "just": (
            ["bad1", "b", "c", "d"],
            {"tolerated_failures": 4 * 25 // 100},
            ["all_completed", 3, 1, 0],
        ),
        "failed": (["bad1", "bad2", "bad3"], {"tolerated_failures": 3}, ["all_completed", 0, 3, 0]),
        "never": (["a", "bad1", "c"], {"min_successful": 3}, ["all_completed", 2, 1, 0]),
        "both": (
            ["bad1", "bad2", "c", "d"],
            {"min_successful": 3, "tolerated_failures": 1},
            ["failures_exceeded", 0, 2, 2],
        ),
    }
    for name, (payloads, policy, _) in policies.items():
        parallel(world, name, *given(*payloads), summary, **policy)
    parallel(world, "told", *given("a", "bad1", "c"), told_of, tolerated_failures=1)
    for name, (payloads, _, expected) in policies.items():
        assert results(world, name) == [expected] * 2, name
        started = payloads[: len(payloads) - expected[3]]
        assert sorted(called) == sorted(2 * started), name
        called.clear()
    assert results(world, "told") == [[True, ["a", "c"], [1], ["ValueError: no bad1"]]] * 2


def told_of(batch: Any) -> list[Any]:
    """What its members tell of a batch."""
    return [
        bool(batch.failed),
        [item.result for item in batch.succeeded],
        [item.index for item in batch.failed],
        [item.error.reason for item in batch.failed],
    ]


def case_a_batch_raises_the_error_of_its_first_failure(world: World) -> None:
    """8-7, 8-19, 9-6: results of a batch with a failure, and a limit of no branch at all."""
    steps(world)
    parallel(world, "rethrown", *given("bad1", "b"), lambda batch: batch.results(), tolerated_failures=0)
    parallel(world, "refused", *given("a", "b"), summary, concurrency=0)

    def flow(ctx: Any, payload: Any) -> Flow:
        return (yield ctx.map(["bad1", "b"], "/good", retry=0, concurrency=1)).results()

    serve(world, "map", flow)
    fails(world, "rethrown", "no bad1")
    fails(world, "map", "no bad1")
    fails(world, "refused", "concurrency")


def case_a_branch_goes_on_where_it_was_suspended(world: World) -> None:
    """8-14, 9-15: what is done is not done again when a wait of another branch is over."""

    def plain(ctx: Context) -> Any:
        def waits() -> Any:
            ctx.sleep(0.2)
            return ctx.step("/give", "r1")

        return ctx.parallel([lambda: ctx.step("/give", "r0"), waits], concurrency=1).results()

    async def later(ctx: AsyncContext) -> Any:
        async def quick() -> Any:
            return await ctx.step("/give", "r0")

        async def waits() -> Any:
            await ctx.sleep(0.2)
            return await ctx.step("/give", "r1")

        return (await ctx.parallel([quick(), waits()], concurrency=1)).results()

    called = steps(world)
    world.workflow("/def/flow", plain, wait=0.03)
    world.workflow("/async/flow", later, variant="async", wait=0.03)
    assert results(world, "flow") == [["r0", "r1"]] * 2
    assert called == ["r0", "r1"] * 2


# Map


def case_a_map_has_results_in_the_order_of_its_items(world: World) -> None:
    """9-1 to 9-4, 9-11, 9-12, 9-16, 9-17: sequential, an item with its index, no item, concurrency.

    And large results, and a wait after the map.
    """

    def flow(ctx: Any, payload: Any) -> Flow:
        one = yield ctx.map(["World", "Kiro"], "/hello", concurrency=1, name="map")
        two = yield ctx.map([1, 2], "/double", concurrency=1)
        indexed = yield ctx.map(list(enumerate([10, 20, 30])), "/sum", concurrency=1)
        none = yield ctx.map([], "/hello")
        side_by_side = yield ctx.map(["r0", "r1", "r2"], "/slow", concurrency=2)
        large = yield ctx.map(["a", "b", "c", "d"], "/large", concurrency=1)
        yield ctx.sleep(0.05)
        found = [batch.results() for batch in (one, two, indexed, none, side_by_side)]
        return [*found, none.ended_by, [len(text) for text in large.results()]]

    def slow(payload: str, call: Call) -> str:
        if payload == "r0" and call.attempt == 1:
            raise RuntimeError("not yet")
        return payload

    called = steps(world)
    world.step("/double", lambda number: 2 * number)
    world.step("/sum", lambda pair: sum(pair))
    world.step("/slow", slow)
    world.step("/large", lambda letter: letter * 70_000)
    serve(world, "flow", flow, wait=0.3)
    hello = ["Hello, World!", "Hello, Kiro!"]
    expected = [hello, [2, 4], [10, 21, 32], [], ["r0", "r1", "r2"], "all_completed", [70_000] * 4]
    assert results(world, "flow") == [expected] * 2
    assert called == ["World", "Kiro"] * 2


def case_a_map_ends_by_its_policy(world: World) -> None:
    """9-5, 9-7 to 9-10, 9-18: all policies. Each of the batches is replayed after a wait."""

    def flow(ctx: Any, payload: Any) -> Flow:
        policies = [
            (["a", "bad1", "c"], {"tolerated_failures": 0}),
            (["a", "b", "c", "d"], {"min_successful": 2}),
            (["a", "bad1", "c"], {"tolerated_failures": 1}),
            (["bad1", "bad2", "c"], {"tolerated_failures": 1}),
            (["bad1", "bad2", "c", "d"], {"tolerated_failures": 4 * 25 // 100}),
        ]
        batches = []
        for items, policy in policies:
            batches.append((yield ctx.map(items, "/good", retry=0, concurrency=1, **policy)))
        yield ctx.sleep(0.05)
        return [summary(batch) for batch in batches]

    called = steps(world)
    serve(world, "flow", flow, wait=0.03)
    expected = [
        ["failures_exceeded", 1, 1, 1],
        ["min_successful", 2, 0, 2],
        ["all_completed", 2, 1, 0],
        ["failures_exceeded", 0, 2, 1],
        ["failures_exceeded", 0, 2, 2],
    ]
    assert results(world, "flow") == [expected] * 2
    assert called == ["a", "bad1", "a", "b", "a", "bad1", "c", "bad1", "bad2", "bad1", "bad2"] * 2
