"""Counters of runs: what became of the runs of a workflow that were started in one hour (UTC).

A run belongs to the hour of its start as long as it lives. So what is counted follows from the rows alone,
however often they are counted, and a run that is redriven is no longer among those that failed. Counters
have names of workflows and numbers, nothing else of a run. They stay when the run is erased.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Final

from atomic.domain.histograms import within
from atomic.domain.steps import Step
from atomic.protocol.enums import Status

HOUR_MS: Final = 3_600_000
# How long the counters of an hour are kept. Older runs are in no counter.
KEPT_MS: Final = 31 * 24 * HOUR_MS
# So many names an hour and client have counters of their own; runs of further names are counted together.
NAMES_MAX: Final = 200
# In place of the name of these. No workflow has an empty name.
OTHER: Final = ""
# Durations are counted up to each of these bounds, and longer ones.
BOUNDS_MS: Final = (
    *(50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000),
    *(300_000, 900_000, HOUR_MS, 6 * HOUR_MS, 24 * HOUR_MS, 7 * 24 * HOUR_MS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Numbers of runs. `retries` are those of all their steps, without calls that follow a suspension.

    `duration_ms_sum` and `durations` are of runs that succeeded, from their start to their end: their sum,
    and how many there are up to each bound. `last_started_ms`: the newest start, 0 for none.
    """

    started: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    retries: int = 0
    duration_ms_sum: int = 0
    last_started_ms: int = 0
    durations: tuple[int, ...] = (0,) * (len(BOUNDS_MS) + 1)

    @property
    def live(self) -> int:
        """How many have not ended."""
        return max(0, self.started - self.succeeded - self.failed - self.cancelled)

    def duration_ms_of(self, share: float) -> int | None:
        """The duration that this share of the runs that succeeded did not exceed; None without any.

        It is interpolated between two bounds. Of runs beyond the last bound it is that bound.
        """
        return within(self.durations, BOUNDS_MS, share)


@dataclass(frozen=True, slots=True)
class Counter:
    """The runs of a workflow that were started in an hour; `counted_at_ms` is None where it is now."""

    hour_ms: int
    workflow_name: str
    tally: Tally
    counted_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class WorkflowCount:
    """A workflow: its runs of all hours that are kept, and those of recent hours."""

    name: str
    kept: Tally
    recent: Tally


def hour_of(at_ms: int) -> int:
    """When the hour of a moment began."""
    return at_ms - at_ms % HOUR_MS


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
        last_started_ms=created_at_ms,
        durations=tuple(int(number == at) for number in range(len(BOUNDS_MS) + 1)),
    )


LAST_START: Final = "last_started_ms"
# The members of a tally before the durations.
NUMBERS: Final = tuple(field.name for field in fields(Tally) if field.name != "durations")


def numbers_of(tally: Tally) -> list[int]:
    """A tally as numbers, the durations last and without the zeros at their end."""
    flat = [*(getattr(tally, name) for name in NUMBERS), *tally.durations]
    while flat and not flat[-1]:
        del flat[-1]
    return flat


def tally_of_numbers(flat: Sequence[int]) -> Tally:
    """The tally of these numbers."""
    width = len(NUMBERS)
    durations = [*flat[width:], *(0 for _ in range(len(BOUNDS_MS) + 1 - len(flat[width:])))]
    return Tally(**dict(zip(NUMBERS, flat, strict=False)), durations=tuple(durations))


def total(tallies: Iterable[Tally]) -> Tally:
    """The sum of tallies."""
    found = [Tally(), *tallies]
    return Tally(
        **{
            name: (max if name == LAST_START else sum)(getattr(each, name) for each in found)
            for name in NUMBERS
        },
        durations=tuple(map(sum, zip(*(each.durations for each in found), strict=True))),
    )


def summed(counters: Iterable[Counter], every_ms: int, all_names: bool) -> list[Counter]:
    """The sums of the hours of each span of this length, and with `all_names` of all workflows.

    Each counts as old as the oldest of its counters.
    """
    spans: dict[tuple[int, str], list[Counter]] = {}
    for each in counters:
        name = OTHER if all_names else each.workflow_name
        spans.setdefault((each.hour_ms - each.hour_ms % every_ms, name), []).append(each)
    return [
        Counter(
            began_ms,
            name,
            total(each.tally for each in found),
            min((each.counted_at_ms for each in found if each.counted_at_ms is not None), default=None),
        )
        for (began_ms, name), found in spans.items()
    ]


def workflow_counts(counters: Iterable[Counter], recent_from_ms: int) -> list[WorkflowCount]:
    """The counters of a client by workflow, in the order of names."""
    by_name: dict[str, list[Counter]] = {}
    for counter in counters:
        by_name.setdefault(counter.workflow_name, []).append(counter)
    return [
        WorkflowCount(
            name,
            total(each.tally for each in found),
            total(each.tally for each in found if each.hour_ms >= recent_from_ms),
        )
        for name, found in sorted(by_name.items())
    ]
