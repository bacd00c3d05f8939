"""Endpoints that answer later, those who post their answers, and the laws of it."""

import asyncio
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from atomic.application.answering import post_answer
from atomic.application.engine import Engine
from atomic.application.refusals import AttemptOver
from atomic.domain.outcomes import EndpointResponse
from atomic.domain.steps import Step
from atomic.protocol import headers
from atomic.protocol.enums import OutcomeKind, Status
from atomic.protocol.error_kinds import ErrorKind
from atomic.testing.virtual_time import EPOCH_MS
from simulation.scenario import CLIENT

if TYPE_CHECKING:
    from simulation.application import Application
    from simulation.world import World

# Longer than any world lasts.
_AMPLE_MS: Final = 24 * 3_600_000


class Answers:
    """Postpones answers, and posts most of them."""

    def __init__(self, world: "World", application: "Application") -> None:
        self._world, self._application = world, application
        self._posting: set[asyncio.Task[None]] = set()

    def postponed(self, step_id: str, attempt: int, answer: EndpointResponse) -> EndpointResponse:
        """The answer of an attempt, or a 202 in its place; one that may be overdue may be a failure."""
        chance = random.Random(f"answers {self._world.scenario.seed} {step_id[-12:]} {attempt}")
        manner = chance.choice(("at once", "at once", "in time", "in time", "just in time", "never"))
        if manner == "at once":
            return answer
        within_ms = _AMPLE_MS if manner == "in time" else chance.choice((700, 3_000, 6_000))
        if manner != "in time":
            self._world.observed.own_failures[step_id] += 1
        if manner != "never":
            after_s = chance.random() * (8 if manner == "in time" else 1.5 * within_ms / 1000)
            task = asyncio.create_task(self._post(after_s, step_id, attempt, answer))
            self._posting.add(task)
            task.add_done_callback(self._posting.discard)
        return EndpointResponse(status=202, headers={headers.ANSWER_WITHIN: str(within_ms)})

    async def _post(self, after_s: float, step_id: str, attempt: int, answer: EndpointResponse) -> None:
        await asyncio.sleep(after_s)

        async def act(engine: Engine, _: str) -> bool:
            client, step = await engine.clients.get(CLIENT), await engine.store.get(step_id)
            assert client is not None
            assert step is not None
            try:
                await post_answer(engine, client, step, attempt, answer)
            except AttemptOver:
                self._world.observed.answers["refused"] += 1
            else:
                self._world.observed.answers["taken"] += 1
                self._world.observed.taken.append((step_id, attempt, answer.body))
            return True

        await self._application.persist(act, step_id)


def laws(world: "World") -> Iterator[str]:
    """An answer that was taken is recorded, and until it comes or is overdue nothing else is called."""
    recorded = {
        (write.step.id, made.number, write.step.response and world.truth.text(write.step))
        for write in world.truth.history
        if write.step.status is Status.SUCCEEDED and write.step.attempt_log
        for made in write.step.attempt_log[-1:]
        if made.outcome is OutcomeKind.SUCCEEDED
    }
    for step_id, attempt, body in world.observed.taken:
        if (step_id, attempt, body) not in recorded:
            yield f"{step_id}: the answer to attempt {attempt} was taken and is not recorded"
    for write in world.truth.history:
        before = write.before
        if before is not None and before.answer_by_ms is not None:
            yield from _after_it_was_postponed(world, before, write.step, write.at_s)


def _after_it_was_postponed(world: "World", before: Step, step: Step, at_s: float) -> Iterator[str]:
    if step.attempt_count != before.attempt_count:
        yield f"{step.id}: called again although the answer to {before.attempt_count} was postponed"
        return
    last: Any = step.attempt_log[-1]
    if last.outcome is OutcomeKind.NO_ANSWER and step.status is not Status.CANCELLED:
        yield f"{step.id}: attempt {last.number} was postponed, and is taken for lost"
    is_overdue = last.error is not None and last.error.kind is ErrorKind.ANSWER_OVERDUE
    by_s = ((before.answer_by_ms or 0) - EPOCH_MS) / 1000
    if is_overdue and at_s < by_s - 0.01 and not world.faults.happened["skew"]:
        yield f"{step.id}: the answer to attempt {last.number} was overdue {by_s - at_s:.1f} s too early"
