"""Functions are inspected when they are registered: each is either called correctly or refused then."""

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Annotated, Any, Optional

import pytest
from fastapi import Depends, Query
from pydantic import BaseModel, Field
from starlette.requests import Request
from typing_extensions import TypedDict

from atomic.sdk import AsyncContext, Call, Context, aws_lambda, fastapi
from atomic.sdk._endpoints.functions import signature_of
from sdk import future_annotations

BODY = {
    "idempotencyKey": "k",
    "payload": 3,
    "attempt": 1,
    "runId": "run_1",
    "stepId": "run_1-root",
    "workflowName": "w",
}


def called(function: Callable[..., Any], payload: Any = 3, *, workflow: bool = False) -> Any:
    """Serve and call the function; return its answer."""
    handler = (aws_lambda.workflow if workflow else aws_lambda.step)(function)
    event = {
        "rawPath": "/f",
        "requestContext": {"domainName": "app.example"},
        "headers": {},
        "body": json.dumps({**BODY, "payload": payload}),
    }
    answer = handler(event, None)
    body = json.loads(answer["body"])
    return body if answer["statusCode"] == 200 else (answer["statusCode"], body["detail"])


class Service:
    """Has methods of every kind, and is callable itself."""

    def __init__(self) -> None:
        self.more = 10

    def method(self, x: int) -> int:
        return x + self.more

    @classmethod
    def of_class(cls, x: int) -> int:
        return x + 1

    @staticmethod
    def static(x: int) -> int:
        return x + 2

    async def __call__(self, x: int, call: Call) -> list[int]:
        await asyncio.sleep(0)
        return [x, call.attempt]


def timed(function: Callable[..., Any]) -> Callable[..., Any]:
    """A typical decorator."""

    @functools.wraps(function)
    def inner(*args: Any, **named: Any) -> Any:
        return function(*args, **named)

    return inner


