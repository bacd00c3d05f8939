"""One attempt: call the endpoint, read its answer, record the outcome."""

from collections.abc import Sequence
from dataclasses import replace

import orjson

from atomic.application.apply import apply
from atomic.application.engine import Engine
from atomic.application.leftovers import end_if_left_over, is_called_off
from atomic.application.ports import Client, Clock, EndpointRequest
from atomic.application.waiting import watch
from atomic.domain.events import AnsweredLate, Ended
from atomic.domain.moments import attempt_timeout_ms
from atomic.domain.outcomes import Answer, Outcome, OutcomeKind, classify
from atomic.domain.steps import SETTLED, Status, Step, StepOutline
from atomic.protocol import headers, signatures


async def run_attempt(engine: Engine, step: Step) -> None:
    """Make the attempt that `step` is claimed for. The claim and its hint are durable by now.

    Its place at the destination, which the caller has taken, is given back. A step of a run that was
    cancelled meanwhile is cancelled, and nobody is called.
    """
    run_id, is_off = step.spec.run_id, engine.runs.is_cancelled
    try:
        client = await engine.clients.get(step.spec.client_id)
        span_id = engine.entropy.token()[:16]
        if await is_called_off(engine, run_id):
            await end_if_left_over(engine, step)
            return
        if client is None or not client.may_call(step.spec.url):
            answer = Answer(error="the client may not call this URL any more; have it added, and redrive")
        else:
            request = endpoint_request(engine.clock, step, client, span_id=span_id)
            answer = await engine.invoker.post(replace(request, is_wanted=lambda: not is_off(run_id)))
    finally:
        await engine.destinations.leave(step.spec)
    if answer.status is None and is_off(run_id):
        await end_if_left_over(engine, step)
        return
    if client is None or client.stored_bytes is None:
        await end_attempt(engine, step, answer)
        return
    engine.stored.count_for(client.id)
    await end_attempt(engine, step, answer)
    await engine.stored.flush(
        engine.store, client.id, now_ms=engine.clock.now_ms(), retention_ms=step.spec.retention_ms
    )


async def end_attempt(engine: Engine, step: Step, answer: Answer) -> None:
    """Record what came of the attempt; a late answer is noted and changes nothing else."""
    # A Retry-After may be a moment of the endpoint's clock.
    wall_ms = engine.clock.wall_ms()
    outcome = await engine.large_bodies.read(
        step.spec.client_id, len(answer.body), lambda: classify(answer, step.spec.retry, wall_ms)
    )
    outcome, blocked_by, missed = await _blocked(engine, step, outcome)
    event = Ended(
        nonce=step.nonce or "",
        outcome=outcome,
        jitter=engine.entropy.fraction(),
        blocked_by=blocked_by,
        missed=missed,
    )
    after, recorded = await apply(engine, step, event)
    if not recorded:
        note = f"{outcome.kind} {outcome.status or outcome.error}"
        await apply(engine, after, AnsweredLate(step.attempt, note))
        return
    engine.telemetry.attempt_ended(after, after.attempts[-1])
    if after.status is Status.WAITING:
        await watch(engine, after)


def endpoint_request(clock: Clock, step: Step, client: Client | None, *, span_id: str) -> EndpointRequest:
    """The attempt as it goes over the wire, signed with every live secret of the client."""
    spec = step.spec
    envelope = {
        "idempotencyKey": spec.endpoint_key,
        "workflowName": spec.workflow_name,
        "runId": spec.run_id,
        "stepId": step.id,
        "attempt": step.attempt,
    }
    # The payload is JSON already; it is not worth a second encoding.
    body = b'%b,"payload":%b}' % (orjson.dumps(envelope)[:-1], spec.payload)
    # The endpoint compares it with its own clock.
    timestamp_s = clock.wall_ms() // 1000
    request_headers = {
        "Content-Type": "application/json",
        "Accept-Encoding": "identity",
        "Idempotency-Key": spec.endpoint_key,
        "Atomic-Run-Id": spec.run_id,
        "Atomic-Step-Id": step.id,
        "Atomic-Attempt": str(step.attempt),
        "traceparent": headers.traceparent(spec.trace_id, span_id),
        "webhook-id": step.id,
        "webhook-timestamp": str(timestamp_s),
    }
    if client is not None and client.signing_secrets:
        request_headers |= _signatures(client, step, timestamp_s, body)
    return EndpointRequest(
        client_id=spec.client_id,
        url=spec.url,
        headers=request_headers,
        body=body,
        timeout_ms=attempt_timeout_ms(spec, step.deadline_at_ms, clock.now_ms()),
    )


