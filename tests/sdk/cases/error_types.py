"""Retries by the type of the exception that a step raises, which the server decides."""

from typing import Any

from atomic.sdk import AsyncContext, Context, InvalidRequestError, Retry, StepFailedError
from sdk.world import World

QUICK: dict[str, Any] = {"count": 5, "back_off": 0.02, "jitter": "none", "strategy": "fixed"}


class Declined(ValueError):
    """The card was declined."""


class Flaky:
    """A step that raises one error after the other, and then returns how often it was called."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = [*errors]
        self._calls = 0

    def __call__(self, payload: Any) -> int:
        self._calls += 1
        if self._errors:
            raise self._errors.pop(0)
        return self._calls


def case_types_of_exceptions_say_what_is_retried(world: World) -> None:
    policy = Retry(on=[TimeoutError, ConnectionError], never=[BrokenPipeError], **QUICK)

    def order(ctx: Context, payload: Any) -> Any:
        told: list[Any] = [ctx.step("flaky", 1, retry=policy)]
        for name in ("wrong", "broken"):
            try:
                ctx.step(name, 1, retry=policy)
            except StepFailedError as failed:
                told.append([failed.last_error_type, failed.attempts])
        return told

    world.workflow("/order", order)
    world.step("/flaky", Flaky(TimeoutError("slow"), ConnectionResetError("gone")))
    world.step("/wrong", Flaky(TimeoutError(), KeyError("x")))
    world.step("/broken", Flaky(BrokenPipeError()))
    outcome = world.start("/order")
    assert outcome.response == [3, ["KeyError", 2], ["BrokenPipeError", 1]]
    [first, *_] = sorted(world.run_of(outcome).steps, key=lambda step: step.created_at)
    assert (first.retry.on, first.retry.never) == ("TimeoutError,ConnectionError", "BrokenPipeError")
    assert [made.error_type for made in first.attempt_log] == ["TimeoutError", "ConnectionResetError", None]


def case_a_type_says_what_is_never_retried_in_async_code(world: World) -> None:
    async def order(ctx: AsyncContext, payload: Any) -> Any:
        try:
            await ctx.step("charge", 1, retry=Retry(never=ValueError, **QUICK))
        except StepFailedError as failed:
            return [failed.last_error_type, failed.attempts, failed.reason]

    world.workflow("/order", order, variant="async")
    world.step("/charge", Flaky(KeyError("once"), Declined("no money")))
    assert world.start("/order").response == ["Declined", 2, "Declined: no money"]


def case_statuses_and_other_types_are_told_apart(world: World) -> None:
    def order(ctx: Context, payload: Any) -> Any:
        told = []
        for wrong in ([], [TimeoutError, "500"], int, [BaseException], 5, lambda: None):
            try:
                ctx.step("charge", 1, retry=Retry(on=wrong))  # type: ignore[arg-type]
            except InvalidRequestError as refused:
                told.append("use a type of exception" in str(refused))
            else:
                told.append(None)
        return told

    world.workflow("/order", order)
    world.step("/charge", lambda payload: payload)
    assert world.start("/order").response == [True] * 6
