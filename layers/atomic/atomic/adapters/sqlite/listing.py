"""Lists of runs and of dead letters: from which index a page is read, and its SQL.

Each SELECT names the index that answers it, so a missing index is an error.
"""

# ruff: noqa: S608 - what is put into the SQL are names and conditions of this package; values are bound

from collections.abc import Callable
from typing import Any, Final, Literal

import apsw

from atomic.adapters.sqlite.damage import readable
from atomic.adapters.sqlite.queries import COLUMNS
from atomic.adapters.sqlite.schema import HAS_CAUSE, IS_DEAD_LETTER
from atomic.adapters.sqlite.tags import HAS_MANY_RUNS, has_tag
from atomic.application.run_query import Cursor, ListPage, RunQuery, cursor_of
from atomic.domain.steps import Step
from atomic.protocol.enums import Status

# Where a page of runs is read: through the runs, newest first, or through the few that a filter names.
Through = Literal["runs", "keys", "tag", "failed"]

# Up to this many keys are looked up and sorted, instead of scanning from the newest run.
KEYS_SORTED_MAX: Final = 50_000

HAS_MANY_KEYS: Final = f"""
SELECT 1 FROM steps INDEXED BY root_key
WHERE is_root = 1 AND client_id = :client_id AND idempotency_key >= :key AND idempotency_key < :key_end
    AND instr(idempotency_key, :part) > 0
LIMIT 1 OFFSET {KEYS_SORTED_MAX}
"""


def run_rows(lists: apsw.Connection, query: RunQuery) -> list[tuple[Any, ...]]:
    """The rows of a page of runs, in any order; each has its `created_at_ms` at the end."""
    if not query.statuses:
        return []
    values = bindings(query)
    return lists.execute(run_list(query, _through(lists, query, values)), values).fetchall()


def page_of(
    rows: list[tuple[Any, ...]], query: RunQuery, decode: Callable[[tuple[Any, ...]], Step]
) -> ListPage:
    """The page of these rows, newest first, without damaged ones; the next page comes after those, too."""
    steps = readable((row[:-1] for row in rows), decode)
    last: Cursor = min(((row[-1], row[0]) for row in rows), default=(0, ""))
    after = last if rows and len(rows) == query.limit else None
    return ListPage(sorted(steps, key=cursor_of, reverse=True), after)


def count_runs(lists: apsw.Connection, query: RunQuery) -> int:
    """How many runs all pages have."""
    if not query.statuses:
        return 0
    values = bindings(query)
    [(number,)] = lists.execute(run_count(query, _through(lists, query, values)), values)
    return int(number)


def failed_ids(lists: apsw.Connection, query: RunQuery) -> list[str]:
    """The ids of a page of dead letters."""
    return [step_id for (step_id,) in lists.execute(failed_list(query), bindings(query))]


def _through(lists: apsw.Connection, query: RunQuery, values: dict[str, Any]) -> Through:
    if query.tags:
        others = (len(query.tags) > 1, len(query.statuses) < len(Status), query.workflow_name)
        is_filtered = any((*others, query.key_prefix, query.key_part, query.is_of_failed))
        if not (is_filtered and lists.execute(HAS_MANY_RUNS, values).fetchall()):
            return "tag"
    if (query.key_prefix or query.key_part) and not lists.execute(HAS_MANY_KEYS, values).fetchall():
        return "keys"
    return "failed" if query.is_of_failed else "runs"


def bindings(query: RunQuery) -> dict[str, Any]:
    """The bindings that the statements of a query share."""
    prefix = query.key_prefix or ""
    upper = [query.after] if query.after is not None else []
    if query.created_before_ms is not None:
        upper.append((query.created_before_ms, ""))
    before_ms, before_id = min(upper, default=(None, None))
    return {
        "client_id": query.client_id,
        "workflow": query.workflow_name,
        "key": prefix,
        # The last of all characters: above every key with this prefix.
        "key_end": prefix + "\U0010ffff",
        "part": query.key_part or "",
        "cause": query.cause,
        "from_ms": query.created_from_ms,
        "before_ms": before_ms,
        "before_id": before_id,
        "limit": query.limit,
        **{f"tag_{number}": tag for number, tag in enumerate(query.tags)},
    }


