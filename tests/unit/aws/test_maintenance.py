"""Maintenance on AWS: rounds, walks that go on where they ended, counts, and what they read and write."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from atomic.adapters.aws import live_roots, long_runs, table
from atomic.adapters.aws.client_counts import ClientCounts, CountItems
from atomic.adapters.aws.maintenance_queue import Errand
from atomic.adapters.aws.sqs import SqsWakeupQueue
from atomic.application.maintenance import SWEEP_EVERY_MS, Walk, _is_to_be_woken
from atomic.application.ports import DueStep, StoreUnavailable
from atomic.domain.steps import Step
from atomic.entrypoints.aws import maintenance
from atomic.protocol.enums import LIVE, Status
from contract.aws import TABLE_NAME, Recorder
from contract.builders import a_child, incompressible
from contract.metered import READ_UNITS_PER_S, Meter
from contract.store_suite import keyed, put
from unit.aws.test_handlers import Stack, batch, document, stack

__all__ = ["stack"]


def now_ms(stack: Stack) -> int:
    return stack.maintenance.runtime.engine.clock.now_ms()


def counts(stack: Stack, client_id: str = "acme") -> ClientCounts:
    items = CountItems(stack.aws.calls, stack.aws.dynamodb, TABLE_NAME)
    return stack.maintenance.runtime.run(items.load(client_id))


def add(stack: Stack, *steps: Step) -> None:
    stack.maintenance.runtime.run(put(stack.aws.store(), *steps))


def woken(stack: Stack) -> list[str]:
    return sorted(json.loads(body)["stepId"] for body in stack.aws.received(stack.aws.long_queue_url))


def walks(stack: Stack) -> list[Errand]:
    return [Errand.parse(body) for body in stack.aws.received(stack.aws.maintenance_url)]


def take(stack: Stack, *errands: Errand) -> list[Any]:
    failed: list[Any] = stack.maintenance(batch(*(each.encode() for each in errands)), None)[
        "batchItemFailures"
    ]
    return failed


async def refuse(*_: object, **__: object) -> None:
    raise StoreUnavailable("SQS refuses")


def _is_left(root: Step, errand: Errand) -> bool:
    """Whether a walk has not come to this pending root yet."""
    assert errand.walk is not None
    after = errand.walk.left.get(f"pending#{table.shard_of(root)}")
    return after is not None and table.age(root.created_at_ms, root.id) > after


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_roots, "_PAGE", 2)
    monkeypatch.setattr(live_roots, "_PAGE_EVERY_S", 0.0)


@pytest.fixture
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each message is worked on for one page of each part."""

    def budget() -> Any:
        calls = iter([True] * 4)
        return lambda: next(calls, False)

    monkeypatch.setattr(maintenance, "_budget", budget)


# --- rounds ---


def test_a_round_reads_the_index_and_one_item_of_each_client(stack: Stack) -> None:
    stack.post(document(stack), prefer="respond-async")
    for more in range(3):
        with Recorder(*stack.maintenance.runtime.clients) as recorder:
            assert stack.maintain() == 1 + more
        # One query for the clients. For each client, one for its schedules, one for its keys of flow
        # control, one for each of four live states in each of four shards, and the first time four for
        # its dead letters.
        operations = Counter(recorder.operations)
        assert operations["Query"] == 1 + 18 * (1 + more) + 4
        assert (operations["GetItem"], operations["SendMessageBatch"]) == (1 + more, 1)
        # Only the overdue root is woken, and only once in five minutes.
        assert operations["SendMessage"] == (1 if more == 0 else 0)
        stack.aws.admin().create(f"more-{more}", base_urls=[stack.endpoint.url])


def test_a_round_over_many_clients_goes_on_by_a_message(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "_CLIENTS_PAGE", 2)
    monkeypatch.setattr(maintenance, "_budget", lambda: lambda: False)
    for name in "bcd":
        stack.aws.admin().create(name, base_urls=[stack.endpoint.url])
    assert stack.maintenance({"work": "sweep"}, None) == {"clients": 2}
    found = sorted(walks(stack), key=lambda each: each.client_id or "")
    assert [(each.client_id, each.after) for each in found] == [(None, "b"), ("acme", ""), ("b", "")]
    assert take(stack, found[0]) == []
    assert {(each.client_id, each.after) for each in walks(stack)} == {("c", ""), ("d", ""), (None, "d")}


