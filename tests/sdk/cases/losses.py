"""What becomes of a step whose attempt was lost, as an option in both kinds of handlers."""

from typing import Any

from atomic.sdk import AsyncContext, Context, InvalidRequestError
from sdk.world import World


def case_a_step_says_what_becomes_of_the_lost(world: World) -> None:
    def order(ctx: Context, payload: Any) -> Any:
        return [ctx.step("charge", 1, on_lost="fail", retry=0), ctx.step("charge", 2)]

    world.workflow("/order", order)
    world.step("/charge", lambda payload: payload)
    outcome = world.start("/order", on_lost="fail")
    assert outcome.response == [1, 2]
    run = world.run_of(outcome)
    assert run.root.on_lost == "fail"
    assert {step.response: step.on_lost for step in run.steps} == {1: "fail", 2: "repeat"}


def case_an_async_step_says_what_becomes_of_the_lost(world: World) -> None:
    async def order(ctx: AsyncContext, payload: Any) -> Any:
        batch = await ctx.map([1, 2], "charge", on_lost="fail")
        return [*batch.results(), await ctx.step("charge", 3)]

    world.workflow("/order", order, variant="async")
    world.step("/charge", lambda payload: payload)
    outcome = world.start("/order")
    run = world.run_of(outcome)
    assert {step.response: step.on_lost for step in run.steps if step.kind == "http"} == {
        1: "fail",
        2: "fail",
        3: "repeat",
    }


def case_another_word_for_what_becomes_of_the_lost_is_refused(world: World) -> None:
    def order(ctx: Context, payload: Any) -> Any:
        try:
            ctx.step("charge", 1, on_lost="ignore")  # type: ignore[typeddict-item]
        except InvalidRequestError as refused:
            return refused.detail

    world.workflow("/order", order)
    assert "onLost" in world.start("/order").response
