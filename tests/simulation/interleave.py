"""A random interleaving of settle and suspend, from a seed.

A workflow and a few steps run through the real use cases, in virtual time, on a store that delays every
operation before and after it takes effect. The seed decides everything: the delays of the store, the
durations of the steps, how often they fail, how long the handler waits for them, and what it does when they
are not finished: raise, wait until its time-out, or suspend.
"""

import asyncio
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from atomic.adapters.memory.store import MemoryStepStore
from atomic.domain.outlines import StepOutline
from atomic.domain.steps import Step
from atomic.protocol.enums import Status
from atomic.testing import ApiReply, EndpointCall, EndpointReply, LocalAtomic, run

Manner = Literal["raises", "times out", "suspends"]

# An operation of the store takes up to 40 ms. A recheck, which would hide a lost wake-up, comes after 60 s.
PAUSE_MAX_S: Final = 0.020
WAKE_WITHIN_S: Final = 2.0
END_WITHIN_S: Final = 50.0
_MANNERS: Final[tuple[Manner, ...]] = ("raises", "times out", "suspends")


@dataclass(frozen=True, slots=True)
class Child:
    """A step that fails a number of times, and takes a while each time."""

    name: str
    takes_s: float
    fails: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The plan of a seed. The handler's behaviour changes from attempt to attempt."""

    manners: tuple[Manner, ...]
    parallel: bool
    wait_ms: int
    attempt_timeout_ms: int
    back_off_ms: int
    children: tuple[Child, ...]


@dataclass(frozen=True, slots=True)
class Write:
    """A row, and the time when it took effect."""

    at_s: float
    step: Step


class LawBroken(AssertionError):
    """An interleaving broke the law; the message holds the seed and the timeline."""


def simulate(seed: int) -> None:
    """Run one seed and check the law. Raises LawBroken."""
    store = SlowStore(seed)
    plan = plan_of(seed)
    broken = list(_broken(run(_play(plan, store, seed)), plan, store))
    if broken:
        raise LawBroken("\n".join([f"seed {seed}", *broken, str(plan), *_timeline(store)]))


def plan_of(seed: int) -> Plan:
    """The plan of a seed."""
    chance = random.Random(seed)
    manners = tuple(chance.choice(_MANNERS) for _ in range(chance.choice((1, 1, 2, 3))))
    children = tuple(
        Child(f"c{number}", chance.choice((0.0, 0.05, 0.3)) * chance.random(), chance.choice((0, 0, 1, 2)))
        for number in range(chance.choice((1, 1, 2, 2, 3, 4)))
    )
    return Plan(
        manners=manners,
        parallel=chance.random() < 0.5,
        wait_ms=chance.choice((1, 20, 60, 200)),
        # Far longer than four operations of the store, so that no attempt times out only because the store
        # is slow.
        attempt_timeout_ms=chance.choice((350, 500)),
        back_off_ms=chance.choice((1, 20, 100)),
        children=children,
    )


