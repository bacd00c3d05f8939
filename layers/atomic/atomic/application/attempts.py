"""One attempt: call the endpoint, read its answer, record the outcome."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import orjson

from atomic.application.blobs import with_payload
from atomic.application.cancel import cancel_below, cancel_run
from atomic.application.commit import Committed, Untold, commit, send_again
from atomic.application.destinations import Claim
from atomic.application.engine import Engine, is_step_called_off
from atomic.application.flow import release_if_over, release_slots, release_unused
from atomic.application.graceful_cancel import finish_cancel, held_back
from atomic.application.leftovers import end_if_left_over
from atomic.application.links import continued
from atomic.application.pausing import is_paused_with, pass_on, rest
from atomic.application.ports import EndpointRequest, StoreUnavailable, always
from atomic.application.rechecking import recheck
from atomic.domain.blobs import Blob, at_hand
from atomic.domain.clients.client import Client
from atomic.domain.events import AnsweredLate, AnswersLater, Deferred, Ended
from atomic.domain.links import is_called_off
from atomic.domain.outcomes import (
    EndpointResponse,
    NotMade,
    Outcome,
    StepError,
    classify,
    is_step_cancelled,
    timed_out,
)
from atomic.domain.steps import Step, StepSpec, attempt_timeout_ms
from atomic.protocol import headers, keys, signatures
from atomic.protocol.enums import OutcomeKind, Status
from atomic.protocol.error_kinds import ErrorKind
from atomic.protocol.wire import to_rfc3339

Done = TypeVar("Done")

_RECORD_AGAIN_FIRST_S: Final = 0.25
# The span id is the beginning of the attempt's nonce. W3C Trace Context, 3.2.2.4: it has 16 hex digits.
_SPAN_ID_CHARS: Final = 16
# Attempts that may have called nothing.
_UNHEARD: Final = frozenset({None, OutcomeKind.NO_ANSWER})


async def run_attempt(engine: Engine, claim: Claim) -> None:
    """Make the attempt that was claimed.

    If its run was cancelled meanwhile, the step is cancelled and its endpoint is not called. If it was
    paused, the step rests, as if it had not been claimed.
    """
    step = claim.step
    async with claim.permit as permit:
        if permit.observer is not None:
            permit.observer.begins(step.id)
        answer = await _call(engine, step)
        if permit.observer is not None and answer is not None:
            permit.observer.ended(answer, engine.clock.wall_ms)
    if answer is None or (answer.status is None and engine.runs.is_known_called_off(step)):
        await _end_uncalled(engine, step)
        if step.spec.flow:
            await release_unused(engine, step.id)
        return
    await end_attempt(engine, step, answer)
    await engine.admission.meter.flush(engine.store, step.spec, engine.clock.now_ms())


async def _end_uncalled(engine: Engine, step: Step) -> None:
    """End a step whose endpoint was not called, because its run or the step itself was cancelled.

    If its run was paused, it rests.
    """
    if _is_paused(engine, step) and not engine.runs.is_known_called_off(step):
        await rest(engine, commit, step, step.nonce or "")
        return
    if step.is_root:
        if not engine.runs.is_cancelled(step.spec.run_id):
            await cancel_run(engine, step.spec.run_id)
        return
    await end_if_left_over(engine, step)
    if not engine.runs.is_cancelled(step.spec.run_id):
        await cancel_below(engine, step)


def _is_paused(engine: Engine, step: Step) -> bool:
    """Whether the step's run is paused, as it is cached."""
    return engine.runs.pause_of(step.spec.run_id, engine.clock.now_ms()) is not None


async def _call(engine: Engine, step: Step) -> EndpointResponse | None:
    """Call the endpoint; None if its run was paused, or the run or the step cancelled, before the call."""
    is_refused, url = False, step.spec.url

    def is_wanted() -> bool:
        nonlocal is_refused
        is_refused = engine.runs.is_known_called_off(step) or _is_paused(engine, step)
        return not is_refused

    try:
        client = await engine.clients.get(step.spec.client_id)
        may_call = client is not None and (not url or client.may_call(url))
        # Nearly no run is paused, so this costs each attempt no call.
        is_paused = step.spec.run_id in engine.runs.paused and _is_paused(engine, step)
        if is_paused or await is_step_called_off(engine, step):
            return None
        caused_by = step.spec.continued_from or step.spec.started_by
        if caused_by is not None and await _is_unwanted(engine, step, caused_by):
            return None
        if isinstance(step.spec.payload, Blob):
            step = await with_payload(engine.store, step)
    except StoreUnavailable:
        return EndpointResponse(not_made=NotMade(StepError(ErrorKind.STORE_UNAVAILABLE)))
    if client is None or not may_call:
        return EndpointResponse(error=StepError(ErrorKind.CLIENT_MAY_NOT_CALL))
    engine.admission.meter.watch(client)
    if url:
        answer = await engine.invoker.post(endpoint_request(engine, step, client, is_wanted=is_wanted))
    else:
        answer = await engine.own(engine, step)
    return None if is_refused else answer


