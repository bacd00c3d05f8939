"""Whether the two databases of a data directory belong together.

Both have the same `application_id`, which is drawn when a server first uses both. 0 is none yet.
"""

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import apsw

from atomic.adapters.sqlite.client_store import CLIENTS
from atomic.adapters.sqlite.database import DatabaseRefused, Schema, open_immutable, open_unchanged
from atomic.adapters.sqlite.schema import STEPS

# There while a restore fills the directory, and after one that was cut off. The name is that of the steps
# in a directory which an earlier version was filling.
UNFINISHED: Final = ".atomic.db-unfinished"
_ID_MAX: Final = 2**31 - 2
_BUSY_TIMEOUT_MS: Final = 5_000
_CURE: Final = (
    "restore all files of one backup by `atomic restore BACKUP --data-dir DIRECTORY`; or, without what is "
    "lost, these files by `atomic restore {} --data-dir DIRECTORY --partial`"
)


def require_restored(directory: Path) -> None:
    """Raise DatabaseRefused where a restore was cut off. What it has not copied would be lost unseen."""
    if (directory / UNFINISHED).exists():
        raise DatabaseRefused(
            f"{directory} holds a part of a backup, because a restore was cut off: run `atomic restore "
            f"BACKUP --data-dir {directory}` again, which begins anew"
        )


def require_steps(directory: Path) -> None:
    """Raise DatabaseRefused where `clients.db` is of a store whose `atomic.db` is missing, or not restored.

    A server would start without a run, and call endpoints again.
    """
    require_restored(directory)
    if _is_named_alone(directory / "clients.db", CLIENTS, directory / "atomic.db"):
        raise DatabaseRefused(_missing(directory, "atomic.db", "runs", "clients.db"))


def require_clients(directory: Path) -> None:
    """Raise DatabaseRefused where `atomic.db` is of a store whose `clients.db` is missing, or not restored.

    Every client would be unknown.
    """
    require_restored(directory)
    if _is_named_alone(directory / "atomic.db", STEPS, directory / "clients.db"):
        raise DatabaseRefused(_missing(directory, "clients.db", "clients", "atomic.db"))


def join(directory: Path) -> None:
    """Give both databases one id, unless they have it. Raises DatabaseRefused for two different ones."""
    with _opened(directory / "clients.db") as clients, _opened(directory / "atomic.db") as steps:
        if not is_one_store(_id_in(steps), _id_in(clients)):
            raise DatabaseRefused(
                f"atomic.db and clients.db in {directory} are of different servers, so runs may be of "
                f"clients that are unknown here; {_CURE.format(directory)}"
            )
        # First the clients: a backup copies them last, so no copy has the id in `atomic.db` alone.
        if _id_in(clients) == 0:
            clients.pragma("application_id", secrets.randbelow(_ID_MAX) + 1)
        if _id_in(steps) == 0:
            steps.pragma("application_id", _id_in(clients))


def is_one_store(steps_id: int, clients_id: int) -> bool:
    """Whether databases with these ids may be used together."""
    # Without an id, `atomic.db` is of a first start that was cut off, or of a version without ids.
    return steps_id in {0, clients_id}


def id_of(path: Path) -> int:
    """The id of a database that nobody uses; 0 if it has none."""
    with closing(open_immutable(path)) as connection:
        return _id_in(connection)


def forget_id(path: Path) -> None:
    """Let a database belong to no store, so that the next start gives it an id."""
    with _opened(path) as connection:
        connection.pragma("application_id", 0)


@contextmanager
def _opened(path: Path) -> Iterator[apsw.Connection]:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.set_busy_timeout(_BUSY_TIMEOUT_MS)
        yield connection
    finally:
        connection.close()


def _id_in(connection: apsw.Connection) -> int:
    return int(connection.pragma("application_id"))


def _is_named_alone(path: Path, schema: Schema, missing: Path) -> bool:
    if missing.exists() or not path.exists():
        return False
    with closing(open_unchanged(path, schema)) as connection:
        return _id_in(connection) != 0


def _missing(directory: Path, name: str, what: str, other: str) -> str:
    return (
        f"{directory / name} is missing, which has the {what} that belong to {other}; "
        f"{_CURE.format(directory)}"
    )
