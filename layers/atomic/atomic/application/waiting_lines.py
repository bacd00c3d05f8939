"""The origins of one process, and the steps that wait there for their turn."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from atomic.application.destinations import Destination
from atomic.domain.adaptive import Concurrency, Direction

if TYPE_CHECKING:
    from atomic.application.adaptive import UnderWay

# Steps of runs that have begun go first, so that runs end. Every so often, a new run goes first.
_NEW_RUN_EVERY: Final = 4


@dataclass(frozen=True, slots=True)
class Waiting:
    """A step that waits. `above`: the attempt that waits for it. `resume` is called when there is room."""

    url: str
    above: "UnderWay | None"
    resume: "Callable[[UnderWay], None]"


class WaitingLine:
    """Steps that wait, in the order in which they came, also by their URLs."""

    __slots__ = ("_came", "_ids_of", "steps")

    def __init__(self) -> None:
        self.steps: dict[str, Waiting] = {}
        # By URL: when each step of it came.
        self._ids_of: dict[str, dict[str, int]] = {}
        self._came = 0

    def add(self, step_id: str, waiting: "Waiting") -> None:
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

    def first_of(self, urls: set[str]) -> str | None:
        """The step of one of these URLs that came first."""
        known = (self._ids_of.get(url) for url in urls)
        heads = (next(iter(ids.items())) for ids in known if ids)
        return min(heads, key=lambda head: head[1], default=(None, 0))[0]


@dataclass(slots=True, eq=False)
class Origin:
    """An origin, as one client calls it: its limit, and what waits for it."""

    destination: Destination
    limit: Concurrency
    direction: Direction
    begun: "WaitingLine" = field(default_factory=WaitingLine)
    new: "WaitingLine" = field(default_factory=WaitingLine)
    called: int = 0
    # The URLs that have answered, and those whose last attempts have failed.
    heard: set[str] = field(default_factory=set)
    failing: set[str] = field(default_factory=set)
    # By URL: how many attempts are counted.
    counted: Counter[str] = field(default_factory=Counter)
    timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        return len(self.begun.steps) + len(self.new.steps)

    @property
    def lines(self) -> "tuple[WaitingLine, WaitingLine]":
        return (self.begun, self.new)

    @property
    def lines_in_turn(self) -> "tuple[WaitingLine, WaitingLine]":
        """The lines, first the one whose turn it is."""
        is_turn_of_new = self.called % _NEW_RUN_EVERY == _NEW_RUN_EVERY - 1
        return (self.new, self.begun) if is_turn_of_new else (self.begun, self.new)

    def next(self) -> "tuple[WaitingLine, str, Waiting] | None":
        """The next step to be called, and its line."""
        lines = self.lines_in_turn
        first = next(((line, *item) for line in lines for item in line.steps.items()), None)
        if first is None or not self.limit.seems_down:
            return first
        # One endpoint that always fails must not keep others waiting that would be answered.
        others = (
            (line, *item)
            for line in lines
            for item in line.steps.items()
            if item[1].url not in self.failing
        )
        return next(others, first)

    def next_that_answers(self) -> "tuple[WaitingLine, str, Waiting] | None":
        """The next step whose endpoint answers, when another endpoint of the origin fails; and its line."""
        if not self.failing:
            return None
        answering = self.heard - self.failing
        for line in self.lines_in_turn:
            step_id = line.first_of(answering)
            if step_id is not None:
                return line, step_id, line.steps[step_id]
        return None

    @property
    def failing_under_way(self) -> int:
        """How many attempts are counted whose endpoints have failed last."""
        return sum(self.counted[url] for url in self.failing & self.counted.keys())
