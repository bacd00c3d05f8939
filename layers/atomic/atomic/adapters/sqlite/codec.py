"""Rows of the table of steps."""

from typing import Any

import orjson

from atomic.domain.records import load_step, progress_record, spec_record
from atomic.domain.steps import Step

# What `decode` needs, in its order.
COLUMNS = "spec, payload, progress, response"
INSERT = """
INSERT INTO steps (
    client_id, is_root, created_at_ms, parent, workflow_name, idempotency_key, spec, payload,
    status, version, due_at_ms, finished_at_ms, expires_at_ms, progress, response, id
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
# An identity that begins anew has another moment of creation, and then all of the row is written.
UPDATE_PROGRESS = """
UPDATE steps
SET status = ?, version = ?, due_at_ms = ?, finished_at_ms = ?, expires_at_ms = ?, progress = ?,
    response = ?
WHERE id = ? AND version = ? AND created_at_ms = ?
"""
UPDATE_ALL = """
UPDATE steps
SET client_id = ?, is_root = ?, created_at_ms = ?, parent = ?, workflow_name = ?, idempotency_key = ?,
    spec = ?, payload = ?,
    status = ?, version = ?, due_at_ms = ?, finished_at_ms = ?, expires_at_ms = ?, progress = ?,
    response = ?
WHERE id = ?
"""


def fixed_values(step: Step) -> tuple[Any, ...]:
    """The columns that are written once, in the order of the statements."""
    spec = step.spec
    return (
        spec.client_id,
        int(step.is_root),
        step.created_at_ms,
        spec.parent,
        spec.workflow_name,
        spec.idempotency_key,
        orjson.dumps(spec_record(step)),
        spec.payload,
    )


def changing_values(step: Step) -> tuple[Any, ...]:
    """The columns that every write sets, in the order of the statements."""
    return (
        step.status.value,
        step.version,
        step.due_at_ms,
        step.finished_at_ms,
        step.expires_at_ms,
        orjson.dumps(progress_record(step)),
        None if step.response is None else step.response.text,
    )


def decode(row: tuple[Any, ...]) -> Step:
    """The step of a row of COLUMNS."""
    spec, payload, progress, response = row
    return load_step(orjson.loads(spec), payload, orjson.loads(progress), response)
