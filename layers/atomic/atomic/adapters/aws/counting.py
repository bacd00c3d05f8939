"""Counts runs by hour and workflow, from the index of roots and the rows of each run.

Runs write nothing for it. An hour is counted as a whole: while it lasts, when it is over, and again when
its age has doubled since and the number of its live or failed roots has changed. So each run is read twice
or so, and a redrive is seen as well.
"""

import json
from collections.abc import Callable, Mapping, Set
from typing import Any, Final

from atomic.adapters.aws import table
from atomic.adapters.aws.calls import AwsCalls
from atomic.adapters.aws.counter_items import CounterItems, Look, Plan
from atomic.adapters.aws.items import StepItems
from atomic.adapters.aws.listing import Index, Range
from atomic.adapters.aws.rows import Item
from atomic.application.batches import side_by_side
from atomic.application.maintenance import Walk
from atomic.domain.counters import (
    HOUR_MS,
    KEPT_MS,
    NAMES_MAX,
    OTHER,
    Tally,
    hour_of,
    numbers_of,
    tally_of_numbers,
    total,
)
from atomic.protocol.enums import LIVE, Status

# Runs of one page, which are read at the same time.
_PAGE: Final = 100
# An index lags by less, and clocks of functions differ by less: all runs of an hour are then found.
_LAG_MS: Final = 2 * 60_000
_ALL: Final = 1_000_000_000
# How long the names of an hour may be together, and how many hours are counted at the same time. What was
# counted of these hours goes on by a message, of which SQS takes 256 KiB.
_NAMES_MAX_CHARS: Final = 24_000
_HOURS_AT_ONCE: Final = 2
# While an hour has such roots, its counters may change.
_WATCHED: Final = {"live": LIVE, "failed": frozenset({Status.FAILED})}


# Tells of the runs of a client's workflow that were not counted before.
Tell = Callable[[str, str, Mapping[str, int]], None]


class HourCounts:
    """Counts the hours of one client after the other.

    `tell` is called for the `told_max` workflows of an hour that had most starts.
    """

    def __init__(
        self,
        calls: AwsCalls,
        roots: Index,
        steps: StepItems,
        items: CounterItems,
        *,
        tell: Tell | None = None,
        told_max: int = 0,
    ) -> None:
        self._calls = calls
        self._roots = roots
        self._steps = steps
        self._items = items
        self._tell = tell
        self._told_max = told_max

    async def count(
        self,
        walk: Walk,
        plan: Plan,
        now_ms: int,
        may_go_on: Callable[[], bool],
        *,
        some_kept_ms: int | None = None,
    ) -> None:
        """Walk on. A part is an hour. Hours that are finished are written, and their plan is changed.

        `some_kept_ms`: the rows of some runs are kept for so long, and those of others for longer.
        """

        async def read(part: str, after: str) -> str | None:
            if not after and await self._is_unchanged(walk, plan, int(part), now_ms):
                return None
            number, _, last = after.partition("|")
            ended = await self._page(walk, int(part), int(number or 0), last)
            if ended is None:
                may_lack = some_kept_ms is not None and now_ms - int(part) >= some_kept_ms
                await self._finish(walk, plan, int(part), now_ms, may_lack=may_lack)
            return ended

        await walk.go_on(read, may_go_on, at_once=_HOURS_AT_ONCE)

    async def _is_unchanged(self, walk: Walk, plan: Plan, hour_ms: int, now_ms: int) -> bool:
        """Whether an hour that is over has as many live and failed roots as when it was counted."""
        before = plan.open.get(hour_ms, Look())
        if not _is_over(hour_ms, before.at_ms):
            return False
        partitions = _partitions(walk.client_id)
        wanted = Range(**_range(hour_ms))
        look = before._replace(at_ms=now_ms)
        for what, states in _WATCHED.items():
            of_states = [each for each, state in partitions if state in states]
            counted = await self._roots.count(of_states, wanted, _ALL)
            look = look._replace(**{what: counted.number})
        if look[1:] != before[1:]:
            return False
        plan.open[hour_ms] = look
        return True

    async def _page(self, walk: Walk, hour_ms: int, number: int, last: str) -> str | None:
        """Count a page of an hour, which begins in this partition after this sort key; where it ended.

        Live roots come first. So a root that settles meanwhile may be counted twice, and is never missed;
        then the hour stays open.
        """
        partition, state = _partitions(walk.client_id)[number]
        wanted = Range(**_range(hour_ms) | ({"first": f"{last}!"} if last else {}), page=_PAGE)
        found = await self._roots.page(partition, wanted, None)
        entries: list[Item] = found["Items"]
        tallies = await side_by_side(*map(self._tally, entries))
        sums = walk.sums.setdefault(str(hour_ms), {})
        for entry, tally in zip(entries, tallies, strict=True):
            if tally is not None:
                name = entry["w"]["S"]
                name = name if name in sums or _is_named(name, sums.keys() - {OTHER}) else OTHER
                sums[name] = numbers_of(total([tally_of_numbers(sums.get(name, ())), tally]))
        for what, states in _WATCHED.items():
            if state in states:
                key = f"{what} {hour_ms}"
                walk.seen[key] = walk.seen.get(key, 0) + len(entries)
        if "LastEvaluatedKey" in found:
            return f"{number}|{found['LastEvaluatedKey']['at']['S']}"
        return f"{number + 1}|" if number + 1 < len(_partitions(walk.client_id)) else None

    async def _tally(self, entry: Item) -> Tally | None:
        """A run as its rows are now; None when it is gone."""
        created_ms = table.created_of(entry["at"]["S"])
        return await self._calls.start(self._steps.tally, entry["pk"]["S"], created_ms)

    async def _finish(self, walk: Walk, plan: Plan, hour_ms: int, now_ms: int, *, may_lack: bool) -> None:
        tallies = {name: tally_of_numbers(flat) for name, flat in walk.sums.pop(str(hour_ms)).items()}
        if tallies:
            await self._write(walk.client_id, hour_ms, tallies, now_ms, may_lack=may_lack)
        live, failed = (walk.seen.pop(f"{what} {hour_ms}", 0) for what in _WATCHED)
        may_change = live or failed or any(tally.live for tally in tallies.values())
        if may_change or not _is_over(hour_ms, walk.began_ms):
            plan.open[hour_ms] = Look(walk.began_ms, live, failed)
        else:
            plan.open.pop(hour_ms, None)

    async def _write(
        self, client_id: str, hour_ms: int, tallies: dict[str, Tally], now_ms: int, *, may_lack: bool
    ) -> None:
        tell, before = self._tell if self._told_max else None, dict[str, Tally]()
        if tell is not None or may_lack:
            before = await self._calls.start(self._items.hour, client_id, hour_ms)
        if may_lack:
            tallies = _without_losses(before, tallies)
        await self._calls.start(self._items.put, client_id, hour_ms, tallies, now_ms)
        if tell is not None:
            for name in sorted(tallies, key=lambda name: (-tallies[name].started, name))[: self._told_max]:
                tell(client_id, name, _newly(before.get(name, Tally()), tallies[name]))


