"""What every test of this room needs."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    """Processes that lose their store say so, thousands of times; later tests read logs again."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
