"""A call for each of many items (9-1 to 9-20).

9-3: an item with its index is an item, too. 9-12: items have no records of their own, so there is no other
nesting. 9-19, 9-20: the result of a batch is not kept, since those of its items are; a value keeps it.
"""

from typing import Any

from atomic.sdk import Call
from sdk.durable.flows import Flow, branch, ends, fails, noting, results, runs, serve, start
from sdk.durable.forms import Joined, Wrapped
from sdk.durable.parallel import POLICIES, steps, summary
from sdk.world import World


def case_a_map_has_results_in_the_order_of_its_items(world: World) -> None:
    """One after the other, without a name, an item with its index, no item, side by side, large results.

    And a wait after them.
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

    called: list[str] = []
    world.step("/hello", noting(called, lambda name: f"Hello, {name}!"))
    world.step("/double", lambda number: 2 * number)
    world.step("/sum", lambda pair: sum(pair))
    world.step("/slow", slow)
    world.step("/large", lambda letter: letter * 70_000)
    serve(world, "flow", flow, wait=0.3)
    started = start(world, "flow")
    hello = ["Hello, World!", "Hello, Kiro!"]
    expected = [hello, [2, 4], [10, 21, 32], [], ["r0", "r1", "r2"], "all_completed", [70_000] * 4]
    assert ends(world, started) == [expected] * 2
    assert sorted(called) == ["Kiro", "Kiro", "World", "World"]
    for run in runs(world, started):
        assert [step.step_name for step in run.steps].count("map") == 2


def case_a_map_ends_by_its_policy(world: World) -> None:
    """All policies, each of them replayed after a wait."""
    taken = ("fail-fast", "enough", "tolerated", "exceeded", "share")

    def flow(ctx: Any, payload: Any) -> Flow:
        batches = []
        for items, policy, _ in (POLICIES[name] for name in taken):
            batches.append((yield ctx.map(items, "/good", retry=0, concurrency=1, **policy)))
        yield ctx.sleep(0.05)
        return [summary(batch) for batch in batches]

    called = steps(world)
    serve(world, "flow", flow, wait=0.03)
    assert results(world, "flow") == [[[*POLICIES[name][2]] for name in taken]] * 2
    given = [(POLICIES[name][0], POLICIES[name][2][3]) for name in taken]
    assert sorted(called) == sorted(
        2 * [item for items, rest in given for item in items[: len(items) - rest]]
    )


def case_a_map_raises_the_error_of_its_first_failure(world: World) -> None:
    """The results of a map with a failure fail the workflow."""

    def flow(ctx: Any, payload: Any) -> Flow:
        policy = {"concurrency": 1, "tolerated_failures": 0}
        return (yield ctx.map(["bad1", "b"], "/good", retry=0, **policy)).results()

    called = steps(world)
    serve(world, "flow", flow)
    fails(world, "flow", "no bad1")
    assert called == ["bad1"] * 2


def case_each_item_of_a_map_has_a_name(world: World) -> None:
    """A function names the call of each item."""

    def flow(ctx: Any, items: list[int]) -> Flow:
        name, key = (lambda item: f"item-{item}"), (lambda item: -item)
        batch = yield ctx.map(items, "/times10", name=name, key=key, concurrency=1)
        yield ctx.sleep(0.05)
        return [batch.results(), [item.name for item in batch]]

    world.step("/times10", lambda number: 10 * number)
    serve(world, "flow", flow, wait=0.03)
    started = start(world, "flow", [1, 2])
    assert ends(world, started) == [[[10, 20], ["item-1", "item-2"]]] * 2
    for run in runs(world, started):
        named = {step.step_name: step.payload for step in run.steps if step.kind == "http"}
        assert named == {"item-1": 1, "item-2": 2}


def case_a_map_goes_on_where_an_item_was_suspended(world: World) -> None:
    """An item of several calls is a branch. What is done is not done again when its wait is over."""

    def item(ctx: Any, text: str) -> Flow:
        if text != "r0":
            yield ctx.sleep(0.2)
        return (yield ctx.step("/give", text))

    def flow(ctx: Any, items: list[str]) -> Flow:
        calls = {text: branch(ctx, item(ctx, text)) for text in items}
        return (yield ctx.parallel(calls, concurrency=1)).results()

    called = steps(world)
    serve(world, "flow", flow, wait=0.03)
    assert results(world, "flow", ["r0", "r1"]) == [["r0", "r1"]] * 2
    assert sorted(called) == ["r0", "r0", "r1", "r1"]


def case_results_of_a_map_have_a_form_of_their_own(world: World) -> None:
    """Those of its items, and the one of the whole map, which a replay reads back."""

    def flow(ctx: Any, items: list[str]) -> Flow:
        batch = yield ctx.map(items, "/capital", result=Wrapped, concurrency=1)
        whole = yield ctx.run("whole", batch.results, returns=Joined)
        yield ctx.sleep(0.05)
        return whole

    def capital(text: str) -> Wrapped:
        return text.upper()

    world.step("/capital", capital)
    serve(world, "flow", flow, wait=0.03)
    started = start(world, "flow", ["x", "y"])
    assert ends(world, started) == [["X", "Y"]] * 2
    for run in runs(world, started):
        kept = [step.response for step in run.steps if step.kind != "timer"]
        assert kept == [{"wrapped": "X"}, {"wrapped": "Y"}, "joined:X,Y"]
