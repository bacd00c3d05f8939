"""How many steps a client has, by their states."""

from typing import Any

import apsw

from atomic.adapters.sqlite import queries
from atomic.application.ports import Counts
from atomic.protocol.enums import LIVE, Status


def live(lists: apsw.Connection, client_id: str) -> dict[Status, int]:
    """Its live steps."""
    return {state: lists.execute(queries.COUNT_LIVE, (state.value, client_id)).get for state in LIVE}


def counts(lists: apsw.Connection, client_id: str, created_from_ms: int) -> Counts:
    """Its live steps, its runs that were created since, its dead letters."""

    def number(sql: str, *values: Any) -> Any:
        return lists.execute(sql, values).get

    living = live(lists, client_id)
    runs = {state: number(queries.COUNT_RUNS, state.value, client_id, created_from_ms) for state in Status}
    return Counts(
        live={state: found for state, found in living.items() if found},
        runs={state: found for state, found in runs.items() if found},
        dead_letters=number(queries.COUNT_FAILED, client_id),
        needs_action=number(queries.COUNT_NEEDS_ACTION, client_id),
        oldest_due_at_ms=number(queries.OLDEST_DUE, client_id) if any(living.values()) else None,
    )
