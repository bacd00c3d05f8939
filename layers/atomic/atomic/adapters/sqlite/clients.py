"""The tenants of an embedded home, in a file of their own: the CLI adds some while a server runs."""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import apsw

from atomic.adapters.sqlite.database import Schema, close_database, open_database
from atomic.application.ports import Client, StoreUnavailable
from atomic.protocol import keys
from atomic.protocol.signatures import decode_secret, encode_secret

_KEY_PREFIX: Final = "atm_"
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
    _validate(client_id, base_urls, starts_per_s)
    key_id, secret = secrets.token_hex(4), encode_secret(secrets.token_bytes(32))
    api_key = f"{_KEY_PREFIX}{key_id}_{secrets.token_hex(32)}"
    client = (client_id, json.dumps(list(base_urls)), json.dumps([secret]), starts_per_s, now_ms)
    connection = open_database(path, CLIENTS)
    try:
        with connection:
            connection.execute("INSERT INTO clients VALUES (?, ?, ?, ?, ?)", client)
            connection.execute(
                "INSERT INTO api_keys VALUES (?, ?, ?, ?)", (key_id, _hash(api_key), client_id, now_ms)
            )
    except apsw.ConstraintError:
        raise ValueError(f"the client {client_id!r} exists already; choose another id") from None
    finally:
        close_database(connection)
    return api_key, secret


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
        entry = known.keys.get(_key_id(api_key)) if api_key else None
        if api_key is None or entry is None or not hmac.compare_digest(entry[0], _hash(api_key)):
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


def _key_id(api_key: str) -> str:
    return api_key.removeprefix(_KEY_PREFIX).partition("_")[0]


def _hash(api_key: str) -> bytes:
    # The key is 256 random bits, so there is nothing to guess that a slow hash would protect.
    return hashlib.sha256(api_key.encode(errors="surrogatepass")).digest()


def _validate(client_id: str, base_urls: Sequence[str], starts_per_s: float | None) -> None:
    if not keys.is_client_id(client_id):
        raise ValueError(
            f"the client id {client_id!r} cannot be used: take 1 to 64 letters, digits, '_' or '-', first "
            f"a letter or digit, and none of {', '.join(sorted(keys.RESERVED_CLIENT_IDS))}"
        )
    if not base_urls:
        raise ValueError("give at least one base URL, as in https://app.example/")
    for url in base_urls:
        _validate_url(url)
    if starts_per_s is not None and not 0 < starts_per_s < float("inf"):
        raise ValueError("starts per second must be more than 0; leave it out for no limit")


def _validate_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.port != 0 and parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable or not url.isascii() or any(char <= " " or char == "\\" for char in url):
        raise ValueError(f"the base URL {url!r} is not an absolute http(s) URL, as in https://app.example/")
    if "@" in parts.netloc or "?" in url or "#" in url:
        raise ValueError(f"the base URL {url!r} must have no user name, query or fragment")
