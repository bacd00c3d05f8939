"""The store of a server that runs permanently: it also finds what is due, live, or expired."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from atomic.application.ports import DueStep, StepStore
from atomic.protocol.enums import Status


@dataclass(frozen=True, slots=True)
class LiveStep:
    """The part of a live step that decides whether it has to be checked before it is due.

    `calls`: whether it calls an endpoint. `last_recorded_ms`: see `domain.redating`. `root`: the status of
    the root of its run, None when there is no root.
    """

    id: str
    calls: bool
    last_recorded_ms: int
    root: Status | None


class LiveSteps(Protocol):
    """The live rows of all clients, roots or not. A store needs an index of all live steps for it.

    Methods may raise StoreUnavailable.
    """

    async def live(self, status: Status, *, after: str, limit: int) -> Sequence[LiveStep]:
        """Live steps in a state, in the order of their ids, beginning after the given id."""
        ...

    async def count_live(self) -> int:
        """The number of live steps."""
        ...


class ServerStore(StepStore, LiveSteps, Protocol):
    """What a server that runs permanently needs of its store."""

    async def due(self, before_ms: int, limit: int) -> Sequence[DueStep]:
        """Live steps and schedules that are due before the moment, `limit` at most.

        Clients take turns, beginning with the client of the step that is overdue longest. The steps of each
        client are in the same order.
        """
        ...

    async def with_status(self, status: Status, *, after: str, limit: int) -> Sequence[str]:
        """Ids of steps in a state, in the order of their ids, beginning after the given id."""
        ...

    async def clear(self) -> None:
        """Delete everything that is stored, after the writes that wait."""
        ...

    async def purge(self, now_ms: int, limit: int) -> int:
        """Delete expired rows whose run has no live or unexpired root; how many were deleted.

        A root created after a row expired belongs to a later run, and does not keep the row. Rows of the
        audit log and counters whose time is over are deleted as well, and not counted.
        """
        ...
