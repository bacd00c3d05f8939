"""The retentions of single workflows."""

import json
from dataclasses import asdict

import pytest

from atomic.domain.retentions import (
    DAY_MS,
    NO_RETENTIONS,
    RETENTIONS_MAX,
    TooManyRetentions,
    WorkflowRetention,
    load_retentions,
)


def of(name: str, days: int) -> WorkflowRetention:
    return WorkflowRetention(workflow_name=name, days=days)


def test_the_shorter_of_both_counts() -> None:
    held = NO_RETENTIONS.including(of("a", 2)).including(of("b", 30))
    assert [held.ms_of(name, 5 * DAY_MS) for name in ("a", "b", "c")] == [
        2 * DAY_MS,
        5 * DAY_MS,
        5 * DAY_MS,
    ]
    assert held.without("a").ms_of("a", 5 * DAY_MS) == 5 * DAY_MS


def test_the_shortest_that_was_ever_set_is_kept() -> None:
    held = NO_RETENTIONS
    for name, days, shortest in (("a", 9, 9), ("b", 3, 3), ("b", 20, 3), ("c", 5, 3), ("c", 1, 1)):
        held = held.including(of(name, days))
        assert held.shortest_days == shortest
    assert [(each.workflow_name, each.days) for each in held.workflows] == [("a", 9), ("b", 20), ("c", 1)]
    for name in ("a", "b", "c"):
        held = held.without(name)
    assert (held.workflows, held.shortest_days) == ((), 1)


def test_they_are_as_many_as_a_record_may_hold() -> None:
    held = NO_RETENTIONS
    for number in range(RETENTIONS_MAX):
        held = held.including(of(f"w-{number}", 1))
    with pytest.raises(TooManyRetentions):
        held.including(of("one more", 1))
    assert held.including(of("w-7", 2)).days_of("w-7") == 2


def test_a_record_has_them() -> None:
    held = NO_RETENTIONS.including(of("a", 2)).including(of("b", 3)).without("a")
    assert load_retentions(json.loads(json.dumps(asdict(held)))) == held
    assert load_retentions({}) == NO_RETENTIONS