def blocking(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that makes an async function blocking."""

    @functools.wraps(function)
    def inner(*args: Any, **named: Any) -> Any:
        return asyncio.run(function(*args, **named))

    return inner


def positional(x: int, y: str = "d", call: Call | None = None, /) -> Any:
    return [x, y, call is not None]


def keyword(*, x: int, call: "Call") -> Any:
    return [x, call.attempt]


def optional_call(x: int, call: Optional[Call] = None) -> Any:  # noqa: UP045 - as older code has it
    return [x, call is not None]


def annotated_call(call: Annotated[Call, "hi"], x: Annotated[int, Field(gt=2)]) -> Any:
    return [x, call.attempt]


def rest(x: int, *more: int, **named: int) -> Any:
    return [x, more, named]


def payload_that_goes_by_a_context_s_name(context: int) -> Any:
    return context


def unannotated(call, x) -> Any:  # type: ignore[no-untyped-def]  # this is under test
    return [x, call.attempt]


def pair(one: int, other: int) -> list[int]:
    return [one, other]


def two(one: int, other: int) -> None: ...


def returning_awaitable(x: int) -> Awaitable[int]:
    return doubled(x)


async def doubled(x: int) -> int:
    await asyncio.sleep(0)
    return 2 * x


@pytest.mark.parametrize(
    ("function", "answer"),
    [
        (Service().method, 13),
        (Service.of_class, 4),
        (Service.static, 5),
        (Service(), [3, 1]),
        (positional, [3, "d", True]),
        (keyword, [3, 1]),
        (optional_call, [3, True]),
        (annotated_call, [3, 1]),
        (rest, [3, [], {}]),
        (payload_that_goes_by_a_context_s_name, 3),
        (unannotated, [3, 1]),
        (lambda: "none", "none"),
        (lambda x=5, y="d": [x, y], [3, "d"]),
        (functools.partial(optional_call, call=None), [3, False]),
        (functools.partial(functools.partial(two, 7), other=8), None),
        (functools.partial(pair, 7), [7, 3]),
        (functools.partial(doubled), 6),
        (timed(doubled), 6),
        (timed(timed(doubled)), 6),
        (blocking(doubled), 6),
        (functools.lru_cache(rest), [3, [], {}]),
        (returning_awaitable, 6),
        (future_annotations.step, [3, 1]),
    ],
)
def test_steps_as_people_write_them(function: Callable[..., Any], answer: Any) -> None:
    assert called(function) == answer


def test_constraints_of_an_annotation_count() -> None:
    assert called(annotated_call, 2) == (
        400,
        "The payload does not fit: payload: Input should be greater than 2.",
    )


def workflow(ctx: Context, x: int, call: Call) -> Any:
    return [x, type(ctx).__name__, type(call).__name__]


async def async_workflow(x: int, ctx: AsyncContext) -> Any:
    return [x, type(ctx).__name__]


@pytest.mark.parametrize(
    ("function", "answer"),
    [
        (workflow, [3, "Context", "Call"]),
        (async_workflow, [3, "AsyncContext"]),
        (timed(async_workflow), [3, "AsyncContext"]),
        (lambda ctx, x: [x, type(ctx).__name__], [3, "Context"]),
        (functools.partial(async_workflow), [3, "AsyncContext"]),
        (future_annotations.workflow, [3, "Context"]),
        (future_annotations.async_workflow, [3, "AsyncContext"]),
        (future_annotations.optional_workflow, [3, "Context"]),
    ],
)
def test_workflows_as_people_write_them(function: Callable[..., Any], answer: Any) -> None:
    assert called(function, workflow=True) == answer


class Old(TypedDict):
    a: int


class Alien:
    """A type that pydantic does not support."""


def many(*args: int) -> None: ...


def named_many(**named: int) -> None: ...


def unwrapped(*args: Any, **named: Any) -> None: ...


DEPENDS = Depends(dict)


def injected(x: int, db: Any = DEPENDS) -> None: ...


def injected_by_annotation(x: int, db: Annotated[Any, Depends(dict)] = None) -> None: ...


def injected_first(x: int = Query(0)) -> None: ...


def with_field(x: int = Field(gt=0)) -> None: ...


def of_the_framework(request: Request) -> None: ...


def alien(x: int) -> Alien: ...


def step_with_context(ctx: Context, x: int) -> None: ...


async def async_with_context(ctx: Context, x: int) -> None: ...


def plain_with_async_context(ctx: AsyncContext, x: int) -> None: ...


def yielding(x: int) -> Iterator[int]:
    yield x


async def yielding_later(x: int) -> AsyncIterator[int]:
    yield x


@pytest.mark.parametrize(
    ("function", "is_workflow", "words"),
    [
        (
            two,
            False,
            "two cannot be served: 'one' takes the payload; give 'other' a default, or take one model",
        ),
        (many, False, "name the parameter that takes the payload"),
        (named_many, False, "name the parameter that takes the payload"),
        (unwrapped, True, "use functools.wraps"),
        (injected, False, "FastAPI injects nothing into 'db'; get that inside"),
        (injected_by_annotation, False, "FastAPI injects nothing into 'db'"),
        (injected_first, False, "FastAPI injects nothing into 'x'"),
        (with_field, False, "write 'x' as Annotated[…, Field(…)], with a plain default"),
        (
            of_the_framework,
            False,
            "'request' is annotated as <class 'starlette.requests.Request'>, which has no",
        ),
        (alien, False, "'what it returns' is annotated as"),
        (step_with_context, False, "'ctx' is a Context, but a step in `def` gets a Call"),
        (async_with_context, True, "'ctx' is a Context, but a workflow in `async def` gets a AsyncContext"),
        (plain_with_async_context, True, "'ctx' is a AsyncContext, but a workflow in `def` gets a Context"),
        (yielding, False, "it yields; return a list instead"),
        (yielding_later, False, "it yields; return a list instead"),
        (future_annotations.of_nobody, False, "name 'Nobody' is not defined; define or import it above"),
        (future_annotations.returns_nobody, False, "outside of `if TYPE_CHECKING:`"),
        (max, False, "its signature cannot be read"),
    ],
)
def test_what_cannot_be_called_is_refused_when_it_is_served(
    function: Callable[..., Any], is_workflow: bool, words: str
) -> None:
    with pytest.raises(TypeError) as refused:
        signature_of(function, is_workflow=is_workflow)
    assert words in str(refused.value)
    with pytest.raises(TypeError, match="cannot be served"):
        (fastapi.workflow if is_workflow else fastapi.step)(function)
    served = aws_lambda.Endpoints()
    with pytest.raises(TypeError, match="cannot be served"):
        (served.workflow if is_workflow else served.step)(name="f")(function)


def test_types_may_name_what_is_defined_later() -> None:
    class Early(BaseModel):
        later: "Later | None" = None

    def take(early: Early) -> Any:
        return early.later and early.later.x

    handler = aws_lambda.step(take)
    assert handler

    class Later(BaseModel):
        x: int

    Early.model_rebuild()
    assert called(take, {"later": {"x": 4}}) == 4


def test_a_partial_goes_by_the_name_it_is_given() -> None:
    served = aws_lambda.Endpoints()
    part = functools.partial(optional_call, call=None)
    with pytest.raises(ValueError, match=r"give .* a name="):
        served.step(part)
    assert served.step(name="part")(part) is part
    assert fastapi.step(part).__name__ == "view"
