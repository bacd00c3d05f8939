"""Fixtures for the tests of the SDK."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from scenarios.embedded_runtime import AtomicServer
from sdk import databases
from sdk.connections import Sort
from sdk.databases import Database
from sdk.effects import make_empty
from sdk.memory_server import memory_server


@pytest.fixture(scope="module")
def atomic_url(server: AtomicServer) -> str:
    """The URL of a running server."""
    return server.url


@pytest.fixture(scope="module")
def memory_url() -> Iterator[str]:
    """The URL of Atomic in memory."""
    with memory_server() as url:
        yield url


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Database]:
    """One server for all tests of the process."""
    with databases.postgresql() as database:
        yield database


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Database]:
    """One server for all tests of the process."""
    with databases.mariadb() as database:
        yield database


@pytest.fixture
def database(request: pytest.FixtureRequest, sort: Sort, tmp_path: Path) -> Iterator[Database]:
    """The database for a kind of connection, with empty tables."""
    with ExitStack() as opened:
        if sort.database == "sqlite":
            database = opened.enter_context(databases.sqlite(tmp_path / "app.db"))
        else:
            database = request.getfixturevalue(sort.database)
        make_empty(database)
        yield database
