"""The SQL of steps. Each SELECT names the index that answers it, so a missing index is an error."""

# ruff: noqa: S608 - what is put into the SQL are names and conditions of this package; values are bound

from typing import Final

from atomic.adapters.sqlite.flow import FLOW_TABLES
from atomic.adapters.sqlite.schema import HAS_CAUSE, IS_DEAD_LETTER, IS_LIVE

# What `decode` needs, in this order.
COLUMNS = "steps.id, spec, payload, progress, response, fixed_sum, progress_sum"
INSERT = """
INSERT INTO steps (
    client_id, is_root, created_at_ms, parent, calls, workflow_name, idempotency_key, spec, payload,
    fixed_sum, status, version, due_at_ms, finished_at_ms, expires_at_ms, progress, response,
    progress_sum, cause, is_dismissed, id
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
# If an identity starts again after its row expired, `created_at_ms` differs and the whole row is written.
UPDATE_PROGRESS = """
UPDATE steps
SET status = ?, version = ?, due_at_ms = ?, finished_at_ms = ?, expires_at_ms = ?, progress = ?,
    response = ?, progress_sum = ?, cause = ?, is_dismissed = ?
WHERE id = ? AND version = ? AND created_at_ms = ?
"""
UPDATE_ALL = """
UPDATE steps
SET client_id = ?, is_root = ?, created_at_ms = ?, parent = ?, calls = ?, workflow_name = ?,
    idempotency_key = ?, spec = ?, payload = ?, fixed_sum = ?,
    status = ?, version = ?, due_at_ms = ?, finished_at_ms = ?, expires_at_ms = ?, progress = ?,
    response = ?, progress_sum = ?, cause = ?, is_dismissed = ?
WHERE id = ?
"""

GET: Final = f"SELECT {COLUMNS} FROM steps WHERE id = ?"
# A run's steps are one range of ids (`keys.steps_range`).
RUN: Final = f"SELECT {COLUMNS} FROM steps WHERE id > ? AND id < ? ORDER BY id LIMIT ?"
_OUTLINE: Final = """
SELECT id, parent, status, finished_at_ms, coalesce(CAST(progress AS TEXT) ->> '$.attempt_count', 0),
    coalesce(CAST(spec AS TEXT) ->> '$.awaited', 0)
    OR CAST(progress AS TEXT) -> '$.waiters' IS NOT NULL,
    coalesce(CAST(spec AS TEXT) ->> '$.kind', 'http'), due_at_ms, CAST(progress AS TEXT) -> '$.watches',
    coalesce(CAST(progress AS TEXT) ->> '$.in_line', 0),
    coalesce(CAST(progress AS TEXT) ->> '$.retries_used', 0)
    + coalesce(CAST(progress AS TEXT) ->> '$.retries_before', 0), version
