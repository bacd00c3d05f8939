"""The home in memory: the whole engine in virtual time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from atomic.application.ports import Client
from atomic.testing import LocalAtomic
from scenarios.home import Home
from scenarios.locked_clients import ORDINARY, SCOPED, SLOW, STARTS_PER_S, scoped

KEYS = {
    **{name: f"atm_{name}" for name in (*ORDINARY, SLOW, *SCOPED)},
    **{scoped(name): f"atm_{name}_scoped" for name in SCOPED},
}


class KeyRegistry:
    """The clients of `locked_clients`, with keys that are easy to read."""

    def __init__(self) -> None:
        base_urls = ("https://app.test/app",)
        names = (*ORDINARY, SLOW, *SCOPED)
        self._clients = {name: Client(id=name, base_urls=base_urls) for name in names}
        self._clients[SLOW] = replace(self._clients[SLOW], starts_per_s=STARTS_PER_S)
        self._by_key = {KEYS[name]: client for name, client in self._clients.items()}
        for name, scope in SCOPED.items():
            self._by_key[KEYS[scoped(name)]] = replace(self._clients[name], scopes=frozenset({scope}))

    async def authenticate(self, api_key: str | None, client_id: str) -> Client | None:
        """The client of the key."""
        return self._by_key.get(api_key or "")

    async def get(self, client_id: str) -> Client | None:
        """A client by its id."""
        return self._clients.get(client_id)


@asynccontextmanager
async def open_home() -> AsyncIterator[Home]:
    """A home that asks nobody for a key."""
    async with LocalAtomic() as atomic:
        yield Home(client="me", send=atomic.request, serve=atomic.endpoint)


@asynccontextmanager
async def locked_home() -> AsyncIterator[Home]:
    """A home with the clients alpha, beta and slow; the scenario is alpha."""
    async with LocalAtomic(clients=KeyRegistry()) as atomic:
        yield Home(client="alpha", send=atomic.request, serve=atomic.endpoint, keys=KEYS)
