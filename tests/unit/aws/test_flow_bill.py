"""What flow control costs on AWS: requests, write units and read units of an attempt, counted."""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from atomic.adapters.aws.flow import DynamoFlowStore
from atomic.adapters.aws.flow_items import KeyItem, encode_key
from atomic.domain.flow import FlowEntry, Pace, Rate
from atomic.domain.flow_table import KeyRow, Slot
from atomic.entrypoints.aws.prices import READ_UNIT_USD, WRITE_UNIT_USD
from atomic.protocol import keys
from contract.aws import TABLE_NAME, aws
from contract.flow_contract import AT, NOW_MS, asking, one
from contract.metered import Meter, size_of

RUN_ID = keys.run_id("acme", "w", "k")
LIST = "list:acme#flow"


def on_table(body: Callable[[DynamoFlowStore, Meter], Awaitable[None]]) -> None:
    async def main() -> None:
        with aws() as account, Meter(account.dynamodb, now_s=lambda: 0.0, throttles=False) as meter:
            await body(DynamoFlowStore(account.calls, account.dynamodb, TABLE_NAME), meter)

    asyncio.run(main())


def spent(meter: Meter) -> tuple[Counter[str], float, float]:
    """The requests, the write units and the read units since the last time."""
    found = Counter(meter.calls), meter.write_units, meter.read_units
    meter.forget()
    return found


def test_a_rate_alone_is_a_write_and_a_read_and_nothing_is_written_at_the_end() -> None:
    async def body(store: DynamoFlowStore, meter: Meter) -> None:
        paced = FlowEntry(key="k", rate=Rate(2, 60_000))
        await store.enter(asking("first", paced), NOW_MS)
        # The index is written when the key is new.
        assert meter.writes.pop(LIST) == 1
        spent(meter)
        await store.enter(asking("a", paced), NOW_MS)
        assert spent(meter) == (Counter({"GetItem": 1, "PutItem": 1}), 1, 1)
        # Its time has come; it was in no line.
        await store.enter(asking("a", paced, version=2, has_time=True), NOW_MS + 40_000)
        assert spent(meter) == (Counter({"GetItem": 1, "PutItem": 1}), 1, 1)
        await store.leave(AT, "a", 3, NOW_MS + 41_000)
        assert spent(meter) == (Counter({"GetItem": 1}), 0, 1)

    on_table(body)


def test_a_free_slot_is_two_writes_and_two_reads() -> None:
    async def body(store: DynamoFlowStore, meter: Meter) -> None:
        entry = FlowEntry(key="k", concurrency=5, rate=Rate(100, 1000))
        await store.enter(asking("first", entry), NOW_MS)
        spent(meter)
        await store.enter(asking("a", entry), NOW_MS)
        await store.leave(AT, "a", 2, NOW_MS)
        assert spent(meter) == (Counter({"GetItem": 2, "PutItem": 2}), 2, 2)
        # A wake-up that comes after the end finds nothing to do.
        await store.leave(AT, "a", 3, NOW_MS)
        assert spent(meter) == (Counter({"GetItem": 1}), 0, 1)

    on_table(body)


def test_an_attempt_that_was_in_line_is_five_writes_three_reads_and_a_query() -> None:
    async def body(store: DynamoFlowStore, meter: Meter) -> None:
        await store.enter(asking("inside", one()), NOW_MS)
        for number in range(20):
            await store.enter(asking(f"before{number:02d}", one()), NOW_MS)
        spent(meter)
        # Joining: its place, and the key.
        place = await store.enter(asking("a", one()), NOW_MS)
        assert spent(meter) == (Counter({"GetItem": 1, "PutItem": 2}), 2, 1)
        # The one before it gives back its slot: the write of its own end hands the slot over.
        handed = ["inside", *(f"before{number:02d}" for number in range(20)), "a"]
        for before, following in pairwise(handed):
            [found] = await store.leave(AT, before, 2, NOW_MS)
            assert found.step_id == following
            units = Counter({"GetItem": 1, "Query": 1, "PutItem": 1, "DeleteItem": 1})
            assert spent(meter) == (units, 2, 2)
        # It takes what it was handed, and gives it back: nobody is in line any more.
        taken = asking("a", one(), version=2, line="k", turn=place.turn)
        assert (await store.enter(taken, NOW_MS)).key == ""
        assert spent(meter) == (Counter({"GetItem": 1, "PutItem": 1}), 1, 1)
        await store.leave(AT, "a", 3, NOW_MS)
        assert spent(meter)[1] == 1

    on_table(body)


