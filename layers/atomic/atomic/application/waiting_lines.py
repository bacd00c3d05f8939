"""The origins of one process, and the steps that wait there for their turn."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from atomic.application.destinations import Destination
from atomic.domain.adaptive import Concurrency, Direction

# What an attempt under way is, is known to who counts them.
Attempt = TypeVar("Attempt")

# Steps of runs that have begun go first, so that runs end. Every so often, a new run goes first.
_NEW_RUN_EVERY: Final = 4


@dataclass(frozen=True, slots=True)
class Waiting(Generic[Attempt]):
    """A step that waits. `above`: the attempt that waits for it. `resume` is called when there is room."""

    url: str
    above: Attempt | None
    resume: Callable[[Attempt], None]


class WaitingLine(Generic[Attempt]):
    """Steps that wait, in the order in which they came, also by their URLs."""

    __slots__ = ("_came", "_ids_of", "steps")

    def __init__(self) -> None:
        self.steps: dict[str, Waiting[Attempt]] = {}
        # By URL: when each step of it came.
        self._ids_of: dict[str, dict[str, int]] = {}
        self._came = 0

    def add(self, step_id: str, waiting: Waiting[Attempt]) -> None:
        """The step waits; one that is known keeps its place."""
        self.steps[step_id] = waiting
        self._came += 1
        self._ids_of.setdefault(waiting.url, {}).setdefault(step_id, self._came)

    def remove(self, step_id: str) -> None:
        """The step waits no longer."""
        url = self.steps.pop(step_id).url
        del self._ids_of[url][step_id]
        if not self._ids_of[url]:
            del self._ids_of[url]

    def first_where(self, is_meant: Callable[[str], bool]) -> str | None:
        """The step that came first of those whose URLs are meant."""
        heads = (next(iter(ids.items())) for url, ids in self._ids_of.items() if is_meant(url))
        return min(heads, key=lambda head: head[1], default=(None, 0))[0]


# The step whose turn it is, and its line.
Turn = tuple[WaitingLine[Attempt], str, Waiting[Attempt]]


@dataclass(slots=True, eq=False)
class Origin(Generic[Attempt]):
    """An origin, as one client calls it: its limit, and what waits for it."""

    destination: Destination
    limit: Concurrency
    direction: Direction
    begun: WaitingLine[Attempt] = field(default_factory=WaitingLine)
    new: WaitingLine[Attempt] = field(default_factory=WaitingLine)
    # How many steps wait in both lines.
    waiting: int = 0
    called: int = 0
    # The URLs that have answered, and those whose last attempts have failed.
    heard: set[str] = field(default_factory=set)
    failing: set[str] = field(default_factory=set)
    # By URL: how many attempts are counted.
    counted: Counter[str] = field(default_factory=Counter)
    # When it ends is noted, since a loop may give a handle without it (uvloop, for a moment that is over).
    timer: asyncio.Handle | None = None
    timer_ends_s: float = 0.0

    @property
    def lines(self) -> tuple[WaitingLine[Attempt], WaitingLine[Attempt]]:
        return (self.begun, self.new)

    @property
    def lines_in_turn(self) -> tuple[WaitingLine[Attempt], WaitingLine[Attempt]]:
        """The lines, first the one whose turn it is."""
        is_turn_of_new = self.called % _NEW_RUN_EVERY == _NEW_RUN_EVERY - 1
        return (self.new, self.begun) if is_turn_of_new else (self.begun, self.new)

    def next(self) -> Turn[Attempt] | None:
        """The next step to be called, and its line."""
        first = next(((line, *item) for line in self.lines_in_turn for item in line.steps.items()), None)
        if first is None or not self.limit.seems_down:
            return first
        # One endpoint that always fails must not keep others waiting that would be answered.
        return self._first_where(lambda url: url not in self.failing) or first

    def next_that_answers(self) -> Turn[Attempt] | None:
        """The next step whose endpoint answers, when another endpoint of the origin fails; and its line."""
        answering = self.heard - self.failing
        return self._first_where(answering.__contains__) if self.failing else None

    def _first_where(self, is_meant: Callable[[str], bool]) -> Turn[Attempt] | None:
        for line in self.lines_in_turn:
            if (step_id := line.first_where(is_meant)) is not None:
                return line, step_id, line.steps[step_id]
        return None

    @property
    def failing_under_way(self) -> int:
        """How many attempts are counted whose endpoints have failed last."""
        return sum(self.counted[url] for url in self.failing & self.counted.keys())