def run_list(query: RunQuery, through: Through) -> str:
    """The rows of a page of runs, from one index range, or from one for each status, merged.

    Through "keys", the runs with the wanted keys are looked up and sorted, which is right for few runs.
    Through "tag", the runs with the first tag are read in their order; through "failed", the failed runs,
    or those with a cause. Otherwise runs are scanned. The last three go from the newest on, until the page
    is full.
    """
    runs = _runs(query, through)
    return f"""
    SELECT {COLUMNS}, page.created_at_ms
    FROM ({runs} ORDER BY created_at_ms DESC, id DESC LIMIT :limit) AS page
    CROSS JOIN steps ON steps.rowid = page.row
    """


def run_count(query: RunQuery, through: Through) -> str:
    """How many runs all pages have."""
    return f"SELECT count(*) FROM ({_runs(query, through)})"


def _runs(query: RunQuery, through: Through) -> str:
    if through == "keys":
        conditions = _conditions(
            query, "client_id", "key", "part", "status", "workflow", "cause", "dismissed", "tags"
        )
        return _page("root_key", ["is_root = 1", *conditions])
    if through == "tag":
        return _tagged_page(query)
    if through == "failed":
        index = "failed_runs" if query.cause is None else "causes"
        conditions = _conditions(query, "client_id", "cause", "workflow", "key", "part", "tags")
        wanted = (0, 1) if query.dismissed is None else (int(query.dismissed),)
        return " UNION ALL ".join(_page(index, [f"is_dismissed = {each}", *conditions]) for each in wanted)
    index = "root_workflow" if query.workflow_name is not None else "root_status"
    conditions = _conditions(query, "client_id", "workflow", "key", "part", "tags")
    return " UNION ALL ".join(
        _page(index, ["is_root = 1", f"status = '{status.value}'", *conditions])
        for status in query.statuses
    )


def failed_list(query: RunQuery) -> str:
    """The ids of a page of failed steps."""
    conditions = _conditions(query, "client_id", "workflow", "key", "part")
    page = _page("failed", [IS_DEAD_LETTER, *conditions])
    return f"SELECT id FROM ({page} ORDER BY created_at_ms DESC, id DESC LIMIT :limit)"


def _page(index: str, conditions: list[str]) -> str:
    where = " AND ".join(conditions)
    return f"SELECT rowid AS row, created_at_ms, id FROM steps INDEXED BY {index} WHERE {where}"


def _tagged_page(query: RunQuery) -> str:
    own = ["owner = :client_id", "tag = :tag_0", *_bounds(query, "at_ms", "step_id")]
    others = [has_tag(number) for number in range(1, len(query.tags))]
    filters = _filters(query, "status", "workflow", "key", "part", "cause", "dismissed")
    where = " AND ".join([*own, *filters, *others])
    return (
        "SELECT steps.rowid AS row, at_ms AS created_at_ms, step_id AS id "
        f"FROM tags CROSS JOIN steps ON steps.id = tags.step_id WHERE {where}"
    )


def _conditions(query: RunQuery, *names: str) -> list[str]:
    return [*_filters(query, *names), *_bounds(query, "created_at_ms", "id")]


def _filters(query: RunQuery, *names: str) -> list[str]:
    statuses = ", ".join(f"'{status.value}'" for status in query.statuses)
    texts = {
        "client_id": "client_id = :client_id",
        "status": f"status IN ({statuses})" if len(query.statuses) < len(Status) else "",
        "workflow": "workflow_name = :workflow" if query.workflow_name is not None else "",
        "key": "idempotency_key >= :key AND idempotency_key < :key_end" if query.key_prefix else "",
        "part": "instr(idempotency_key, :part) > 0" if query.key_part else "",
        "cause": _cause(query),
        "dismissed": "" if query.dismissed is None else f"is_dismissed = {int(query.dismissed)}",
        "tags": " AND ".join(map(has_tag, range(len(query.tags)))),
    }
    return [texts[name] for name in names if texts[name]]


def _cause(query: RunQuery) -> str:
    if not query.is_of_failed:
        return ""
    return HAS_CAUSE if query.cause is None else f"{HAS_CAUSE} AND cause = :cause"


def _bounds(query: RunQuery, created_at: str, step_id: str) -> list[str]:
    bounds = []
    if query.created_from_ms is not None:
        bounds.append(f"{created_at} >= :from_ms")
    if query.created_before_ms is not None or query.after is not None:
        bounds.append(f"({created_at}, {step_id}) < (:before_ms, :before_id)")
    return bounds
