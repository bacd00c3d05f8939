"""The table of steps and its indexes.

Every query of the store is answered from an index, so that a million stored runs cost as much as a
thousand. Each index costs each write a page, so steps that are no roots have few of them: the id, and
partial ones of live, failed and expiring rows.
"""

from typing import Final

from atomic.adapters.sqlite.acts import ACTS
from atomic.adapters.sqlite.counters import COUNTERS, FINER_COUNTERS
from atomic.adapters.sqlite.database import Schema
from atomic.adapters.sqlite.flow import FLOW, FLOW_NOTES
from atomic.adapters.sqlite.pointers import POINTERS
from atomic.adapters.sqlite.tags import TAGS

# A query uses a partial index only if it repeats the condition of the index literally.
IS_LIVE: Final = "finished_at_ms IS NULL"
IS_DEAD_LETTER: Final = "status = 'failed' AND calls = 1"
HAS_CAUSE: Final = "cause IS NOT NULL"

# The columns that queries use come first: later ones may be long and are then on other pages.
_STEPS: Final = """
CREATE TABLE steps (
    id TEXT NOT NULL PRIMARY KEY,
    client_id TEXT NOT NULL,
    is_root INTEGER NOT NULL,
    status TEXT NOT NULL,
    version INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    due_at_ms INTEGER,
    finished_at_ms INTEGER,
    expires_at_ms INTEGER,
    parent TEXT,
    workflow_name TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    progress BLOB NOT NULL,
    spec BLOB NOT NULL,
    payload BLOB NOT NULL,
    response BLOB
) STRICT;
CREATE INDEX due ON steps (due_at_ms, client_id) WHERE due_at_ms IS NOT NULL;
CREATE INDEX live ON steps (status, id, client_id)
    WHERE status IN ('pending', 'retrying', 'running', 'waiting');
CREATE INDEX failed ON steps (client_id, created_at_ms, id) WHERE status = 'failed';
CREATE INDEX expiry ON steps (expires_at_ms) WHERE expires_at_ms IS NOT NULL;
CREATE INDEX root_status ON steps (client_id, status, created_at_ms, id) WHERE is_root = 1;
CREATE INDEX root_workflow ON steps (client_id, workflow_name, status, created_at_ms, id) WHERE is_root = 1;
CREATE INDEX root_key ON steps (client_id, idempotency_key) WHERE is_root = 1;
"""

# SQLite does not notice when a byte within a value has changed on the disk; these do (see `store`).
_SUMS: Final = """
ALTER TABLE steps ADD COLUMN fixed_sum INTEGER;
ALTER TABLE steps ADD COLUMN progress_sum INTEGER;
"""

# For each write SQLite made a temporary table of the four states, three times a step: a fifth of its time.
_LIVE: Final = f"""
DROP INDEX live;
CREATE INDEX live ON steps (status, id, client_id, finished_at_ms) WHERE {IS_LIVE};
"""

# Stored bytes by client and day; only of clients that have a limit.
_STORED: Final = """
CREATE TABLE stored (
    client_id TEXT NOT NULL,
    day INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (client_id, day)
) STRICT, WITHOUT ROWID;
"""

# An expired event is an answer to its workflow and no dead letter: `calls` is 1 for a step that calls an
# endpoint.
_DEAD_LETTERS: Final = f"""
ALTER TABLE steps ADD COLUMN calls INTEGER NOT NULL DEFAULT 1;
DROP INDEX failed;
CREATE INDEX failed ON steps (client_id, created_at_ms, id) WHERE {IS_DEAD_LETTER};
"""

# Due steps are taken in turns by client, so that the backlog of one does not delay the others.
_DUE_BY_CLIENT: Final = """
DROP INDEX due;
CREATE INDEX due ON steps (client_id, due_at_ms) WHERE due_at_ms IS NOT NULL;
"""

# Large texts, apart from the rows that name them. A digest is of the text.
_BLOBS: Final = """
CREATE TABLE blobs (
    step_id TEXT NOT NULL,
    digest TEXT NOT NULL,
    until_ms INTEGER NOT NULL,
    text BLOB NOT NULL,
    PRIMARY KEY (step_id, digest)
) STRICT;
CREATE INDEX spent ON blobs (until_ms, step_id);
"""

_SCHEDULES: Final = """
CREATE TABLE schedules (
    client_id TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    due_at_ms INTEGER,
    record BLOB NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (client_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX due_schedules ON schedules (due_at_ms) WHERE due_at_ms IS NOT NULL;
"""

# Of roots that have failed: the id of the cause, and whether the run was dismissed.
_CAUSES: Final = f"""
ALTER TABLE steps ADD COLUMN cause TEXT;
ALTER TABLE steps ADD COLUMN is_dismissed INTEGER NOT NULL DEFAULT 0;
CREATE INDEX causes ON steps (client_id, is_dismissed, cause, created_at_ms, id) WHERE {HAS_CAUSE};
CREATE INDEX failed_runs ON steps (client_id, is_dismissed, created_at_ms, id) WHERE {HAS_CAUSE};
"""

STEPS: Final = Schema(
    "steps",
    (
        _STEPS,
        _SUMS,
        _LIVE,
        _STORED,
        _DEAD_LETTERS,
        _DUE_BY_CLIENT,
        _BLOBS,
        _SCHEDULES,
        FLOW,
        POINTERS,
        TAGS,
        ACTS,
        _CAUSES,
        COUNTERS,
        FLOW_NOTES,
        FINER_COUNTERS,
    ),
)
