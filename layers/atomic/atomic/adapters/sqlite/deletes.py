"""Deletes rows: those of an erased run, those whose time is over, all of them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final

import apsw

from atomic.adapters.sqlite import queries
from atomic.adapters.sqlite.reader import Reader
from atomic.adapters.sqlite.tags import DELETE_TAGS
from atomic.adapters.sqlite.writer import Writer
from atomic.protocol import keys

# Deleting an old row takes up to 150 us of the loop; other writes run in between.
_PURGE_SLICE: Final = 20


class SqliteDeletes(ABC):
    """The part of `SqliteStepStore` that deletes."""

    _writer: Writer
    _connection: apsw.Connection
    _timers: Reader

    @abstractmethod
    async def _long_rows(self, reader: Reader, sql: str, values: Any) -> list[tuple[Any, ...]]: ...

    @abstractmethod
    def _purge_pointers(self, now_ms: int) -> None: ...

    @abstractmethod
    def _purge_acts(self, now_ms: int) -> None: ...

    @abstractmethod
    def _purge_counters(self, now_ms: int) -> None: ...

    async def purge(self, now_ms: int, limit: int) -> int:
        """Delete expired rows whose root is gone, has also expired, or belongs to a later run.

        Then the large texts whose time is over and whose step has no row.
        """
        rows = await self._long_rows(self._timers, queries.FORGOTTEN, {"now_ms": now_ms, "limit": limit})
        ids = [step_id for (step_id,) in rows]
        deleted = 0
        for start in range(0, len(ids), _PURGE_SLICE):
            deleted += await self._writer.submit(self._delete, ids[start : start + _PURGE_SLICE], now_ms)
        spent = await self._long_rows(self._timers, queries.SPENT_BLOBS, {"now_ms": now_ms, "limit": limit})
        for (row,) in spent:
            await self._writer.submit(self._delete_blob, row, now_ms)
        await self._writer.submit(self._purge_pointers, now_ms)
        await self._writer.submit(self._purge_acts, now_ms)
        await self._writer.submit(self._purge_counters, now_ms)
        return deleted

    async def clear(self) -> None:
        """Delete everything."""
        await self._writer.submit(self._clear)

    def _delete(self, ids: Sequence[str], now_ms: int) -> int:
        deleted = 0
        for step_id in ids:
            self._connection.execute(queries.DELETE_FORGOTTEN, {"id": step_id, "now_ms": now_ms})
            if self._connection.changes():
                deleted += 1
                self._connection.execute(DELETE_TAGS, (step_id,))
        return deleted

    def _erase(self, client_id: str, run_id: str, version: int) -> bool:
        root_id = keys.root_of(run_id)
        if not self._connection.execute(queries.IS_ROOT_OF, (root_id, client_id, version)).fetchall():
            return False
        self._connection.execute(DELETE_TAGS, (root_id,))
        for sql in queries.ERASE:
            self._connection.execute(sql, keys.run_range(run_id))
        self._writer.empty_log()
        return True

    def _clear(self) -> None:
        for sql in queries.CLEAR:
            self._connection.execute(sql)

    def _delete_blob(self, row: int, now_ms: int) -> None:
        self._connection.execute(queries.DELETE_SPENT, {"row": row, "now_ms": now_ms})
