"""The port between a server and its store: what the store's folder provides."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from atomic.application.client_admin import ClientStore
from atomic.application.flow_store import ServerFlowStore
from atomic.application.ports import ClientRegistry, Destinations, StartRates
from atomic.application.server_store import ServerStore
from atomic.domain.clients.api_keys import Peppers


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedCounts:
    """Counts that several processes on one store share."""

    starts: StartRates
    destinations: Destinations


class Backend(Protocol):
    """An open store, as its folder provides it for a server.

    `shared` is None where only this process can open the store. The function that opens a backend takes a
    callback for a store that can no longer be trusted. The caller closes the backend last.
    """

    @property
    def steps(self) -> ServerStore:
        """The step rows."""
        ...

    @property
    def flow(self) -> ServerFlowStore:
        """The slots and lines of flow control."""
        ...

    @property
    def shared(self) -> SharedCounts | None:
        """The shared counts; None where this process counts alone."""
        ...

    def registry(
        self, *, peppers: Peppers, now_ms: Callable[[], int]
    ) -> AbstractContextManager[ClientRegistry]:
        """The clients, to look up API keys. Raises OSError when they cannot be opened."""
        ...

    def client_store(self) -> AbstractContextManager[ClientStore]:
        """The clients, to change them; it may be opened and used in another thread.

        Raises OSError when they cannot be opened.
        """
        ...
