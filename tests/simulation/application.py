"""The application that uses Atomic: its endpoints, callers and operators. It survives every crash."""

import asyncio
import math
from collections.abc import Awaitable, Coroutine, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from atomic.application.cancel import cancel_run, cancel_step
from atomic.application.child_runs import begin_run, continue_run
from atomic.application.engine import FRESH_MS, Engine
from atomic.application.ports import EndpointRequest, StoreUnavailable
from atomic.application.redrive import redrive_step
from atomic.application.refusals import PayloadMismatch, Refusal, RunCancelled
from atomic.application.results import post_result
from atomic.application.start import start
from atomic.domain.events import ResultPosted
from atomic.domain.outcomes import EndpointResponse, StepError, StoredBody
from atomic.domain.steps import Step
from atomic.protocol import headers, keys
from atomic.protocol.constants import EVERY_CHILD
from atomic.protocol.enums import Status
from atomic.protocol.error_kinds import ErrorKind
from simulation import hooking, undoing
from simulation.answers import Answers
from simulation.due import Operators
from simulation.memory import Memory
from simulation.pausing import Pausers
from simulation.scenario import EVENT_RESULT, LARGE, Node, RunPlan
from simulation.workflow_pausing import WorkflowPausers

if TYPE_CHECKING:
    from simulation.world import World

_CALLER_WAITS_MS: Final = 20_000
_PAUSE_MAX_S: Final = 10.0
# The longest total time of the operations of a start, with the slowest store.
_SLOW_S: Final = 50.0
_KNOWN_WITHIN_S: Final = FRESH_MS / 1000
_UNLUCKY: Final = (ConnectionError, StoreUnavailable, TimeoutError)
_LOST: Final = {Status.FAILED, Status.CANCELLED}
_REFUSED: Final = {headers.REFUSED: "true"}
_REFUSES_FOR_GOOD: Final = {headers.NO_RETRY: "true"}


