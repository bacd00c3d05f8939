"""Runs a seed and checks the laws."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from atomic.testing.virtual_time import NothingLeftError
from simulation.due import with_start_times
from simulation.hooking import with_run_hooks
from simulation.interleave import LawBroken
from simulation.laws import broken
from simulation.loop import simulation_loop
from simulation.pausing import with_pauses
from simulation.scenario import Scenario, scenario_of, with_runs
from simulation.world import World, faults_of

_LOOP: Final = simulation_loop()


@dataclass(frozen=True, slots=True)
class Played:
    """A seed that broke no law."""

    happened: Counter[str]
    remembered: Counter[str]
    answers: Counter[str]
    due: Counter[str]
    adapted: Counter[str]
    pauses: Counter[str]
    hooks: Counter[str]
    calls: int
    writes: int
    virtual_s: float


def play(seed: int, **manner: bool) -> Played:
    """Run one seed to its end.

    Raises LawBroken with the story. `manner`: what the scenario has besides, `crowded`, `remembers`,
    `answers_later`, `at_most_once`, `starts_runs`, `makes_due`, `adapts`, `pauses`,
    `pauses_workflows` or `hooks`.
    """
    try:
        scenario = replace(scenario_of(seed), **manner)
        if scenario.makes_due:
            scenario = with_start_times(scenario)
        if scenario.adapts:
            scenario = replace(scenario, on_aws=False, processes=1)
        if scenario.pauses:
            scenario = with_pauses(scenario)
        if scenario.hooks:
            scenario = with_run_hooks(scenario)
        world = _LOOP.play(_play(with_runs(scenario) if scenario.starts_runs else scenario))
    except NothingLeftError as error:
        raise LawBroken(f"seed {seed}\n{error}") from None
    lines = broken(world)
    if lines:
        raise LawBroken("\n".join([f"seed {seed}", *lines, *story(world)]))
    return Played(
        happened=world.faults.happened,
        calls=world.observed.calls.total(),
        remembered=world.observed.remembered,
        answers=world.observed.answers,
        due=world.observed.due,
        adapted=world.observed.adapted,
        pauses=world.observed.pauses,
        hooks=world.observed.hooks,
        writes=len(world.truth.history),
        virtual_s=world.quiet_s or 0.0,
    )


async def _play(scenario: Scenario) -> World:
    world = World(scenario, faults_of(scenario))
    await world.play()
    return world


def story(world: World) -> Iterator[str]:
    """The story of a seed, write by write."""
    yield f"{world.scenario.on_aws=} {world.faults.ends_s=} {dict(world.faults.happened)}"
    for write in world.truth.history:
        step = write.step
        waiting = [step_id[-4:] for step_id in step.waiting_for]
        marks = f"{' woken' if step.woken else ''}{f' for {waiting}' if waiting else ''}"
        name = step.spec.url.removeprefix("https://app.test/") or step.spec.step_name
        last = step.attempt_log[-1].outcome if step.attempt_log else None
        yield (
            f"{write.at_s:9.3f} {name}({step.id[-4:]}) v{step.version} g{step.generation} {step.status} "
            f"#{step.attempt_count} {last} due {((step.due_at_ms or 0) / 1000) % 100_000:.3f}{marks}"
        )
