"""Functions whose annotations are strings, some of them for type checkers only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    from atomic import sdk
    from atomic.sdk import AsyncContext, Call, Context

    Nobody = int


def step(x: int, call: Call) -> Any:
    return [x, call.attempt]


def workflow(ctx: Context, x: int) -> Any:
    return [x, type(ctx).__name__]


async def async_workflow(ctx: AsyncContext, x: int) -> Any:
    return [x, type(ctx).__name__]


def optional_workflow(x: int, ctx: Optional[sdk.Context] = None) -> Any:  # noqa: UP045 - as older code has it
    return [x, type(ctx).__name__]


def of_nobody(x: Nobody) -> None: ...


def returns_nobody(x: int) -> Nobody: ...  # type: ignore[empty-body]  # nobody calls it
