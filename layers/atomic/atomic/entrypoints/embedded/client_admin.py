"""What is done to the clients of a data directory, by operators and by the API of a running server."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, TypeVar

import apsw

from atomic.adapters.secret_files import KEY_PEPPER, key_pepper
from atomic.adapters.sqlite.client_store import SqliteClientStore
from atomic.adapters.sqlite.database import DatabaseRefused
from atomic.adapters.system import SystemClock, SystemEntropy
from atomic.application.client_admin import ClientAdmin
from atomic.application.client_cache import locked_out
from atomic.application.ports import StoreUnavailable
from atomic.domain.clients.records import OPERATOR_ID

Done = TypeVar("Done")
_NAMED_MAX: Final = 5


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


def pepper_of_keys(directory: Path) -> bytes:
    """The pepper under which the keys of a data directory open, made when no key needs another one.

    Raises ValueError when live keys do: a server would refuse each of them, and nobody would know why.
    """
    path = directory / KEY_PEPPER
    pepper = key_pepper(directory) if path.exists() else None
    store = SqliteClientStore(directory / "clients.db")
    try:
        records = [store.load(client_id) for client_id in (*store.ids(), OPERATOR_ID)]
    finally:
        store.close()
    found = [record for record in records if record is not None]
    if out := locked_out(found, pepper, SystemClock().now_ms()):
        what = "missing" if pepper is None else "another one"
        raise ValueError(
            f"{path} is {what}: the API keys of {_listed(out)} were made under the one that belongs to "
            "clients.db, and open nothing without it. Put that file back (`atomic backup` takes both), or "
            "make new keys by `atomic clients rotate ID --overlap-hours 0` (the operator's by `atomic "
            "operator rotate-key`)"
        )
    return key_pepper(directory) if pepper is None else pepper


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
            raise StoreUnavailable.of(error) from error


def _listed(ids: list[str]) -> str:
    names = ["the operator" if client_id == OPERATOR_ID else client_id for client_id in ids]
    more = len(names) - _NAMED_MAX
    return ", ".join(names[:_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
