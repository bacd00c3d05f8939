"""What is done to the clients of a data directory, by operators and by the API of a running server."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import apsw

from atomic.adapters.secret_files import key_pepper
from atomic.adapters.sqlite.clients import SqliteClientStore
from atomic.adapters.sqlite.database import DatabaseRefused
from atomic.adapters.system import SystemClock, SystemEntropy
from atomic.application.client_admin import ClientAdmin
from atomic.application.ports import StoreUnavailable

Done = TypeVar("Done")


@contextmanager
def admin(directory: Path) -> Iterator[ClientAdmin]:
    """The clients of a data directory, which is made when it is not there."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = SqliteClientStore(directory / "clients.db")
    try:
        yield ClientAdmin(
            store=store,
            pepper=key_pepper(directory),
            now_ms=SystemClock().now_ms,
            token_bytes=SystemEntropy().token_bytes,
        )
    finally:
        store.close()


class ManagedDirectory:
    """Implements `http_api.api.ManageClients`: one piece of work after the other, in a thread. Close it.

    The file is opened for the first one: opening it looks for damage, which others' writes may look like.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._thread = ThreadPoolExecutor(1, "atomic-clients")
        self._opened = ExitStack()
        self._admin: ClientAdmin | None = None

    async def __call__(self, work: Callable[[ClientAdmin], Done], /) -> Done:
        """Do the work."""
        return await asyncio.wrap_future(self._thread.submit(self._do, work))

    def close(self) -> None:
        """Finish what has begun, and close the file."""
        self._thread.shutdown()
        self._opened.close()

    def _do(self, work: Callable[[ClientAdmin], Done]) -> Done:
        try:
            if self._admin is None:
                self._admin = self._opened.enter_context(admin(self._directory))
            return work(self._admin)
        except (apsw.Error, DatabaseRefused) as error:
            raise StoreUnavailable(f"{type(error).__name__}: {error}") from error
