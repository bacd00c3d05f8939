"""A graceful cancel in the simulation: what a handler does that is told, and the laws of it."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from atomic.application.engine import Engine
from atomic.application.graceful_cancel import cancel_gracefully
from atomic.application.ports import StoreUnavailable
from atomic.application.refusals import Refusal
from atomic.application.start import start
from atomic.domain.outcomes import EndpointResponse
from atomic.domain.steps import Step
from atomic.protocol import headers, keys
from atomic.protocol.enums import Status
from atomic.protocol.error_kinds import ErrorKind
from simulation.scenario import Node, RunPlan

if TYPE_CHECKING:
    from simulation.world import World

_UNLUCKY: Final = (ConnectionError, StoreUnavailable, TimeoutError)
_CANCELLED: Final = {headers.CANCELLED: "true"}
# A restart, an attempt and its lease.
_SLACK_S: Final = 30.0


def undo_of(plan: RunPlan, node: Node) -> Node:
    """The step that undoes a leaf."""
    return Node(name=f"{node.name}/undo", takes_s=plan.undo_takes_s, timeout_ms=300)


def leaves(node: Node) -> list[Node]:
    """The steps of a handler that have effects, the last one first."""
    steps = [child for stage in node.stages for child in stage]
    return [child for child in reversed(steps) if child.kind == "http" and not child.stages]


def undo_id(plan: RunPlan, handler: Node, node: Node) -> str:
    """The id of the step that undoes a leaf of this handler."""
    spec = plan.spec(undo_of(plan, node), plan.step_id(handler))
    return keys.step_id(plan.run_id, spec.identity)


async def undo(world: "World", plan: RunPlan, handler: Node) -> EndpointResponse:
    """The answer of a handler that is told: it waits for what is live, and undoes each effect."""
    rows, parent = world.truth.rows, plan.step_id(handler)
    posted = [plan.step_id(child) for stage in handler.stages for child in stage]
    live = [step_id for step_id in posted if step_id in rows and not rows[step_id].is_settled]
    if live:
        return EndpointResponse(status=202, headers={headers.WAITING_FOR: ", ".join(live)})
    for node in leaves(handler):
        if plan.step_id(node) not in rows or not rows[plan.step_id(node)].attempt_count:
            continue
        try:
            process = world.any_process()
            started = await process.serve(
                start(process.engine, plan.spec(undo_of(plan, node), parent), wait_ms=30)
            )
        except (*_UNLUCKY, Refusal):
            return EndpointResponse(status=503, headers={headers.REFUSED: "true"})
        if not started.step.is_settled:
            return EndpointResponse(status=202, headers={headers.WAITING_FOR: started.step.id})
    return EndpointResponse(status=409, headers=_CANCELLED)


async def cancel(engine: Engine, plan: RunPlan) -> bool:
    """Ask for a graceful cancel. Returns whether there is such a run."""
    if await engine.store.get(keys.root_of(plan.run_id)) is None:
        return False
    await cancel_gracefully(engine, plan.run_id, plan.graceful_within_ms or 0)
    return True


def laws(world: "World") -> Iterator[str]:
    """What is told ends in time, each effect is undone after it, and nothing else goes on."""
    for plan in world.scenario.runs:
        if plan.graceful_within_ms is None:
            continue
        marks = [
            w for w in world.truth.history if w.step.id == plan.step_id(plan.root) and w.step.cancelling
        ]
        if marks:
            yield from _of_run(world, plan, marks[0].at_s)


def _of_run(world: "World", plan: RunPlan, marked_s: float) -> Iterator[str]:
    rows, within_s = world.truth.rows, (plan.graceful_within_ms or 0) / 1000
    root = rows[plan.step_id(plan.root)]
    if not root.is_settled:
        return
    ended_s = max(w.at_s for w in world.truth.history if w.step.id == root.id and w.step.is_settled)
    if ended_s > marked_s + within_s + _SLACK_S:
        yield f"the run was to end within {within_s} s, and ended after {ended_s - marked_s:.3f} s"
    has_time = not plan.undo_takes_s
    if has_time and root.status is Status.CANCELLED and root.response_status != 409:
        yield "the run was cancelled hard, although its undos take no time"
    for handler in plan.root.tree():
        # A handler that has finished in spite of the cancel undoes nothing.
        own = rows.get(plan.step_id(handler))
        is_told = has_time and own is not None and own.status is Status.CANCELLED
        for node in leaves(handler):
            forth, back = rows.get(plan.step_id(node)), rows.get(undo_id(plan, handler, node))
            if forth is not None and back is not None:
                yield from _in_order(world, forth, back)
            had_effect = forth is not None and bool(world.observed.given[forth.id])
            is_undone = back is not None and back.status is Status.SUCCEEDED
            if is_told and had_effect and not is_undone:
                yield f"{node.name} had its effect, and nothing has undone it"


def _in_order(world: "World", forth: Step, back: Step) -> Iterator[str]:
    if any(
        attempt.error is not None and attempt.error.kind is ErrorKind.LOST for attempt in forth.attempt_log
    ):
        # The endpoint of an attempt that is lost goes on, and its effect may come at any time.
        return
    began_s = min((w.at_s for w in world.truth.history if w.step.id == back.id), default=math.inf)
    effect_s = world.observed.effect_at_s.get(forth.id, 0.0)
    if effect_s > began_s:
        yield f"{forth.spec.url} had its effect {effect_s - began_s:.3f} s after its undo began"