class SlowStore(MemoryStepStore):
    """A store that delays each operation before and after its effect, and records each write."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.history: list[Write] = []
        self._chance = random.Random(-seed - 1)

    async def create(self, step: Step) -> Step | None:
        await self._pause()
        existing = await super().create(step)
        return await self._answer(existing, step)

    async def get(self, step_id: str) -> Step | None:
        await self._pause()
        existing = await super().get(step_id)
        await self._pause()
        return existing

    async def replace(self, step: Step, expected_version: int) -> Step | None:
        await self._pause()
        existing = await super().replace(step, expected_version)
        return await self._answer(existing, step)

    async def children(self, parent_id: str, *, after: str, limit: int) -> Sequence[StepOutline]:
        await self._pause()
        existing = await super().children(parent_id, after=after, limit=limit)
        await self._pause()
        return existing

    async def _answer(self, existing: Step | None, step: Step) -> Step | None:
        if existing is None:
            self.history.append(Write(asyncio.get_running_loop().time(), step))
        await self._pause()
        return existing

    async def _pause(self) -> None:
        drawn = self._chance.random()
        if drawn > 0.4:
            await asyncio.sleep((drawn - 0.4) / 0.6 * PAUSE_MAX_S)


class Workflow:
    """The endpoints of a plan. A handler that times out leaves its requests to Atomic running."""

    def __init__(self, atomic: LocalAtomic, plan: Plan) -> None:
        self._atomic = atomic
        self._plan = plan
        self._requests: set[asyncio.Task[ApiReply]] = set()
        self.url = atomic.endpoint("/root", self._root)
        self._urls = {child.name: self._serve(child) for child in plan.children}

    def document(self, url: str, timeout_ms: int) -> dict[str, Any]:
        retry = {"count": 5, "backOff": self._plan.back_off_ms, "strategy": "fixed", "jitter": "none"}
        return {
            "workflowName": "w",
            "stepInvokeUrl": url,
            "idempotencyKey": "k",
            "timeout": timeout_ms,
            "retry": retry,
        }

    async def _root(self, call: EndpointCall) -> EndpointReply:
        manner = self._plan.manners[(call.attempt - 1) % len(self._plan.manners)]
        wait_ms = {"raises": self._plan.wait_ms, "times out": 30_000, "suspends": 0}[manner]
        live: list[str] = []
        if self._plan.parallel:
            replies = await asyncio.gather(*(self._step(url, wait_ms) for url in self._urls.values()))
            live = [reply.json["id"] for reply in replies if reply.status != 200]
        else:
            for url in self._urls.values():
                reply = await self._step(url, wait_ms)
                if reply.status != 200:
                    live = [reply.json["id"]]
                    break
        if live:
            return EndpointReply(status=202, headers={"Atomic-Waiting-For": ", ".join(live)})
        return EndpointReply(json="done")

    async def _step(self, url: str, wait_ms: int) -> ApiReply:
        body = json.dumps(self.document(url, wait_ms)).encode()
        headers = {} if wait_ms else {"Prefer": "respond-async"}
        request = asyncio.create_task(self._atomic.request("POST", "/me", body=body, headers=headers))
        self._requests.add(request)
        request.add_done_callback(self._requests.discard)
        reply = await asyncio.shield(request)
        if reply.status != 200 and wait_ms > 0:
            raise RuntimeError(f"{url} answered {reply.status}")
        return reply

    def _serve(self, child: Child) -> str:
        async def handler(call: EndpointCall) -> EndpointReply:
            await asyncio.sleep(child.takes_s)
            return EndpointReply(status=500 if call.attempt <= child.fails else 200, json=child.name)

        return self._atomic.endpoint(f"/{child.name}", handler)


async def _play(plan: Plan, store: SlowStore, seed: int) -> str:
    async with LocalAtomic(seed=seed, store=store) as atomic:
        workflow = Workflow(atomic, plan)
        # No retries: any failure that counts ends the workflow.
        document = workflow.document(workflow.url, 300_000) | {
            "retry": {"count": 0},
            "attemptTimeout": plan.attempt_timeout_ms,
        }
        try:
            async with asyncio.timeout(END_WITHIN_S):
                reply = await atomic.post("/me", document)
        except TimeoutError:
            return f"not finished after {END_WITHIN_S} s"
        return "succeeded" if reply.status == 200 else f"{reply.status} {reply.body.decode()}"


def _broken(outcome: str, plan: Plan, store: SlowStore) -> Iterator[str]:
    """Check the law; return a line for each violation."""
    if outcome != "succeeded":
        yield f"the run did not succeed: {outcome}"
    settled = [write for write in store.history if write.step.is_settled]
    settled_at_s = {write.step.id: write.at_s for write in settled}
    if len(settled) > len(settled_at_s):
        yield "a step settled twice"
    root = [write for write in store.history if write.step.is_root]
    until_s = [write.at_s for write in root[1:]]
    for write, next_s in zip(root, [*until_s, END_WITHIN_S], strict=True):
        yield from _late(write, next_s, settled_at_s)
    if root[-1].step.retries_used:
        yield "the workflow paid with a retry of its own"
    calls, most = root[-1].step.attempt_count, most_calls(plan)
    if calls > most:
        yield f"the workflow was called {calls} times, {most} are enough"


def most_calls(plan: Plan) -> int:
    """The maximum of calls: the first one, and two for each step that settles.

    Suspending and settling both check the other side, so one settled step may wake the handler twice. The
    suspended handler's recheck finds the step and calls the handler again. Then the wake-up of the step
    arrives and marks the new call as woken; if that call does not succeed, another follows at once.
    """
    return 1 + 2 * len(plan.children)


def _late(root: Write, until_s: float, settled_at_s: dict[str, float]) -> Iterator[str]:
    """Whether the root was idle between two writes although it was due."""
    since_s: float | None = None
    if root.step.status is Status.PENDING:
        since_s = root.at_s
    if root.step.status is Status.WAITING:
        settled = [settled_at_s[step_id] for step_id in root.step.waiting_for if step_id in settled_at_s]
        since_s = max(root.at_s, min(settled)) if settled else None
        if not root.step.waiting_for:
            # It timed out; the steps that it waits for are checked next.
            since_s = root.at_s
    if since_s is not None and until_s - since_s > WAKE_WITHIN_S:
        yield f"the workflow was not called for {until_s - since_s:.3f} s after {since_s:.3f}"


def _timeline(store: SlowStore) -> Iterator[str]:
    for write in store.history:
        step = write.step
        waiting = [step_id[-4:] for step_id in step.waiting_for]
        marks = f"{' woken' if step.woken else ''}{f' for {waiting}' if waiting else ''}"
        yield f"{write.at_s:9.3f} {_name(step)} v{step.version} {step.status} #{step.attempt_count}{marks}"


def _name(step: Step) -> str:
    return f"{step.spec.url.rpartition('/')[2]}({step.id[-4:]})"
