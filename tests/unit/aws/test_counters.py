"""Counters on AWS: what maintenance counts and looks at again, and what that reads and writes."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from atomic.adapters.aws import counting
from atomic.adapters.aws.counter_items import CounterItems, Plan
from atomic.adapters.aws.maintenance_queue import Errand
from atomic.adapters.aws.table import age
from atomic.adapters.system import SystemClock
from atomic.application.counter_store import CounterQuery
from atomic.application.maintenance import Walk
from atomic.domain.counters import (
    HOUR_MS,
    KEPT_MS,
    NUMBERS,
    OTHER,
    Tally,
    numbers_of,
    tally_of_columns,
)
from atomic.domain.histograms import BOUNDS_MS
from atomic.domain.interventions import redriven
from atomic.domain.steps import Step
from atomic.entrypoints.aws import maintenance
from atomic.entrypoints.aws.prices import READ_UNIT_USD, WRITE_UNIT_USD
from atomic.protocol.enums import Status
from atomic.protocol.wire import to_rfc3339
from contract.aws import TABLE_NAME
from contract.builders import a_child, settled
from contract.metered import Meter
from contract.store_suite import keyed
from unit.aws.test_handlers import Stack, batch, document, gateway_event, stack
from unit.aws.test_maintenance import add

__all__ = ["stack"]

COST_PAGE = Path(__file__).parents[3] / "docs" / "cost.md"
HOUR = 500_000 * HOUR_MS
MINUTE = 60_000


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The time of maintenance, its only member."""
    now = [HOUR + 35 * MINUTE]
    monkeypatch.setattr(maintenance.MaintenanceFunction, "_now_ms", lambda _: now[0])
    return now


