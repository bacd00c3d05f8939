"""The init of an environment: no search for garbage, and the usual one afterwards."""

import gc
from collections.abc import Iterator

import pytest

from atomic.entrypoints.aws.init_phase import init_phase


@pytest.fixture(autouse=True)
def _unfrozen() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_the_collector_starts_afterwards_without_what_exists_by_then() -> None:
    with init_phase():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 1_000


def test_an_init_that_fails_leaves_the_collector_on() -> None:
    with pytest.raises(RuntimeError), init_phase():
        raise RuntimeError("a setting is missing")
    assert gc.isenabled()
