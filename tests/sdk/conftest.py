"""Fixtures for the tests of the SDK."""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from atomic.sdk import AsyncClient, Client
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


@pytest.fixture
def client_id(request: pytest.FixtureRequest) -> str:
    """A client of the test's own."""
    return re.sub(r"[^a-z0-9]", "-", request.node.name)[:60]


@pytest.fixture(params=["blocking", "asynchronous"])
def call_part(request: pytest.FixtureRequest, atomic_url: str, client_id: str) -> Callable[..., Any]:
    """Call a method of a part of a client, such as `schedules`: of each of the two clients."""

    def blocking(part: str, method: str, *arguments: Any, **options: Any) -> Any:
        with Client(atomic_url, client_id=client_id) as client:
            return getattr(getattr(client, part), method)(*arguments, **options)

    def asynchronous(part: str, method: str, *arguments: Any, **options: Any) -> Any:
        async def run() -> Any:
            async with AsyncClient(atomic_url, client_id=client_id) as client:
                return await getattr(getattr(client, part), method)(*arguments, **options)

        return asyncio.run(run())

    return blocking if request.param == "blocking" else asynchronous


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
