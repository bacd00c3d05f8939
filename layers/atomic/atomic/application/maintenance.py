"""The sweep of a runtime without a permanent server: one client's live roots, page by page.

A walk reads all parts of what it is about. It is interrupted when its time is over, and goes on where it
ended: its position is part of the message by which it goes on. What is not acknowledged comes again, so a
page may be read twice, and none is left out.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from atomic.application.batches import for_each, side_by_side
from atomic.application.engine import Engine
from atomic.application.flow import look_at_keys
from atomic.application.flow_store import FlowKeys
from atomic.application.ports import DueStep
from atomic.protocol.enums import LIVE, Status

# How often each client is swept.
SWEEP_EVERY_MS: Final = 5 * 60_000
# A wake-up is sent again after 5, 10, 20 … minutes, and each six hours in the end.
_SENT_AGAIN_MAX_MS: Final = 6 * 3_600_000
_PARTS_AT_ONCE: Final = 4
# The part of a sweep that is about keys of flow control.
FLOW_PART: Final = "flow"

# Reads one page of a part, beginning after a position; returns where it ended, None at the end of the part.
ReadPage = Callable[[str, str], Awaitable[str | None]]


@dataclass(slots=True, kw_only=True)
class Walk:
    """A walk over the rows of one client.

    `left`: the parts that are not finished, and where each goes on. `seen`: how many rows were read, by
    state, or by what a walk counts. `last_began_ms`: when the walk before this one began; 0 when there was
    none. `sums`: numbers by part and name, of a walk that adds up.
    """

    client_id: str
    began_ms: int
    last_began_ms: int
    left: dict[str, str]
    seen: dict[str, int] = field(default_factory=dict)
    oldest_due_at_ms: int | None = None
    sums: dict[str, dict[str, list[int]]] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether every part was read to its end."""
        return not self.left

    async def go_on(
        self, read: ReadPage, may_go_on: Callable[[], bool], *, at_once: int = _PARTS_AT_ONCE
    ) -> None:
        """Read on, so many parts at a time, until all are finished or `may_go_on` says no."""

        async def read_parts(parts: Sequence[str]) -> None:
            for part in parts:
                while part in self.left and may_go_on():
                    after = await read(part, self.left[part])
                    if after is None:
                        del self.left[part]
                    else:
                        self.left[part] = after

        parts = sorted(self.left)
        await side_by_side(*(read_parts(parts[nth::at_once]) for nth in range(at_once)))


@dataclass(frozen=True, slots=True)
class RootPage:
    """A page of live roots: how many there are, which of them are overdue, and where the page ended.

    `after` is None when the part has no more.
    """

    seen: int
    overdue: Sequence[DueStep]
    after: str | None


class LiveRoots(Protocol):
    """The live roots and dead letters of clients, in parts that are read independently.

    It may raise StoreUnavailable.
    """

    def parts(self, client_id: str) -> Mapping[str, Status]:
        """The parts of a client, and the state of what is in each: live roots, or steps that failed."""
        ...

    async def page(self, client_id: str, part: str, *, after: str, due_before_ms: int) -> RootPage:
        """A page of a part. `after` is empty for the first one. The size of a page is bounded."""
        ...


async def sweep_client(
    engine: Engine, roots: LiveRoots, keys: FlowKeys, walk: Walk, may_go_on: Callable[[], bool]
) -> None:
    """Count the client's live roots, and send a wake-up for each that may have lost its own.

    Slots of flow control whose lease has ended are handed to the next in line.
    """
    states = roots.parts(walk.client_id)

    async def read(part: str, after: str) -> str | None:
        if part == FLOW_PART:
            return await look_at_keys(engine, keys, walk.client_id, after)
        page = await roots.page(walk.client_id, part, after=after, due_before_ms=walk.began_ms)
        await for_each([step for step in page.overdue if _is_to_be_woken(walk, step)], wake)
        state = states[part].value
        walk.seen[state] = walk.seen.get(state, 0) + page.seen
        due = [step.due_at_ms for step in page.overdue]
        if walk.oldest_due_at_ms is not None:
            due.append(walk.oldest_due_at_ms)
        walk.oldest_due_at_ms = min(due, default=None)
        return page.after

    async def wake(step: DueStep) -> None:
        await engine.queue.send(step.id, step.due_at_ms, client_id=step.client_id, attempt_ms=None)

    await walk.go_on(read, may_go_on)


class DueSchedules(Protocol):
    """The due schedules of a client, for a runtime that has no other sweep of them."""

    async def due_schedules(self, client_id: str, before_ms: int) -> Sequence[DueStep]:
        """The client's schedules that are due before a moment. May raise StoreUnavailable."""
        ...


async def sweep_schedules(engine: Engine, schedules: DueSchedules, walk: Walk) -> None:
    """Send a wake-up for each schedule of the client that may have lost its own, as for roots."""
    overdue = await schedules.due_schedules(walk.client_id, walk.began_ms)
    await for_each(
        [each for each in overdue if _is_to_be_woken(walk, each)],
        lambda due: engine.wake_schedule(due.id, due.due_at_ms),
    )


def live_of(walk: Walk) -> dict[Status, int]:
    """The number of live roots in each state that a finished walk has seen."""
    return {status: walk.seen[status.value] for status in LIVE if walk.seen.get(status.value)}


def _is_to_be_woken(walk: Walk, step: DueStep) -> bool:
    """Whether the step has been overdue for 0, 5, 10, 20 … minutes since the last walk.

    Its wake-up may be lost, or the queue may only be late. In a long queue, one more wake-up for each
    overdue step and each walk would make the queue longer and longer.
    """
    return _times(walk.began_ms - step.due_at_ms) > _times(walk.last_began_ms - step.due_at_ms)


def _times(late_ms: int) -> int:
    """How many wake-ups a step that is so late should have had from the sweep."""
    if late_ms <= 0:
        return 0
    doubled_ms = min(late_ms, _SENT_AGAIN_MAX_MS)
    return 1 + (doubled_ms // SWEEP_EVERY_MS).bit_length() + late_ms // _SENT_AGAIN_MAX_MS
