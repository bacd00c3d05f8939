"""Starts that share a key with others (`singleton`, `debounce`): requests, answers and problems."""

from typing import Any

from atomic.application.engine import Engine
from atomic.application.sharing import place
from atomic.application.start import StartResult, attach, now_s, start
from atomic.domain.flow import FlowEntry
from atomic.domain.pointers import Debounce, Singleton, line_of
from atomic.domain.steps import Step, StepSpec
from atomic.domain.superseding import successor
from atomic.entrypoints.http_api.api import Api
from atomic.entrypoints.http_api.flow import asked_entries
from atomic.protocol import problems
from atomic.protocol.requests import StartRequest


def asked_limits(api: Api, message: StartRequest) -> dict[str, Any]:
    """The members of a `StepSpec` for what a start shares with others. Raises Problem 400."""
    limits: dict[str, Any] = {"flow": asked_entries(api, message.flow)} if message.flow else {}
    if (burst := message.debounce) is not None:
        limits["debounce"] = Debounce(burst.key, burst.quiet, burst.max)
    if (single := message.singleton) is not None:
        asked = limits["singleton"] = Singleton(single.key, single.on_busy)
        if asked.on_busy == "queue":
            limits["flow"] = (*limits.get("flow", ()), _line(api, asked))
    return limits


def _line(api: Api, asked: Singleton) -> FlowEntry:
    if api.engine.admission.flow is None:
        cure = "queue needs flow control, which this server does not have; use attach, skip or cancel"
        raise problems.invalid("singleton.onBusy", cure)
    return line_of(asked)


async def start_sharing(engine: Engine, spec: StepSpec, wait_ms: int | None) -> StartResult:
    """Start the run, or attach to the one that has its key. Raises Busy, and what `start` raises."""
    until_s = now_s() + engine.settings.wait_ms(wait_ms, is_root=True) / 1000
    found = await place(engine, spec)
    if isinstance(found, Step):
        started = await attach(engine, found, wait_ms)
    else:
        started = await start(engine, found.spec, wait_ms=wait_ms, first=found.first)
    return await followed(engine, started, until_s)


async def followed(engine: Engine, started: StartResult, until_s: float) -> StartResult:
    """The newer run in place of one that has given way to it."""
    while (newer_id := successor(started.step)) is not None:
        newer = await engine.store.get(newer_id)
        if newer is None:
            break
        attached = await attach(engine, newer, max(0, round((until_s - now_s()) * 1000)))
        started = StartResult(attached.step, started.created, attached.replayed)
    return started


def attached_member(step: Step) -> dict[str, Any]:
    """The member that says that the answer is that of another run than the one that was posted."""
    spec = step.spec
    names = {"workflowName": spec.workflow_name, "idempotencyKey": spec.idempotency_key}
    return {"attachedTo": {"runId": spec.run_id, **names}}
