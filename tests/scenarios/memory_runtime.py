"""The runtime in memory: the whole engine in virtual time."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from secrets import token_bytes
from typing import TypeVar

from atomic.adapters.system import SystemClock
from atomic.application.client_admin import ClientAdmin
from atomic.application.client_cache import cached_keys, callback_keys, client_of
from atomic.domain.clients.api_keys import Peppers
from atomic.domain.clients.client import Client
from atomic.domain.clients.records import OPERATOR_ID, ClientRecord
from atomic.testing import LocalAtomic
from scenarios.locked_clients import create_locked
from scenarios.runtime import Runtime

Done = TypeVar("Done")


class MemoryClients:
    """Clients in memory: a store, a registry that reads it at each call, and its administration."""

    def __init__(self) -> None:
        self._records: dict[str, ClientRecord] = {}
        self._peppers = Peppers(b"pepper")
        self.callback_keys = callback_keys(self._peppers)
        self.admin = ClientAdmin(
            store=self, pepper=b"pepper", now_ms=SystemClock().now_ms, token_bytes=token_bytes
        )

    def load(self, client_id: str) -> ClientRecord | None:
        """A client."""
        return self._records.get(client_id)

    def save(self, record: ClientRecord) -> bool:
        """Write the client."""
        existing = self._records.get(record.id)
        if (0 if existing is None else existing.version) != record.version:
            return False
        self._records[record.id] = replace(record, version=record.version + 1)
        return True

    def ids(self) -> Sequence[str]:
        """All clients."""
        return sorted(self._records.keys() - {OPERATOR_ID})

    async def authenticate(self, api_key: str | None, client_id: str) -> Client | None:
        """The client of an API key."""
        now_ms = self.admin.now_ms()
        for record in self._records.values():
            client = client_of(record, now_ms, self._peppers)
            for known in cached_keys(record, client, self._peppers).values():
                if known.opens(api_key or "", now_ms=now_ms):
                    return known.client
        return None

    async def get(self, client_id: str) -> Client | None:
        """A client by its id."""
        record = self.load(client_id)
        return None if record is None else client_of(record, self.admin.now_ms(), self._peppers)

    async def manage(self, work: Callable[[ClientAdmin], Done], /) -> Done:
        """Run the administration of the clients."""
        return work(self.admin)


@asynccontextmanager
async def open_runtime() -> AsyncIterator[Runtime]:
    """A runtime that requires no key."""
    async with LocalAtomic() as atomic:
        yield Runtime(client="me", send=atomic.request, serve=atomic.endpoint, is_virtual=True)


@asynccontextmanager
async def locked_runtime() -> AsyncIterator[Runtime]:
    """A runtime with the clients of `locked_clients`; the scenario's client is alpha."""
    clients = MemoryClients()
    keys = create_locked(clients.admin, ["https://app.test/app"])
    async with LocalAtomic(clients=clients, manage=clients.manage) as atomic:
        yield Runtime(
            client="alpha", send=atomic.request, serve=atomic.endpoint, keys=keys, is_virtual=True
        )
