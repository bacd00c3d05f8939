"""The port of a server: what the folder of a store provides for one."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from atomic.application.client_admin import ClientStore
from atomic.application.ports import ClientRegistry, Destinations, ServerStore, StartRates


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedCounts:
    """What several processes on one store count together."""

    starts: StartRates
    destinations: Destinations


class Backend(Protocol):
    """What the folder of a store provides for a server: one store, open, and in nobody else's hands.

    `shared` is None where this process is the only one on the store; no other one can open it then.
    Whoever opens a backend closes it after all else, and says what is to happen once it cannot be trusted.
    """

    @property
    def steps(self) -> ServerStore:
        """The rows."""
        ...

    @property
    def shared(self) -> SharedCounts | None:
        """How several processes count together what one would count by itself."""
        ...

    def registry(
        self, *, pepper: bytes, now_ms: Callable[[], int]
    ) -> AbstractContextManager[ClientRegistry]:
        """The clients, for whoever asks whom a key opens. Raises OSError when they cannot be opened."""
        ...

    def client_store(self) -> AbstractContextManager[ClientStore]:
        """The clients, for whoever changes them; it may be opened and used in another thread.

        Raises OSError when they cannot be opened.
        """
        ...
