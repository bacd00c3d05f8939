"""What tests of every room may ask for."""

from collections.abc import Iterator

import pytest

from scenarios.embedded_runtime import AtomicServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AtomicServer]:
    """A server for development, one for each file of tests that asks for it."""
    server = AtomicServer(tmp_path_factory.mktemp("atomic") / "data")
    server.start()
    yield server
    assert server.stop() == 0
