"""Runs a seed of schedules and checks the laws."""

from collections.abc import Iterator
from typing import Final

from atomic.testing.virtual_time import NothingLeftError
from simulation.interleave import LawBroken
from simulation.loop import simulation_loop
from simulation.schedule_laws import broken
from simulation.scheduling import RowWrite, ScheduleWorld, schedule_world

_LOOP: Final = simulation_loop()


def play_schedules(seed: int) -> ScheduleWorld:
    """Run one seed to its end. Raises LawBroken with the story."""
    try:
        world = _LOOP.play(_play(seed))
    except NothingLeftError as error:
        raise LawBroken(f"schedules of seed {seed}\n{error}") from None
    lines = broken(world)
    if lines:
        raise LawBroken("\n".join([f"schedules of seed {seed}", *lines, *story(world)]))
    return world


async def _play(seed: int) -> ScheduleWorld:
    world = schedule_world(seed)
    await world.play()
    return world


def story(world: ScheduleWorld) -> Iterator[str]:
    """The story of a seed, write by write."""
    yield f"{world.scenario.on_aws=} {world.faults.ends_s=} {dict(world.faults.happened)}"
    told = [(write.at_s, _told(write)) for write in world.truth.writes]
    told += [
        (fired.at_s, f"{fired.schedule_id} starts {_s(fired.root.spec.scheduled_at_ms)}")
        for fired in world.truth.fired
    ]
    yield from (f"{at_s:9.3f} {text}" for at_s, text in sorted(told))


def _told(write: RowWrite) -> str:
    row = write.after
    if row is None:
        return f"{write.id} is deleted"
    plan = "" if write.before is not None and write.before.plan == row.plan else f" {row.plan}"
    return (
        f"{row.id} v{row.version} last {_s(row.last_slot_ms)} next {_s(row.next_slot_ms)} "
        f"due {_s(row.due_at_ms)} queued {_s(row.queued_ms)}{' paused' if row.paused else ''} "
        f"started {row.started} skipped {row.skipped} missed {row.missed} {row.refused}{plan}"
    )


def _s(ms: int | None) -> str:
    return "-" if ms is None else f"{ms / 1000 % 100_000:.3f}"
