"""Concurrent work: several awaitables at once, and many steps in batches."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar, cast

T = TypeVar("T")

# As many as a commit of the embedded runtime takes.
AT_ONCE: Final = 250


async def side_by_side(*work: Awaitable[T]) -> list[T]:
    """Run the awaitables concurrently; their results, in order. Raises the first error in that order.

    Unlike `asyncio.gather`, this returns only after all of them have ended, also after an error. Otherwise
    the rest would run on a loop that is closed by then, or frozen as on Lambda, and a write could miss its
    effects.
    """
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return cast("list[T]", results)


async def for_each(some: Sequence[T], work: Callable[[T], Awaitable[object]]) -> None:
    """Do the work for each of them, some hundred at a time. Raises the first error."""
    for start in range(0, len(some), AT_ONCE):
        await side_by_side(*(work(each) for each in some[start : start + AT_ONCE]))
