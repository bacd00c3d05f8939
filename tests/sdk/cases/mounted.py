"""What `Endpoints` adds to the decorators: steps can be called by their function instead of a URL."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict

from atomic.sdk import AsyncContext, Context, SerializationError, StepFailedError
from sdk.cases.steps import Order, Receipt, charge
from sdk.world import World

ORDER = {"item": "book", "bornOn": "2026-11-23"}


async def rate(order: Order) -> int:
    return len(order.item)


def position(ctx: Context, order: Order) -> Receipt:
    """A result of `charge` has the type of its annotation."""
    receipt = ctx.step(charge, order)
    assert isinstance(receipt, Receipt)
    [again] = ctx.gather(ctx.call(charge, order, result=dict))
    assert again == {"paid": 42, "item": "book"}
    return receipt


def mounted_case_a_function_names_its_step(world: World) -> None:
    world.workflow("/orders/place", position)
    world.step("/orders/charge-card", charge)
    outcome = world.start("/orders/place", ORDER)
    assert outcome.response == {"paid": 42, "item": "book"}
    steps = world.run_of(outcome).steps
    assert {step.step_invoke_url for step in steps} == {world.url("/orders/charge-card")}
    assert len(steps) == 2


def mounted_case_a_function_names_a_workflow_inside_another(world: World) -> None:
    async def both(ctx: AsyncContext, order: Order) -> Any:
        receipt = await ctx.step(position, order)
        return [receipt.paid, await ctx.step(rate, order)]

    world.workflow("/both", both, variant="async")
    world.workflow("/place", position)
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


class Refund(Order):
    reason: str = "broken"


def mounted_case_a_payload_that_would_not_arrive_is_refused_at_the_call(world: World) -> None:
    def refuses(ctx: Context, order: Order) -> list[str]:
        told = []
        for payload in (Refund(item="book", bornOn=order.born), {"item": "book"}, 7):
            with pytest.raises(SerializationError) as refused:
                ctx.step(charge, payload)
            told.append(refused.value.detail)
        with pytest.raises(SerializationError) as refused:
            ctx.step(nothing, 1)
        return [*told, refused.value.detail]

    world.workflow("/orders/refuses", refuses)
    world.step("/orders/charge", charge)
    world.step("/orders/nothing", nothing)
    outcome = world.start("/orders/refuses", ORDER)
    subclass, incomplete, number, surplus = outcome.response
    assert subclass.startswith(
        "The payload of step 'charge' would not arrive unchanged: Refund(item='book', born="
    )
    assert incomplete == "The payload of step 'charge' does not fit: bornOn: Field required."
    assert number.startswith("The payload of step 'charge' does not fit: payload: Input should be ")
    assert surplus == "Step 'nothing' takes no payload."
    assert world.run_of(outcome).steps == []


def nothing() -> None:
    """Takes no payload."""


class Ticket(BaseModel):
    model_config = ConfigDict(strict=True)
    id: UUID
    tags: frozenset[str]
    seats: tuple[int, ...]
    held: timedelta


def issue(number: int) -> Ticket:
    return Ticket(
        id=UUID(int=number),
        tags=frozenset("abcdefgh"),
        seats=(number, number + 1),
        held=timedelta(minutes=number),
    )


def stamp(ticket: Ticket) -> Ticket:
    return ticket


def mounted_case_what_is_declared_comes_back_as_it_was(world: World) -> None:
    def order(ctx: Context, number: int) -> bool:
        ticket = ctx.step(issue, number)
        return (
            ticket == issue(number) == ctx.step(stamp, ticket) == ctx.step("stamp", ticket, result=Ticket)
        )

    world.workflow("/orders/order", order)
    world.step("/orders/issue", issue)
    world.step("/orders/stamp", stamp)
    outcome = world.start("/orders/order", 3)
    assert outcome.response is True
    assert {tuple(step.response["tags"]) for step in world.run_of(outcome).steps} == {tuple("abcdefgh")}
