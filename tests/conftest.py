"""Fixtures for the tests of all folders."""

from collections.abc import Iterator

import pytest

from scenarios.embedded_runtime import AtomicServer


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long tests, so that no worker has one at the end while the others do nothing."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AtomicServer]:
    """A development server, one per test module that uses it."""
    server = AtomicServer(tmp_path_factory.mktemp("atomic") / "data")
    server.start()
    yield server
    assert server.stop() == 0
