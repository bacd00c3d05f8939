"""The memory of a sweep does not grow with what it sweeps. `make bench-maintenance` runs the full size."""

import tracemalloc

import pytest

import maintenance
from atomic.adapters.aws import live_roots


@pytest.fixture(autouse=True)
def _on_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setattr(live_roots, "_PAGE_EVERY_S", 0.0)


def peak_mb(clients: int, roots: int) -> float:
    tracemalloc.start()
    try:
        swept = maintenance.sweep(clients, roots)
        # All were seen, each once.
        assert swept.seen == roots
        assert swept.entries == roots
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_live_roots_of_a_client() -> None:
    peak_mb(10, 1_000)
    assert peak_mb(10, 2_000_000) < peak_mb(10, 20_000) + 4


def test_memory_does_not_grow_with_the_clients() -> None:
    peak_mb(10, 1_000)
    # Their messages lie in the queue, which is part of this process here: some 200 bytes each.
    assert peak_mb(400, 40_000) < peak_mb(20, 2_000) + 4
