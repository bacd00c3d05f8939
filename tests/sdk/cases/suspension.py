"""Workflows that last longer than each of their calls."""

import asyncio
from typing import Any

from atomic.sdk import AsyncContext, Call, Context, EventRejectedError, Retry
from sdk.world import World

SLOW = Retry(count=20, back_off=0.15, jitter="none", strategy="fixed")


def not_before(attempt: int) -> Any:
    def step(payload: Any, call: Call) -> Any:
        if call.attempt < attempt:
            raise RuntimeError("not yet")
        return payload

    return step


def case_a_handler_suspends_until_its_step_is_done(world: World) -> None:
    ended: list[str] = []

    def order(ctx: Context) -> Any:
        try:
            return ctx.step("slow", "done", retry=SLOW)
        except Exception:
            return "swallowed"
        finally:
            ended.append("ended")

    world.workflow("/order", order, wait=0.1)
    world.step("/slow", not_before(5))
    outcome = world.start("/order")
    assert (outcome.response, outcome.attempts, len(ended)) == ("done", 2, 2)
    log = world.run_of(outcome).root.attempt_log
    assert [attempt.outcome for attempt in log] == ["suspended", "succeeded"]


def case_what_follows_a_suspension_has_no_effect(world: World) -> None:
    effects: list[str] = []

    def order(ctx: Context) -> Any:
        paid = "nothing"
        try:
            paid = ctx.step("pay", "paid", retry=SLOW)
        except:  # noqa: E722 - a handler that swallows what unwinds it
            paid = ctx.step("note", "swallowed")
        finally:
            ctx.step("note", "released")
        return paid

    def note(payload: str) -> str:
        effects.append(payload)
        return payload

    world.workflow("/order", order, wait=0.1)
    world.step("/pay", not_before(5))
    world.step("/note", note)
    outcome = world.start("/order")
    assert (outcome.response, effects) == ("paid", ["released"])


def case_a_suspension_is_no_exception_of_a_task(world: World) -> None:
    async def order(ctx: AsyncContext) -> Any:
        calls = [ctx.step("slow", number, retry=SLOW) for number in range(3)]
        try:
            return await asyncio.gather(*calls, return_exceptions=True)
        finally:
            await ctx.step("note")

    noted: list[int] = []
    world.workflow("/order", order, variant="async", wait=0.1)
    world.step("/slow", not_before(3))
    world.step("/note", lambda: noted.append(1))
    assert (world.start("/order").response, noted) == ([0, 1, 2], [1])


def case_async_handlers_suspend_on_all_that_they_wait_for(world: World) -> None:
    async def one(ctx: AsyncContext, number: int) -> Any:
        first = await ctx.step("first", number, retry=SLOW)
        return await ctx.step("second", first, retry=SLOW)

    async def order(ctx: AsyncContext) -> Any:
        return await asyncio.gather(*[one(ctx, number) for number in range(4)])

    def first(payload: int, call: Call) -> int:
        # The first branch ends last, so that in each replay the second steps are called in another order.
        if call.attempt < 5 - payload:
            raise RuntimeError("not yet")
        return payload * 10

    world.workflow("/order", order, variant="async", wait=0.1)
    world.step("/first", first)
    world.step("/second", not_before(2))
    outcome = world.start("/order")
    assert outcome.response == [0, 10, 20, 30]
    assert len(world.run_of(outcome).steps) == 8


def case_a_task_group_suspends_as_well(world: World) -> None:
    async def order(ctx: AsyncContext) -> Any:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ctx.step("slow", number, retry=SLOW)) for number in range(3)]
        return [task.result() for task in tasks]

    world.workflow("/order", order, variant="async", wait=0.1)
    world.step("/slow", not_before(3))
    assert world.start("/order").response == [0, 1, 2]


