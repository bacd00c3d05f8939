"""One Atomic server for each file of tests."""

from collections.abc import Iterator

import pytest

from scenarios.embedded_home import AtomicServer


@pytest.fixture(scope="module")
def atomic_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running server."""
    server = AtomicServer(tmp_path_factory.mktemp("atomic") / "data")
    server.start()
    yield server.url
    assert server.stop() == 0
