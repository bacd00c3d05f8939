"""1,000 interleavings of a cancel with the posts of the run's own handler.

Once the root is cancelled, every other step of the run is cancelled too or had ended by then, and none is
called any more.
"""

import asyncio
import random
from collections.abc import Iterator
from typing import Final

import pytest

import atomic.application.start
from atomic.application.engine import Engine
from atomic.domain.events import Event
from atomic.domain.steps import Status, Step
from atomic.protocol import keys
from atomic.testing import LocalAtomic, run
from simulation.interleave import SlowStore, Workflow, plan_of

SEEDS: Final = 1_000
# What was under way when the root was cancelled may end: a claim that is being written, and its call.
UNDER_WAY_MS: Final = 400
RUN_ID: Final = keys.run_id("me", "w", "k")


def test_nothing_of_a_cancelled_run_goes_on() -> None:
    for seed in range(SEEDS):
        broken = _simulate(seed)
        assert not broken, f"seed {seed}: {broken}"


def test_a_planted_fault_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def change_nothing(engine: Engine, step: Step, event: Event) -> tuple[Step, bool]:
        return step, False

    # A step whose row is written while the run is cancelled is then left alone.
    monkeypatch.setattr(atomic.application.start, "apply", change_nothing)

    assert any(_simulate(seed) for seed in range(SEEDS))


def _simulate(seed: int) -> list[str]:
    store = SlowStore(seed)
    run(_play(seed, store))
    newest = {write.step.id: write.step for write in store.history}
    root = newest[keys.root_of(RUN_ID)]
    return list(_broken(root, newest)) if root.status is Status.CANCELLED else []


async def _play(seed: int, store: SlowStore) -> None:
    plan = plan_of(seed)
    async with LocalAtomic(seed=seed, store=store) as atomic:
        workflow = Workflow(atomic, plan)
        document = workflow.document(workflow.url, 20_000) | {"attemptTimeout": plan.attempt_timeout_ms}
        caller = asyncio.create_task(atomic.post("/me", document))
        await asyncio.sleep(0.04 + random.Random(seed).random() * 0.5)
        cancelled = await atomic.request("POST", f"/me/runs/{RUN_ID}/cancel")
        told = await caller
        assert (cancelled.json["status"], told.status) in {("cancelled", 409), ("succeeded", 200)}
        await asyncio.sleep(5)


def _broken(root: Step, newest: dict[str, Step]) -> Iterator[str]:
    assert root.finished_at_ms is not None
    for step in newest.values():
        if not step.is_settled:
            yield f"{step.id} is {step.status}"
        elif step.status is not Status.CANCELLED and (step.finished_at_ms or 0) > _late(root):
            yield f"{step.id} {step.status} long after the cancel"
        if step.attempts and step.attempts[-1].started_at_ms > _late(root):
            yield f"{step.id} was called long after the cancel"


def _late(root: Step) -> int:
    return (root.finished_at_ms or 0) + UNDER_WAY_MS
