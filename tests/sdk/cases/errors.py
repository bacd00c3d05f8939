"""What goes wrong, and what becomes of it."""

from typing import Any

import pytest

from atomic.sdk import AsyncContext, Call, Context, NonRetryable, RetryAfter, StepFailedError
from sdk.cases.steps import FAST, Order
from sdk.world import World


def refuse(payload: Any) -> None:
    raise NonRetryable("the card is stolen")


def case_a_step_that_gave_up_ends_the_workflow(world: World) -> None:
    calls: list[int] = []

    def order(ctx: Context) -> Any:
        calls.append(ctx.attempt)
        return ctx.step("refuse")

    world.workflow("/order", order)
    world.step("/refuse", refuse)
    with pytest.raises(StepFailedError) as failed:
        world.start("/order", retry=5)
    assert calls == [1]
    assert failed.value.response["lastStatus"] == 500
    assert failed.value.response["response"]["detail"] == "the card is stolen"


def case_a_step_that_gave_up_can_be_compensated(world: World) -> None:
    async def order(ctx: AsyncContext) -> Any:
        room = await ctx.step("reserve")
        try:
            return await ctx.step("refuse")
        except StepFailedError as error:
            return {"released": await ctx.step("release", room), "because": error.response["detail"]}

    world.workflow("/order", order, colour="async")
    world.step("/reserve", lambda: "room 7")
    world.step("/release", lambda payload: payload)
    world.step("/refuse", refuse)
    assert world.start("/order").response == {"released": "room 7", "because": "the card is stolen"}


def case_retry_after_is_honoured(world: World) -> None:
    def later(payload: Any, call: Call) -> str:
        if call.attempt == 1:
            raise RetryAfter(1, "the quota is used up")
        return "done"

    world.step("/later", later)
    outcome = world.start("/later", retry=FAST)
    assert (outcome.response, outcome.attempts) == ("done", 2)
    log = world.client.step(outcome.id).attempt_log
    assert log[0].status == 503
    assert log[0].ended_at is not None
    assert log[1].started_at > log[0].ended_at


def case_a_payload_that_does_not_fit_is_refused_for_good(world: World) -> None:
    def take(order: Order) -> str:
        return order.item

    world.step("/take", take)
    with pytest.raises(StepFailedError) as failed:
        world.start("/take", {"item": 3}, retry=5)
    assert failed.value.attempts == 1
    assert "bornOn: Field required" in failed.value.response["detail"]


def case_a_crash_of_the_handler_is_told(world: World) -> None:
    def crash(payload: Any) -> None:
        raise ValueError("no such user")

    world.step("/crash", crash)
    with pytest.raises(StepFailedError) as failed:
        world.start("/crash", retry=1)
    assert failed.value.response["detail"] == "ValueError: no such user"


def case_other_payloads_in_a_replay_are_found(world: World) -> None:
    """A workflow that asks chance between its steps cannot be replayed; the second call must say so."""

    def order(ctx: Context) -> Any:
        ctx.step("echo", ctx.attempt)
        if ctx.attempt == 1:
            raise RuntimeError("crash after the first step")

    world.workflow("/order", order)
    world.step("/echo", lambda payload: payload)
    with pytest.raises(StepFailedError) as failed:
        world.start("/order", retry=FAST)
    assert failed.value.attempts == 2
    assert "the same payloads each time" in failed.value.response["detail"]


def case_somebody_else_s_call_is_refused(world: World) -> None:
    world.step("/echo", lambda payload: payload)
    answer = world.post("/echo", b'{"userName": "ada"}')
    assert (answer.status_code, answer.headers["Atomic-No-Retry"]) == (400, "true")
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert "start it through Atomic" in answer.json()["detail"]