def tallies(stack: Stack) -> dict[tuple[int, str], Tally]:
    """What was counted, by the number of the hour and the workflow."""
    query = CounterQuery(client_id="acme", from_ms=HOUR - KEPT_MS, before_ms=HOUR + KEPT_MS)
    page = stack.maintenance.runtime.run(stack.aws.store().counters(query))
    return {((each.began_ms - HOUR) // HOUR_MS, each.workflow_name): each.tally for each in page.counters}


def plan(stack: Stack) -> Plan:
    return CounterItems(stack.aws.dynamodb, TABLE_NAME).load_plan("acme")


def write(stack: Stack, step: Step, expected: int) -> None:
    assert stack.maintenance.runtime.run(stack.aws.store().replace(step, expected)) is None


def reads_of_runs(meter: Meter) -> int:
    """How many runs were read."""
    return sum(partition.startswith("run_") for partition in meter.reads)


def test_an_hour_is_counted_while_it_lasts_and_when_it_is_over(stack: Stack, at: list[int]) -> None:
    first, second = (keyed(f"k-{number}", at_ms=HOUR + number) for number in range(2))
    add(stack, first, settled(second, HOUR + 50))
    stack.maintain("count")
    assert (tallies(stack)[0, "createUser"].started, tallies(stack)[0, "createUser"].live) == (2, 1)
    add(stack, keyed("k-3", at_ms=HOUR + 50 * MINUTE, status=Status.SUCCEEDED))
    write(stack, settled(first, HOUR + 55 * MINUTE), 1)
    at[0] = HOUR + 65 * MINUTE
    stack.maintain("count")
    assert (tallies(stack)[0, "createUser"].started, tallies(stack)[0, "createUser"].live) == (3, 0)
    # Nothing can change any more, so it is not looked at again.
    assert [*plan(stack).open] == [HOUR + HOUR_MS]
    at[0] += HOUR_MS
    with Meter(stack.aws.dynamodb, now_s=lambda: 0.0) as meter:
        stack.maintain("count")
    assert reads_of_runs(meter) == 0


def test_what_changes_later_is_counted_when_the_age_has_doubled(stack: Stack, at: list[int]) -> None:
    live, dead = keyed("live", at_ms=HOUR), keyed("dead", at_ms=HOUR)
    failed = settled(dead, HOUR + 9, Status.FAILED)
    add(stack, live, failed, *(keyed(f"k-{n}", at_ms=HOUR, status=Status.SUCCEEDED) for n in range(5)))
    at[0] = HOUR + 65 * MINUTE
    stack.maintain("count")

    def counted_again(minutes: int) -> int:
        """How many runs were read in a round at this age of the hour."""
        at[0] = HOUR + minutes * MINUTE
        with Meter(stack.maintenance.runtime.clients[0], now_s=lambda: 0.0) as meter:
            stack.maintain("count")
        return reads_of_runs(meter)

    # The hour is looked at, and nothing has changed.
    assert counted_again(130) == 0
    write(stack, redriven(failed, HOUR + 131 * MINUTE), failed.version)
    assert counted_again(259) == 0
    assert counted_again(260) == 7
    assert (tallies(stack)[0, "createUser"].failed, tallies(stack)[0, "createUser"].live) == (0, 2)
    write(stack, settled(live, HOUR + 300 * MINUTE), 1)
    assert counted_again(520) == 7
    assert (tallies(stack)[0, "createUser"].succeeded, tallies(stack)[0, "createUser"].live) == (6, 1)
    # What is older than every row is kept is not counted again.
    stack.maintenance._retention_ms = 10 * HOUR_MS
    at[0] = HOUR + 11 * HOUR_MS
    stack.maintain("count")
    assert HOUR not in plan(stack).open
    assert tallies(stack)[0, "createUser"].succeeded == 6


def test_an_hour_that_was_written_with_other_bounds_is_read_without_its_durations(stack: Stack) -> None:
    items = CounterItems(stack.aws.dynamodb, TABLE_NAME)
    # Seven numbers, then how many runs took how long, in 16 bounds; a workflow may have any name.
    first = {"bounds": [12, 10, 1, 1, 3, 90_000, HOUR + 7, 0, 5, 7], "createUser": [2]}
    items._put("acme", age(HOUR), json.dumps(first), HOUR + 9, HOUR)
    counted = Tally(
        started=12,
        succeeded=10,
        failed=1,
        cancelled=1,
        retries=3,
        duration_ms_sum=90_000,
        last_started_ms=HOUR + 7,
    )
    assert tallies(stack) == {(0, "bounds"): counted, (0, "createUser"): Tally(started=2)}
    # Maintenance counts the hour again: it is written as hours are now.
    items.put("acme", HOUR, {"bounds": Tally(started=13)}, HOUR + 10)
    assert tallies(stack) == {(0, "bounds"): Tally(started=13)}


def test_hours_that_were_missed_are_counted(stack: Stack, at: list[int]) -> None:
    stack.maintain("count")
    add(stack, *(keyed(f"k-{hour}", at_ms=HOUR + hour * HOUR_MS) for hour in range(5)))
    at[0] = HOUR + 4 * HOUR_MS + 5 * MINUTE
    stack.maintain("count")
    assert sorted(hour for hour, _ in tallies(stack)) == [0, 1, 2, 3, 4]


def test_a_large_hour_goes_on_by_messages(
    stack: Stack, at: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "_PAGE", 2)

    def budget() -> object:
        calls = iter([True] * 3)
        return lambda: next(calls, False)

    monkeypatch.setattr(maintenance, "_budget", budget)
    roots = [
        keyed(f"k-{number}", at_ms=HOUR + number, workflow_name=f"w{number % 3}") for number in range(12)
    ]
    add(stack, *roots[:8], *(settled(root, root.created_at_ms + 60) for root in roots[8:]))
    stack.maintenance({"work": "count"}, None)
    [first] = stack.aws.received(stack.aws.maintenance_url)
    # A round that is asked for again, or comes meanwhile, begins no other walk.
    assert stack.maintenance(batch(first, first), None) == {"batchItemFailures": []}
    later = Errand(work="count", asked_at_ms=at[0] + 1, client_id="acme")
    assert stack.maintenance(batch(later.encode()), None) == {"batchItemFailures": []}
    number = 0
    while bodies := stack.aws.received(stack.aws.maintenance_url):
        assert stack.maintenance(batch(*bodies), None) == {"batchItemFailures": []}
        number += len(bodies)
    assert number > 5
    found = tallies(stack)
    assert {name: (each.started, each.succeeded) for (_, name), each in found.items()} == {
        "w0": (4, 1),
        "w1": (4, 1),
        "w2": (4, 2),
    }
    assert plan(stack).busy_until_ms == 0


def test_names_are_bounded(stack: Stack, at: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "NAMES_MAX", 2)
    add(stack, *(keyed(f"k-{n}", at_ms=HOUR, workflow_name=f"w{n % 4}") for n in range(8)))
    stack.maintain("count")
    started = {name: each.started for (_, name), each in tallies(stack).items()}
    assert (len(started), started[OTHER], sum(started.values())) == (3, 4, 8)


def test_a_message_has_room_for_the_longest_names(stack: Stack, at: list[int]) -> None:
    names = [chr(0x1F600 + n) * 255 for n in range(10)]
    add(stack, *(keyed(f"k-{n}", at_ms=HOUR, workflow_name=name) for n, name in enumerate(names)))
    stack.maintain("count")
    found = {name: each.started for (_, name), each in tallies(stack).items()}
    # Each takes 12 characters of JSON a sign.
    assert len(found) == 1 + 24_000 // (2 + 12 * 255)
    assert sum(found.values()) == len(names)
    # A hundred thousand runs up to each of the bounds, of each of 200 workflows, in both hours.
    many = 10**5 - 1
    numbers = numbers_of(tally_of_columns([HOUR] * len(NUMBERS), [many] * (len(BOUNDS_MS) + 1)))
    full = Walk(
        client_id="acme", began_ms=HOUR, last_began_ms=0, left=dict.fromkeys("abcd", "27|" + 60 * "x")
    )
    hours = "abcd"[: counting._HOURS_AT_ONCE]
    full.sums = {part: {f"{n:0118d}": numbers for n in range(200)} for part in hours}
    body = Errand(work="count", asked_at_ms=HOUR, client_id="acme", walk=full).encode()
    assert len(body) < 256 * 1024


def test_a_run_counts_in_the_hour_of_its_row(stack: Stack, at: list[int]) -> None:
    """An entry of the index that is older than the row, and a run that is gone, count nothing."""
    root = keyed("k", at_ms=HOUR)
    add(stack, root)
    stack.aws.dynamodb.update_item(
        TableName=TABLE_NAME,
        Key={"pk": {"S": root.spec.run_id}, "sk": {"S": root.position}},
        UpdateExpression="SET c = :c",
        ExpressionAttributeValues={":c": {"N": str(HOUR + 1)}},
    )
    stack.maintain("count")
    assert tallies(stack) == {}


def asked(stack: Stack, path: str, **query: str) -> dict[str, Any]:
    """What the API function answers."""
    event = gateway_event("GET", path, "")
    event["headers"] |= {"authorization": f"Bearer {stack.key}"}
    answer = stack.api(event | {"rawQueryString": urlencode(query)}, None)
    assert answer["statusCode"] == 200, answer
    found: dict[str, Any] = json.loads(answer["body"])
    return found


def test_a_request_for_minutes_is_answered_by_the_hour(stack: Stack) -> None:
    now_ms = SystemClock().now_ms()
    minute_ms, hour_ms = now_ms - now_ms % MINUTE, now_ms - now_ms % HOUR_MS
    root = keyed("k", at_ms=now_ms)
    add(stack, settled(root, now_ms + 12_345))
    stack.maintain("count")
    found = asked(stack, "/acme/counters", every=str(MINUTE), **{"from": to_rfc3339(minute_ms)})
    [counter] = found["counters"]
    assert (found["spanMs"], counter["spanMs"]) == (HOUR_MS, HOUR_MS)
    assert counter["beganAt"] == to_rfc3339(hour_ms)
    assert (counter["succeeded"], counter["durationMsP50"], counter["durationMsP95"]) == (1, 12_345, 12_345)
    assert counter["countedAt"] is not None
    listed = asked(stack, "/acme/workflows", **{"from": to_rfc3339(minute_ms)})
    assert listed["countedFrom"] == to_rfc3339(hour_ms)
    assert [each["started"] for each in listed["workflows"]] == [1]


def metrics(printed: str) -> list[dict[str, object]]:
    """The lines with metrics of a workflow."""
    lines = [json.loads(line) for line in printed.splitlines() if "CloudWatchMetrics" in line]
    return [
        {name: value for name, value in line.items() if name not in {"_aws", "service"}}
        for line in lines
        if line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["service", "client", "workflow"]]
    ]


def test_metrics_have_what_was_counted_since(
    stack: Stack, at: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    roots = [keyed(f"k-{n}", at_ms=HOUR, workflow_name=name) for n, name in enumerate("aaéb")]
    add(stack, *roots)
    stack.maintain("count")
    # By default, there are none: each has a price.
    assert metrics(capsys.readouterr().out) == []
    stack.maintenance._hours._told_max = 2
    write(stack, settled(roots[0], HOUR + 5, Status.FAILED), 1)
    at[0] = HOUR + 65 * MINUTE
    stack.maintain("count")
    assert metrics(capsys.readouterr().out) == [{"client": "acme", "workflow": "a", "RunsFailed": 1}]
    write(stack, settled(roots[2], HOUR + 5), 1)
    write(stack, settled(roots[1], HOUR + 5), 1)
    at[0] = HOUR + 135 * MINUTE
    stack.maintain("count")
    # Those that had most starts.
    assert metrics(capsys.readouterr().out) == [{"client": "acme", "workflow": "a", "RunsSucceeded": 1}]
    stack.maintenance._hours._told_max = 9
    add(stack, keyed("new", at_ms=HOUR + 2 * HOUR_MS, workflow_name="é" * 300))
    at[0] += MINUTE
    stack.maintain("count")
    assert metrics(capsys.readouterr().out) == [
        {"client": "acme", "workflow": (r"\xe9" * 300)[:1024], "RunsStarted": 1}
    ]


def test_a_run_costs_what_the_page_says(stack: Stack, at: list[int]) -> None:
    """Of runs with three steps; they are read while their hour lasts, or when it is over, or both."""
    page = COST_PAGE.read_text()
    at[0] = HOUR + 65 * MINUTE
    stack.maintain("count")
    with Meter(stack.maintenance.runtime.clients[0], now_s=lambda: 0.0) as meter:
        at[0] = HOUR + 95 * MINUTE
        stack.maintain("count")
        idle_early = (meter.read_units, meter.write_units)
        meter.forget()
        at[0] = HOUR + 125 * MINUTE
        stack.maintain("count")
        idle_late = (meter.read_units, meter.write_units)
    # The list of clients, the item of the counts, the plan, and 28 partitions for each of the hours.
    assert idle_early == (0.5 + 0.5 + 1 + 14, 1)
    assert idle_late == (0.5 + 0.5 + 1 + 2 * 14, 1)
    units = idle_early[0] + idle_late[0] - 1
    usd = 720 * (units * READ_UNIT_USD + 2 * WRITE_UNIT_USD)
    assert f"| {units:g} read units and 2 writes an hour | ${usd:.4f} |" in page, (units, usd)

    runs = 30
    for number in range(runs):
        root = keyed(f"k-{number}", at_ms=HOUR + 2 * HOUR_MS + number)
        steps = [a_child(name, root.spec, at_ms=root.created_at_ms) for name in ("a", "b", "c")]
        add(stack, *(settled(step, step.created_at_ms + 90) for step in (root, *steps)))
    at[0] = HOUR + 185 * MINUTE
    with Meter(stack.maintenance.runtime.clients[0], now_s=lambda: 0.0) as meter:
        stack.maintain("count")
    each = (meter.read_units - idle_late[0]) / runs
    assert meter.write_units == 2
    # A read of the run, and its part of a page of the index.
    assert 0.5 <= each < 0.53
    read_twice = 1.6
    assert f"${1e6 * read_twice * each * READ_UNIT_USD:.2f} per million" in page, each


def test_a_run_writes_and_reads_nothing_for_counters(stack: Stack) -> None:
    with Meter(stack.api.runtime.clients[0], now_s=lambda: 0.0) as meter:
        assert stack.post(document(stack))["statusCode"] in {200, 202}
    touched = Counter(partition.partition("#")[0] for partition in (*meter.reads, *meter.writes))
    assert "hours" not in touched


def test_counters_hold_what_was_counted_last(stack: Stack, at: list[int]) -> None:
    """A run that is erased is no longer counted by the next walk, and one that has ended stays."""
    root = keyed("k", at_ms=HOUR)
    done = settled(root, HOUR + 5)
    add(stack, replace(done, version=1))
    at[0] = HOUR + 65 * MINUTE
    stack.maintain("count")
    store = stack.aws.store()
    assert stack.maintenance.runtime.run(store.erase("acme", root.spec.run_id, replace(done, version=1)))
    at[0] = HOUR + 135 * MINUTE
    stack.maintain("count")
    assert tallies(stack)[0, "createUser"].succeeded == 1
