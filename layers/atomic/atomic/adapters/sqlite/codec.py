"""Rows of the table of steps.

Each row has two checksums, which detect bytes that changed on the disk: one of what is written once, one of
what every write sets. Rows of earlier versions have none.
"""

import zlib
from typing import Any

import orjson

from atomic.application.ports import StoreUnavailable
from atomic.domain.records import Record, load_step, progress_record, spec_record
from atomic.domain.steps import Step

# What `decode` needs, in this order.
COLUMNS = "steps.id, spec, payload, progress, response, fixed_sum, progress_sum"
INSERT = """
INSERT INTO steps (
    client_id, is_root, created_at_ms, parent, calls, workflow_name, idempotency_key, spec, payload,
    fixed_sum, status, version, due_at_ms, finished_at_ms, expires_at_ms, progress, response,
    progress_sum, id
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
# If an identity starts again after its row expired, `created_at_ms` differs and the whole row is written.
UPDATE_PROGRESS = """
UPDATE steps
SET status = ?, version = ?, due_at_ms = ?, finished_at_ms = ?, expires_at_ms = ?, progress = ?,
    response = ?, progress_sum = ?
WHERE id = ? AND version = ? AND created_at_ms = ?
"""
UPDATE_ALL = """
UPDATE steps
SET client_id = ?, is_root = ?, created_at_ms = ?, parent = ?, calls = ?, workflow_name = ?,
    idempotency_key = ?, spec = ?, payload = ?, fixed_sum = ?,
    status = ?, version = ?, due_at_ms = ?, finished_at_ms = ?, expires_at_ms = ?, progress = ?,
    response = ?, progress_sum = ?
WHERE id = ?
"""


def immutable_columns(step: Step) -> tuple[Any, ...]:
    """The columns that are written once, in the order of the statements."""
    spec = step.spec
    spec_text = _json(spec_record(step))
    return (
        spec.client_id,
        int(step.is_root),
        step.created_at_ms,
        spec.parent,
        int(spec.kind == "http"),
        spec.workflow_name,
        spec.idempotency_key,
        spec_text,
        spec.payload,
        _checksum(step.id.encode(), spec_text, spec.payload),
    )


def mutable_columns(step: Step) -> tuple[Any, ...]:
    """The columns that every write sets, in the order of the statements."""
    progress = _json(progress_record(step))
    response = None if step.response is None else step.response.text
    return (
        step.status.value,
        step.version,
        step.due_at_ms,
        step.finished_at_ms,
        step.expires_at_ms,
        progress,
        response,
        _checksum(progress, response),
    )


def decode(row: tuple[Any, ...]) -> Step:
    """The step of a row of COLUMNS. Raises StoreUnavailable for a damaged row."""
    step_id, spec, payload, progress, response, fixed_sum, progress_sum = row
    if not (_fits(fixed_sum, step_id.encode(), spec, payload) and _fits(progress_sum, progress, response)):
        raise StoreUnavailable(
            f"the row of {step_id} is damaged: the disk gave back other bytes than were written; "
            "restore the data directory from a copy",
            kind="damaged row",
        )
    return load_step(orjson.loads(spec), payload, orjson.loads(progress), response)


def _json(record: Record) -> bytes:
    # A copy: the bytes of orjson keep 4 KiB allocated while the row waits for its commit.
    return bytes(memoryview(orjson.dumps(record)))


def _fits(expected: int | None, *parts: bytes | None) -> bool:
    try:
        return expected is None or expected == _checksum(*parts)
    except TypeError:  # another type than was written
        return False


def _checksum(*parts: bytes | None) -> int:
    checksum = 0
    for part in parts:
        # With the lengths, so that bytes cannot move from one value to the next.
        length = 0xFFFFFFFF if part is None else len(part)
        checksum = zlib.crc32(part or b"", checksum ^ length)
    return checksum
