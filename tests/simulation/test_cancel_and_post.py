"""1,000 interleavings of a cancel with the posts of the run's own handler, and 1,000 with a post whose row
is written when what the process knows of the run is five seconds old.

Once the cancel is answered no call begins, and every other step of the run is cancelled too or had ended.
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import pytest

import atomic.application.attempts
import atomic.application.start
from atomic.application.engine import Engine
from atomic.application.run_memory import FRESH_MS
from atomic.domain.steps import Status
from atomic.protocol import keys
from atomic.testing import EndpointCall, EndpointReply, LocalAtomic, run
from simulation.interleave import SlowStore, Workflow, plan_of

SEEDS: Final = 1_000
RUN_ID: Final = keys.run_id("me", "w", "k")


class Race:
    """One run that is cancelled, and when each call of it began."""

    def __init__(self, seed: int) -> None:
        self.store = SlowStore(seed)
        self.chance = random.Random(seed)
        self.answered = False
        self.late: list[str] = []

    def watch(self, atomic: LocalAtomic) -> None:
        """Write down what is called after the cancel was answered."""
        handlers = atomic._invoker.handlers
        for url, handler in handlers.items():

            async def watched(call: EndpointCall, handler: Any = handler) -> EndpointReply:
                if self.answered:
                    self.late.append(call.headers["atomic-step-id"])
                reply: EndpointReply = await handler(call)
                return reply

            handlers[url] = watched

    async def cancel(self, atomic: LocalAtomic) -> str:
        """Cancel the run; how it stands then."""
        reply = await atomic.request("POST", f"/me/runs/{RUN_ID}/cancel")
        self.answered = reply.json["status"] == "cancelled"
        return str(reply.json["status"])

    def broken(self) -> Iterator[str]:
        """Each way in which the law was broken."""
        newest = {write.step.id: write.step for write in self.store.history}
        for step_id in self.late:
            yield f"{step_id} was called after the cancel was answered"
        if newest[keys.root_of(RUN_ID)].status is Status.CANCELLED:
            yield from (f"{step.id} is {step.status}" for step in newest.values() if not step.is_settled)


def of_the_handler(seed: int) -> Race:
    """The run of the seed's plan is cancelled within its first half second."""
    race, plan = Race(seed), plan_of(seed)

    async def play() -> None:
        async with LocalAtomic(seed=seed, store=race.store) as atomic:
            workflow = Workflow(atomic, plan)
            race.watch(atomic)
            document = workflow.document(workflow.url, 20_000) | {"attemptTimeout": plan.attempt_timeout_ms}
            caller = asyncio.create_task(atomic.post("/me", document))
            await asyncio.sleep(0.04 + race.chance.random() * 0.5)
            status = await race.cancel(atomic)
            told = await caller
            assert (status, told.status) in {("cancelled", 409), ("succeeded", 200)}
            await asyncio.sleep(5)

    run(play())
    return race


def of_a_late_post(seed: int) -> Race:
    """A step is posted when the memory of its run ends, and the run is cancelled in that moment."""
    race = Race(seed)

    async def play() -> None:
        async with LocalAtomic(seed=seed, store=race.store) as atomic:

            async def hang(_: EndpointCall) -> EndpointReply:
                await asyncio.sleep(60)
                return EndpointReply()

            async def fail(_: EndpointCall) -> EndpointReply:
                return EndpointReply(status=500)

            root_url, step_url = atomic.endpoint("/root", hang), atomic.endpoint("/step", fail)
            race.watch(atomic)
            common = {"workflowName": "w", "idempotencyKey": "k"}
            root = {**common, "stepInvokeUrl": root_url, "attemptTimeout": 90_000}
            posting = atomic.request(
                "POST", "/me", body=json.dumps(root).encode(), headers={"prefer": "respond-async"}
            )
            caller = asyncio.create_task(posting)
            step = {**common, "stepInvokeUrl": step_url, "parent": keys.root_of(RUN_ID)}
            if seed % 4 == 0:
                # Nobody will look at this one by itself.
                step |= {"kind": "event", "stepName": "e", "stepInvokeUrl": None}
            await asyncio.gather(
                caller,
                _within(0, 0.02, race, lambda: atomic.post("/me", step)),
                _within(-0.04, 0, race, lambda: race.cancel(atomic)),
            )
            await asyncio.sleep(10)

    run(play())
    return race


async def _within(first_s: float, last_s: float, race: Race, act: Callable[[], Awaitable[object]]) -> None:
    await asyncio.sleep(FRESH_MS / 1000 + first_s + (last_s - first_s) * race.chance.random())
    await act()


RACES: Final = (of_the_handler, of_a_late_post)


@pytest.mark.parametrize("play", RACES)
def test_nothing_of_a_cancelled_run_is_called_after_the_answer(play: Callable[[int], Race]) -> None:
    cancelled = 0
    for seed in range(SEEDS):
        race = play(seed)
        cancelled += race.answered
        assert not list(race.broken()), f"seed {seed}: {list(race.broken())}"
    assert cancelled > SEEDS * 0.3


@pytest.mark.parametrize("play", RACES)
def test_a_planted_fault_is_found(play: Callable[[int], Race], monkeypatch: pytest.MonkeyPatch) -> None:
    async def see_nothing(engine: Engine, run_id: str) -> bool:
        return False

    # Nobody looks at the run once the step's row is written.
    for module in (atomic.application.start, atomic.application.attempts):
        monkeypatch.setattr(module, "is_called_off", see_nothing)

    assert any(race.late for race in map(play, range(SEEDS)))
