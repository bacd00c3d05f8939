"""What every test of the SDK may ask for."""

import pytest

from scenarios.embedded_home import AtomicServer


@pytest.fixture(scope="module")
def atomic_url(server: AtomicServer) -> str:
    """The URL of a running server."""
    return server.url
