"""The store folder of SQLite as a whole: one data directory, in the hands of one process."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Final

from atomic.adapters.sqlite.client_store import SqliteClientRegistry, SqliteClientStore
from atomic.adapters.sqlite.in_place import FilesInPlace
from atomic.adapters.sqlite.lock import DataDirLock
from atomic.adapters.sqlite.row_check import require_whole_live_rows
from atomic.adapters.sqlite.store import SqliteStepStore
from atomic.adapters.sqlite.store_id import join, require_clients, require_steps
from atomic.domain.clients.api_keys import Peppers

# How long a server may go on whose files were taken away.
_LOOK_EVERY_S: Final = 1.0
# What it has open; a client's file is there without `--dev` only.
_FILES: Final = ("lock", "atomic.db", "atomic.db-wal", "clients.db", "clients.db-wal")


class SqliteBackend:
    """Implements `application.backend.Backend`. Made by `open`."""

    shared = None

    def __init__(self, directory: Path, steps: SqliteStepStore) -> None:
        self.steps = steps
        self.flow = steps.flow
        self._directory = directory
        self._watch()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, directory: Path, *, on_fatal: Callable[[str], None]
    ) -> AsyncIterator["SqliteBackend"]:
        """Open a data directory, which is made when it is not there, and hold it alone.

        Once it can no longer be trusted `on_fatal` is called, on the loop, with a message about a file.
        Raises OSError, which says what to do, when it cannot be opened.
        """
        with DataDirLock(directory):
            require_steps(directory)
            steps = await SqliteStepStore.open(directory / "atomic.db", on_fatal=on_fatal)
            try:
                await asyncio.to_thread(require_whole_live_rows, directory / "atomic.db")
                backend = cls(directory, steps)
                watcher = asyncio.create_task(backend._look_again_and_again())
                try:
                    yield backend
                finally:
                    watcher.cancel()
            finally:
                await steps.close()

    @contextmanager
    def registry(self, *, peppers: Peppers, now_ms: Callable[[], int]) -> Iterator[SqliteClientRegistry]:
        """The clients, to look up whose an API key is."""
        registry = SqliteClientRegistry(self._directory / "clients.db", peppers=peppers, now_ms=now_ms)
        with closing(registry):
            join(self._directory)
            self._watch()
            yield registry

    def client_store(self) -> "closing[SqliteClientStore]":
        """The clients, to change them."""
        return client_store(self._directory)

    def _watch(self) -> None:
        self._files = FilesInPlace(self._directory / name for name in _FILES)

    async def _look_again_and_again(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            if path := self._files.displaced():
                self.steps.give_up(f"{path} was moved, removed or replaced while the server ran")
                return


def client_store(directory: Path) -> "closing[SqliteClientStore]":
    """The clients of a data directory, also while a server uses it.

    Raises DatabaseRefused where they are missing beside the runs that belong to them.
    """
    require_clients(directory)
    return closing(SqliteClientStore(directory / "clients.db"))
