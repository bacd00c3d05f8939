"""Large texts, apart from their rows, and the sums of what clients store."""

from abc import ABC, abstractmethod
from typing import Any

import apsw

from atomic.adapters.sqlite import queries
from atomic.adapters.sqlite.writer import Writer
from atomic.domain.blobs import Place


class SqliteTexts(ABC):
    """Implements `ports.Blobs`, within `SqliteStepStore`."""

    _writer: Writer
    _connection: apsw.Connection

    @abstractmethod
    def _read(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]: ...

    async def put_blob(self, step_id: str, digest: str, text: bytes, until_ms: int) -> Place:
        """Store a large text."""
        await self._writer.submit(self._put_blob, (step_id, digest, until_ms, text))
        return "table"

    async def get_blob(self, step_id: str, digest: str, place: Place) -> bytes | None:  # noqa: ARG002 - one place
        """A large text."""
        rows = self._read(queries.GET_BLOB, (step_id, digest))
        return rows[0][0] if rows else None

    async def add_stored_bytes(self, client_id: str, size: int, *, day: int, since_day: int) -> int:
        """Add to the stored bytes of the client and drop earlier days; the sum."""
        return await self._writer.submit(self._add_stored_bytes, client_id, size, day, since_day)

    def _add_stored_bytes(self, client_id: str, size: int, day: int, since_day: int) -> int:
        self._connection.execute(queries.ADD_STORED, (client_id, day, size))
        self._connection.execute(queries.FORGET_STORED, (client_id, since_day))
        total: int = self._connection.execute(queries.SUM_STORED, (client_id,)).get
        return total

    def _put_blob(self, values: tuple[str, str, int, bytes]) -> None:
        self._connection.execute(queries.PUT_BLOB, values)

    def _delete_blob(self, row: int, now_ms: int) -> None:
        self._connection.execute(queries.DELETE_SPENT, {"row": row, "now_ms": now_ms})
