"""What maintenance, `/stats` and limits on live steps read and write; `docs/cost.md` has the prices."""

from pathlib import Path

import pytest

from atomic.adapters.aws import dynamodb
from atomic.domain.flow import FlowEntry, Rate
from atomic.entrypoints.aws.prices import LAMBDA_REQUEST_USD, READ_UNIT_USD, SQS_REQUEST_USD, WRITE_UNIT_USD
from contract.flow_contract import asking
from contract.metered import Meter
from contract.store_suite import keyed
from unit.aws.test_handlers import Stack, stack
from unit.aws.test_maintenance import add

__all__ = ["stack"]

COST_PAGE = Path(__file__).parents[3] / "docs" / "cost.md"
ROUNDS = 30 * 24 * 12
# A message is sent, received and deleted with nine others.
MESSAGE_USD = 0.3 * SQS_REQUEST_USD + 0.1 * LAMBDA_REQUEST_USD


def a_round(stack: Stack) -> tuple[float, float]:
    """The read and write units of a later round on one client, without those of the list of clients."""
    stack.maintain()
    with Meter(stack.maintenance.runtime.clients[0], now_s=lambda: 0.0) as meter:
        stack.maintain()
    of_clients = meter.reads.pop("list:clients")
    assert of_clients == 0.5
    return meter.read_units, meter.write_units


def test_a_client_costs_about_a_cent_a_month(stack: Stack) -> None:
    page = COST_PAGE.read_text()
    assert a_round(stack) == (9.5, 0)
    usd = ROUNDS * (9.5 * READ_UNIT_USD + MESSAGE_USD)
    assert f"| 9.5 read units | ${usd:.4f} |" in page, usd
    add(stack, keyed("k"))
    assert a_round(stack) == (9.5, 1)
    usd += ROUNDS * WRITE_UNIT_USD
    assert f"| 9.5 read units and a write | ${usd:.4f} |" in page, usd


def test_a_key_of_flow_control_costs_half_a_unit_a_round(stack: Stack) -> None:
    runtime = stack.maintenance.runtime
    for key in ("a", "b"):
        runtime.run(runtime.flow.enter(asking("s", FlowEntry(key=key, rate=Rate(1, 1000))), 1))
    assert a_round(stack) == (9.5 + 2 * 0.5, 0)
    usd = ROUNDS * 0.5 * READ_UNIT_USD
    line = "| a key of flow control that a step has named within a day | half a read unit |"
    assert f"{line} ${usd:.4f} |" in COST_PAGE.read_text(), usd


def test_many_live_runs_cost_their_entries(stack: Stack) -> None:
    add(stack, *(keyed(f"order-{number:06d}") for number in range(400)))
    read, written = a_round(stack)
    assert written == 1
    # 12 partitions and those of schedules and keys are empty; the others are rounded up.
    entries = read - 0.5 - 7
    assert 400 / 54 - 1 <= entries <= 400 / 54 + 4 / 2
    page = COST_PAGE.read_text()
    assert "| 18,500 read units | $20 |" in page
    assert round(18_500 * ROUNDS * READ_UNIT_USD) == 20
    assert round(1e6 / 54, -2) == 18_500


def test_stats_read_a_bounded_number_of_entries(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamodb, "_READ_MAX", 10)
    monkeypatch.setattr(dynamodb, "_COUNTED_MAX", 30)
    store, run = stack.aws.store(), stack.maintenance.runtime.run
    with Meter(stack.aws.dynamodb, now_s=lambda: 0.0) as meter:
        run(store.count("acme", 0))
    assert (meter.calls["Query"], meter.read_units) == (52, 26)
    add(stack, *(keyed(f"order-{number:06d}") for number in range(60)))
    stack.maintain()
    with Meter(stack.aws.dynamodb, now_s=lambda: 0.0) as meter:
        counts = run(store.count("acme", 0))
    assert meter.calls["Query"] == 52
    # The item of the counts, too, and the 60 entries.
    assert 26.5 <= meter.read_units <= 28
    # More than are read: those of maintenance.
    assert sum(counts.live.values()) == 60
    assert counts.counted_at_ms is not None
    assert (counts.has_all_runs, sum(counts.runs.values())) == (True, 60)
    assert counts.live_are_roots
    monkeypatch.setattr(dynamodb, "_COUNTED_MAX", 12)
    counts = run(store.count("acme", 0))
    assert counts.has_all_runs is False
    assert 12 <= sum(counts.runs.values()) <= 48


def test_a_limit_far_off_is_half_a_unit(stack: Stack) -> None:
    store, run = stack.aws.store(), stack.maintenance.runtime.run
    assert run(store.counted_live("acme")) is None
    add(stack, keyed("k"))
    stack.maintain()
    with Meter(stack.aws.dynamodb, now_s=lambda: 0.0) as meter:
        counted = run(store.counted_live("acme"))
    assert counted is not None
    assert (counted.number, meter.read_units, dict(meter.calls)) == (1, 0.5, {"GetItem": 1})
    with Meter(stack.aws.dynamodb, now_s=lambda: 0.0) as meter:
        assert run(store.count_live_of("acme", 10)) == 1
    assert (meter.read_units, dict(meter.calls)) == (8, {"Query": 16})
