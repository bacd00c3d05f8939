"""What `Endpoints` add to the decorators: functions that name their steps."""

from typing import Any

import pytest

from atomic.sdk import AsyncContext, Context, StepFailedError
from sdk.cases.steps import Order, Receipt, charge
from sdk.world import World

ORDER = {"item": "book", "bornOn": "2026-11-23"}


async def rate(order: Order) -> int:
    return len(order.item)


def place(ctx: Context, order: Order) -> Receipt:
    """What `charge` answers comes back as what it says it returns."""
    receipt = ctx.step(charge, order)
    assert isinstance(receipt, Receipt)
    [again] = ctx.parallel(ctx.call(charge, order, result=dict))
    assert again == {"paid": 42, "item": "book"}
    return receipt


def mounted_case_a_function_names_its_step(world: World) -> None:
    world.workflow("/orders/place", place)
    world.step("/orders/charge-card", charge)
    outcome = world.start("/orders/place", ORDER)
    assert outcome.response == {"paid": 42, "item": "book"}
    steps = world.run_of(outcome).steps
    assert {step.step_invoke_url for step in steps} == {world.url("/orders/charge-card")}
    assert len(steps) == 2


def mounted_case_a_function_names_a_workflow_inside_another(world: World) -> None:
    async def both(ctx: AsyncContext, order: Order) -> Any:
        receipt = await ctx.step(place, order)
        return [receipt.paid, await ctx.step(rate, order)]

    world.workflow("/both", both, colour="async")
    world.workflow("/place", place)
    world.step("/charge", charge)
    world.step("/rate", rate)
    assert world.start("/both", ORDER).response == [42, 4]


def mounted_case_a_function_of_another_place_is_named_by_its_url(world: World) -> None:
    def order(ctx: Context, payload: dict[str, Any]) -> Any:
        paid = ctx.step("/bank/charge", payload, result=Receipt).paid
        return [paid, ctx.step(charge, payload)]

    world.workflow("/shop/order", order)
    world.step("/bank/charge", charge)
    with pytest.raises(StepFailedError) as failed:
        world.start("/shop/order", ORDER)
    assert "is not served beside this workflow: give its URL" in failed.value.response["detail"]
