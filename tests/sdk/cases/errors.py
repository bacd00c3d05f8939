"""Failures of steps and handlers, and their effects."""

from datetime import timedelta
from typing import Any

import pytest

from atomic.sdk import AsyncContext, Call, Context, NonRetryable, RetryAfter, StepFailedError
from sdk.cases.signing import BODY
from sdk.cases.steps import FAST, Order
from sdk.world import World


def refuse(payload: Any) -> None:
    raise NonRetryable("the card is stolen")


def case_a_step_that_failed_ends_the_workflow(world: World) -> None:
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
    assert failed.value.reason.startswith("the card is stolen (step ")


def case_a_step_that_failed_can_be_compensated(world: World) -> None:
    async def order(ctx: AsyncContext) -> Any:
        room = await ctx.step("reserve")
        try:
            return await ctx.step("refuse")
        except StepFailedError as error:
            return {"released": await ctx.step("release", room), "because": error.response["detail"]}

    world.workflow("/order", order, variant="async")
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
    """A workflow with a random choice between its steps cannot be replayed; its second call must say so."""

    def order(ctx: Context) -> Any:
        ctx.step("echo", ctx.attempt)
        if ctx.attempt == 1:
            raise RuntimeError("crash after the first step")

    world.workflow("/order", order)
    world.step("/echo", lambda payload: payload)
    with pytest.raises(StepFailedError) as failed:
        world.start("/order", retry=FAST)
    assert failed.value.attempts == 2
    told = failed.value.response["detail"]
    url = world.url("/echo")
    assert told.startswith(f"{url} was posted before with another payload: payload was 1 and is 2 now.")
    assert "the same payloads in each replay" in told
    assert "give each call a `key=` where their order may change" in told


def case_somebody_else_s_call_is_refused(world: World) -> None:
    world.step("/echo", lambda payload: payload)
    answer = world.post("/echo", b'{"userName": "ada"}')
    assert (answer.status_code, answer.headers["Atomic-No-Retry"]) == (400, "true")
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert "start it through Atomic" in answer.json()["detail"]


def case_of_nested_workflows_the_innermost_cause_is_told_first(world: World) -> None:
    def level(below: str) -> Any:
        return lambda ctx: ctx.step(below)

    for number, below in enumerate(["refuse", "level-0", "level-1", "level-2"]):
        world.workflow(f"/level-{number}", level(below))
    world.step("/refuse", refuse)
    with pytest.raises(StepFailedError) as failed:
        world.start("/level-3")
    why = (
        f"the card is stolen (step {world.url('/refuse')} failed at attempt 1: "
        "the endpoint answered 500 and forbade a retry)"
    )
    assert failed.value.reason == why
    assert failed.value.last_error == f"the endpoint answered 500 and forbade a retry: {why}"[:256]
    assert failed.value.step == world.url("/level-3")
    assert failed.value.response["response"]["detail"] == "the card is stolen"


def case_a_step_that_nobody_answered_has_a_response_to_read(world: World) -> None:
    def order(ctx: Context) -> Any:
        try:
            ctx.step("http://127.0.0.1:9/pay", retry=0)
        except StepFailedError as error:
            return [error.response["detail"], error.reason, error.step, error.last_status]

    world.workflow("/order", order)
    detail, reason, step, status = world.start("/order").response
    assert detail == reason
    assert "cannot connect" in reason
    assert (step, status) == ("http://127.0.0.1:9/pay", None)


def case_an_answer_that_cannot_be_stored_ends_its_step_at_once(world: World) -> None:
    calls: list[str] = []

    async def later() -> None:
        """A coroutine that is never awaited."""

    async def forgetful(payload: Any) -> Any:
        calls.append("forgetful")
        return [later()]

    def answering(name: str, answer: Any) -> Any:
        def function(payload: Any) -> Any:
            calls.append(name)
            return answer

        function.__qualname__ = name
        return function

    answers: dict[str, tuple[Any, str]] = {
        "thing": (object(), "has no JSON form: it holds a value of type object"),
        "raw": ({"a": b"\xff"}, "bytes that are not UTF-8"),
        "big": ({"n": [2**64]}, "at ['n'][0]: an integer is beyond 64 bit"),
    }
    for name, (answer, _) in answers.items():
        world.step(f"/{name}", answering(name, answer))
    world.step("/forgetful", forgetful)
    for name, words in {
        **{name: words for name, (_, words) in answers.items()},
        "forgetful": "`await`",
    }.items():
        with pytest.raises(StepFailedError) as failed:
            world.start(f"/{name}", key=name, retry=5)
        assert failed.value.attempts == 1
        assert words in failed.value.reason
        assert f"The result of {name}" in failed.value.reason.replace(forgetful.__qualname__, "forgetful")
    assert sorted(calls) == ["big", "forgetful", "raw", "thing"]


def case_a_result_that_is_not_what_was_asked_for_ends_the_workflow(world: World) -> None:
    world.workflow("/order", lambda ctx: ctx.step("text", result=int))
    world.step("/text", lambda: "seven")
    with pytest.raises(StepFailedError) as failed:
        world.start("/order", retry=5)
    assert failed.value.attempts == 1
    assert failed.value.reason.startswith(
        "The result of step 'text' does not fit: payload: Input should be"
    )


def case_errors_of_any_kind_are_told(world: World) -> None:
    class Wordless(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    def raising(error: BaseException) -> Any:
        def function(payload: Any) -> None:
            raise error

        return function

    raised: dict[str, tuple[BaseException, int, str, str | None]] = {
        "wordless": (Wordless(), 500, "Wordless: (the error has no text)", None),
        "half": (NonRetryable("n\ud800"), 500, "n?", None),
        "silent": (NonRetryable(), 500, "The endpoint failed.", None),
        "later": (RetryAfter(timedelta(minutes=10), "later"), 503, "later", "600"),
        "soon": (RetryAfter(0.2), 503, "not yet", "1"),
        "passed": (RetryAfter(-5), 503, "not yet", "0"),
        "grouped": (ExceptionGroup("g", [ValueError("x"), NonRetryable("no")]), 500, "no", None),
    }
    for name, (error, *_) in raised.items():
        world.step(f"/{name}", raising(error))
    for name, (_, status, detail, retry_after) in raised.items():
        answer = world.post(f"/{name}", BODY)
        assert (answer.status_code, answer.json()["detail"]) == (status, detail)
        assert answer.headers.get("Retry-After") == retry_after
