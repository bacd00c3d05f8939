"""3,000 interleavings of a cancel and posts of its run.

After the answer to the cancel, this process begins no call, and another process on the same rows begins
none later than 5 s after it. Every step of the run is cancelled or had settled before.
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import pytest

import atomic.application.attempts
import atomic.application.start
from atomic.application.engine import FRESH_MS, CachedRun, Engine, RunCache
from atomic.application.ports import StepStore
from atomic.protocol import keys
from atomic.protocol.enums import Status
from atomic.testing import EndpointCall, EndpointReply, LocalAtomic, run
from simulation.interleave import SlowStore, Workflow, plan_of
from simulation.planting import plant

SEEDS: Final = 1_000
RUN_ID: Final = keys.run_id("me", "w", "k")
FRESH_S: Final = FRESH_MS / 1000


class Race:
    """A cancelled run, and the times at which its calls began."""

    def __init__(self, seed: int) -> None:
        self.store = SlowStore(seed)
        self.chance = random.Random(seed)
        self.answered_s: float | None = None
        self.late_s: list[float] = []

    def watch(self, atomic: LocalAtomic) -> None:
        """Record the calls after the answer to the cancel."""
        handlers = atomic._invoker.handlers
        for url, handler in handlers.items():

            async def watched(call: EndpointCall, handler: Any = handler) -> EndpointReply:
                if self.answered_s is not None:
                    self.late_s.append(asyncio.get_running_loop().time() - self.answered_s)
                reply: EndpointReply = await handler(call)
                return reply

            handlers[url] = watched

    async def cancel(self, atomic: LocalAtomic) -> str:
        """Cancel the run; return its state."""
        reply = await atomic.request("POST", f"/me/runs/{RUN_ID}/cancel")
        if reply.json["status"] == "cancelled":
            self.answered_s = asyncio.get_running_loop().time()
        return str(reply.json["status"])

    async def at(self, first_s: float, last_s: float, act: Callable[[], Awaitable[object]]) -> None:
        """Run it at a random time between these two."""
        await asyncio.sleep(first_s + (last_s - first_s) * self.chance.random())
        await act()

    def left(self) -> Iterator[str]:
        """The steps that are live although the run was cancelled."""
        newest = {write.step.id: write.step for write in self.store.history}
        if newest[keys.root_of(RUN_ID)].status is Status.CANCELLED:
            yield from (f"{step.id} is {step.status}" for step in newest.values() if not step.is_settled)


def of_the_handler(seed: int) -> Race:
    """Race: the run of the seed's plan is cancelled within its first half second."""
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
    """Race: a step is posted when the cached state of its run expires, just when the run is cancelled."""
    race = Race(seed)

    async def play() -> None:
        async with LocalAtomic(seed=seed, store=race.store) as atomic:
            root, step = _documents(atomic)
            race.watch(atomic)
            if seed % 4 == 0:
                # This step has no wake-up of its own.
                step |= {"kind": "event", "stepName": "e", "stepInvokeUrl": None}
            await asyncio.gather(
                _start(atomic, root),
                race.at(FRESH_S, FRESH_S + 0.02, lambda: atomic.post("/me", step)),
                race.at(FRESH_S - 0.04, FRESH_S, lambda: race.cancel(atomic)),
            )
            await asyncio.sleep(10)

    run(play())
    return race


def of_another_process(seed: int) -> Race:
    """Race: one process cancels the run, while another one retries a step of it."""
    race = Race(seed)

    async def play() -> None:
        async with (
            LocalAtomic(seed=seed, store=race.store) as atomic,
            LocalAtomic(seed=seed, store=race.store) as other,
        ):
            root, step = _documents(atomic)
            race.watch(atomic)
            await asyncio.gather(
                _start(atomic, root),
                race.at(0.5, 2.0, lambda: race.cancel(other)),
                race.at(0.5, 2 * FRESH_S, lambda: atomic.post("/me", step)),
            )
            await asyncio.sleep(10)

    run(play())
    return race


def _documents(atomic: LocalAtomic) -> tuple[dict[str, Any], dict[str, Any]]:
    """A root that waits, and a step of it that fails."""

    async def wait(_: EndpointCall) -> EndpointReply:
        await asyncio.sleep(60)
        return EndpointReply()

    async def fail(_: EndpointCall) -> EndpointReply:
        return EndpointReply(status=500)

    common = {"workflowName": "w", "idempotencyKey": "k"}
    root = {**common, "stepInvokeUrl": atomic.endpoint("/root", wait), "attemptTimeout": 90_000}
    retry = {"count": 1000, "backOff": 300, "strategy": "fixed", "jitter": "none"}
    step = {**common, "stepInvokeUrl": atomic.endpoint("/step", fail), "retry": retry}
    return root, {**step, "parent": keys.root_of(RUN_ID), "timeout": 100}


async def _start(atomic: LocalAtomic, document: dict[str, Any]) -> None:
    await atomic.request(
        "POST", "/me", body=json.dumps(document).encode(), headers={"prefer": "respond-async"}
    )


# How long after the answer to the cancel a call may still begin.
RACES: Final = {of_the_handler: 0.0, of_a_late_post: 0.0, of_another_process: FRESH_S}


@pytest.mark.parametrize("play", RACES)
def test_nothing_of_a_cancelled_run_is_called_or_goes_on(play: Callable[[int], Race]) -> None:
    cancelled = 0
    for seed in range(SEEDS):
        race = play(seed)
        cancelled += race.answered_s is not None
        assert not _too_late(play, race), f"seed {seed}: called {race.late_s} s after the answer"
        assert not list(race.left()), f"seed {seed}: {list(race.left())}"
    assert cancelled > SEEDS * 0.3


async def _see_no_cancel(engine: Engine, subject: object) -> bool:
    return False


async def _believe_for_ever(self: RunCache, store: StepStore, run_id: str, now_ms: int) -> CachedRun | None:
    return self._runs.get(run_id) or await self.look(store, run_id, now_ms)


# No check of the run after the step's row is written; a cache of runs that never expires.
_BLIND: Final = [
    (atomic.application.start, "is_called_off", _see_no_cancel),
    (atomic.application.attempts, "is_step_called_off", _see_no_cancel),
]
_TRUSTING: Final = [(RunCache, "find", _believe_for_ever)]


@pytest.mark.parametrize(
    ("play", "bug"),
    [(of_the_handler, _BLIND), (of_a_late_post, _BLIND), (of_another_process, _TRUSTING)],
)
def test_a_planted_fault_is_found(
    play: Callable[[int], Race], bug: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for patch in bug:
        plant(monkeypatch, *patch)

    assert any(_too_late(play, race) for race in map(play, range(SEEDS)))


def _too_late(play: Callable[[int], Race], race: Race) -> list[float]:
    # Where no call may follow, one at the moment of the answer is too late as well.
    return [late_s for late_s in race.late_s if late_s > RACES[play] or RACES[play] == 0]
