"""Many steps, some at a time: so they share commits and round trips, and leave room for others."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

# As many as a commit of the embedded runtime takes. Their payloads are 64 MB at the very most.
AT_ONCE: Final = 250


async def for_each(ids: Sequence[str], work: Callable[[str], Awaitable[object]]) -> None:
    """Do the work for each id, some hundred at a time. Raises what the first failure raised."""
    for start in range(0, len(ids), AT_ONCE):
        await asyncio.gather(*(work(each) for each in ids[start : start + AT_ONCE]))
