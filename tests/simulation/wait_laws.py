"""What must be true of steps that wait for several: `Atomic-Wake: all` and `settled`."""

import math
from collections import Counter
from collections.abc import Iterator

from atomic.domain.steps import Step
from atomic.protocol.constants import EVERY_CHILD
from atomic.protocol.enums import Status
from simulation.observations import Write
from simulation.world import World

_FAILED = {Status.FAILED, Status.CANCELLED}


def waits(world: World) -> Iterator[str]:
    """A handler is called when all is there and not before, and few looks find that out."""
    yield from _called_in_time(world)
    yield from _looks(world)


def over_at_s(world: World, write: Write, until_s: float, settled_at_s: dict[str, float]) -> float | None:
    """When the wait that lasted from this write until then was over; None when it never was.

    An earlier attempt, which timed out, may still post steps meanwhile.
    """
    rows, members = world.truth.rows, members_of(world, write, until_s)
    ends = [(settled_at_s[other], rows[other].status) for other in members if other in settled_at_s]
    if write.step.wake == "all":
        # What had failed before the attempt is known to the handler that waits for the rest.
        since_s = write.at_s if write.step.waiting_for == (EVERY_CHILD,) else 0.0
        failed = [at_s for at_s, status in ends if status in _FAILED and at_s >= since_s]
        if failed:
            return min(failed)
    return max((at_s for at_s, _ in ends), default=None) if len(ends) == len(members) else None


def members_of(world: World, write: Write, until_s: float) -> set[str]:
    """The steps that a row waits for, which were posted until then."""
    step, rows = write.step, world.truth.rows
    if step.waiting_for != (EVERY_CHILD,):
        return {named for named in step.waiting_for if named in rows}
    created = (w for w in world.truth.history if w.before is None and w.at_s <= until_s)
    return {w.step.id for w in created if w.step.spec.parent == step.id}


def _called_in_time(world: World) -> Iterator[str]:
    settled: set[str] = set()
    failed: set[str] = set()
    since: dict[str, Write] = {}
    for write in world.truth.history:
        step, before = write.step, write.before
        settled |= {step.id} if step.is_settled else set()
        failed |= {step.id} if step.status in _FAILED else set()
        if before is None or before.wake is None:
            if step.wake is not None:
                since[step.id] = write
            continue
        if step.status is not Status.PENDING:
            continue
        members = members_of(world, since[step.id], since[step.id].at_s)
        missing = members - settled
        if missing and not (before.wake == "all" and members & failed):
            yield f"{step.id} was called at {write.at_s:.3f}, and waits for all of {sorted(missing)}"


def _looks(world: World) -> Iterator[str]:
    """For N steps it takes about ln N looks; faults may cost some more, and never N of them."""
    looks: Counter[tuple[str, int]] = Counter()
    for write in world.truth.history:
        before = set(write.before.watches if write.before else ())
        looks.update((watch.waiter, watch.attempt) for watch in set(write.step.watches) - before)
    children: Counter[str | None] = Counter(row.spec.parent for row in world.truth.rows.values())
    for (waiter, attempt), number in looks.items():
        if number > looks_max(children[waiter]):
            yield f"{waiter}: {number} looks for the {children[waiter]} steps of attempt {attempt}"


def looks_max(steps: int) -> int:
    """How many looks at N steps are enough, whatever goes wrong."""
    return 12 + round(3 * math.log2(max(steps, 1)))


def is_wait_for_several(step: Step) -> bool:
    """Whether the step waits, and for more than the first of several steps."""
    return step.status is Status.WAITING and step.wake is not None