def _newly(before: Tally, after: Tally) -> dict[str, int]:
    """What was counted since, by the names of metrics. A run that was redriven may have failed before."""
    return {
        "RunsStarted": after.started - before.started,
        "RunsSucceeded": after.succeeded - before.succeeded,
        "RunsFailed": after.failed - before.failed,
        "RunRetries": after.retries - before.retries,
    }


def _without_losses(before: dict[str, Tally], after: dict[str, Tally]) -> dict[str, Tally]:
    """What was counted now; of a workflow whose rows have begun to go, what was counted before.

    Where names are together, it is not known whose rows are gone.
    """
    if OTHER in before:
        return before
    lacking = {name for name, tally in before.items() if after.get(name, Tally()).started < tally.started}
    return after | {name: before[name] for name in lacking}


def begin_count(client_id: str, plan: Plan, now_ms: int, kept_ms: int) -> Walk:
    """A walk over the hours that are due; the plan then has all of them.

    `kept_ms`: for how long the rows of every run are kept. What is older is not counted again.
    """
    this_hour_ms = hour_of(now_ms)
    oldest_ms = this_hour_ms - min(kept_ms, KEPT_MS) + HOUR_MS
    # Of a client that is new to maintenance, the hour before may have runs.
    first_ms = max(plan.next_ms or this_hour_ms - HOUR_MS, oldest_ms)
    plan.open = {hour_ms: look for hour_ms, look in plan.open.items() if hour_ms >= oldest_ms}
    for hour_ms in range(first_ms, this_hour_ms + 1, HOUR_MS):
        plan.open.setdefault(hour_ms, Look())
    last_began_ms, plan.began_ms, plan.next_ms = plan.began_ms, now_ms, this_hour_ms + HOUR_MS
    due = [hour_ms for hour_ms, look in plan.open.items() if _is_due(hour_ms, look.at_ms, now_ms)]
    return Walk(
        client_id=client_id,
        began_ms=now_ms,
        last_began_ms=last_began_ms,
        left={str(hour_ms): "" for hour_ms in due},
    )


def _is_named(name: str, others: Set[str]) -> bool:
    """Whether another name has a counter of its own in an hour with these names."""
    chars = sum(len(json.dumps(each)) for each in (name, *others))
    return len(others) < NAMES_MAX and chars <= _NAMES_MAX_CHARS


def _is_due(hour_ms: int, looked_ms: int, now_ms: int) -> bool:
    return not _is_over(hour_ms, looked_ms) or now_ms - hour_ms >= 2 * (looked_ms - hour_ms)


def _is_over(hour_ms: int, at_ms: int) -> bool:
    """Whether all runs of the hour were found at this moment."""
    return at_ms >= hour_ms + HOUR_MS + _LAG_MS


def _partitions(client_id: str) -> list[tuple[str, Status]]:
    """The partitions of the index of roots, those of live ones first."""
    states = sorted(Status, key=lambda state: state not in LIVE)
    return [(each, state) for state in states for each in table.list_partitions(client_id, state)]


def _range(hour_ms: int) -> dict[str, Any]:
    return {"first": table.age(hour_ms), "end": table.age(hour_ms + HOUR_MS), "newest_first": False}
