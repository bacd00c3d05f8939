"""The home in memory: the whole engine in virtual time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from atomic.application.ports import Client
from atomic.testing import LocalAtomic
from scenarios.home import Home

KEYS = {"alpha": "atm_alpha", "beta": "atm_beta", "slow": "atm_slow"}
STARTS_PER_S = 3.0


class KeyRegistry:
    """Three clients with a key each, as `embedded_home` makes them on a locked server."""

    def __init__(self) -> None:
        base_urls = ("https://app.test/app",)
        self._clients = {
            "alpha": Client(id="alpha", base_urls=base_urls),
            "beta": Client(id="beta", base_urls=base_urls),
            "slow": Client(id="slow", base_urls=base_urls, starts_per_s=STARTS_PER_S),
        }

    async def authenticate(self, api_key: str | None, client_id: str) -> Client | None:
        """The client of the key."""
        return next((self._clients[name] for name, key in KEYS.items() if key == api_key), None)

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
