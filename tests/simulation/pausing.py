"""Operators who pause runs and let them go on, steps that pause their runs, and the laws of both."""

import asyncio
import random
from collections.abc import Coroutine, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from atomic.application.commit import commit
from atomic.application.engine import FRESH_MS, Engine
from atomic.application.pausing import pause_run, resume_run
from atomic.domain.events import Paused
from atomic.domain.steps import Step
from atomic.protocol import keys
from atomic.protocol.enums import Status
from atomic.testing.virtual_time import EPOCH_MS
from simulation.observations import Write
from simulation.scenario import Node, RunPlan, Scenario

if TYPE_CHECKING:
    from simulation.application import Application
    from simulation.world import World

_RETRIES_MAX: Final = 3
_LOOKS: Final = 400
# Without rough faults, a step that is let go goes on within this time.
_PROMPT_S: Final = 5.0


def with_pauses(scenario: Scenario) -> Scenario:
    """The scenario with steps that do not fail without a retry left."""
    chance = random.Random(f"pauses {scenario.seed}")
    return replace(
        scenario,
        runs=tuple(plan.with_steps(lambda node: _exhausted(chance, node)) for plan in scenario.runs),
    )


def _exhausted(chance: random.Random, node: Node) -> Node:
    if node.kind != "http" or node.stages or node.retry.count > _RETRIES_MAX or chance.random() < 0.5:
        return node
    return replace(node, retry=replace(node.retry, then_pauses=True))


class Pausers:
    """They pause runs now and then, and let all that are paused go on in the end."""

    def __init__(self, world: "World", application: "Application") -> None:
        self._world, self._application = world, application
        self._loop = asyncio.get_running_loop()
        self._paused_at_s: dict[str, float] = {}

    def works(self, plan: RunPlan) -> Iterator[Coroutine[Any, Any, None]]:
        """What they do to a run, and to those that it starts."""
        if self._world.scenario.pauses:
            yield self._play(plan, random.Random(f"pause {self._world.scenario.seed} {plan.key}"))

    def note(self, run_id: str) -> None:
        """No endpoint may be called once a pause is answered; other AWS processes may see it later."""
        answered_s = self._paused_at_s.get(run_id)
        if answered_s is None:
            return
        late_s = self._loop.time() - answered_s
        if not self._world.scenario.on_aws or late_s > FRESH_MS / 1000 + self._world.set_back_s:
            self._world.observed.wrong.append(
                f"a step of {run_id} was called {late_s:.3f} s after its pause"
            )

    async def _play(self, plan: RunPlan, chance: random.Random) -> None:
        for _ in range(chance.choice((1, 2, 3))):
            await asyncio.sleep(4 * chance.random())
            await self._pause(plan, chance)
            await asyncio.sleep(chance.choice((0.2, 2.0, 8.0, 90.0)))
            await self._resume(plan)
        for _ in range(_LOOKS):
            await asyncio.sleep(3)
            rows = [self._world.truth.rows.get(keys.root_of(each.run_id)) for each in plan.plans()]
            for row in rows:
                if row is not None and row.pause is not None and not row.is_settled:
                    await self._application.persist(_resume, row.spec.run_id)
            # Runs that it has started may go on when it has failed.
            is_over = rows[0] is not None and all(row is None or row.is_settled for row in rows)
            if is_over and not _is_to_be_redriven(plan, rows[0]):
                return

    async def _pause(self, plan: RunPlan, chance: random.Random) -> None:
        until_ms = EPOCH_MS + round((self._loop.time() + 30) * 1000) if chance.random() < 0.2 else None

        async def act(engine: Engine, run_id: str) -> bool:
            await pause_run(engine, commit, run_id, Paused(until_ms))
            return True

        await self._application.persist(act, plan.run_id)
        self._world.observed.pauses["made"] += 1
        root = self._world.truth.rows.get(keys.root_of(plan.run_id))
        if root is None or root.pause is None or until_ms is not None or root.status is Status.CANCELLED:
            return
        self._paused_at_s[plan.run_id] = self._loop.time()
        # A run that goes on as another one passes its pause on when its root has ended.
        for child in plan.plans():
            row = self._world.truth.rows.get(keys.root_of(child.run_id))
            is_tied = row is not None and row.pause is not None and row.spec.continued_from is None
            if is_tied and row is not root:
                self._paused_at_s[child.run_id] = self._loop.time()

    async def _resume(self, plan: RunPlan) -> None:
        self._paused_at_s.clear()
        await self._application.persist(_resume, plan.run_id)


def _is_to_be_redriven(plan: RunPlan, root: Step | None) -> bool:
    is_failed = root is not None and root.status is Status.FAILED and root.generation == 1
    return bool(plan.redriven_by) and is_failed


async def _resume(engine: Engine, run_id: str) -> bool:
    await resume_run(engine, commit, run_id)
    return True


def ended_rests(history: Iterable[Write], step_id: str) -> int:
    """How often the step was at rest, and went on."""
    return sum(
        write.before is not None and write.before.rest is not None and write.step.rest is None
        for write in history
        if write.step.id == step_id
    )


def laws(world: "World") -> Iterator[str]:
    """A rest uses nothing up. In a run that goes on, nothing goes on resting."""
    for write in world.truth.history:
        step, before = write.step, write.before
        if before is None or step.rest is None:
            continue
        world.observed.pauses["exhausted" if step.rest.exhausted else "rested"] += before.rest is None
        if before.retries_used < step.retries_used:
            yield f"{step.id} used a retry when it came to rest"
    if not world.faults.rough:
        yield from _rests_in_vain(world)


def _rests_in_vain(world: "World") -> Iterator[str]:
    all_spans = _spans(world)
    for step_id, spans in all_spans.items():
        for write, until_s in spans:
            rest = write.step.rest
            if rest is None or rest.exhausted:
                continue
            for root, root_until_s in all_spans.get(keys.root_of(write.step.spec.run_id), ()):
                together_s = min(until_s, root_until_s) - max(write.at_s, root.at_s)
                if root.step.pause is None and together_s > _PROMPT_S:
                    yield f"{step_id} rested for {together_s:.1f} s in a run that went on"


def _spans(world: "World") -> dict[str, list[tuple[Write, float]]]:
    """The rows of each step, and until when they stood."""
    writes: dict[str, list[Write]] = {}
    for write in world.truth.history:
        writes.setdefault(write.step.id, []).append(write)
    ends_s = {step_id: [each.at_s for each in own[1:]] for step_id, own in writes.items()}
    quiet_s = world.quiet_s or 0.0
    return {
        step_id: list(zip(own, [*ends_s[step_id], quiet_s], strict=True)) for step_id, own in writes.items()
    }
