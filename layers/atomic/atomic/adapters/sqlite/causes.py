"""How many runs failed for each cause."""

# ruff: noqa: S608 - what is put into the SQL are names and conditions of this package; values are bound

from collections.abc import Callable
from typing import Any, Final

import apsw

from atomic.adapters.sqlite.damage import readable
from atomic.adapters.sqlite.queries import COLUMNS
from atomic.adapters.sqlite.schema import HAS_CAUSE
from atomic.application.cause_query import SAMPLES_MAX, CauseGroup, CausePage, CauseQuery
from atomic.application.run_query import cursor_of
from atomic.domain.steps import Step

_IS_OF: Final = f"{HAS_CAUSE} AND client_id = :client_id AND is_dismissed = :is_dismissed"
_CAUSE_AFTER: Final = f"SELECT min(cause) FROM steps INDEXED BY causes WHERE {_IS_OF}"
_OF_EACH: Final = f"FROM steps INDEXED BY causes WHERE {_IS_OF} AND cause = each.id"
# One index look-up finds the next cause. Counting a range of the index takes half the time of GROUP BY.
GROUPS: Final = f"""
WITH RECURSIVE each (id) AS (
    {_CAUSE_AFTER}
    UNION ALL SELECT ({_CAUSE_AFTER} AND cause > each.id) FROM each WHERE each.id IS NOT NULL
)
SELECT each.id, (SELECT count(*) {_OF_EACH}) AS number FROM each
WHERE each.id IS NOT NULL AND (:workflow IS NULL OR :workflow = (SELECT workflow_name {_OF_EACH} LIMIT 1))
ORDER BY number DESC, each.id LIMIT :limit
"""
OLDEST: Final = f"SELECT min(created_at_ms) FROM steps INDEXED BY causes WHERE {_IS_OF} AND cause = :cause"
NEWEST: Final = f"""
SELECT {COLUMNS} FROM (
    SELECT rowid AS row, created_at_ms, id FROM steps INDEXED BY causes WHERE {_IS_OF} AND cause = :cause
    ORDER BY created_at_ms DESC, id DESC LIMIT {SAMPLES_MAX}
) AS page
CROSS JOIN steps ON steps.rowid = page.row
"""


def causes(
    lists: apsw.Connection, query: CauseQuery, decode: Callable[[tuple[Any, ...]], Step]
) -> CausePage:
    """The causes that most runs failed for. Each count reads the index alone."""
    values = {
        "client_id": query.client_id,
        "is_dismissed": int(query.dismissed),
        "workflow": query.workflow_name,
        # One more shows whether there are more.
        "limit": query.limit + 1,
    }
    found: list[tuple[Any, ...]] = lists.execute(GROUPS, values).fetchall()
    groups = list[CauseGroup]()
    for cause_id, number in found[: query.limit]:
        of_cause = values | {"cause": cause_id}
        rows = lists.execute(NEWEST, of_cause).fetchall()
        samples = sorted(readable(rows, decode), key=cursor_of, reverse=True)
        if not samples or (cause := samples[0].cause) is None:
            # They were redriven since they were counted, or their rows are damaged.
            continue
        groups.append(
            CauseGroup(
                cause=cause,
                count=number,
                first_created_ms=lists.execute(OLDEST, of_cause).get,
                last_created_ms=samples[0].created_at_ms,
                samples=samples,
            )
        )
    return CausePage(groups=groups, more=len(found) > query.limit)
