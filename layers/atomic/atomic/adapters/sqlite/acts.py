"""The table of the audit log, in the file of the steps."""

from abc import ABC, abstractmethod
from typing import Any, Final

import apsw
import orjson

from atomic.adapters.sqlite.reader import Reader
from atomic.adapters.sqlite.writer import Writer
from atomic.application.audit_log import ActPage, ActQuery
from atomic.domain.acts import Act, act_record, load_act

ACTS: Final = """
CREATE TABLE acts (
    client_id TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    id TEXT NOT NULL,
    until_ms INTEGER NOT NULL,
    action TEXT NOT NULL,
    by TEXT NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (client_id, at_ms, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX old_acts ON acts (until_ms);
"""
_INSERT: Final = """
INSERT INTO acts (client_id, at_ms, id, until_ms, action, by, record) VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_PURGE: Final = "DELETE FROM acts WHERE until_ms <= ?"
_PAGE: Final = """
SELECT record FROM acts
WHERE client_id = :client_id AND at_ms >= :from_ms AND (at_ms, id) < (:before_ms, :before_id)
    AND (:action IS NULL OR action = :action) AND (:by IS NULL OR by = :by)
ORDER BY at_ms DESC, id DESC LIMIT :limit
"""
# Above every time.
_END_MS: Final = 2**63 - 1


class SqliteAuditLog(ABC):
    """Implements `ports.AuditLog`, within `SqliteStepStore`."""

    _writer: Writer
    _connection: apsw.Connection
    _lists: Reader

    @abstractmethod
    async def _long_rows(self, reader: Reader, sql: str, values: Any) -> list[tuple[Any, ...]]: ...

    async def add_act(self, act: Act, until_ms: int) -> None:
        """Add a row."""
        record = orjson.dumps(act_record(act))
        row = (act.client_id, act.at_ms, act.id, until_ms, act.action, act.by, record)
        await self._writer.submit(self._add_act, row)

    async def acts(self, query: ActQuery) -> ActPage:
        """A page of the acts that fit, newest first."""
        before_ms, before_id = query.after or (_END_MS, "")
        if query.before_ms is not None:
            before_ms, before_id = min((before_ms, before_id), (query.before_ms, ""))
        values = {
            "client_id": query.client_id,
            "from_ms": query.from_ms or 0,
            "before_ms": before_ms,
            "before_id": before_id,
            "action": query.action,
            "by": query.by,
            # One more shows whether there are more.
            "limit": query.limit + 1,
        }
        rows = await self._long_rows(self._lists, _PAGE, values)
        page = [load_act(orjson.loads(record)) for (record,) in rows[: query.limit]]
        return ActPage(page, (page[-1].at_ms, page[-1].id) if len(rows) > len(page) else None)

    def _add_act(self, row: tuple[Any, ...]) -> None:
        self._connection.execute(_INSERT, row)

    def _purge_acts(self, now_ms: int) -> None:
        self._connection.execute(_PURGE, (now_ms,))
