"""Many things at a time: side by side, and many steps some at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar, cast

T = TypeVar("T")

# As many as a commit of the embedded runtime takes. Their payloads are 64 MB at the very most.
AT_ONCE: Final = 250


async def side_by_side(*work: Awaitable[T]) -> list[T]:
    """What each of them returned, in their order. Raises the first error in that order.

    Unlike after `asyncio.gather`, nothing of it goes on after an error: the loop may be closed by then, or
    frozen, as Lambda does it. What the others have begun is finished first, so no write lacks what follows.
    """
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return cast("list[T]", results)


async def for_each(ids: Sequence[str], work: Callable[[str], Awaitable[object]]) -> None:
    """Do the work for each id, some hundred at a time. Raises what the first failure raised."""
    for start in range(0, len(ids), AT_ONCE):
        await side_by_side(*(work(each) for each in ids[start : start + AT_ONCE]))