async def _is_unwanted(engine: Engine, root: Step, caused_by: str) -> bool:
    """Whether the link that created this root, or the root it goes on for, was cancelled before it began.

    The cancel of a link looks for the root, and the root looks at its link. Each writes its row first, so
    one of them sees the other. Once an endpoint was called, the cancel has seen the root. The same goes for
    a pause, which then holds for this run, too.
    """
    if any(made.outcome not in _UNHEARD for made in root.attempt_log):
        return False
    cause = await engine.store.get(caused_by)
    if cause is None:
        return False
    is_cancelled = cause.status is Status.CANCELLED if cause.is_root else is_called_off(cause)
    return is_cancelled or await is_paused_with(engine, commit, root, cause)


async def end_attempt(engine: Engine, step: Step, answer: EndpointResponse) -> None:
    """Record the outcome of the attempt; a late answer is noted and changes nothing else.

    The outcome is written before anything is read. The steps that this one waits for are checked
    afterwards. If this process ends in between, the receiver of the step's wake-up checks them.
    """
    if answer.not_made is not None:
        await _defer(engine, step, answer.not_made)
        return
    outcome = await _while_leased(engine, step, lambda: outcome_of(engine, step, answer))
    after, effects = await _record(engine, step, event_of(engine, step, outcome))
    if effects is None:
        if not _is_known(after, step.attempt_count):
            after = await note_late(engine, after, step.attempt_count, outcome)
        await clear_after_late(engine, after, outcome)
        return
    if after.answer_by_ms is not None:
        return
    try:
        if after.status is Status.CANCELLED or after.continued_as is not None:
            await finish_cancel(engine, after)
            await pass_on(engine, commit, after)
        elif after.status is Status.WAITING and (timed_out(outcome.error) or outcome.waiting_for):
            after = await recheck(engine, after, named=outcome.waiting_for)
    finally:
        engine.telemetry.attempt_ended(after, after.attempt_log[-1])


async def clear_after_late(engine: Engine, step: Step, outcome: Outcome) -> None:
    """Cancel what an attempt has posted before its answer came too late for the cancelled step."""
    if is_step_cancelled(step.error):
        await cancel_below(engine, step)
    if step.status is Status.CANCELLED and outcome.continued_as is not None:
        await cancel_run(engine, keys.run_of(outcome.continued_as))


async def outcome_of(engine: Engine, step: Step, answer: EndpointResponse) -> Outcome:
    """Read an answer. A large answer is read when it is the client's turn."""
    spec = step.spec
    # A Retry-After may be a date by the endpoint's clock, so it is compared with the wall clock.
    wall_ms = engine.clock.wall_ms()
    outcome = await engine.large_bodies.read(
        spec.client_id, len(answer.body), lambda: classify(answer, spec.retry, wall_ms)
    )
    if outcome.cancelled and step.cancelling == "recalled":
        return await held_back(engine, step, outcome)
    return outcome if outcome.continued_as is None else await continued(engine, step, outcome)


def event_of(engine: Engine, step: Step, outcome: Outcome) -> Ended | AnswersLater:
    """What an answer means for the attempt that this row has under way."""
    if outcome.answer_within_ms is not None:
        return AnswersLater(step.nonce or "", outcome.answer_within_ms)
    return Ended(nonce=step.nonce or "", outcome=outcome, jitter=engine.entropy.fraction())


async def note_late(engine: Engine, step: Step, number: int, outcome: Outcome) -> Step:
    """Note an answer that came too late for its attempt; nothing else of the step changes."""
    note = f"{outcome.kind} {outcome.status or outcome.error}"
    after, _ = await commit(engine, step, AnsweredLate(number, note))
    return after


async def _defer(engine: Engine, step: Step, not_made: NotMade) -> None:
    """Undo the claim: the step is tried again later, paced with others, and uses no attempt or retry."""
    now_ms = engine.clock.now_ms()
    until_ms = engine.admission.defer_until_ms(step.spec, now_ms + not_made.again_in_ms)
    engine.telemetry.deferred(step)
    await _record(engine, step, Deferred(step.nonce or "", not_made.error, until_ms))


async def _record(engine: Engine, step: Step, event: Ended | AnswersLater | Deferred) -> Committed:
    """Commit the event, again while the store fails.

    A try may have written the row and told nobody. If the row has changed since, a later try finds nothing
    to do: the wake-up of the row as it now stands is sent then.
    """
    is_untold = False

    async def once() -> Committed:
        nonlocal is_untold
        try:
            committed = await commit(engine, step, event)
        except Untold:
            is_untold = True
            raise
        if is_untold and committed.effects is None:
            await send_again(engine, committed.row)
        return committed

    committed = await _while_leased(engine, step, once)
    if committed.effects is None and step.spec.flow:
        # The call has ended, whatever has become of the step; that of a later attempt may be open.
        is_last = committed.row.attempt_count == step.attempt_count
        await (release_slots if is_last else release_if_over)(engine, committed.row)
    return committed


