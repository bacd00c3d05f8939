"""Which store the embedded server has. For another one these functions choose by the settings."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path

from atomic.adapters.sqlite.backend import SqliteBackend, client_store
from atomic.application.client_admin import ClientStore
from atomic.application.ports import Backend
from atomic.entrypoints.embedded.settings import ServerSettings


def open_backend(
    settings: ServerSettings, *, on_fatal: Callable[[str], None]
) -> AbstractAsyncContextManager[Backend]:
    """The store of a server. `on_fatal` is called once it can no longer be trusted.

    Raises OSError, which says what to do, when it cannot be opened.
    """
    return SqliteBackend.open(settings.data_dir, on_fatal=on_fatal)


def open_clients(directory: Path) -> AbstractContextManager[ClientStore]:
    """The clients of a store, for operators, whether a server runs or not."""
    return client_store(directory)
