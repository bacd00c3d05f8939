"""Calls side by side under a policy, races and conditions, in both kinds of handlers."""

from typing import Any

import pytest

from atomic.sdk import AsyncContext, Call, ConditionNotMetError, Context, InvalidRequestError, Retry
from sdk.world import World

SLOW = Retry(count=20, back_off=0.15, jitter="none", strategy="fixed")


def served(world: World) -> None:
    """Serve steps: one that works at once, one that works at its third attempt, and one that fails."""

    def slow(payload: Any, call: Call) -> Any:
        if call.attempt < 3:
            raise RuntimeError("not yet")
        return payload

    world.step("/double", lambda payload: payload * 2)
    world.step("/slow", slow)
    world.step("/odd", odd)


def odd(payload: int) -> int:
    if payload % 2 == 0:
        raise ValueError(f"{payload} is even")
    return payload


def both(world: World, plain: Any, asynchronous: Any, wait: float = 5.0) -> list[Any]:
    """The responses of the same handler in `def` and in `async def`."""
    served(world)
    world.workflow("/plain", plain, wait=wait)
    world.workflow("/async", asynchronous, variant="async", wait=wait)
    return [world.start(path, key=path).response for path in ("/plain", "/async")]


def case_a_map_gives_each_item_its_outcome(world: World) -> None:
    def told(batch: Any) -> Any:
        return [[item.status for item in batch], [item.result for item in batch.succeeded], batch.ended_by]

    def plain(ctx: Context) -> Any:
        return [told(ctx.map([1, 2, 3], "odd", retry=0)), ctx.map(range(40), "double").results()]

    async def later(ctx: AsyncContext) -> Any:
        return [
            told(await ctx.map([1, 2, 3], "odd", retry=0)),
            (await ctx.map(range(40), "double")).results(),
        ]

    first, second = both(world, plain, later)
    assert first == second
    odds = [["succeeded", "failed", "succeeded"], [1, 3], "all_completed"]
    assert first == [odds, [2 * number for number in range(40)]]


def case_a_map_goes_on_where_its_handler_was_suspended(world: World) -> None:
    def plain(ctx: Context) -> Any:
        return ctx.map([1, 2, 3, 4, 5], "slow", retry=SLOW, concurrency=2).results()

    async def later(ctx: AsyncContext) -> Any:
        return (await ctx.map([1, 2, 3, 4, 5], "slow", retry=SLOW, concurrency=2)).results()

    assert both(world, plain, later, wait=0.1) == [[1, 2, 3, 4, 5]] * 2


def case_a_batch_ends_by_its_policy(world: World) -> None:
    def told(one: Any, two: Any) -> Any:
        return [one.ended_by, one.counts["not_started"], two.ended_by, len(two.failed)]

    def plain(ctx: Context) -> Any:
        one = ctx.map([1, 3, 5, 7, 9, 11], "odd", concurrency=1, min_successful=2)
        two = ctx.map([2, 4, 1, 6, 8], "odd", retry=0, concurrency=1, tolerated_failures=1)
        ctx.step("slow", 1, retry=SLOW)
        return told(one, two)

    async def later(ctx: AsyncContext) -> Any:
        one = await ctx.map([1, 3, 5, 7, 9, 11], "odd", concurrency=1, min_successful=2)
        two = await ctx.map([2, 4, 1, 6, 8], "odd", retry=0, concurrency=1, tolerated_failures=1)
        await ctx.step("slow", 1, retry=SLOW)
        return told(one, two)

    assert both(world, plain, later, wait=0.2) == [["min_successful", 4, "failures_exceeded", 2]] * 2


def case_branches_stand_side_by_side(world: World) -> None:
    def plain(ctx: Context) -> Any:
        def branch(number: int) -> Any:
            return ctx.step("slow", ctx.step("double", number), retry=SLOW)

        batch = ctx.parallel([lambda: branch(1), ctx.call("double", 5), lambda: branch(2)], concurrency=2)
        return [*batch.results(), *ctx.gather(lambda: branch(3), ctx.call("double", 6))]

    async def later(ctx: AsyncContext) -> Any:
        async def branch(number: int) -> Any:
            return await ctx.step("slow", await ctx.step("double", number), retry=SLOW)

        batch = await ctx.parallel([branch(1), ctx.step("double", 5), branch(2)], concurrency=2)
        return [*batch.results(), *await ctx.gather(branch(3), ctx.step("double", 6))]

    assert both(world, plain, later, wait=0.1) == [[2, 10, 4, 6, 12]] * 2


