"""What is done to the clients of a data directory, by operators and by the API of a running server."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import apsw

from atomic.adapters.secret_files import key_pepper
from atomic.adapters.sqlite.clients import SqliteClientStore
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
    """Implements `http_api.api.ManageClients`: each piece of work opens the file anew, in a thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def __call__(self, work: Callable[[ClientAdmin], Done], /) -> Done:
        """Do the work."""
        return await asyncio.to_thread(self._do, work)

    def _do(self, work: Callable[[ClientAdmin], Done]) -> Done:
        try:
            with admin(self._directory) as clients:
                return work(clients)
        except apsw.Error as error:
            raise StoreUnavailable(f"{type(error).__name__}: {error}") from error
