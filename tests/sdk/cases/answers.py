"""Steps that answer later, in `def` and in `async def`, and the program that answers in their place."""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from atomic.sdk import (
    AsyncClient,
    AsyncContext,
    AttemptOverError,
    Call,
    Client,
    Context,
    InvalidRequestError,
    NonRetryable,
    RefusedError,
    StepFailedError,
)
from sdk.cases.steps import FAST
from sdk.world import World


class Receipt(BaseModel):
    paid: int


class Desk:
    """A program beside the application: it gets tokens, and answers the calls."""

    def __init__(self, answer: Callable[[str, int], None]) -> None:
        self.errors: list[BaseException] = []
        self._answer = answer
        self._tokens: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._work, daemon=True).start()

    def take(self, token: str) -> None:
        """Take the token of a call."""
        self._tokens.put(token)

    def _work(self) -> None:
        number = 0
        while True:
            token = self._tokens.get()
            number += 1
            try:
                self._answer(token, number)
            except BaseException as error:
                self.errors.append(error)


def case_a_step_answers_later(world: World) -> None:
    desk = Desk(lambda token, _: world.client.answer(token, Receipt(paid=42)))

    def order(ctx: Context, amount: int) -> Any:
        return ctx.step("charge", amount, result=Receipt).paid + 1

    def charge(amount: int, call: Call) -> Receipt:
        desk.take(call.answer_token)
        return call.answer_later(within=60)

    world.workflow("/shop/order", order)
    world.step("/shop/charge", charge)
    outcome = world.start("/shop/order", 42)
    assert outcome.response == 43
    [step] = world.run_of(outcome).steps
    assert (step.attempts, step.response_status, desk.errors) == (1, 200, [])


def case_an_async_step_answers_later(world: World) -> None:
    def answer(token: str, _: int) -> None:
        async def post() -> None:
            async with AsyncClient(world.client.connection.url, client_id=world.client.client_id) as client:
                assert (await client.answer(token, "done")).response == "done"

        asyncio.run(post())

    desk = Desk(answer)

    async def order(ctx: AsyncContext, payload: Any) -> Any:
        return await ctx.step("charge", payload)

    async def charge(payload: Any, call: Call) -> Any:
        desk.take(call.answer_token)
        return call.answer_later(within=60)

    world.workflow("/order", order, variant="async")
    world.step("/charge", charge)
    assert world.start("/order").response == "done"
    assert desk.errors == []


def case_a_failure_that_comes_later_is_one_that_was_raised(world: World) -> None:
    def answer(token: str, number: int) -> None:
        error = ValueError("not yet") if number == 1 else NonRetryable("no such card")
        world.client.answer_failed(token, error)

    desk = Desk(answer)

    def order(ctx: Context, payload: Any) -> Any:
        try:
            return ctx.step("charge", payload, retry=FAST)
        except StepFailedError as failed:
            return [failed.reason, failed.last_error_kind, failed.attempts]

    def charge(payload: Any, call: Call) -> Any:
        desk.take(call.answer_token)
        return call.answer_later(within=60)

    world.workflow("/order", order)
    world.step("/charge", charge)
    outcome = world.start("/order")
    assert outcome.response == ["no such card", "forbade_retry", 2]
    [step] = world.run_of(outcome).steps
    assert step.attempt_log[0].error == "the endpoint answered 500: ValueError: not yet"
    assert desk.errors == []


def case_an_answer_that_comes_too_late_is_told(world: World) -> None:
    tokens: list[str] = []

    def order(ctx: Context, payload: Any) -> Any:
        return ctx.step("charge", payload, retry=FAST)

    def charge(payload: Any, call: Call) -> Any:
        tokens.append(call.answer_token)
        return call.answer_later(within=0.05) if call.attempt == 1 else "at once"

    world.workflow("/order", order)
    world.step("/charge", charge)
    outcome = world.start("/order")
    assert outcome.response == "at once"
    [step] = world.run_of(outcome).steps
    assert step.attempt_log[0].error_kind == "answer_overdue"
    _told(AttemptOverError, world.client, tokens[0])
    _told(RefusedError, world.client, tokens[0][:-1] + ("0" if tokens[0][-1] != "0" else "1"))
    _told(ValueError, world.client, "no token")
    no_exception: Any = "a text"
    with pytest.raises(InvalidRequestError, match="give the exception"):
        world.client.answer_failed(tokens[0], no_exception)


def _told(kind: type[Exception], client: Client, token: str) -> None:
    try:
        client.answer(token, 1)
    except kind:
        return
    raise AssertionError(kind)
