"""Counters of runs: what became of the runs of a workflow that were started in one hour (UTC), or minute.

A run belongs to the hour and the minute of its start as long as it lives. So what is counted follows from
the rows alone, however often they are counted, and a run that is redriven is no longer among those that
failed. Counters have names of workflows and numbers, nothing else of a run. They stay when the run is
erased.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Final

from atomic.domain.histograms import BOUNDS_MS, within
from atomic.domain.steps import Step
from atomic.protocol.enums import Status

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
# How long the counters of an hour are kept. Older runs are in no counter.
KEPT_MS: Final = 31 * 24 * HOUR_MS
# How long those of a minute are kept by stores that have them.
MINUTES_KEPT_MS: Final = 8 * HOUR_MS
# So many names an hour and client have counters of their own; runs of further names are counted together.
NAMES_MAX: Final = 200
# In place of the name of these. No workflow has an empty name.
OTHER: Final = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Numbers of runs. `retries` are those of all their steps, without calls that follow a suspension.

    `duration_ms_…` and `durations` are of runs that succeeded, from their start to their end: their sum,
    the shortest and the longest one (0 without any), and how many there are up to each bound.
    `last_started_ms`: the newest start, 0 for none.
    """

    started: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    retries: int = 0
    duration_ms_sum: int = 0
    duration_ms_min: int = 0
    duration_ms_max: int = 0
    last_started_ms: int = 0
    durations: tuple[int, ...] = (0,) * (len(BOUNDS_MS) + 1)

    @property
    def live(self) -> int:
        """How many have not ended."""
        return max(0, self.started - self.succeeded - self.failed - self.cancelled)

    def duration_ms_of(self, share: float) -> int | None:
        """The duration that this share of the runs that succeeded did not exceed; None without any."""
        return within(self.durations, share, least=self.duration_ms_min, most=self.duration_ms_max)


@dataclass(frozen=True, slots=True)
class Counter:
    """The runs of a workflow that were started in a span, such as an hour.

    `counted_at_ms` is None where it is now.
    """

    began_ms: int
    workflow_name: str
    tally: Tally
    counted_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class WorkflowCount:
    """A workflow: how many runs of all hours that are kept are live, its newest start, and recent runs."""

    name: str
    live: int
    last_started_ms: int
    recent: Tally


def span_of(at_ms: int, span_ms: int) -> int:
    """When the span of this length began that a moment is in."""
    return at_ms - at_ms % span_ms


def hour_of(at_ms: int) -> int:
    """When the hour of a moment began."""
    return span_of(at_ms, HOUR_MS)


def retries_of(step: Step) -> int:
    """The retries that the step has used, those before a redrive included."""
    return step.retries_before + step.retries_used


def tally_of(root: Step, retries: int = 0) -> Tally:
    """One run, by its root, and its retries."""
    return tally_of_run(root.status, root.created_at_ms, root.finished_at_ms, retries)


def tally_of_run(status: Status, created_at_ms: int, finished_at_ms: int | None, retries: int) -> Tally:
    """The same by members of the root."""
    if status is not Status.SUCCEEDED:
        return Tally(
            started=1,
            failed=int(status is Status.FAILED),
            cancelled=int(status is Status.CANCELLED),
            retries=retries,
            last_started_ms=created_at_ms,
        )
    # Clocks of processes differ.
    lasted_ms = max(0, (finished_at_ms or 0) - created_at_ms)
    at = bisect_left(BOUNDS_MS, lasted_ms)
    return Tally(
        started=1,
        succeeded=1,
        retries=retries,
        duration_ms_sum=lasted_ms,
        duration_ms_min=lasted_ms,
        duration_ms_max=lasted_ms,
        last_started_ms=created_at_ms,
        durations=tuple(int(number == at) for number in range(len(BOUNDS_MS) + 1)),
    )


LEAST: Final = "duration_ms_min"
# Of these, a sum has the largest one.
MOST: Final = frozenset({"duration_ms_max", "last_started_ms"})
# The members of a tally before the durations.
NUMBERS: Final = tuple(field.name for field in fields(Tally) if field.name != "durations")


def numbers_of(tally: Tally) -> list[int]:
    """A tally as few numbers: its members, then the durations from the first to the last that is not 0.

    Before the durations is the place of the first one. Zeros at the end are left out.
    """
    first = next((place for place, number in enumerate(tally.durations) if number), 0)
    flat = [*(getattr(tally, name) for name in NUMBERS), first, *tally.durations[first:]]
    while flat and not flat[-1]:
        del flat[-1]
    return flat


def tally_of_numbers(flat: Sequence[int]) -> Tally:
    """The tally of these numbers."""
    width = len(NUMBERS)
    first, *some = flat[width:] or (0,)
    return tally_of_columns([*flat[:width], *(0 for _ in range(width - len(flat)))], [0] * first + some)


def tally_of_columns(numbers: Sequence[int], durations: Sequence[int]) -> Tally:
    """The tally of all its members, and of durations without the zeros at their end."""
    zeros = (0,) * (len(BOUNDS_MS) + 1 - len(durations))
    return Tally(**dict(zip(NUMBERS, numbers, strict=True)), durations=(*durations, *zeros))


def total(tallies: Iterable[Tally]) -> Tally:
    """The sum of tallies."""
    found = [Tally(), *tallies]
    numbers = {
        name: (max if name in MOST else sum)(getattr(each, name) for each in found) for name in NUMBERS
    }
    numbers[LEAST] = min((each.duration_ms_min for each in found if each.succeeded), default=0)
    return Tally(
        **numbers, durations=tuple(map(sum, zip(*(each.durations for each in found), strict=True)))
    )


def summed(counters: Iterable[Counter], every_ms: int, all_names: bool) -> list[Counter]:
    """The sums of the counters within each span of this length, and with `all_names` of all workflows.

    Each counts as old as the oldest of its counters.
    """
    spans: dict[tuple[int, str], list[Counter]] = {}
    for each in counters:
        name = OTHER if all_names else each.workflow_name
        spans.setdefault((span_of(each.began_ms, every_ms), name), []).append(each)
    return [
        Counter(
            began_ms,
            name,
            total(each.tally for each in found),
            min((each.counted_at_ms for each in found if each.counted_at_ms is not None), default=None),
        )
        for (began_ms, name), found in spans.items()
    ]


def workflow_counts(kept: Iterable[Counter], recent: Iterable[Counter]) -> list[WorkflowCount]:
    """The workflows of the counters that are kept, in the order of names, with the sums of recent ones."""
    all_by_name, recent_by_name = _by_name(kept), _by_name(recent)
    return [
        WorkflowCount(
            name,
            sum(each.live for each in found),
            max(each.last_started_ms for each in found),
            total(recent_by_name.get(name, ())),
        )
        for name, found in sorted(all_by_name.items())
    ]


def _by_name(counters: Iterable[Counter]) -> dict[str, list[Tally]]:
    found: dict[str, list[Tally]] = {}
    for counter in counters:
        found.setdefault(counter.workflow_name, []).append(counter.tally)
    return found
