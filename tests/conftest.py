"""Fixtures for the tests of all folders."""

from collections.abc import Iterator

import pytest

from scenarios.embedded_runtime import AtomicServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AtomicServer]:
    """A development server, one per test module that uses it."""
    server = AtomicServer(tmp_path_factory.mktemp("atomic") / "data")
    server.start()
    yield server
    assert server.stop() == 0
