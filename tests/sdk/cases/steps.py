"""Steps in sequence and in parallel, in `def` and in `async def` handlers."""

import asyncio
from datetime import date
from typing import Any

from pydantic import BaseModel, Field

from atomic.sdk import AsyncContext, Call, Context, Retry
from sdk.world import World

FAST = Retry(count=5, back_off=0.02, jitter="none", strategy="fixed")


class Order(BaseModel):
    item: str
    born: date = Field(alias="bornOn")


class Receipt(BaseModel):
    paid: int
    item: str


def charge(order: Order) -> Receipt:
    return Receipt(paid=42, item=order.item)


def case_a_workflow_in_plain_code(world: World) -> None:
    def order(ctx: Context, payload: dict[str, Any]) -> Any:
        paid = ctx.step("charge", payload)
        return {"paid": paid, "parcel": ctx.step("ship", paid)}

    world.workflow("/shop/order", order)
    world.step("/shop/charge", lambda payload: payload["amount"])
    world.step("/shop/ship", lambda payload: f"parcel for {payload}")
    outcome = world.start("/shop/order", {"amount": 42})
    assert outcome.response == {"paid": 42, "parcel": "parcel for 42"}
    run = world.run_of(outcome)
    assert [step.parent for step in run.steps] == [run.root.id] * 2
    assert {step.idempotency_key for step in run.steps} == {"key-1"}


def case_a_workflow_in_async_code(world: World) -> None:
    async def order(ctx: AsyncContext, payload: dict[str, Any]) -> Any:
        paid = await ctx.step("charge", payload)
        return await ctx.step("/shop/ship", paid)

    async def ship(payload: int) -> str:
        await asyncio.sleep(0)
        return f"parcel for {payload}"

    world.workflow("/shop/order", order, variant="async")
    world.step("/shop/charge", lambda payload: payload["amount"])
    world.step("/shop/ship", ship)
    assert world.start("/shop/order", {"amount": 7}).response == "parcel for 7"


def case_models_go_in_and_come_out(world: World) -> None:
    def order(payload: Order, ctx: Context) -> Receipt:
        return ctx.step("charge", payload, result=Receipt)

    world.workflow("/order", order)
    world.step("/charge", charge)
    outcome = world.start("/order", {"item": "book", "bornOn": "2026-11-23"})
    assert outcome.response == {"paid": 42, "item": "book"}


def case_parallel_steps_in_async_code(world: World) -> None:
    async def fan_out(ctx: AsyncContext, items: list[int]) -> Any:
        return await asyncio.gather(*[ctx.step("square", item) for item in items])

    world.workflow("/fan-out", fan_out, variant="async")
    world.step("/square", lambda payload: payload * payload)
    outcome = world.start("/fan-out", list(range(12)))
    assert outcome.response == [n * n for n in range(12)]
    assert len({step.idempotency_key for step in world.run_of(outcome).steps}) == 12


def case_parallel_steps_in_plain_code(world: World) -> None:
    def fan_out(ctx: Context, items: list[int]) -> list[int]:
        return ctx.gather(*[ctx.call("square", item, result=int) for item in items])

    world.workflow("/fan-out", fan_out)
    world.step("/square", lambda payload: payload * payload)
    assert world.start("/fan-out", list(range(12))).response == [n * n for n in range(12)]


def case_a_loop_calls_a_step_of_its_own_each_time(world: World) -> None:
    seen: list[str] = []

    def add(payload: int, call: Call) -> int:
        seen.append(call.idempotency_key)
        return payload + 1

    def loop(ctx: Context) -> int:
        number = 0
        for _ in range(3):
            number = ctx.step("add", number, result=int)
        return number

    world.workflow("/loop", loop)
    world.step("/add", add)
    assert world.start("/loop").response == 3
    assert len(seen) == len(set(seen)) == 3
    assert seen[0] == "key-1"
    assert seen[1].startswith("key-1#2-")


def case_a_failing_step_is_retried(world: World) -> None:
    attempts: list[int] = []

    def flaky(payload: Any, call: Call) -> str:
        attempts.append(call.attempt)
        if call.attempt < 4:
            raise RuntimeError("not yet")
        return "at last"

    def order(ctx: Context) -> Any:
        return ctx.step("flaky", retry=FAST)

    world.workflow("/order", order)
    world.step("/flaky", flaky)
    outcome = world.start("/order")
    assert (outcome.response, attempts) == ("at last", [1, 2, 3, 4])
    [step] = world.run_of(outcome).steps
    assert step.attempt_log[0].error == "the endpoint answered 500: RuntimeError: not yet"


def case_the_context_tells_who_calls(world: World) -> None:
    def order(ctx: Context) -> Any:
        return [ctx.run_id, ctx.step_id, ctx.attempt, ctx.idempotency_key, ctx.workflow_name]

    world.workflow("/order", order)
    outcome = world.start("/order", key="mine")
    assert outcome.response == [outcome.run_id, outcome.id, 1, "mine", "case"]


def case_one_parameter_takes_the_payload(world: World) -> None:
    def pay(amount: int, call: Call, currency: str = "EUR") -> str:
        return f"{amount} {currency} by {call.idempotency_key}"

    world.step("/pay", pay)
    assert world.start("/pay", 42).response == "42 EUR by key-1"
