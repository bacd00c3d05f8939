"""Operators who make steps due at other moments, starts that may come too late, and the laws of both."""

import asyncio
import random
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from atomic.application.engine import Engine
from atomic.application.making_due import make_due
from atomic.application.refusals import NotReschedulable
from atomic.domain.start_times import waits_for_a_moment
from atomic.domain.steps import Step
from atomic.protocol.enums import Status
from atomic.protocol.error_kinds import ErrorKind
from atomic.testing.virtual_time import EPOCH_MS
from simulation.observations import Write
from simulation.scenario import Node, RunPlan, Scenario

if TYPE_CHECKING:
    from simulation.application import Application
    from simulation.world import World

_OPERATORS: Final = 2
# What an operator cannot have used up.
_KEPT: Final = ("status", "generation", "attempt_count", "retries_used", "attempt_log", "error")


def with_start_times(scenario: Scenario) -> Scenario:
    """The scenario with steps that start later, some of which have to start by a moment."""
    chance = random.Random(f"start times {scenario.seed}")
    return replace(
        scenario, runs=tuple(plan.with_steps(lambda node: _timed(chance, node)) for plan in scenario.runs)
    )


def _timed(chance: random.Random, node: Node) -> Node:
    if node.kind != "http" or node.stages:
        return node
    later = replace(node, start_at_s=chance.choice((None, 0.5, 3.0, 9.0, 30.0)))
    return replace(later, start_by_s=chance.choice((None, None, None, 6.0, 12.0)))


class Operators:
    """They make steps due now, or at another time."""

    def __init__(self, world: "World", application: "Application") -> None:
        self._world, self._application = world, application

    def works(self, plan: RunPlan) -> Iterator[Coroutine[Any, Any, None]]:
        """What each of them does to the steps of a run."""
        for number in range(_OPERATORS):
            yield self._play(plan, random.Random(f"due {self._world.scenario.seed} {plan.key} {number}"))

    async def _play(self, plan: RunPlan, chance: random.Random) -> None:
        for _ in range(chance.choice((2, 4, 8))):
            await asyncio.sleep(4 * chance.random())
            rows = [row for row in self._world.truth.rows.values() if row.spec.run_id == plan.run_id]
            live = sorted((row for row in rows if not row.is_settled), key=lambda row: row.id)
            waiting = [row for row in live if waits_for_a_moment(row)]
            chosen = waiting if waiting and chance.random() < 0.9 else live
            at_s = asyncio.get_running_loop().time() + chance.choice((0.3, 2.0, 20.0))
            at_ms = None if chance.random() < 0.5 else EPOCH_MS + round(at_s * 1000)
            if chosen:
                await self._make(chance.choice(chosen).id, at_ms)

    async def _make(self, step_id: str, at_ms: int | None) -> None:
        observed = self._world.observed
        observed.made_due[step_id].append(at_ms or 0)

        async def act(engine: Engine, _: str) -> bool:
            step = await engine.store.get(step_id)
            assert step is not None
            try:
                await make_due(engine, step, at_ms)
            except NotReschedulable as refusal:
                observed.due["refused"] += 1
                if waits_for_a_moment(refusal.step):
                    observed.wrong.append(f"{step_id} waits for a moment, and was not made due")
            else:
                observed.due["made"] += 1
            return True

        await self._application.persist(act, step_id)


def laws(world: "World") -> Iterator[str]:
    """Nothing is used up. No sleep ends by itself before it is due, no attempt begins too early or late."""
    for write in world.truth.history:
        if write.before is not None:
            yield from _made_due(write, write.before)
            yield from _slept(world, write, write.before)
            yield from _began(world, write, write.before)


def _made_due(write: Write, before: Step) -> Iterator[str]:
    step = write.step
    if step.made_due_ms == before.made_due_ms:
        return
    used = [name for name in _KEPT if getattr(step, name) != getattr(before, name)]
    if used or not waits_for_a_moment(before) or step.due_at_ms != step.made_due_ms:
        yield f"{step.id} was made due as {before.status} for {step.due_at_ms}, and changed its {used}"


def _slept(world: "World", write: Write, before: Step) -> Iterator[str]:
    step = write.step
    if step.spec.kind != "timer" or step.status is not Status.SUCCEEDED or world.faults.happened["skew"]:
        return
    now_ms = EPOCH_MS + round(write.at_s * 1000)
    asked = any(at_ms <= now_ms for at_ms in world.observed.made_due[step.id])
    if now_ms < (before.due_at_ms or 0) - 1 and not asked:
        yield f"{step.id} ended {(before.due_at_ms or 0) - now_ms} ms before it was due"


def _began(world: "World", write: Write, before: Step) -> Iterator[str]:
    step, at_ms, by_ms = write.step, write.step.spec.start_at_ms or 0, write.step.spec.start_by_ms
    if step.generation > 1:
        return
    is_first = step.attempt_count > before.attempt_count == 0
    began_ms = step.attempt_log[-1].started_at_ms if is_first else 0
    if is_first and by_ms is not None and began_ms >= by_ms:
        yield f"{step.id} was to begin by {by_ms}, and began at {began_ms}"
    is_asked = world.observed.made_due[step.id] or world.faults.happened["skew"]
    if is_first and began_ms < at_ms and not is_asked:
        yield f"{step.id} was to begin at {at_ms}, and began at {began_ms}"
    if has_missed_start(step) and before.attempt_count:
        yield f"{step.id} had begun, and failed because it had not"


def has_missed_start(step: Step) -> bool:
    """Whether a step failed because its first attempt came too late."""
    return step.error is not None and step.error.kind is ErrorKind.START_EXPIRED