FROM steps WHERE id > ? AND id < ?
"""
OUTLINE: Final = f"{_OUTLINE} LIMIT ?"
# Two parents may share the range.
CHILDREN: Final = f"{_OUTLINE} AND parent = ? ORDER BY id LIMIT ?"
CHILD_STEPS: Final = (
    f"SELECT {COLUMNS} FROM steps WHERE id > ? AND id < ? AND parent = ? ORDER BY id LIMIT ?"
)
_CLIENT_AFTER: Final = "SELECT min(client_id) FROM steps INDEXED BY due WHERE due_at_ms IS NOT NULL"
# One index look-up finds the next client, however many rows each client has.
DUE_CLIENTS: Final = f"""
WITH RECURSIVE client (id) AS (
    {_CLIENT_AFTER}
    UNION ALL SELECT ({_CLIENT_AFTER} AND client_id > client.id) FROM client WHERE client.id IS NOT NULL
), first (client_id, due_at_ms) AS (
    SELECT id, (
        SELECT min(due_at_ms) FROM steps INDEXED BY due
        WHERE due_at_ms IS NOT NULL AND client_id = client.id
    ) FROM client WHERE id IS NOT NULL
)
SELECT client_id, due_at_ms FROM first WHERE due_at_ms < :before_ms ORDER BY due_at_ms LIMIT :limit
"""
DUE_OF_CLIENT: Final = """
SELECT id, client_id, due_at_ms FROM steps INDEXED BY due
WHERE due_at_ms IS NOT NULL AND client_id = :client_id AND due_at_ms < :before_ms ORDER BY due_at_ms
"""
LIVE_WITH_STATUS: Final = f"""
SELECT id FROM steps INDEXED BY live WHERE {IS_LIVE} AND status = ? AND id > ? ORDER BY id LIMIT ?
"""
# A damaged record counts as empty here; reading its row reports the damage.
_PROGRESS: Final = """
CASE WHEN json_valid(CAST(steps.progress AS TEXT)) THEN CAST(steps.progress AS TEXT) ->> '$.{}' END
"""
LIVE_STEPS: Final = f"""
SELECT page.id, steps.calls, max(
    steps.created_at_ms,
    coalesce({_PROGRESS.format("dated_at_ms")}, 0),
    coalesce({_PROGRESS.format("attempt_log[#-1].started_at_ms")}, 0),
    coalesce({_PROGRESS.format("attempt_log[#-1].ended_at_ms")}, 0)
), root.status
FROM (
    SELECT id, rowid AS row FROM steps INDEXED BY live
    WHERE {IS_LIVE} AND status = ? AND id > ? ORDER BY id LIMIT ?
) AS page
CROSS JOIN steps ON steps.rowid = page.row
LEFT JOIN steps AS root ON root.id = substr(page.id, 1, instr(page.id, '-')) || 'root'
ORDER BY page.id
"""
SETTLED_WITH_STATUS: Final = "SELECT id FROM steps WHERE status = ? AND id > ? ORDER BY id LIMIT ?"
COUNT_LIVE: Final = f"""
SELECT count(*) FROM steps INDEXED BY live WHERE {IS_LIVE} AND status = ? AND client_id = ?
"""
COUNT_ALL_LIVE: Final = f"SELECT count(*) FROM steps INDEXED BY live WHERE {IS_LIVE}"
COUNT_RUNS: Final = """
SELECT count(*) FROM steps INDEXED BY root_status
WHERE is_root = 1 AND status = ? AND client_id = ? AND created_at_ms >= ?
"""
COUNT_FAILED: Final = (
    f"SELECT count(*) FROM steps INDEXED BY failed WHERE {IS_DEAD_LETTER} AND client_id = ?"
)
COUNT_NEEDS_ACTION: Final = f"""
SELECT count(*) FROM steps INDEXED BY failed_runs WHERE {HAS_CAUSE} AND client_id = ? AND is_dismissed = 0
"""
OLDEST_DUE: Final = """
SELECT due_at_ms FROM steps INDEXED BY due
WHERE due_at_ms IS NOT NULL AND client_id = ? ORDER BY due_at_ms LIMIT 1
"""
_IS_FORGOTTEN: Final = """
expires_at_ms <= :now_ms AND NOT EXISTS (
    SELECT 1 FROM steps AS root
    WHERE root.id = substr(steps.id, 1, instr(steps.id, '-')) || 'root'
    AND (root.expires_at_ms IS NULL OR root.expires_at_ms > :now_ms)
    AND root.created_at_ms < steps.expires_at_ms
)
"""
FORGOTTEN: Final = f"""
SELECT id FROM steps INDEXED BY expiry WHERE {_IS_FORGOTTEN} ORDER BY expires_at_ms LIMIT :limit
"""
DELETE_FORGOTTEN: Final = f"DELETE FROM steps WHERE id = :id AND {_IS_FORGOTTEN}"
IS_ROOT_OF: Final = "SELECT 1 FROM steps WHERE id = ? AND client_id = ? AND version = ?"
# The tables whose rows have the ids of a run's steps.
ERASE: Final = tuple(
    f"DELETE FROM {table} WHERE {column} > ? AND {column} < ?"
    for table, column in (("steps", "id"), ("blobs", "step_id"))
)
PUT_BLOB: Final = """
INSERT INTO blobs (step_id, digest, until_ms, text) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET until_ms = max(until_ms, excluded.until_ms)
"""
GET_BLOB: Final = "SELECT text FROM blobs WHERE step_id = ? AND digest = ?"
# A text whose time is over stays as long as the row of its step.
_IS_SPENT: Final = "until_ms <= :now_ms AND NOT EXISTS (SELECT 1 FROM steps WHERE steps.id = blobs.step_id)"
SPENT_BLOBS: Final = f"""
SELECT rowid FROM blobs INDEXED BY spent WHERE {_IS_SPENT} ORDER BY until_ms LIMIT :limit
"""
CLEAR: Final = tuple(
    f"DELETE FROM {table}"
    for table in (
        "steps",
        "blobs",
        "stored",
        "schedules",
        "pointers",
        "tags",
        "acts",
        "counters",
        "minute_counters",
        *FLOW_TABLES,
    )
)
DELETE_SPENT: Final = f"DELETE FROM blobs WHERE rowid = :row AND {_IS_SPENT}"
ADD_STORED: Final = (
    "INSERT INTO stored (client_id, day, bytes) VALUES (?, ?, ?) "
    "ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes"
)
FORGET_STORED: Final = "DELETE FROM stored WHERE client_id = ? AND day < ?"
SUM_STORED: Final = "SELECT coalesce(sum(bytes), 0) FROM stored WHERE client_id = ?"
