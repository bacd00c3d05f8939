"""A small server, adaptive limits that begin low, and the laws about them."""

import asyncio
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from atomic.application.adaptive import Adaptive, UnderWay
from atomic.domain.steps import Step
from atomic.protocol import keys
from atomic.protocol.enums import Status
from simulation.observations import Write

if TYPE_CHECKING:
    from simulation.world import World

# The widest runs have 60 steps of 6 to 12 s, and some calls take a minute until they time out. One by one,
# this would take more than 500 s.
STARVES_S: Final = 240.0
KEPT_S: Final = 900.0


class SmallServer:
    """It bears a few calls at once while there are faults. Others are refused, or get no answer."""

    def __init__(self, world: "World") -> None:
        chance = random.Random(f"overload {world.scenario.seed}")
        self._world = world
        self._bears = chance.choice((1, 1, 2, 3, 8))
        self._refuses = chance.random() < 0.6
        self.first = chance.choice((1, 1, 2, 4))
        self.at_once = 0

    def too_much(self) -> str:
        """How one more call fails, if it does."""
        is_over = asyncio.get_running_loop().time() > self._world.faults.ends_s
        if not self._world.scenario.adapts or is_over or self.at_once <= self._bears:
            return ""
        self._world.observed.adapted["refused" if self._refuses else "unanswered"] += 1
        return "refused" if self._refuses else "unanswered"

    def adaptive(self) -> Adaptive | None:
        """What a new process has."""
        return WatchedAdaptive(self._world, self.first) if self._world.scenario.adapts else None


class WatchedAdaptive(Adaptive):
    """A step that waits for a permit must not wait only for handlers that wait for such steps."""

    def __init__(self, world: "World", first: int) -> None:
        super().__init__(first=first)
        self._world = world

    def wait(self, step: Step, resume: Callable[[UnderWay], None]) -> None:
        """Wait, and look who has the permits."""
        self._world.observed.adapted["waited"] += 1
        super().wait(step, resume)
        for origin in self._origins.values():
            rows = [self._world.truth.rows[step_id] for line in origin.lines for step_id in line.steps]
            parents = {row.spec.parent or keys.root_of(row.spec.run_id) for row in rows if not row.is_root}
            inside = [attempt for run in self._inside.values() for attempt in run.values()]
            counted = {a.step_id for a in inside if a.generation is not None and a.origin is origin}
            if origin.limit.under_way == len(counted) and counted and counted <= parents:
                self._world.observed.wrong.append(f"{counted} wait for steps that wait for their permits")


def laws(world: "World") -> Iterator[str]:
    """No step waits for ever, and in the end all permits have come back."""
    for process in world.processes:
        adaptive = process.engine.admission.adaptive
        if adaptive is None:
            continue
        if adaptive.waiting:
            yield f"{adaptive.waiting} steps still wait for permits"
        for origin in adaptive._origins.values():
            if origin.limit.under_way:
                yield f"{origin.limit.under_way} permits of {origin.destination} have not come back"
        if adaptive._inside:
            yield f"attempts are still inside: {dict(adaptive._inside)}"
    yield from _starved(world)


def _starved(world: "World") -> Iterator[str]:
    """No step is deferred again and again, unless nobody needs it any more.

    So it is where it or its run was cancelled, or its run has failed: a sweep on AWS goes through the steps
    of live roots alone, so one whose wake-up was lost is found by its next wake-up (seed 997).
    """
    since_s: dict[str, float] = {}
    # A step whose workflow was paused looks again within this time.
    most_s = KEPT_S if world.scenario.pauses_workflows else STARVES_S
    for write in world.truth.history:
        before, step = write.before, write.step
        if is_put_off(write):
            since_s.setdefault(step.id, write.at_s)
        elif before is None or (step.status, step.attempt_count) != (before.status, before.attempt_count):
            began_s = since_s.pop(step.id, math.inf)
            is_wanted = step.status is not Status.CANCELLED and not _has_failed(world, step)
            if is_wanted and write.at_s - max(began_s, world.faults.ends_s) > most_s:
                yield f"{step.id} waited {write.at_s - began_s:.1f} s for a permit"


def _has_failed(world: "World", step: Step) -> bool:
    root = world.truth.rows.get(keys.root_of(step.spec.run_id))
    return root is not None and root.status is Status.FAILED and not step.is_root


def is_put_off(write: Write) -> bool:
    """Whether a due step was not admitted: nothing has changed but its time."""
    before, step = write.before, write.step
    if before is None or before.due_at_ms is None or step.due_at_ms is None:
        return False
    same = {"version": before.version, "due_at_ms": before.due_at_ms, "dated_at_ms": before.dated_at_ms}
    return replace(step, **same) == before and step.due_at_ms > before.due_at_ms


def waits_for_permit(world: "World", step: Step) -> bool:
    """Whether a step was not admitted since its last attempt."""
    return any(
        write.step.id == step.id
        and write.step.attempt_count == step.attempt_count
        and write.step.version <= step.version
        and is_put_off(write)
        for write in world.truth.history
    )


def lease_ends_ms(world: "World", before: Step) -> int:
    """When the lease of a running attempt is over, also if a wait for a permit was written over it."""
    ends_ms = 0
    for write in world.truth.history:
        if write.step.id == before.id and write.step.version <= before.version and not is_put_off(write):
            is_moved = write.before is None or write.before.due_at_ms != write.step.due_at_ms
            ends_ms = (write.step.due_at_ms or 0) if is_moved else ends_ms
    return ends_ms
