"""Moves the pointer of a key from one run to another."""

from dataclasses import replace

from atomic.application.engine import Engine
from atomic.domain.pointers import Pointer


async def moved(engine: Engine, before: Pointer | None, after: Pointer) -> Pointer | None:
    """Write the pointer in place of the one before; None if somebody else has moved it meanwhile."""
    after = replace(after, version=1 if before is None else before.version + 1)
    try:
        existing = await engine.store.put_pointer(after)
    except LookupError:
        # The one before has expired just now.
        return None
    # When the answer to a write is lost, the store's SDK writes again and finds what it has written itself.
    return after if existing is None or existing == after else None
