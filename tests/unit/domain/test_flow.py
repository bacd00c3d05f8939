"""The arithmetic of flow control: rates, turns, and the records of what a step asked for."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic.domain.flow import FlowEntry, Pace, Rate, entry_records, load_entries, turn_after

NOW_US = 1_790_000_000_000_000
MS = 1000


def begun(rate: Rate, late_ms: list[int]) -> list[int]:
    """When attempts begin that all ask at once, each woken so many milliseconds after its time."""
    pace, times, due = Pace(), [], []
    for number in range(len(late_ms)):
        pace, at_us = pace.taken(rate, NOW_US, has_time=False)
        if at_us:
            due.append((-(-at_us // MS) + late_ms[number], number))
        else:
            times.append(NOW_US)
    while due:
        due.sort()
        now_ms, number = due.pop(0)
        now_us = now_ms * MS
        pace, at_us = pace.taken(rate, now_us, has_time=True)
        if at_us:
            due.append((-(-at_us // MS) + late_ms[number], number))
        else:
            times.append(now_us)
    return sorted(times)


def assert_within(rate: Rate, times: list[int]) -> None:
    for first, after in zip(times, times[rate.limit :], strict=False):
        assert after - first > rate.per_ms * MS


@given(
    st.builds(Rate, st.integers(1, 12), st.sampled_from([1, 50, 1000, 60_000])),
    st.lists(st.integers(0, 40) | st.integers(0, 5_000), max_size=60),
)
def test_no_more_attempts_begin_than_the_rate_allows_however_late_they_are(
    rate: Rate, late_ms: list[int]
) -> None:
    times = begun(rate, late_ms)
    assert len(times) == len(late_ms)
    assert_within(rate, times)


def test_ten_a_second_for_a_minute_are_590_to_600_evenly_spread() -> None:
    rate = Rate(10, 1000)
    times = begun(rate, [number % 4 for number in range(800)])
    assert_within(rate, times)
    in_a_minute = [at_us for at_us in times if at_us < NOW_US + 60_000 * MS]
    assert 590 <= len(in_a_minute) <= 600
    each_second = Counter((at_us - NOW_US) // 1_000_000 for at_us in in_a_minute)
    assert set(each_second.values()) <= {9, 10}


def test_what_was_due_while_nothing_ran_does_not_begin_at_once() -> None:
    rate = Rate(5, 1000)
    times = begun(rate, [0, *[10_000 - number * 200 for number in range(40)]])
    assert_within(rate, times)


def test_a_clock_that_was_ahead_stops_nothing() -> None:
    rate = Rate(1, 1000)
    pace, at_us = Pace().taken(rate, NOW_US + 10**12, has_time=False)
    assert at_us == 0
    pace, at_us = pace.taken(rate, NOW_US, has_time=True)
    assert at_us == 0


def served(arrivals: list[FlowEntry], always: FlowEntry, until: FlowEntry) -> int:
    """How many turns it takes to serve `until`, which came with others, when `always` comes each time."""
    lanes: dict[str, int] = {}
    line: list[tuple[int, int, FlowEntry]] = []

    def join(entry: FlowEntry, now: int) -> None:
        lanes[entry.lane] = turn_after(now, lanes.get(entry.lane, 0), entry)
        line.append((lanes[entry.lane], len(line), entry))

    for entry in arrivals:
        join(entry, 0)
    now = turns = 0
    while True:
        line.sort(key=lambda place: place[:2])
        now, _, entry = line.pop(0)
        turns += 1
        if entry is until:
            return turns
        join(always, now)


@pytest.mark.parametrize(("above", "most"), [(1, 4), (2, 16), (5, 1024)])
def test_no_priority_starves_another(above: int, most: int) -> None:
    low, high = FlowEntry(key="k"), FlowEntry(key="k", priority=above)
    assert most <= served([low, high], high, low) <= most + 1


def test_an_urgent_step_is_next_however_many_wait() -> None:
    urgent = FlowEntry(key="k", priority=5)
    assert served([*[FlowEntry(key="k") for _ in range(10_000)], urgent], FlowEntry(key="k"), urgent) == 1


def test_each_customer_gets_its_turn() -> None:
    small = FlowEntry(key="k", fair="small")
    large = [FlowEntry(key="k", fair="large") for _ in range(1000)]
    assert served([*large, small], FlowEntry(key="k", fair="large"), small) == 2


def test_entries_are_read_from_a_row_as_they_were_written() -> None:
    entries = (
        FlowEntry(key="a"),
        FlowEntry(key="b", concurrency=2, rate=Rate(3, 4), scope="run", priority=-5, fair="customer"),
    )
    assert load_entries(entry_records(entries)) == entries
