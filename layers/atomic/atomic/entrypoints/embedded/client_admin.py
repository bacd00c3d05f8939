"""The administration of an embedded server's clients, for operators and for its own API."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Final, TypeVar

from atomic.adapters.secret_files import (
    KEY_PEPPER,
    end_previous_key_pepper,
    key_pepper,
    previous_key_pepper,
    rotate_key_pepper,
)
from atomic.adapters.system import SystemClock, SystemEntropy
from atomic.application.client_admin import ClientAdmin, ClientStore
from atomic.application.client_cache import locked_out
from atomic.application.ports import StoreUnavailable
from atomic.domain.clients.api_keys import Peppers
from atomic.domain.clients.records import OPERATOR_ID
from atomic.entrypoints.embedded.backends import open_clients, without_server
from atomic.entrypoints.embedded.settings import ServerSettings

Done = TypeVar("Done")
OpenClients = Callable[[], AbstractContextManager[ClientStore]]
_NAMED_MAX: Final = 5
_NOTHING: Final[Mapping[str, str]] = {}


@contextmanager
def admin(directory: Path, environ: Mapping[str, str] = _NOTHING) -> Iterator[ClientAdmin]:
    """The clients of the server with this environment and data directory, which is created if missing."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings = ServerSettings.of_environment({**environ, "ATOMIC_DATA_DIR": str(directory)})
    with open_clients(settings) as store:
        yield _admin(store, directory)


def _admin(store: ClientStore, directory: Path) -> ClientAdmin:
    return ClientAdmin(
        store=store,
        pepper=key_pepper(directory),
        now_ms=SystemClock().now_ms,
        token_bytes=SystemEntropy().token_bytes,
    )


def peppers_of_keys(directory: Path, opens: OpenClients) -> Peppers:
    """The peppers that the keys of clients are hashed with. One is made when no live key needs another.

    Raises ValueError when a live key does: the server would refuse this key without a visible reason.
    """
    path = directory / KEY_PEPPER
    peppers = _peppers(directory) if path.exists() else None
    with opens() as store:
        records = [store.load(client_id) for client_id in (*store.ids(), OPERATOR_ID)]
    found = [record for record in records if record is not None]
    if out := locked_out(found, peppers, SystemClock().now_ms()):
        what = "missing" if peppers is None else "a different pepper"
        raise ValueError(
            f"{path} is {what}: the API keys of {_listed(out)} were made with the pepper that belongs to "
            "clients.db, and are refused without it. Restore that file (`atomic backup` copies both), or "
            "make new keys by `atomic clients rotate ID --overlap-hours 0` (the operator's by `atomic "
            "operator rotate-key`)"
        )
    return peppers or _peppers(directory)


def rotate_pepper(directory: Path) -> None:
    """Make another pepper; keys stay valid. Raises ValueError, and OSError while a server runs."""
    with without_server(directory):
        rotate_key_pepper(directory)


def end_pepper(directory: Path) -> None:
    """Forget the pepper of before the last rotation. Raises OSError while a server runs, and
    ValueError while a live key needs it.
    """
    with without_server(directory):
        with admin(directory) as clients:
            needed = clients.under_other_peppers()
        if needed:
            raise ValueError(
                f"keys of {_listed(needed)} have not been used since the pepper was rotated, and would "
                "not be valid any more: replace or revoke them first"
            )
        end_previous_key_pepper(directory)


def _peppers(directory: Path) -> Peppers:
    return Peppers(key_pepper(directory), previous_key_pepper(directory))


class ManagedClients:
    """Implements `http_api.api.ManageClients`: does one piece of work after the other, in a thread.

    The first piece of work opens the store, which stays open until `close`. Opening a file checks it for
    damage, and a write by another process may look like damage.
    """

    def __init__(self, directory: Path, opens: OpenClients) -> None:
        self._directory = directory
        self._opens = opens
        self._thread = ThreadPoolExecutor(1, "atomic-clients")
        self._opened = ExitStack()
        self._admin: ClientAdmin | None = None

    async def __call__(self, work: Callable[[ClientAdmin], Done], /) -> Done:
        """Do the work."""
        return await asyncio.wrap_future(self._thread.submit(self._do, work))

    def close(self) -> None:
        """Finish what has begun, and close the store."""
        self._thread.shutdown()
        self._opened.close()

    def _do(self, work: Callable[[ClientAdmin], Done]) -> Done:
        if self._admin is None:
            try:
                self._admin = _admin(self._opened.enter_context(self._opens()), self._directory)
            except OSError as error:
                raise StoreUnavailable.of(error) from error
        return work(self._admin)


def _listed(ids: list[str]) -> str:
    names = ["the operator" if client_id == OPERATOR_ID else client_id for client_id in ids]
    more = len(names) - _NAMED_MAX
    return ", ".join(names[:_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
