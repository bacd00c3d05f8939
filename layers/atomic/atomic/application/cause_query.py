"""How many runs failed for which cause: a list of causes, and what a store answers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from atomic.domain.causes import Cause
from atomic.domain.steps import Step

# How many of its newest steps are shown with each cause.
SAMPLES_MAX: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseQuery:
    """The causes of a client's failed runs: those that were dismissed, or those that need action."""

    client_id: str
    workflow_name: str | None = None
    dismissed: bool = False
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseGroup:
    """What failed for one cause: how many, when the oldest and the newest was created, the newest ones."""

    cause: Cause
    count: int
    first_created_ms: int
    last_created_ms: int
    samples: Sequence[Step]


@dataclass(frozen=True, slots=True, kw_only=True)
class CausePage:
    """The causes that most failed for, at most as many as asked for. `more`: there are others.

    `is_all`: everything was counted. Otherwise the newest were, and the numbers are the least ones.
    """

    groups: Sequence[CauseGroup]
    more: bool = False
    is_all: bool = True


def grouped(failed: Iterable[tuple[Step, Cause]], limit: int, *, is_all: bool = True) -> CausePage:
    """These steps, the newest first, by their causes."""
    by_cause: dict[str, list[tuple[Step, Cause]]] = {}
    for step, cause in failed:
        by_cause.setdefault(cause.id, []).append((step, cause))
    groups = [
        CauseGroup(
            cause=those[0][1],
            count=len(those),
            first_created_ms=those[-1][0].created_at_ms,
            last_created_ms=those[0][0].created_at_ms,
            samples=[step for step, _ in those[:SAMPLES_MAX]],
        )
        for those in by_cause.values()
    ]
    groups.sort(key=lambda group: (-group.count, group.cause.id))
    return CausePage(groups=groups[:limit], more=len(groups) > limit, is_all=is_all)
