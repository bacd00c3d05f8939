"""Between a step and the columns of its row.

Each row has two checksums, which detect bytes that changed on the disk: one for the columns that are
written once, one for those that every write sets. Rows of earlier versions have none.
"""

import zlib
from typing import Any

import orjson

from atomic.application.ports import StoreUnavailable
from atomic.domain.blobs import Text, row_text
from atomic.domain.records import Record, load_step, progress_record, spec_record
from atomic.domain.steps import Step


def immutable_columns(step: Step) -> tuple[Any, ...]:
    """The columns that are written once, in the order of the statements."""
    spec = step.spec
    spec_text = _json(spec_record(step))
    payload = _in_row(spec.payload, step.id) or b""
    return (
        spec.client_id,
        int(step.is_root),
        step.created_at_ms,
        spec.parent,
        int(spec.kind == "http"),
        spec.workflow_name,
        spec.idempotency_key,
        spec_text,
        payload,
        _checksum(step.id.encode(), spec_text, payload),
    )


def mutable_columns(step: Step) -> tuple[Any, ...]:
    """The columns that every write sets, in the order of the statements."""
    progress = _json(progress_record(step))
    response = None if step.response is None else _in_row(step.response.text, step.id)
    return (
        step.status.value,
        step.version,
        step.found_due_ms if step.owes else step.due_at_ms,
        step.finished_at_ms,
        # What owes something is not deleted.
        None if step.owes else step.expires_at_ms,
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


def _in_row(text: Text, step_id: str) -> bytes | None:
    return text if isinstance(text, bytes) else row_text(text, step_id)


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
        # The lengths are included, so that no byte can move from one value to the next unseen.
        length = 0xFFFFFFFF if part is None else len(part)
        checksum = zlib.crc32(part or b"", checksum ^ length)
    return checksum
