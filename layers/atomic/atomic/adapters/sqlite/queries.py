"""The SQL of steps. Each SELECT names the index that answers it, so a missing index is an error.

`run_list` and `failed_list` give SQL and its named bindings.
"""

# ruff: noqa: S608 - what is put into the SQL are names and conditions of this package; values are bound

from typing import Any, Final

from atomic.adapters.sqlite.flow import FLOW_TABLES
from atomic.adapters.sqlite.schema import IS_DEAD_LETTER, IS_LIVE
from atomic.application.ports import RunQuery
from atomic.protocol.enums import Status

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

Statement = tuple[str, dict[str, Any]]

# Up to this many keys are looked up and sorted, instead of scanning from the newest run.
KEYS_SORTED_MAX: Final = 50_000

GET: Final = f"SELECT {COLUMNS} FROM steps WHERE id = ?"
# A run's steps are one range of ids (`keys.steps_range`).
RUN: Final = f"SELECT {COLUMNS} FROM steps WHERE id > ? AND id < ? ORDER BY id LIMIT ?"
_OUTLINE: Final = """
SELECT id, parent, status, finished_at_ms, coalesce(CAST(progress AS TEXT) ->> '$.attempt_count', 0),
    coalesce(CAST(spec AS TEXT) ->> '$.awaited', 0)
    OR CAST(progress AS TEXT) -> '$.waiters' IS NOT NULL,
    calls, due_at_ms, CAST(progress AS TEXT) -> '$.watches'
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
HAS_MANY_KEYS: Final = f"""
SELECT 1 FROM steps INDEXED BY root_key
WHERE is_root = 1 AND client_id = :client_id AND idempotency_key >= :key AND idempotency_key < :key_end
LIMIT 1 OFFSET {KEYS_SORTED_MAX}
"""
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
    f"DELETE FROM {table}" for table in ("steps", "blobs", "stored", "schedules", "pointers", *FLOW_TABLES)
)
DELETE_SPENT: Final = f"DELETE FROM blobs WHERE rowid = :row AND {_IS_SPENT}"
ADD_STORED: Final = (
    "INSERT INTO stored (client_id, day, bytes) VALUES (?, ?, ?) "
    "ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes"
)
FORGET_STORED: Final = "DELETE FROM stored WHERE client_id = ? AND day < ?"
SUM_STORED: Final = "SELECT coalesce(sum(bytes), 0) FROM stored WHERE client_id = ?"


def bindings(query: RunQuery) -> dict[str, Any]:
    """The bindings that the statements of a query share."""
    prefix = query.key_prefix or ""
    upper = [query.after] if query.after is not None else []
    if query.created_before_ms is not None:
        upper.append((query.created_before_ms, ""))
    before_ms, before_id = min(upper, default=(None, None))
    return {
        "client_id": query.client_id,
        "status": query.status and query.status.value,
        "workflow": query.workflow_name,
        "key": prefix,
        # The last of all characters: above every key with this prefix.
        "key_end": prefix + "\U0010ffff",
        "from_ms": query.created_from_ms,
        "before_ms": before_ms,
        "before_id": before_id,
        "limit": query.limit,
    }


def run_list(query: RunQuery, *, sort_keys: bool) -> str:
    """The rows of a page of runs, from one index range, or from one for each status, merged.

    With `sort_keys` the runs with the wanted keys are looked up and sorted, which is right for few runs;
    otherwise runs are scanned, newest first, until the page is full.
    """
    if sort_keys:
        conditions = _conditions(query, "client_id", "key", "status", "workflow")
        page = _page("root_key", ["is_root = 1", *conditions])
    else:
        statuses = [query.status] if query.status is not None else list(Status)
        index = "root_workflow" if query.workflow_name is not None else "root_status"
        conditions = _conditions(query, "client_id", "workflow", "key")
        page = " UNION ALL ".join(
            _page(index, ["is_root = 1", f"status = '{status.value}'", *conditions]) for status in statuses
        )
    return f"""
    SELECT {COLUMNS} FROM ({page} ORDER BY created_at_ms DESC, id DESC LIMIT :limit) AS page
    CROSS JOIN steps ON steps.rowid = page.row
    """


def failed_list(query: RunQuery) -> str:
    """The ids of a page of failed steps."""
    conditions = _conditions(query, "client_id", "workflow", "key")
    page = _page("failed", [IS_DEAD_LETTER, *conditions])
    return f"SELECT id FROM ({page} ORDER BY created_at_ms DESC, id DESC LIMIT :limit)"


def _page(index: str, conditions: list[str]) -> str:
    where = " AND ".join(conditions)
    return f"SELECT rowid AS row, created_at_ms, id FROM steps INDEXED BY {index} WHERE {where}"


def _conditions(query: RunQuery, *names: str) -> list[str]:
    texts = {
        "client_id": "client_id = :client_id",
        "status": "status = :status" if query.status is not None else "",
        "workflow": "workflow_name = :workflow" if query.workflow_name is not None else "",
        "key": "idempotency_key >= :key AND idempotency_key < :key_end" if query.key_prefix else "",
    }
    conditions = [texts[name] for name in names]
    if query.created_from_ms is not None:
        conditions.append("created_at_ms >= :from_ms")
    if query.created_before_ms is not None or query.after is not None:
        conditions.append("(created_at_ms, id) < (:before_ms, :before_id)")
    return [condition for condition in conditions if condition]
