"""What the simulated world observes: answers to callers, calls of endpoints, and writes to the store."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from atomic.adapters.memory.store import MemoryStepStore
from atomic.application.child_steps import ChildPage, first_page
from atomic.application.ports import DueStep
from atomic.domain.blobs import Blob
from atomic.domain.steps import Step
from atomic.protocol.enums import OutcomeKind, Status

if TYPE_CHECKING:
    from simulation.process import Process
    from simulation.world import World

Told = tuple[str, int, Status, bytes | None]


@dataclass(frozen=True, slots=True)
class Write:
    """A write at the time it took effect: the new row, and the one that it replaced."""

    at_s: float
    step: Step
    before: Step | None


@dataclass(slots=True)
class Observations:
    """The observations of callers and endpoints, outside of Atomic."""

    acknowledged: set[str] = field(default_factory=set)
    # Live steps that a caller was told of, and their generations.
    told_live: set[tuple[str, int]] = field(default_factory=set)
    told: list[Told] = field(default_factory=list)
    cancelled_at_s: dict[str, float] = field(default_factory=dict)
    cancelled_step_at_s: dict[str, float] = field(default_factory=dict)
    calls: Counter[tuple[str, int]] = field(default_factory=Counter)
    given: defaultdict[str, dict[bytes, int]] = field(default_factory=lambda: defaultdict(dict))
    # When the endpoint of a step last succeeded.
    effect_at_s: dict[str, float] = field(default_factory=dict)
    own_failures: Counter[str] = field(default_factory=Counter)
    # Attempts by step and number: those that were made; those that failed although they were not told of an
    # unfinished step; and when and by which process the answer was received.
    made: set[tuple[str, int]] = field(default_factory=set)
    failed_alone: set[tuple[str, int]] = field(default_factory=set)
    # The attempts of a step that waited for others, and when they requested those.
    waited_s: defaultdict[str, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))
    received: dict[tuple[str, int], tuple[float, "Process"]] = field(default_factory=dict)
    # When a write of the step, or a message before it, was refused, unconfirmed or slow.
    troubled_s: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    letters: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    retry_after_ms: dict[str, int] = field(default_factory=dict)
    # What was posted as a value, by its step. How often what a handler remembers was posted, read and used.
    values: defaultdict[str, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    remembered: Counter[str] = field(default_factory=Counter)
    # Answers that were posted later: how many were taken and refused, and those that were taken.
    answers: Counter[str] = field(default_factory=Counter)
    taken: list[tuple[str, int, bytes]] = field(default_factory=list)
    # The moments (0: at once) at which operators asked to make a step due, and how many requests were taken
    # and refused.
    made_due: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    due: Counter[str] = field(default_factory=Counter)
    # How often operators asked to redrive a step of the run.
    redrives: Counter[str] = field(default_factory=Counter)
    # How many calls were too much for a small server, and how many steps waited for permits.
    adapted: Counter[str] = field(default_factory=Counter)
    # What was paused, and which steps rested.
    pauses: Counter[str] = field(default_factory=Counter)
    # What hooks had to tell, by the kind of event.
    hooks: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def waits(self, step_id: str, attempt: int, wait_ms: int) -> None:
        """A handler posts steps. If it waits for them, it is told that one is unfinished."""
        if wait_ms:
            self.waited_s[step_id].append((attempt, asyncio.get_running_loop().time()))

    def acknowledge(self, step: Step, world: "World") -> None:
        """A caller got this row as its answer."""
        self.acknowledged.add(step.id)
        if not step.is_settled:
            self.told_live.add((step.id, step.generation))
        world.sqs.check(step.id)
        if step.id not in world.truth.rows:
            self.wrong.append(f"{step.id} was acknowledged and does not exist")
        if step.is_settled:
            self.told.append(told(step))


class Truth(MemoryStepStore):
    """The rows, and every write in order. A transition that is never allowed is recorded at once."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[Write] = []
        self.wrong: list[str] = []

    @property
    def rows(self) -> dict[str, Step]:
        """Every row by its id."""
        return self._rows

    async def create(self, step: Step) -> Step | None:
        existing = await super().create(step)
        if existing is None:
            self._note(self._rows[step.id], None)
        return existing

    async def replace(self, step: Step, expected_version: int) -> Step | None:
        before = self._rows.get(step.id)
        existing = await super().replace(step, expected_version)
        if existing is None:
            self._note(self._rows[step.id], before)
        return existing

    def text(self, step: Step) -> bytes:
        """The response of a row."""
        text = step.response.text if step.response else b""
        if isinstance(text, bytes):
            return text
        return self._blobs[text.step_id, text.digest].text

    async def child_steps_ago(
        self, lag_s: float, parent_id: str, *, after: str, limit: int, max_bytes: int
    ) -> ChildPage:
        """The children of a step, each as it was up to so long ago, or missing if it was not there."""
        if not lag_s:
            return await self.child_steps(parent_id, after=after, limit=limit, max_bytes=max_bytes)
        until_s = asyncio.get_running_loop().time() - lag_s
        known = (write.step for write in self.history if write.at_s <= until_s)
        then = {step.id: step for step in known if step.spec.parent == parent_id}
        steps = (then[step_id] for step_id in sorted(then) if step_id > after)
        return first_page(steps, limit=limit, max_bytes=max_bytes)

    async def due_schedules(self, client_id: str, before_ms: int) -> Sequence[DueStep]:
        """The due schedules, as the sweep on AWS reads them; there is one client."""
        del client_id
        return self._due_schedules(before_ms)

    def overwrite(self, step: Step) -> None:
        """Write unconditionally, for planted bugs."""
        before = self._rows.get(step.id)
        self._rows[step.id] = step
        self._note(step, before)

    def _note(self, step: Step, before: Step | None) -> None:
        self.history.append(Write(asyncio.get_running_loop().time(), step, before))
        self.wrong += [f"{step.id} v{step.version}: {line}" for line in _wrong(step, before)]
        for text in (step.spec.payload, step.response and step.response.text):
            if isinstance(text, Blob) and (text.step_id, text.digest) not in self._blobs:
                self.wrong.append(f"{step.id} v{step.version}: names a text that is not stored")


def told(step: Step) -> Told:
    """The part of a settled row that never changes."""
    text = step.response.text if step.response else None
    content = text.digest.encode() if isinstance(text, Blob) else text
    return step.id, step.generation, step.status, content


def lost_attempts(history: list[Write], step_id: str) -> int:
    """How many attempts of the step were lost: no process recorded their answer."""
    return sum(
        1
        for write in history
        if write.step.id == step_id
        and write.before is not None
        and write.before.status is Status.RUNNING
        and write.step.status is not Status.CANCELLED
        and any(
            attempt.number == write.before.attempt_count and attempt.outcome is OutcomeKind.NO_ANSWER
            for attempt in write.step.attempt_log
        )
    )


def _wrong(step: Step, before: Step | None) -> Iterator[str]:
    if before is None:
        if step.version != 1:
            yield "a first row with another version than 1"
        return
    if step.version != before.version + 1:
        yield f"written over version {before.version}"
    if step.generation != before.generation:
        is_over = before.status is Status.FAILED or (before.rest is not None and before.rest.exhausted)
        if not is_over or step.generation != before.generation + 1:
            yield f"generation {before.generation}, {before.status}, became {step.generation}"
    elif before.is_settled and told(step) != told(before):
        yield f"the outcome {told(before)[1:]} became {told(step)[1:]}"
