"""The port of a runtime of one process whose store has an index of all live steps, not of roots alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from atomic.protocol.enums import Status


@dataclass(frozen=True, slots=True)
class LiveStep:
    """The little of a live step that tells whether somebody has to look at it before it is due.

    `calls`: whether it calls an endpoint. `last_recorded_ms`: see `domain.moments`. `root`: how the root of
    its run stands, None when there is none.
    """

    id: str
    calls: bool
    last_recorded_ms: int
    root: Status | None


class LiveSteps(Protocol):
    """What such a store can do besides `ports.StepStore`. May raise StoreUnavailable."""

    async def live(self, status: Status, *, after: str, limit: int) -> Sequence[LiveStep]:
        """Live steps in a state, in the order of their ids, beginning after the given id."""
        ...
