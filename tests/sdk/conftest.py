"""What every test of the SDK may ask for."""

from collections.abc import Iterator

import pytest

from scenarios.embedded_home import AtomicServer
from sdk import databases
from sdk.databases import Database


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