class Application:
    """Serves the nodes of every plan, and posts the runs of the plans."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._observed = world.observed
        self._loop = asyncio.get_running_loop()
        self._nodes = {
            node.url: (plan, node)
            for run in world.scenario.runs
            for plan in run.plans()
            for node in plan.root.tree()
            if node.kind == "http"
        }
        for plan, node in list(self._nodes.values()):
            back = undoing.undo_of(plan, node)
            self._nodes[back.url] = (plan, back)
        if world.scenario.hooks:
            self._nodes[hooking.ENDPOINT.url] = (world.scenario.runs[0], hooking.ENDPOINT)
        self._mended: set[str] = set()
        self._sequence = 0
        self._answers = Answers(world, self)
        self._operators = Operators(world, self)
        self._pausers = Pausers(world, self)
        self._workflow_pausers = WorkflowPausers(world)

    # Endpoints

    def call(self, request: EndpointRequest) -> Awaitable[EndpointResponse]:
        """Run one attempt. It continues even if its caller no longer waits for the answer."""
        step_id, attempt = request.headers["Atomic-Step-Id"], int(request.headers["Atomic-Attempt"])
        self._observed.calls[step_id, attempt] += 1
        is_large = self._world.scenario.is_large and request.url != hooking.ENDPOINT.url
        if is_large and LARGE.encode() not in request.body:
            self._observed.wrong.append(f"{step_id} was called without its payload")
        self._note_late(keys.run_of(step_id))
        self._pausers.note(keys.run_of(step_id))
        self._note_late_step(step_id)
        plan, node = self._nodes[request.url]
        self._workflow_pausers.note(plan.workflow)
        if not (node.stages or node.then):
            return self._leaf(plan, node, step_id, attempt, request.timeout_ms)
        is_told = "Atomic-Cancelled" in request.headers
        handling = self._loop.create_task(
            undoing.undo(self._world, plan, node)
            if is_told
            else self._handler(plan, node, step_id, attempt)
        )
        return self._within(handling, step_id, request.timeout_ms)

    def note_failure(self, request: EndpointRequest) -> None:
        """The network failed, and the endpoint's answer, if there is one, was lost."""
        self._observed.own_failures[request.headers["Atomic-Step-Id"]] += 1

    def _note_late(self, run_id: str) -> None:
        """No step may be called once its run's cancel is answered; other AWS processes may see it later."""
        answered_s = self._observed.cancelled_at_s.get(run_id)
        if answered_s is None:
            return
        late_s = self._loop.time() - answered_s
        # A clock that is set back by as much as the age of what its process has read makes that seem new.
        if not self._world.scenario.on_aws or late_s > _KNOWN_WITHIN_S + self._world.set_back_s:
            self._observed.wrong.append(f"a step of {run_id} was called {late_s:.3f} s after its cancel")

    def _note_late_step(self, step_id: str) -> None:
        """The same of a step that was cancelled, and of those that were below it then."""
        answered_s = self._observed.cancelled_step_at_s.get(step_id, math.inf)
        late_s = self._loop.time() - answered_s
        allowed_s = _KNOWN_WITHIN_S if self._world.scenario.on_aws else 0.0
        if late_s > allowed_s or (late_s >= 0 and not allowed_s):
            self._observed.wrong.append(f"{step_id} was called {late_s:.3f} s after it was cancelled")

    async def _leaf(
        self, plan: RunPlan, node: Node, step_id: str, attempt: int, timeout_ms: int
    ) -> EndpointResponse:
        self._world.server.at_once += 1
        try:
            return await self._served(plan, node, step_id, attempt, timeout_ms)
        finally:
            self._world.server.at_once -= 1

    async def _served(
        self, plan: RunPlan, node: Node, step_id: str, attempt: int, timeout_ms: int
    ) -> EndpointResponse:
        strike, now_s = self._world.faults.strike, self._loop.time()
        too_much = self._world.server.too_much()
        if too_much == "refused":
            return self._failed(step_id, 503)
        if node.broken and plan.run_id not in self._mended:
            return self._refused(step_id, for_good=True)
        if too_much or strike("endpoint waits", now_s) or node.takes_s * 1000 >= timeout_ms:
            await asyncio.sleep(timeout_ms / 1000)
            return self._timed_out(step_id)
        if node.takes_s:
            await asyncio.sleep(node.takes_s)
        if strike("endpoint fails", now_s):
            return self._failed(step_id, (500, 404, 503)[attempt % 3])
        if strike("retry after", now_s):
            self._observed.retry_after_ms[step_id] = 2_000
            return self._failed(step_id, 429, {headers.RETRY_AFTER: "2"})
        if strike("forbids retry", now_s):
            return self._refused(step_id, for_good=True)
        answer = self._succeeded(step_id, attempt)
        is_later = self._world.scenario.answers_later
        return self._answers.postponed(step_id, attempt, answer) if is_later else answer

    async def _within(
        self, handling: "asyncio.Task[EndpointResponse]", step_id: str, timeout_ms: int
    ) -> EndpointResponse:
        await asyncio.wait((handling,), timeout=timeout_ms / 1000)
        if handling.done():
            return handling.result()
        # Without faults it waits only for its steps, which is no failure of its own.
        return self._timed_out(step_id, own=self._world.faults.rough)

    async def _handler(self, plan: RunPlan, node: Node, step_id: str, attempt: int) -> EndpointResponse:
        manner = plan.manners[(attempt - 1) % len(plan.manners)]
        wait_ms = {"raises": plan.wait_ms, "waits": 30_000, "suspends": 0}[manner]
        parent = step_id if node is not plan.root else None
        known = await self._known(plan, step_id, attempt, with_live=manner == "suspends")
        if known is None:
            return self._unanswered(step_id, wait_ms)
        for stage in node.stages:
            if stage[0].cancels:
                await self._cancel(plan)
                return self._failed(step_id, 500)
            self._observed.waits(step_id, attempt, wait_ms)
            posts = [
                self._post(plan, child, step_id if child.starts else parent, wait_ms, attempt=attempt)
                for child in stage
                if plan.step_id(child) not in known
            ]
            found = [known[step_id] for step_id in map(plan.step_id, stage) if step_id in known]
            self._observed.remembered["used"] += len(found)
            ends = await asyncio.gather(*posts, return_exceptions=True)
            steps = [end for end in [*found, *ends] if not isinstance(end, BaseException)]
            if not wait_ms and node.retry.count and self._strike("handler fails"):
                self._observed.failed_alone.add((step_id, attempt))
                return self._failed(step_id, 500)
            if len(steps) < len(stage):
                return self._unanswered(step_id, wait_ms)
            if not node.catches and any(step.status in _LOST for step in steps):
                return self._refused(step_id, for_good=True)
            live = [step.id for step in steps if not step.is_settled]
            if live:
                return _suspended(plan, live) if manner == "suspends" else EndpointResponse(status=500)
        return await self._finished(node, step_id, attempt)

    async def _finished(self, node: Node, step_id: str, attempt: int) -> EndpointResponse:
        """The answer of a handler that has done its stages: a result, or the run that goes on for it."""
        if node.then is None:
            return self._succeeded(step_id, attempt)
        process, plan = self._world.any_process(), node.then
        spec = replace(plan.spec(plan.root, None), continued_from=step_id)
        try:
            following = await process.serve(continue_run(process.engine, spec, attempt, frozenset()))
        except (*_UNLUCKY, Refusal):
            return self._failed(step_id, 500)
        self._observed.acknowledge(following.step, self._world)
        return EndpointResponse(status=202, headers={headers.CONTINUE_AS: following.step.id})

    async def _known(
        self, plan: RunPlan, step_id: str, attempt: int, *, with_live: bool
    ) -> dict[str, Step] | None:
        """The steps that a handler need not post; None when it cannot tell its value."""
        if not self._world.scenario.remembers:
            return {}
        memory = Memory(self._world, plan, step_id, attempt)
        known = await memory.results(with_live=with_live)
        return known if await memory.has_value() else None

    def _unanswered(self, step_id: str, wait_ms: int) -> EndpointResponse:
        """A post had no answer: as an SDK tells it, and as a plain handler does."""
        return self._failed(step_id, 500) if wait_ms else EndpointResponse(status=503, headers=_REFUSED)

    def _succeeded(self, step_id: str, attempt: int) -> EndpointResponse:
        self._sequence += 1
        self._observed.effect_at_s[step_id] = self._loop.time()
        more = b',"more":"%b"' % LARGE.encode() if self._world.scenario.is_large else b""
        text = b'{"attempt":%d,"n":%d%b}' % (attempt, self._sequence, more)
        self._observed.given[step_id][text] = attempt
        return EndpointResponse(status=200, headers={"content-type": "application/json"}, body=text)

    def _failed(self, step_id: str, status: int, extra: dict[str, str] | None = None) -> EndpointResponse:
        self._observed.own_failures[step_id] += 1
        return EndpointResponse(status=status, headers=extra or {})

    def _refused(self, step_id: str, *, for_good: bool) -> EndpointResponse:
        self._observed.refused[step_id] += 1
        return self._failed(step_id, 422, _REFUSES_FOR_GOOD if for_good else None)

    def _timed_out(self, step_id: str, *, own: bool = True) -> EndpointResponse:
        self._observed.own_failures[step_id] += own
        return EndpointResponse(error=StepError(ErrorKind.TIMED_OUT, "20000"))

    # Callers and operators

    def works(self) -> Iterator[Coroutine[Any, Any, None]]:
        """All actions of callers and operators in the plans."""
        for plan in self._world.scenario.runs:
            for number in range(plan.callers):
                yield self._caller(plan, number)
            if plan.cancel_after_s is not None:
                yield self._canceller(plan, plan.cancel_after_s)
            if self._world.scenario.makes_due:
                yield from self._operators.works(plan)
            yield from self._pausers.works(plan)
            yield from self._workflow_pausers.works(plan)
            if plan.cancels_step:
                yield self._step_canceller(plan)
            for node in plan.root.tree():
                if node.kind == "event":
                    yield self._event_poster(plan, node)

    async def _post(
        self,
        plan: RunPlan,
        node: Node,
        parent: str | None,
        wait_ms: int,
        *,
        patience_s: float | None = None,
        attempt: int = 1,
    ) -> Step:
        process, began_s = self._world.any_process(), self._loop.time()
        spec = plan.spec(node, parent)
        if self._world.scenario.at_most_once and node.kind == "http" and not node.stages:
            spec = replace(spec, fails_if_lost=True)
        # A handler that names its parent sends its attempt's token, too.
        token = attempt if self._world.scenario.remembers and parent is not None else None
        first = begin_run if node.starts else None
        starting = start(process.engine, spec, wait_ms=wait_ms, attempt=token, first=first)
        started = await process.serve(starting, patience_s=patience_s)
        step, late_s = started.step, self._loop.time() - began_s - wait_ms / 1000
        if late_s > _SLOW_S:
            self._observed.wrong.append(
                f"who posted {node.name} waited {late_s:.1f} s longer than asked for"
            )
        self._observed.acknowledge(step, self._world)
        if step.id != plan.step_id(node):
            self._observed.wrong.append(f"asked for {node.name} of {plan.key}, got {step.id}")
        return step

    async def _caller(self, plan: RunPlan, number: int) -> None:
        await asyncio.sleep(plan.starts_s)
        settled = await self._ask_until_settled(plan)
        if number == 0 and plan.redriven_by and settled is not None and settled.status is Status.FAILED:
            await self._repair_and_redrive(plan, settled)
        if settled is not None and self._strike("posts twice"):
            await self._ask_until_settled(plan)

    async def _ask_until_settled(self, plan: RunPlan) -> Step | None:
        """The settled root; None if the run was cancelled before the root existed."""
        pause_s = 0.2
        while True:
            patience_s = 0.3 if self._strike("caller goes away") else None
            try:
                if self._strike("other payload"):
                    await self._post_other_payload(plan)
                step = await self._post(plan, plan.root, None, _CALLER_WAITS_MS, patience_s=patience_s)
                if step.is_settled:
                    return step
            except _UNLUCKY:
                pass
            except PayloadMismatch as mismatch:
                self._observed.wrong.append(f"a caller was told of another payload of {mismatch}")
                return None
            except Refusal as refusal:
                if not isinstance(refusal, RunCancelled):
                    self._observed.wrong.append(f"a caller was told {refusal!r}")
                return None
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_MAX_S)

    async def _post_other_payload(self, plan: RunPlan) -> None:
        process = self._world.any_process()
        if keys.root_of(plan.run_id) not in self._world.truth.rows:
            return
        try:
            await process.serve(start(process.engine, plan.spec(plan.root, None, "other"), wait_ms=1))
        except PayloadMismatch:
            return
        except Refusal:
            pass
        self._observed.wrong.append("another payload was taken")

    async def _repair_and_redrive(self, plan: RunPlan, root: Step) -> None:
        """Several operators redrive concurrently: some the root, the others the step that made it fail."""
        self._mended.update(child.run_id for child in plan.plans())
        rows = self._world.truth.rows
        failed = [s.id for s in rows.values() if s.status is Status.FAILED and s.spec.run_id == plan.run_id]
        culprit = next((step_id for step_id in failed if step_id != root.id), root.id)
        chosen = [(culprit, root.id)[number % 2] for number in range(plan.redriven_by)]

        async def redrive(engine: Engine, step_id: str) -> bool:
            self._observed.redrives[plan.run_id] += 1
            return await _redrive(engine, step_id)

        await asyncio.gather(*(self.persist(redrive, step_id) for step_id in chosen))
        for step_id in (culprit, root.id):
            if rows[step_id].generation == 1:
                self._observed.wrong.append(f"{step_id} was not redriven")
        await self._ask_until_settled(plan)

    async def _canceller(self, plan: RunPlan, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await self._cancel(plan)

    async def _cancel(self, plan: RunPlan) -> None:
        if plan.graceful_within_ms is not None:
            await self.persist(undoing.cancel, plan)
            return
        await self.persist(_cancel, plan.run_id)
        root = self._world.truth.rows[keys.root_of(plan.run_id)]
        if root.status is Status.CANCELLED:
            self._observed.cancelled_at_s.setdefault(plan.run_id, self._loop.time())

    async def _step_canceller(self, plan: RunPlan) -> None:
        await asyncio.sleep(plan.cancels_step_after_s)
        node = next(node for node in plan.root.tree() if node.name == plan.cancels_step)
        step_id, rows = plan.step_id(node), self._world.truth.rows
        await self.persist(_cancel_step, step_id)
        if step_id in rows and rows[step_id].status is Status.CANCELLED:
            for below in _tree(rows, step_id):
                self._observed.cancelled_step_at_s.setdefault(below, self._loop.time())

    async def _event_poster(self, plan: RunPlan, node: Node) -> None:
        await asyncio.sleep(plan.posts_event_after_s)
        await self.persist(_post_event, plan.step_id(node))

    async def persist(self, act: Any, subject: Any) -> None:
        """Repeat an action until Atomic has acknowledged it."""
        pause_s = 0.1
        while True:
            try:
                process = self._world.any_process()
                if await process.serve(act(process.engine, subject)):
                    return
            except _UNLUCKY:
                pass
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_MAX_S)

    def _strike(self, name: str) -> bool:
        return self._world.faults.strike(name, self._loop.time())


