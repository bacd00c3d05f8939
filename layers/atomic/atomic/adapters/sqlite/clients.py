"""The tenants of an embedded home, in a file of their own: the CLI adds some while a server runs."""

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import apsw

from atomic.adapters.sqlite.database import Schema, close_database, open_database
from atomic.application.ports import Client, StoreUnavailable
from atomic.protocol import api_keys
from atomic.protocol.clients import already_exists, check_client
from atomic.protocol.signatures import decode_secret

_CHECK_EVERY_S: Final = 2.0
_CLIENTS: Final = """
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
CLIENTS: Final = Schema("clients", (_CLIENTS,))


def create_client(
    path: Path, client_id: str, *, base_urls: Sequence[str], starts_per_s: float | None, now_ms: int
) -> tuple[str, str]:
    """Add a client to the file (made when missing): its API key and its signing secret.

    Of the key only a hash is stored, so it cannot be shown again. Raises ValueError for a client that
    exists and for an id, URL or rate that cannot be used.
    """
    base_urls = check_client(client_id, base_urls, starts_per_s)
    issued = api_keys.issue(secrets.token_bytes)
    signing_secrets = json.dumps([issued.signing_secret])
    client = (client_id, json.dumps(list(base_urls)), signing_secrets, starts_per_s, now_ms)
    api_key = (issued.key_id, api_keys.digest(issued.api_key), client_id, now_ms)
    connection = open_database(path, CLIENTS)
    try:
        with connection:
            connection.execute("INSERT INTO clients VALUES (?, ?, ?, ?, ?)", client)
            connection.execute("INSERT INTO api_keys VALUES (?, ?, ?, ?)", api_key)
    except apsw.ConstraintError:
        raise already_exists(client_id) from None
    finally:
        close_database(connection)
    return issued.api_key, issued.signing_secret


class SqliteClientRegistry:
    """Implements `ports.ClientRegistry`. Changes of the file are seen after two seconds at most."""

    def __init__(self, path: Path) -> None:
        self._connection = open_database(path, CLIENTS)
        self._known = _Known()
        self._check_after_s = 0.0
        self._data_version = -1

    async def authenticate(self, api_key: str | None, client_id: str) -> Client | None:  # noqa: ARG002
        """The client that the key opens."""
        known = self._current()
        key_id = api_keys.key_id_of(api_key) if api_key else None
        entry = known.keys.get(key_id) if key_id else None
        if api_key is None or entry is None or not api_keys.opens(api_key, entry[0]):
            return None
        return known.clients.get(entry[1])

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
                self._refresh()
            except apsw.Error as error:
                raise StoreUnavailable(f"{type(error).__name__}: {error}") from error
            self._check_after_s = now_s + _CHECK_EVERY_S
        return self._known

    def _refresh(self) -> None:
        # Changes when another connection has written.
        version = self._connection.execute("PRAGMA data_version").get
        if version != self._data_version:
            self._known = _load(self._connection)
            self._data_version = version


@dataclass(frozen=True, slots=True)
class _Known:
    """Clients by id; of keys by id the hash of the whole key and the client's id."""

    clients: dict[str, Client] = field(default_factory=dict)
    keys: dict[str, tuple[bytes, str]] = field(default_factory=dict)


def _load(connection: apsw.Connection) -> _Known:
    with connection:  # one snapshot of both tables
        clients: list[Any] = connection.execute(
            "SELECT id, base_urls, signing_secrets, starts_per_s FROM clients"
        ).fetchall()
        api_keys: list[Any] = connection.execute("SELECT id, sha256, client_id FROM api_keys").fetchall()
    return _Known(
        clients={row[0]: _client(row) for row in clients},
        keys={key_id: (digest, client_id) for key_id, digest, client_id in api_keys},
    )


def _client(row: tuple[Any, ...]) -> Client:
    client_id, base_urls, signing_secrets, starts_per_s = row
    return Client(
        id=client_id,
        base_urls=tuple(json.loads(base_urls)),
        signing_secrets=tuple(decode_secret(text) for text in json.loads(signing_secrets)),
        starts_per_s=starts_per_s,
    )
