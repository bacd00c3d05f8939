"""The outlines of steps, of the columns that a query for them reads."""

from collections.abc import Sequence
from typing import Any

import orjson

from atomic.domain.outlines import StepOutline
from atomic.domain.records import load_watches
from atomic.protocol.enums import Status


def outlines(rows: Sequence[tuple[Any, ...]]) -> list[StepOutline]:
    """The outline of each row."""
    return [
        StepOutline(
            step_id,
            parent,
            Status(status),
            finished_ms,
            attempts,
            bool(awaited),
            kind,
            due_at_ms,
            load_watches(orjson.loads(watches)) if watches else (),
            bool(line),
            retries,
        )
        for (
            step_id,
            parent,
            status,
            finished_ms,
            attempts,
            awaited,
            kind,
            due_at_ms,
            watches,
            line,
            retries,
        ) in rows
    ]