def case_branches_may_use_the_same_key(world: World) -> None:
    def plain(ctx: Context) -> Any:
        calls = [lambda number=number: ctx.step("double", number, key="same") for number in (1, 2, 3)]
        return [ctx.step("double", 0, key="same"), *ctx.parallel(calls).results(), *ctx.gather(*calls)]

    async def later(ctx: AsyncContext) -> Any:
        async def branch(number: int) -> Any:
            return await ctx.step("double", number, key="same")

        first = await ctx.step("double", 0, key="same")
        batch = await ctx.parallel([branch(number) for number in (1, 2, 3)])
        return [first, *batch.results(), *await ctx.gather(*(branch(number) for number in (1, 2, 3)))]

    assert both(world, plain, later) == [[0, 2, 4, 6, 2, 4, 6]] * 2


def case_a_race_has_one_winner(world: World) -> None:
    def plain(ctx: Context) -> Any:
        def slow() -> Any:
            ctx.sleep(3600)

        won = ctx.race({"event": lambda: ctx.event("never"), "fast": ctx.call("double", 2), "slow": slow})
        ctx.step("slow", 1, retry=SLOW)
        return won

    async def later(ctx: AsyncContext) -> Any:
        calls = {"event": ctx.event("never"), "fast": ctx.step("double", 2), "slow": ctx.sleep(3600)}
        won = await ctx.race(calls)
        await ctx.step("slow", 1, retry=SLOW)
        return won

    assert both(world, plain, later, wait=0.2) == [["fast", 4]] * 2


def case_a_condition_is_checked_until_it_is_met(world: World) -> None:
    def count(payload: int) -> list[Any]:
        return [payload >= 3, payload + 1]

    def plain(ctx: Context) -> Any:
        met = ctx.until("count", every=0.05, state=0)
        try:
            ctx.until(lambda: None, every=0.01, max_attempts=2)
        except ConditionNotMetError as error:
            return [met, error.attempts]

    async def later(ctx: AsyncContext) -> Any:
        met = await ctx.until("count", every=0.05, state=0)
        try:
            await ctx.until(lambda: None, every=0.01, max_attempts=2)
        except ConditionNotMetError as error:
            return [met, error.attempts]

    world.step("/count", count)
    assert both(world, plain, later) == [[4, 2]] * 2


def case_batches_and_their_branches_have_names(world: World) -> None:
    def plain(ctx: Context) -> Any:
        def pay() -> Any:
            return ctx.step("double", 1)

        trip = ctx.parallel({"flight": pay, "hotel": ctx.call("double", 2)}, min_successful=1, name="trip")
        won = ctx.race({"card": pay, "late": lambda: ctx.sleep(3600)}, name="payment")
        met = ctx.until(lambda: True, every=1, name="paid")
        return [[item.name for item in trip], won, ctx.gather(pay, name="again"), met]

    async def later(ctx: AsyncContext) -> Any:
        async def pay() -> Any:
            return await ctx.step("double", 1)

        calls = {"flight": pay(), "hotel": ctx.step("double", 2)}
        trip = await ctx.parallel(calls, min_successful=1, name="trip")
        won = await ctx.race({"card": pay(), "late": ctx.sleep(3600)}, name="payment")
        met = await ctx.until(lambda: True, every=1, name="paid")
        return [[item.name for item in trip], won, await ctx.gather(pay(), name="again"), met]

    assert both(world, plain, later) == [[["flight", "hotel"], ["card", 2], [2], True]] * 2
    for path in ("/plain", "/async"):
        steps = world.run_of(world.start(path, key=path)).steps
        shown = {(step.step_name or "").partition("double")[0] for step in steps}
        assert shown >= {"flight: ", "end of trip", "card: ", "end of payment", "paid", "again 0: "}


def case_bad_batches_are_refused_and_nothing_is_posted(world: World) -> None:
    calls: list[tuple[str, Any]] = [
        ("concurrency", lambda ctx: ctx.map([1], "double", concurrency=0)),
        ("min_successful", lambda ctx: ctx.map([1], "double", min_successful=2)),
        ("items 1 and 3", lambda ctx: ctx.map([3, 1, 2, 1], "double", key=int)),
        ("100000 at most", lambda ctx: ctx.map(range(100_001), "double")),
        ("concurrency", lambda ctx: ctx.parallel([], concurrency=0)),
        ("at least one call", lambda ctx: ctx.race({})),
        ("every", lambda ctx: ctx.until("double", 1, every=0)),
    ]

    def plain(ctx: Context) -> Any:
        for why, call in calls:
            with pytest.raises(InvalidRequestError, match=why):
                call(ctx)
        return ctx.map([], "double").ended_by

    async def later(ctx: AsyncContext) -> Any:
        for why, call in calls:
            with pytest.raises(InvalidRequestError, match=why):
                await call(ctx)
        return (await ctx.map([], "double")).ended_by

    assert both(world, plain, later) == ["all_completed"] * 2
    for path in ("/plain", "/async"):
        assert world.run_of(world.start(path, key=path)).steps == []
