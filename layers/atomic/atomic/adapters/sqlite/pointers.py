"""The table of pointers, in the file of the steps."""

from abc import ABC, abstractmethod
from typing import Any, Final

import apsw

from atomic.adapters.sqlite.writer import Writer
from atomic.domain.pointers import Pointer, PointerKind

POINTERS: Final = """
CREATE TABLE pointers (
    client_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    version INTEGER NOT NULL,
    run_id TEXT NOT NULL,
    is_held INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    due_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    PRIMARY KEY (client_id, kind, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX pointer_expiry ON pointers (expires_at_ms);
"""
GET_POINTER: Final = """
SELECT run_id, version, is_held, first_ms, due_ms, expires_at_ms FROM pointers
WHERE client_id = ? AND kind = ? AND key = ?
"""
_INSERT: Final = """
INSERT INTO pointers (run_id, version, is_held, first_ms, due_ms, expires_at_ms, client_id, kind, key)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
_UPDATE: Final = """
UPDATE pointers SET run_id = ?, version = ?, is_held = ?, first_ms = ?, due_ms = ?, expires_at_ms = ?
WHERE client_id = ? AND kind = ? AND key = ? AND version = ?
"""
PURGE_POINTERS: Final = "DELETE FROM pointers WHERE expires_at_ms <= ?"


class SqlitePointers(ABC):
    """Implements `ports.Pointers`, within `SqliteStepStore`."""

    _writer: Writer
    _connection: apsw.Connection

    @abstractmethod
    def _read(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]: ...

    async def get_pointer(self, client_id: str, kind: PointerKind, key: str) -> Pointer | None:
        """The newest durable pointer."""
        return _decoded(self._read(GET_POINTER, (client_id, kind, key)), client_id, kind, key)

    async def put_pointer(self, pointer: Pointer) -> Pointer | None:
        """Write the pointer if the one before has the version before."""
        return await self._writer.submit(self._put_pointer, pointer)

    def _put_pointer(self, pointer: Pointer) -> Pointer | None:
        at = (pointer.client_id, pointer.kind, pointer.key)
        columns = (
            pointer.run_id,
            pointer.version,
            int(pointer.is_held),
            pointer.first_ms,
            pointer.due_ms,
            pointer.expires_at_ms,
            *at,
        )
        if pointer.version == 1:
            self._connection.execute(_INSERT, columns)
        else:
            self._connection.execute(_UPDATE, (*columns, pointer.version - 1))
        if self._connection.changes():
            return None
        existing = _decoded(self._connection.execute(GET_POINTER, at).fetchall(), *at)
        if existing is None:
            raise LookupError(pointer.key)
        return existing

    def _purge_pointers(self, now_ms: int) -> None:
        self._connection.execute(PURGE_POINTERS, (now_ms,))


def _decoded(rows: list[tuple[Any, ...]], client_id: str, kind: PointerKind, key: str) -> Pointer | None:
    if not rows:
        return None
    run_id, version, is_held, first_ms, due_ms, expires_at_ms = rows[0]
    return Pointer(
        client_id=client_id,
        kind=kind,
        key=key,
        run_id=run_id,
        version=version,
        is_held=bool(is_held),
        first_ms=first_ms,
        due_ms=due_ms,
        expires_at_ms=expires_at_ms,
    )