def _signatures(client: Client, step: Step, timestamp_s: int, body: bytes) -> dict[str, str]:
    secrets, ed25519_too = client.signing_secrets, client.ed25519
    signature = signatures.sign(secrets, step.id, timestamp_s, body, ed25519_too=ed25519_too)
    bound = signatures.sign_target(secrets, step.spec.url, signature, ed25519_too=ed25519_too)
    return {
        signatures.WEBHOOK_SIGNATURE: signature,
        signatures.ATOMIC_URL: step.spec.url,
        signatures.ATOMIC_SIGNATURE: bound,
    }


async def _blocked(engine: Engine, step: Step, outcome: Outcome) -> tuple[Outcome, tuple[str, ...], bool]:
    """The steps that keep the endpoint from finishing, and whether one settled while it was asked.

    A handler that timed out was still waiting for its steps, and one that suspends itself says which; a
    step that settled in that moment will wake nobody, so the handler is called again at once. So is one
    that threw when a step it had got a 504 from (which made it a waiter) has settled by now: the wake-up
    is on its way, and this end must not overtake it.
    """
    if outcome.kind is OutcomeKind.SUSPENDED:
        needed = await _named(engine, step, outcome.waiting_for)
    elif outcome.kind is OutcomeKind.RETRYABLE:
        needed = _children(step, await engine.store.outline(step.spec.run_id))
    else:
        return outcome, (), False
    began_ms = step.attempts[-1].started_at_ms
    blocked_by = tuple(other.id for other in needed if other.status not in SETTLED)
    if outcome.kind is OutcomeKind.SUSPENDED:
        # An end carries the time at which it was decided, and is seen a write later: what ended during
        # the attempt before may still have looked live to this one. Further back, the handler is wrong.
        before_ms = step.attempts[-2:][0].started_at_ms
        missed = any(_ended_at_ms(other) >= before_ms for other in needed)
    elif outcome.timed_out:
        missed = any(_ended_at_ms(other) >= began_ms for other in needed)
    else:
        recent = [other.id for other in needed if _ended_at_ms(other) > began_ms]
        missed = await _any_waited_for(engine, step, recent)
    if outcome.kind is OutcomeKind.SUSPENDED and not blocked_by and not missed:
        error = f"{headers.WAITING_FOR} named no step of this client that is still to settle"
        outcome = replace(outcome, kind=OutcomeKind.RETRYABLE, error=error)
    return outcome, blocked_by, missed


async def _any_waited_for(engine: Engine, step: Step, ids: Sequence[str]) -> bool:
    for step_id in ids:
        other = await engine.store.get(step_id)
        if other is not None and step.id in other.waiters:
            return True
    return False


def _ended_at_ms(step: StepOutline) -> int:
    return -1 if step.finished_at_ms is None else step.finished_at_ms


async def _named(engine: Engine, step: Step, ids: Sequence[str]) -> list[StepOutline]:
    found = [await engine.store.get(step_id) for step_id in ids]
    return [
        StepOutline(other.id, other.spec.parent, other.status, other.finished_at_ms, other.attempt)
        for other in found
        if other is not None and other.spec.client_id == step.spec.client_id and other.id != step.id
    ]


def _children(step: Step, outline: Sequence[StepOutline]) -> list[StepOutline]:
    if step.is_root:
        return [other for other in outline if other.id != step.id]
    return [other for other in outline if other.parent == step.id]