def test_a_line_is_not_read_by_those_who_join_it() -> None:
    async def body(store: DynamoFlowStore, meter: Meter) -> None:
        for number in range(300):
            await store.enter(asking(f"s{number}", one(fair=f"customer {number % 100}")), NOW_MS)
        assert meter.calls["Query"] == 0
        # However many lanes there were, the item of the key stays within one unit.
        assert meter.write_units == 1 + 1 + 2 * 299
        state = await store.state(AT)
        assert state is not None
        assert (state.running, state.queued) == (1, 299)

    on_table(body)


def test_what_docs_say_of_flow_control_follows_from_the_prices() -> None:
    page = (Path(__file__).parents[3] / "docs" / "flow.md").read_text()
    for what, written, read in (
        ("under a key with a rate alone", 1, 2),
        ("that finds a free slot", 2, 2),
        ("that waits in line", 5, 4),
    ):
        usd = 1e6 * (written * WRITE_UNIT_USD + read * READ_UNIT_USD)
        [line] = [line for line in page.splitlines() if line.startswith(f"| {what} | {written} | {read} |")]
        assert line.endswith(f"| ${usd:.2f} |"), usd
    for slots, used, is_root in ((20, 0, False), (33, 0, True), (0, 400, False), (0, 1000, False)):
        assert units_of(slots, used, is_root=is_root) == (2 if used == 1000 else 1)
    for slots in (100, 1000, 5000):
        shown = next(line for line in page.splitlines() if line.startswith(f"| {slots:,} slots in use"))
        assert shown.endswith(f"| {units_of(slots, 0)} |")


def units_of(slots: int, used: int, *, is_root: bool = False) -> int:
    ids = (keys.step_id(RUN_ID, "root" if is_root else f"{number:032x}") for number in range(slots))
    if is_root:
        ids = (keys.root_of(f"run_{number:032x}") for number in range(slots))
    held = {step_id: Slot(step_id, 3, NOW_MS, 20_000, for_run=False) for step_id in ids}
    # The attempts of a rate, evenly spread over its time of a minute.
    times = tuple((NOW_MS + number * 60_000 // max(1, used)) * 1000 for number in range(used))
    row = KeyRow(
        concurrency=slots or None,
        rate=Rate(used, 60_000) if used else None,
        given_at_ms=NOW_MS,
        pace=Pace(NOW_MS * 1000, times),
        seen_at_ms=NOW_MS,
        turn=2**40,
    )
    return math.ceil(size_of(encode_key(AT, KeyItem(bytes(8), row, held))) / 1024)


def test_the_largest_limit_is_far_from_what_an_item_may_have() -> None:
    assert units_of(5000, 1000) * 1024 < 400_000 * 0.6


def test_what_two_processes_change_at_once_is_written_one_after_the_other() -> None:
    """The cost of a conflict: a write that was refused. It gives the item, so nothing is read again."""

    async def body(store: DynamoFlowStore, meter: Meter) -> None:
        other = DynamoFlowStore(store._calls, store._client, TABLE_NAME)
        entry = FlowEntry(key="k", concurrency=50)
        await store.enter(asking("first", entry), NOW_MS)
        spent(meter)
        both: list[Any] = [
            each.enter(asking(name, entry), NOW_MS) for each, name in ((store, "a"), (other, "b"))
        ]
        await asyncio.gather(*both)
        calls, written, _ = spent(meter)
        assert calls["GetItem"] == 2
        assert written == calls["PutItem"] <= 3
        state = await store.state(AT)
        assert state is not None
        assert state.running == 3

    on_table(body)
