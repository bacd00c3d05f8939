"""Compares rows of steps and large texts with their checksums.

SQLite checks the structure of its pages, and not the values in them.
"""

from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, Final

import apsw

from atomic.adapters.sqlite import queries
from atomic.adapters.sqlite.database import DatabaseRefused, open_immutable, open_reader
from atomic.adapters.sqlite.schema import IS_LIVE
from atomic.adapters.sqlite.store import fits
from atomic.adapters.sqlite.tags import DELETE_TAGS
from atomic.protocol import keys

NAMED_MAX: Final = 10
# A damaged id may be no text.
_ROWS: Final = f"SELECT {queries.COLUMNS.replace('steps.id', 'CAST(steps.id AS BLOB)')} FROM steps"  # noqa: S608
_LIVE: Final = f"{_ROWS} INDEXED BY live WHERE {IS_LIVE}"
_TEXTS: Final = "SELECT CAST(step_id AS BLOB), CAST(digest AS BLOB), text FROM blobs"


def require_whole_rows(path: Path, found_in: Path) -> None:
    """Raise DatabaseRefused, which names `found_in`, if a row of this copy is damaged."""
    with closing(open_immutable(path)) as copy:
        if damage := _damage(_damaged_steps(copy)):
            raise DatabaseRefused(
                f"{found_in} is damaged: {damage}. Take an earlier backup; or leave out the runs of these "
                "steps by `atomic restore DIRECTORY --data-dir NEW --partial`, with the server stopped if "
                "it is its directory: repeated starts of these runs call endpoints again"
            )


def require_whole_live_rows(path: Path) -> None:
    """Raise DatabaseRefused if a live row of a file that `open_database` has opened is damaged."""
    with closing(open_reader(path)) as reader:
        if damage := _damage(_changed(reader, _LIVE)):
            raise DatabaseRefused(
                f"cannot take over the steps of the last server: {path} is damaged: {damage}. Restore the "
                "data directory from a backup; or leave out the runs of these steps by `atomic restore "
                f"{path.parent} --data-dir NEW --partial`: repeated starts of these runs call endpoints "
                "again"
            )


def leave_out_damaged_runs(path: Path) -> list[str]:
    """Delete the runs of damaged rows and texts from a copy that nobody uses; the ids of these runs."""
    with closing(open_immutable(path)) as copy:
        runs = sorted({keys.run_of(step_id) for step_id in _damaged_steps(copy)})
    if not runs:
        return []
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)) as connection, connection:
        connection.pragma("secure_delete", True)
        for run in runs:
            connection.execute(DELETE_TAGS, (keys.root_of(run),))
            for sql in queries.ERASE:
                connection.execute(sql, keys.run_range(run))
    require_whole_rows(path, path)
    return runs


def _damage(step_ids: Iterator[str]) -> str:
    named = list(islice(step_ids, NAMED_MAX))
    more = sum(1 for _ in step_ids)
    if not named:
        return ""
    rest = f" and {more} more" if more else ""
    return f"the disk gave back other bytes than were written of the steps {', '.join(named)}{rest}"


def _damaged_steps(connection: apsw.Connection) -> Iterator[str]:
    yield from _changed(connection, _ROWS)
    texts: Iterator[tuple[Any, ...]] = connection.execute(_TEXTS)
    for step_id, digest, text in texts:
        if sha256(text).hexdigest().encode() != digest:
            yield _text(step_id)


def _changed(connection: apsw.Connection, sql: str) -> Iterator[str]:
    rows: Iterator[tuple[Any, ...]] = connection.execute(sql)
    for step_id, spec, payload, progress, response, fixed_sum, progress_sum in rows:
        if not (fits(fixed_sum, step_id, spec, payload) and fits(progress_sum, progress, response)):
            yield _text(step_id)


def _text(step_id: bytes) -> str:
    return step_id.decode(errors="replace")
