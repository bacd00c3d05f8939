"""The outlines of steps, of the columns that a query for them reads."""

from collections.abc import Sequence
from typing import Any

import orjson

from atomic.domain.outlines import StepOutline
from atomic.domain.records import load_watches
from atomic.protocol.enums import Kind, Status


def outlines(rows: Sequence[tuple[Any, ...]]) -> list[StepOutline]:
    """The outline of each row."""
    return [_outline(*row) for row in rows]


def _outline(
    step_id: str,
    parent: str | None,
    status: str,
    finished_ms: int | None,
    attempts: int,
    awaited: int,
    kind: Kind,
    due_at_ms: int | None,
    watches: str | None,
    line: int,
    retries: int,
    version: int,
) -> StepOutline:
    return StepOutline(
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
        version,
    )
