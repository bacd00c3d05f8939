"""The tenants of an embedded home, in a file of their own: the CLI adds some while a server runs."""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import apsw

from atomic.adapters.sqlite.database import Schema, close_database, open_database
from atomic.application.ports import Client, StoreUnavailable
from atomic.application.tenants import Door, client_of, doors
from atomic.protocol import api_keys
from atomic.protocol.tenants import Tenant

_CHECK_EVERY_S: Final = 2.0
# Secrets end at their time without a write that would tell.
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
# Keys of the first version had no scopes, checksum or pepper: they open nothing any more.
_RECORDS: Final = """
CREATE TABLE tenants (id TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL, record TEXT NOT NULL) STRICT;
INSERT INTO tenants SELECT id, 1, json_object(
    'base_urls', json(base_urls), 'keys', json_array(), 'created_at_ms', created_at_ms,
    'limits', json_object('starts_per_s', starts_per_s, 'live_steps', NULL),
    'secrets', json((
        SELECT json_group_array(json_object(
            'text', value, 'created_at_ms', created_at_ms, 'expires_at_ms', NULL
        )) FROM json_each(signing_secrets)
    ))
) FROM clients;
DROP TABLE api_keys;
DROP TABLE clients;
"""
CLIENTS: Final = Schema("clients", (_FIRST, _RECORDS))


class SqliteTenantStore:
    """Implements `application.tenants.TenantStore`. Opens the file, or makes it; close it."""

    def __init__(self, path: Path) -> None:
        self._connection = open_database(path, CLIENTS)

    def load(self, tenant_id: str) -> Tenant | None:
        """A client."""
        found = self._connection.execute(
            "SELECT id, version, record FROM tenants WHERE id = ?", (tenant_id,)
        ).fetchone()
        return None if found is None else Tenant.from_json(*found)

    def save(self, tenant: Tenant) -> bool:
        """Write the client."""
        record = (tenant.version + 1, tenant.to_json(), tenant.id)
        if tenant.version == 0:
            statement = "INSERT INTO tenants (version, record, id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        else:
            statement = "UPDATE tenants SET version = ?, record = ? WHERE id = ? AND version = ?"
            record = (*record, tenant.version)  # type: ignore[assignment]
        self._connection.execute(statement, record)
        return self._connection.changes() == 1

    def ids(self) -> Sequence[str]:
        """All clients."""
        return [row[0] for row in self._connection.execute("SELECT id FROM tenants ORDER BY id")]

    def close(self) -> None:
        """Close the file."""
        close_database(self._connection)


def key_pepper(data_dir: Path) -> bytes:
    """The pepper of the API keys of a data directory; made at first use, and lost with its file."""
    path = data_dir / "key-pepper"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_bytes(secrets.token_bytes(32))
    return path.read_bytes()


class SqliteClientRegistry:
    """Implements `ports.ClientRegistry`. Changes of the file are seen after two seconds at most."""

    def __init__(self, path: Path, *, pepper: bytes, now_ms: Callable[[], int]) -> None:
        self._connection = open_database(path, CLIENTS)
        self._pepper = pepper
        self._now_ms = now_ms
        self._known = _Known()
        self._check_after_s = 0.0
        self._reload_after_s = 0.0
        self._data_version = -1

    async def authenticate(self, api_key: str | None, client_id: str) -> Client | None:  # noqa: ARG002
        """The client that the key opens."""
        key_id = api_keys.key_id_of(api_key) if api_key else None
        if api_key is None or key_id is None:
            return None
        door = self._current().doors.get(key_id)
        if door is None or not door.opens(api_key, pepper=self._pepper, now_ms=self._now_ms()):
            return None
        return door.client

    async def get(self, client_id: str) -> Client | None:
        """A client by its id."""
        return self._current().clients.get(client_id)

    def close(self) -> None:
        """Close the file."""
        close_database(self._connection)

    def _current(self) -> "_Known":
        now_s = time.monotonic()
        if now_s >= self._check_after_s:
            try:
                self._refresh(now_s)
            except apsw.Error as error:
                raise StoreUnavailable(f"{type(error).__name__}: {error}") from error
            self._check_after_s = now_s + _CHECK_EVERY_S
        return self._known

    def _refresh(self, now_s: float) -> None:
        # Changes when another connection has written.
        version = self._connection.execute("PRAGMA data_version").get
        if version != self._data_version or now_s >= self._reload_after_s:
            self._known = _load(self._connection, self._now_ms())
            self._data_version = version
            self._reload_after_s = now_s + _RELOAD_EVERY_S


@dataclass(frozen=True, slots=True)
class _Known:
    """Clients by their ids, and what opens them by the ids of keys."""

    clients: dict[str, Client] = field(default_factory=dict)
    doors: dict[str, Door] = field(default_factory=dict)


def _load(connection: apsw.Connection, now_ms: int) -> _Known:
    rows: list[Any] = connection.execute("SELECT id, version, record FROM tenants").fetchall()
    known = _Known()
    for row in rows:
        tenant = Tenant.from_json(*row)
        known.clients[tenant.id] = client_of(tenant, now_ms)
        known.doors.update(doors(tenant, known.clients[tenant.id]))
    return known