def _tree(rows: dict[str, Step], step_id: str) -> Iterator[str]:
    yield step_id
    for row in list(rows.values()):
        if row.spec.parent == step_id:
            yield from _tree(rows, row.id)


def _suspended(plan: RunPlan, live: list[str]) -> EndpointResponse:
    named = EVERY_CHILD if plan.every_child else ", ".join(live)
    given = {headers.WAITING_FOR: named}
    if plan.wake != "any":
        given[headers.WAKE] = plan.wake
    return EndpointResponse(status=202, headers=given)


async def _redrive(engine: Engine, step_id: str) -> bool:
    step = await engine.store.get(step_id)
    assert step is not None
    await redrive_step(engine, step)
    return True


async def _cancel(engine: Engine, run_id: str) -> bool:
    root = await engine.store.get(keys.root_of(run_id))
    if root is None:
        return False
    # A run that is shown as cancelled is not cancelled again, even if its cancel was interrupted.
    if root.status is not Status.CANCELLED:
        await cancel_run(engine, run_id)
    return True


async def _cancel_step(engine: Engine, step_id: str) -> bool:
    step = await engine.store.get(step_id)
    if step is None:
        root = await engine.store.get(keys.root_of(keys.run_of(step_id)))
        # A run that ended without the step will never post it.
        return root is not None and root.is_settled
    await cancel_step(engine, step)
    return True


async def _post_event(engine: Engine, step_id: str) -> bool:
    step = await engine.store.get(step_id)
    if step is None:
        root = await engine.store.get(keys.root_of(keys.run_of(step_id)))
        # A run that ended without its event never needs it.
        return root is not None and root.is_settled
    try:
        await post_result(engine, step, ResultPosted(StoredBody(EVENT_RESULT, "json")))
    except Refusal:
        return step.is_settled
    return True