def test_what_fails_is_reported_alone(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    load = CountItems.load

    async def refuses(self: CountItems, client_id: str) -> ClientCounts:
        if client_id == "bad":
            raise StoreUnavailable("no")
        return await load(self, client_id)

    monkeypatch.setattr(CountItems, "load", refuses)
    add(stack, keyed("k"))
    asked = Errand(work="sweep", asked_at_ms=now_ms(stack))
    errands = [replace(asked, client_id=name) for name in ("bad", "acme")]
    bodies = [*(each.encode() for each in errands), "no message"]
    failed = stack.maintenance(batch(*bodies), None)["batchItemFailures"]
    assert len(failed) == 2
    assert counts(stack).live == {Status.PENDING: 1}


# --- sweeps ---


def test_a_sweep_wakes_each_overdue_root_and_counts(stack: Stack) -> None:
    roots = [keyed(f"k-{status}", status=status) for status in LIVE]
    later = replace(keyed("later"), due_at_ms=now_ms(stack) + 60_000)
    event = replace(keyed("event"), due_at_ms=None)
    dead = keyed("dead", status=Status.FAILED)
    add(stack, *roots, later, event, dead, a_child("mail", dead.spec, status=Status.FAILED))
    stack.maintain()
    assert woken(stack) == sorted(root.id for root in roots)
    found = counts(stack)
    assert found.live == {Status.PENDING: 3, **dict.fromkeys(LIVE - {Status.PENDING}, 1)}
    assert (found.dead_letters, found.oldest_due_at_ms) == (2, 1_000)
    assert 0 <= now_ms(stack) - found.counted_at_ms < 60_000


def test_a_walk_goes_on_where_it_ended(stack: Stack, small_pages: None, no_time: None) -> None:
    roots = [keyed(f"k-{number}", at_ms=1_000 + number) for number in range(30)]
    add(stack, *roots)
    messages = stack.maintain()
    assert messages > 5
    # Every root once, in whichever message.
    assert woken(stack) == sorted(root.id for root in roots)
    assert counts(stack).live == {Status.PENDING: 30}
    assert counts(stack).busy_until_ms == 0


def test_a_message_that_comes_again_leaves_nothing_out(
    stack: Stack, small_pages: None, no_time: None
) -> None:
    roots = [keyed(f"k-{number}", at_ms=1_000 + number) for number in range(30)]
    add(stack, *roots)
    stack.maintenance({"work": "sweep"}, None)
    take(stack, *walks(stack))
    [under_way] = walks(stack)
    woken(stack)
    with pytest.MonkeyPatch.context() as patch:
        # Its receiver dies in the middle of its work.
        patch.setattr(SqsWakeupQueue, "send", refuse)
        assert len(take(stack, under_way)) == 1
    assert walks(stack) == []
    left = [root.id for root in roots if _is_left(root, under_way)]
    assert len(left) > 20
    again = [under_way, under_way]
    while again:
        assert take(stack, *again) == []
        again = walks(stack)
    assert {*woken(stack)} == {*left}
    assert counts(stack).live == {Status.PENDING: 30}


def test_a_round_leaves_a_walk_alone_that_is_under_way(
    stack: Stack, small_pages: None, no_time: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(stack, *(keyed(f"k-{number}", at_ms=1_000 + number) for number in range(30)))
    stack.maintenance({"work": "sweep"}, None)
    take(stack, *walks(stack))
    [under_way] = walks(stack)
    stack.maintenance({"work": "sweep"}, None)
    take(stack, *walks(stack))
    assert walks(stack) == []
    # Its message was lost, so a later round begins anew.
    monkeypatch.setattr(maintenance, "_BUSY_MS", -1)
    take(stack, under_way)
    walks(stack)
    assert stack.maintain() > 5
    assert counts(stack).live == {Status.PENDING: 30}
    # The lost message is found after all; it is outdated.
    assert take(stack, under_way) == []
    assert walks(stack) == []


def test_a_client_without_steps_is_counted_once_and_not_written_again(stack: Stack) -> None:
    stack.maintain()
    first = counts(stack)
    assert (first.live, first.dead_letters) == ({}, 0)
    assert first.counted_at_ms > 0
    with Recorder(*stack.maintenance.runtime.clients) as recorder:
        stack.maintain()
    assert "UpdateItem" not in recorder.operations


def test_metrics_add_up_to_the_live_roots_of_the_stack(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    add(stack, keyed("a"), keyed("b"))
    capsys.readouterr()
    stack.maintain()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    assert [line["LiveRoots"] for line in lines] == [2]
    assert 0 <= lines[0]["SweepSeconds"] < 60


@pytest.mark.parametrize("lost", [1, 3])
def test_a_root_that_stays_overdue_is_woken_ever_less_often(lost: int) -> None:
    """A tick in `lost` comes; the others are lost."""
    step, minute = DueStep("run_0-root", "acme", 10**12), 60_000
    sent, last_ms = [], 0
    for tick in range(0, 24 * 12, lost):
        began_ms = step.due_at_ms + tick * SWEEP_EVERY_MS + 1
        walk = Walk(client_id="acme", began_ms=began_ms, last_began_ms=last_ms, left={})
        if _is_to_be_woken(walk, step):
            sent.append((began_ms - step.due_at_ms) // minute)
        last_ms = began_ms
    if lost == 1:
        assert sent == [0, 5, 10, 20, 40, 80, 160, 320, 360, 720, 1080]
    assert sent[0] == 0
    assert len(sent) <= 11
    assert sent[-1] >= 1080


# --- what a sweep reads ---


def test_a_sweep_reads_entries_and_no_payload(stack: Stack) -> None:
    large = incompressible(3_000)
    roots = [keyed(f"k-{number}") for number in range(200)]
    add(stack, *(replace(root, spec=replace(root.spec, payload=large)) for root in roots))
    client = stack.maintenance.runtime.clients[0]
    with Meter(client, now_s=lambda: 0.0) as meter:
        stack.maintain()
    of_index = {name: units for name, units in meter.reads.items() if name.startswith("list:acme#")}
    assert of_index.pop("list:acme#flow") == 0.5
    assert len(of_index) == 16
    # Half a unit for 4 KB of entries of some 180 bytes; the rows have 600 KB.
    assert sum(of_index.values()) <= 12
    assert not any(name.startswith("run_") for name in meter.reads)
    assert meter.writes == {"count#acme": 2}


def test_a_sweep_leaves_most_of_a_partition_to_others(stack: Stack) -> None:
    page_units = live_roots._PAGE * 250 / 4096 / 2  # entries with long names and keys
    assert page_units / live_roots._PAGE_EVERY_S <= READ_UNITS_PER_S / 3


# --- long runs ---


def test_the_shortest_retention_that_was_in_force_counts(stack: Stack) -> None:
    """Steps keep the retention that they were posted with, also when the setting is raised later."""
    day_ms = 24 * 3600 * 1000
    asked: list[int] = []
    extend = stack.maintenance._long_runs.extend

    async def extended(walk: Walk, retention_ms: int, may_go_on: Any) -> None:
        asked.append(retention_ms // day_ms)
        await extend(walk, retention_ms, may_go_on)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack.maintenance._long_runs, "extend", extended)
        for days in (30, 5, 60):
            patch.setattr(stack.maintenance, "_retention_ms", days * day_ms)
            assert stack.maintain("purge") == 1
    assert asked == [30, 5, 5]
    assert counts(stack).extended_at_ms > 0


def test_the_daily_round_reads_no_young_run(stack: Stack) -> None:
    add(stack, *(keyed(f"k-{number}", at_ms=now_ms(stack)) for number in range(10)))
    with Meter(stack.maintenance.runtime.clients[0], now_s=lambda: 0.0) as meter:
        stack.maintain("purge")
        # It comes twice.
        take(stack, Errand(work="purge", asked_at_ms=now_ms(stack) - 60_000, client_id="acme"))
    assert not any(name.startswith("run_") for name in meter.reads)
    assert meter.writes == {"count#acme": 1}


def test_a_daily_walk_goes_on_where_it_ended(
    stack: Stack, no_time: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_runs, "_PAGE", 2)
    monkeypatch.setattr(live_roots, "_PAGE_EVERY_S", 0.0)
    roots = [keyed(f"k-{number}", at_ms=1_000 + number) for number in range(20)]
    steps = [a_child("mail", root.spec, status=Status.SUCCEEDED) for root in roots]
    add(stack, *roots, *steps)
    assert stack.maintain("purge") > 3
    found = stack.aws.dynamodb.scan(TableName=TABLE_NAME)["Items"]
    expiries_ms = [int(row["ttl"]["N"]) * 1000 for row in found if "ttl" in row]
    assert len(expiries_ms) == 20
    assert min(expiries_ms) > now_ms(stack)