async def _while_leased(engine: Engine, step: Step, work: Callable[[], Awaitable[Done]]) -> Done:
    """Do the work; repeat it while the store fails and the attempt's lease lasts."""
    pause_s = _RECORD_AGAIN_FIRST_S
    while True:
        try:
            return await work()
        except StoreUnavailable:
            if engine.clock.now_ms() + 1000 * pause_s >= (step.due_at_ms or 0):
                raise
        await asyncio.sleep(pause_s)
        pause_s *= 2


def _is_known(step: Step, number: int) -> bool:
    """Whether the attempt's outcome is recorded already: its write may have succeeded unanswered."""
    made = step.attempt(number)
    return made is not None and made.outcome not in {None, OutcomeKind.NO_ANSWER}


def endpoint_request(
    engine: Engine, step: Step, client: Client, *, is_wanted: Callable[[], bool] = always
) -> EndpointRequest:
    """The attempt as it goes over the wire, signed with every live secret of the client."""
    spec, clock = step.spec, engine.clock
    # The endpoint compares the timestamp with its own clock.
    timestamp_s = clock.wall_ms() // 1000
    envelope: dict[str, str | int] = {
        "idempotencyKey": spec.endpoint_key,
        "workflowName": spec.workflow_name,
        "runId": spec.run_id,
        "stepId": step.id,
        "attempt": step.attempt_count,
    }
    request_headers = {
        "Content-Type": "application/json",
        "Accept-Encoding": "identity",
        "Idempotency-Key": spec.endpoint_key,
        "Atomic-Run-Id": spec.run_id,
        "Atomic-Step-Id": step.id,
        "Atomic-Attempt": str(step.attempt_count),
        "traceparent": headers.traceparent(
            spec.trace_id, (step.nonce or "")[:_SPAN_ID_CHARS], is_sampled=not spec.unsampled
        ),
        "webhook-id": step.id,
        "webhook-timestamp": str(timestamp_s),
    }
    if spec.continued_from is not None:
        envelope["continuedFrom"] = spec.continued_from
    if spec.scheduled_at_ms is not None:
        envelope["scheduledAt"] = to_rfc3339(spec.scheduled_at_ms)
        request_headers |= _times_of_schedule(spec)
    if step.cancelling == "recalled":
        envelope["cancelled"] = True
        request_headers["Atomic-Cancelled"] = "true"
    # The payload is JSON already, so it is not encoded a second time.
    payload = at_hand(spec.payload) if isinstance(spec.payload, Blob) else spec.payload
    body = b'%b,"payload":%b}' % (orjson.dumps(envelope)[:-1], payload)
    if steps_url := engine.settings.steps_url or engine.settings.public_url:
        request_headers["Atomic-Steps-Url"] = f"{steps_url}/{spec.client_id}/steps"
    if client.attempt_keys:
        token = headers.attempt_token(client.attempt_keys[0], step.id, step.attempt_count)
        request_headers["Atomic-Attempt-Token"] = token
    if client.signing_secrets:
        request_headers |= _signatures(client, step, timestamp_s, body)
    return EndpointRequest(
        client_id=spec.client_id,
        workflow_name=spec.workflow_name,
        url=spec.url,
        headers=request_headers,
        body=body,
        timeout_ms=attempt_timeout_ms(spec, step.deadline_at_ms, clock.now_ms()),
        once=spec.fails_if_lost,
        is_wanted=is_wanted,
    )


def _times_of_schedule(spec: StepSpec) -> dict[str, str]:
    """The headers of a run that a schedule has started."""
    times = {
        "Atomic-Scheduled-At": spec.scheduled_at_ms,
        "Atomic-Last-Scheduled-At": spec.last_scheduled_at_ms,
    }
    return {name: to_rfc3339(at_ms) for name, at_ms in times.items() if at_ms is not None}


def _signatures(client: Client, step: Step, timestamp_s: int, body: bytes) -> dict[str, str]:
    secrets, ed25519_too = client.signing_secrets, client.ed25519
    signature = signatures.sign(secrets, step.id, timestamp_s, body, ed25519_too=ed25519_too)
    bound = signatures.sign_target(secrets, step.spec.url, signature, ed25519_too=ed25519_too)
    return {
        signatures.WEBHOOK_SIGNATURE: signature,
        signatures.ATOMIC_URL: step.spec.url,
        signatures.ATOMIC_SIGNATURE: bound,
    }
