"""The store of the embedded server. To add another store, let these functions choose by the settings."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path

from atomic.adapters.sqlite.backend import SqliteBackend, client_store
from atomic.adapters.sqlite.lock import DataDirLock
from atomic.application.backend import Backend
from atomic.application.client_admin import ClientStore
from atomic.entrypoints.embedded.settings import ServerSettings


def open_backend(
    settings: ServerSettings, *, on_fatal: Callable[[str], None]
) -> AbstractAsyncContextManager[Backend]:
    """Open the store of a server. It calls `on_fatal` once it can no longer be trusted.

    Raises OSError with a text that says what to do when it cannot be opened.
    """
    return SqliteBackend.open(settings.data_dir, on_fatal=on_fatal)


def open_clients(settings: ServerSettings) -> AbstractContextManager[ClientStore]:
    """The clients of a server's store, for operators, whether the server runs or not."""
    return client_store(settings.data_dir)


def without_server(directory: Path) -> AbstractContextManager[object]:
    """Keep servers away from the data directory meanwhile. Raises DataDirInUse while one uses it."""
    return DataDirLock(directory)
