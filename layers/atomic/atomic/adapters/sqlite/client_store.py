"""The clients of an embedded runtime, in a separate file: the CLI writes it while a server runs."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import apsw

from atomic.adapters.sqlite.database import Schema, close_database, open_database
from atomic.application.client_cache import CachedKey, cached_keys, callback_keys, client_of
from atomic.application.ports import StoreUnavailable
from atomic.domain.clients import api_keys
from atomic.domain.clients.api_keys import Peppers
from atomic.domain.clients.client import Client
from atomic.domain.clients.records import OPERATOR_ID, ClientRecord

_CHECK_EVERY_S: Final = 2.0
# Secrets expire without a write, so cached clients are read again.
_RELOAD_EVERY_S: Final = 60.0
_FIRST: Final = """
CREATE TABLE clients (
    id TEXT NOT NULL PRIMARY KEY,
    base_urls TEXT NOT NULL,
    signing_secrets TEXT NOT NULL,
    starts_per_s REAL,
    created_at_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE api_keys (
    id TEXT NOT NULL PRIMARY KEY,
    sha256 BLOB NOT NULL,
    client_id TEXT NOT NULL REFERENCES clients (id),
    created_at_ms INTEGER NOT NULL
) STRICT;
"""
# Keys of the first version had no scopes, checksum or pepper: they are no longer valid.
_RECORDS: Final = """
CREATE TABLE tenants (id TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL, record TEXT NOT NULL) STRICT;
INSERT INTO tenants SELECT id, 1, json_object(
    'base_urls', json(base_urls), 'keys', json_array(), 'created_at_ms', created_at_ms,
    'quota', json_object('starts_per_second', starts_per_s),
    'secrets', json((
        SELECT json_group_array(json_object(
            'text', value, 'created_at_ms', created_at_ms, 'expires_at_ms', NULL
        )) FROM json_each(signing_secrets)
    ))
) FROM clients;
DROP TABLE api_keys;
DROP TABLE clients;
"""
_NAMED: Final = "ALTER TABLE tenants RENAME TO client_records;"
CLIENTS: Final = Schema("clients", (_FIRST, _RECORDS, _NAMED))


class SqliteClientStore:
    """Implements `application.client_admin.ClientStore`. Opens the file, or makes it; close it.

    Methods raise StoreUnavailable.
    """

    def __init__(self, path: Path) -> None:
        self._connection = open_database(path, CLIENTS)

    def load(self, client_id: str) -> ClientRecord | None:
        """A client."""
        sql = "SELECT id, version, record FROM client_records WHERE id = ?"
        found = self._rows(sql, (client_id,))
        return ClientRecord.from_json(*found[0]) if found else None

    def save(self, record: ClientRecord) -> bool:
        """Write the client."""
        row = (record.version + 1, record.to_json(), record.id)
        if record.version == 0:
            self._rows(
                "INSERT INTO client_records (version, record, id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                row,
            )
        else:
            self._rows(
                "UPDATE client_records SET version = ?, record = ? WHERE id = ? AND version = ?",
                (*row, record.version),
            )
        return self._connection.changes() == 1

    def ids(self) -> Sequence[str]:
        """All clients."""
        found = self._rows("SELECT id FROM client_records WHERE id <> ? ORDER BY id", (OPERATOR_ID,))
        return [client_id for (client_id,) in found]

    def close(self) -> None:
        """Close the file."""
        close_database(self._connection)

    def _rows(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except apsw.Error as error:
            raise StoreUnavailable.of(error) from error


class SqliteClientRegistry:
    """Implements `ports.ClientRegistry`. It sees changes of the file after two seconds at most, new keys at
    once.
    """

    def __init__(self, path: Path, *, peppers: Peppers, now_ms: Callable[[], int]) -> None:
        self._connection = open_database(path, CLIENTS)
        self._peppers = peppers
        self.callback_keys = callback_keys(peppers)
        self._now_ms = now_ms
        self._known = _Known()
        self._check_after_s = 0.0
        self._reload_after_s = 0.0
        self._data_version = -1

    async def authenticate(self, api_key: str | None, client_id: str) -> Client | None:  # noqa: ARG002 - the port has it
        """The client of the API key."""
        key_id = api_keys.key_id_of(api_key) if api_key else None
        if api_key is None or key_id is None:
            return None
        cached_key = self._current().cached_keys.get(key_id)
        if cached_key is None:
            # The key may be new. Checking whether anything was written is cheap.
            cached_key = self._current(is_doubted=True).cached_keys.get(key_id)
        if cached_key is None or not cached_key.opens(api_key, now_ms=self._now_ms()):
            return None
        return cached_key.client

    async def get(self, client_id: str) -> Client | None:
        """A client by its id."""
        return self._current().clients.get(client_id)

    def close(self) -> None:
        """Close the file."""
        close_database(self._connection)

    def _current(self, *, is_doubted: bool = False) -> "_Known":
        now_s = time.monotonic()
        if is_doubted or now_s >= self._check_after_s:
            try:
                self._refresh(now_s)
            except apsw.Error as error:
                raise StoreUnavailable.of(error) from error
            self._check_after_s = now_s + _CHECK_EVERY_S
        return self._known

    def _refresh(self, now_s: float) -> None:
        # Changes when another connection has written.
        version = self._connection.execute("PRAGMA data_version").get
        if version != self._data_version or now_s >= self._reload_after_s:
            self._known = _load(self._connection, self._now_ms(), self._peppers)
            self._data_version = version
            self._reload_after_s = now_s + _RELOAD_EVERY_S


@dataclass(frozen=True, slots=True)
class _Known:
    """Clients by their ids, and keys by theirs."""

    clients: dict[str, Client] = field(default_factory=dict)
    cached_keys: dict[str, CachedKey] = field(default_factory=dict)


def _load(connection: apsw.Connection, now_ms: int, peppers: Peppers) -> _Known:
    rows: list[Any] = connection.execute("SELECT id, version, record FROM client_records").fetchall()
    cached = _Known()
    for row in rows:
        record = ClientRecord.from_json(*row)
        cached.clients[record.id] = client_of(record, now_ms, peppers)
        cached.cached_keys.update(cached_keys(record, cached.clients[record.id], peppers))
    return cached
