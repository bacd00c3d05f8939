"""What every test of the SDK may ask for."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from scenarios.embedded_runtime import AtomicServer
from sdk import databases
from sdk.connections import Sort
from sdk.databases import Database
from sdk.effects import make_empty


@pytest.fixture(scope="module")
def atomic_url(server: AtomicServer) -> str:
    """The URL of a running server."""
    return server.url


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Database]:
    """One server for all tests of a process."""
    with databases.postgresql() as database:
        yield database


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Database]:
    """One server for all tests of a process."""
    with databases.mariadb() as database:
        yield database


@pytest.fixture
def database(request: pytest.FixtureRequest, sort: Sort, tmp_path: Path) -> Iterator[Database]:
    """The database of a sort of connections, with its tables empty."""
    with ExitStack() as opened:
        if sort.database == "sqlite":
            database = opened.enter_context(databases.sqlite(tmp_path / "app.db"))
        else:
            database = request.getfixturevalue(sort.database)
        make_empty(database)
        yield database
