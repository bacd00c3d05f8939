"""Takes from several queues in turn, so that the longest queue does not delay the others."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from atomic.application.ports import DueStep

T = TypeVar("T")


def in_turns(lines: Iterable[Iterator[T]], limit: int) -> list[T]:
    """The first of each line, then the second of each, and so on, up to `limit`; no line is read ahead."""
    taken: list[T] = []
    waiting = list(lines)
    while waiting and len(taken) < limit:
        round_ = waiting[: limit - len(taken)]
        waiting = []
        for line in round_:
            for first in line:
                taken.append(first)
                waiting.append(line)
                break
    return taken


def due_in_turns(due: Iterable[DueStep], limit: int) -> Sequence[DueStep]:
    """Due steps in the order of `StepStore.due`."""
    lines: dict[str, list[DueStep]] = {}
    for step in sorted(due, key=lambda step: step.due_at_ms):
        lines.setdefault(step.client_id, []).append(step)
    return in_turns((iter(line) for line in lines.values()), limit)