def case_parallel_plain_code_suspends(world: World) -> None:
    def order(ctx: Context) -> Any:
        return ctx.gather(*[ctx.call("slow", number, retry=SLOW) for number in range(3)])

    world.workflow("/order", order, wait=0.1)
    world.step("/slow", not_before(3))
    outcome = world.start("/order")
    assert outcome.response == [0, 1, 2]
    assert outcome.attempts >= 2


def case_a_workflow_sleeps_and_waits_for_people(world: World) -> None:
    def approval(ctx: Context) -> Any:
        ctx.sleep(0.05)
        ctx.step("ask", ctx.open_event("approval"))
        return ctx.event("approval", result=bool)

    def ask(payload: str) -> None:
        world.client.complete(payload, True)

    world.workflow("/approval", approval, wait=2)
    world.step("/ask", ask)
    assert world.start("/approval").response is True


def case_a_workflow_is_told_its_events_by_name(world: World) -> None:
    def order(ctx: Context) -> Any:
        paid = ctx.event("paid", result=int)
        replies = [ctx.event("reply", deadline=30) for _ in range(2)]
        try:
            ctx.event("approval")
        except EventRejectedError as error:
            replies.append(error.reason)
        return [paid, *replies, ctx.event("never", deadline=0.05, default="nobody")]

    world.workflow("/order", order, wait=0.2)
    world.client.signal("case", "key-1", "paid", 42)
    world.client.reject("case", "key-1", "approval", "too late")
    assert world.start("/order", timeout=0).status != "succeeded"
    for number in (2, 1):
        world.client.signal("case", "key-1", "reply", number, number=number)
    assert world.start("/order").response == [42, 1, 2, "too late", "nobody"]


def case_a_workflow_calls_a_workflow(world: World) -> None:
    def outer(ctx: Context) -> Any:
        return [ctx.step("inner", number) for number in range(2)]

    def inner(ctx: Context, payload: int) -> Any:
        return ctx.step("leaf", payload)

    world.workflow("/outer", outer)
    world.workflow("/inner", inner)
    world.step("/leaf", lambda payload: payload + 1)
    outcome = world.start("/outer")
    assert outcome.response == [1, 2]
    run = world.run_of(outcome)
    assert len(run.steps) == 4
    inner_ids = {step.id for step in run.steps if step.parent == run.root.id}
    assert {step.parent for step in run.steps if step.parent != run.root.id} == inner_ids


def case_nested_workflows_share_no_step_no_sleep_and_no_event(world: World) -> None:
    """Parent and child each charge once, sleep once, and wait for one approval."""
    charged: list[str] = []

    def charge(payload: str, call: Call) -> str:
        charged.append(f"{payload} under {call.idempotency_key}")
        return payload

    def approve(payload: list[str]) -> None:
        world.client.complete(payload[0], payload[1])

    def both(ctx: Context, who: str) -> list[Any]:
        paid = ctx.step("charge", who)
        ctx.sleep(0.05)
        ctx.step("approve", [ctx.open_event("approval"), who])
        return [paid, ctx.event("approval")]

    def child(ctx: Context, payload: str) -> list[Any]:
        return both(ctx, payload)

    def parent(ctx: Context) -> list[Any]:
        return [*both(ctx, "parent"), *ctx.step("child", "child")]

    world.workflow("/parent", parent, wait=2)
    world.workflow("/child", child, wait=2)
    world.step("/charge", charge)
    world.step("/approve", approve)
    outcome = world.start("/parent")
    assert outcome.response == ["parent", "parent", "child", "child"]
    assert len(set(charged)) == len({line.rpartition(" ")[2] for line in charged}) == 2
    kinds = [step.kind for step in world.run_of(outcome).steps]
    assert (kinds.count("timer"), kinds.count("event")) == (2, 2)


def case_a_workflow_calls_itself(world: World) -> None:
    def countdown(ctx: Context, payload: int) -> list[int]:
        return [payload, *(ctx.step("countdown", payload - 1) if payload else [])]

    world.workflow("/countdown", countdown)
    assert world.start("/countdown", 3).response == [3, 2, 1, 0]
