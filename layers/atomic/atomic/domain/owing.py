"""What a change of a row owes to the hooks of its client, and the run that pays it: one for each hook.

The write that ends a run also writes what it owes, so an end is never told before its row stands. The row
is due until the deliveries are started. The run of a delivery has a key of its own for each event and hook,
so starting it twice finds it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from atomic.domain.hooks import OF_START, Hook, Owed, Told
from atomic.domain.steps import Step, StepSpec, earliest_ms
from atomic.protocol import keys
from atomic.protocol.enums import HookEvent, Status
from atomic.protocol.strict_json import canonical_json, fingerprint
from atomic.protocol.wire import to_rfc3339

_ENDS: Final[dict[Status, HookEvent]] = {
    Status.SUCCEEDED: "run.succeeded",
    Status.FAILED: "run.failed",
    Status.CANCELLED: "run.cancelled",
}


@dataclass(frozen=True, slots=True)
class DeliveryLimits:
    """The numbers of a delivery's run that a runtime chooses, and where its API is reached, if known."""

    attempt_timeout_ms: int
    retention_ms: int
    public_url: str


def with_owed(before: Step, after: Step, hooks: Iterable[Hook]) -> Step:
    """The row to be written, with what the change owes to these hooks, and to those of the run itself."""
    event = event_of(before, after)
    if event is None:
        return after
    told = _told(after, event, hooks)
    if not told:
        return after
    owed = Owed(
        event=event,
        at_ms=_at_ms(after, event),
        generation=after.generation,
        status=after.status,
        told=told,
        error_kind=None if after.error is None else after.error.kind,
        response_status=None if after.error is None else after.response_status,
    )
    return replace(after, owes=(*after.owes, owed))


def opened(event: Step, hooks: Iterable[Hook]) -> Step:
    """The row of an event that is opened, to be written, with what it owes to these hooks."""
    told = _told(event, "event.opened", hooks)
    if not told:
        return event
    owed = Owed(
        event="event.opened",
        at_ms=event.created_at_ms,
        generation=event.generation,
        status=event.status,
        told=told,
        deadline_at_ms=earliest_ms(event.deadline_at_ms, event.heartbeat_by_ms),
    )
    return replace(event, owes=(owed,))


def _told(step: Step, event: HookEvent, hooks: Iterable[Hook]) -> tuple[Told, ...]:
    name = step.spec.workflow_name
    return (
        *(Told(OF_START, hook.url) for hook in step.spec.hooks if hook.event == event),
        *(Told(hook.name, hook.url) for hook in hooks if hook.wants(event, name)),
    )


def event_of(before: Step, after: Step) -> HookEvent | None:
    """What a change means to hooks. Nothing of a hook's own run does.

    A run that goes on as another one has not ended, nor has one that gave way to it before it began.
    """
    if after.spec.hook:
        return None
    if after.is_settled:
        if before.is_settled or after.continued_as is not None:
            return None
        if after.is_root:
            return _ENDS[after.status]
        return "step.failed" if after.is_dead_letter else None
    return "run.paused" if begins_pause(before, after) else None


def begins_pause(before: Step, after: Step) -> bool:
    """Whether the change pauses a run that was not paused."""
    was, now = before.pause, after.pause
    return now is not None and (was is None or was.since_ms != now.since_ms)


def paid(step: Step, owed: Iterable[Owed]) -> Step:
    """The row, the deliveries of this started."""
    left = tuple(each for each in step.owes if each not in owed)
    return step if left == step.owes else replace(step, owes=left, version=step.version + 1)


def delivery(step: Step, owed: Owed, told: Told, limits: DeliveryLimits) -> StepSpec:
    """The root of the run that tells a hook."""
    # The time tells it from the end of an earlier run of the same key, which was erased or has expired.
    key = f"{step.id}:{owed.generation}:{owed.event}@{owed.at_ms}:{told.hook}"
    return root_of_delivery(
        step.spec.client_id, told, key, _message(step, owed, told, limits.public_url), limits
    )


def root_of_delivery(
    client_id: str, told: Told, key: str, message: dict[str, Any], limits: DeliveryLimits
) -> StepSpec:
    """The root of the run that tells a hook this message."""
    workflow_name = keys.OF_HOOKS + told.hook
    run_id = keys.run_id(client_id, workflow_name, key)
    payload = canonical_json(message)
    return StepSpec(
        client_id=client_id,
        run_id=run_id,
        identity=keys.identity(client_id, workflow_name, "", told.url, "", key),
        workflow_name=workflow_name,
        url=told.url,
        idempotency_key=key,
        payload=payload,
        fingerprint=fingerprint(payload),
        attempt_timeout_ms=limits.attempt_timeout_ms,
        retention_ms=limits.retention_ms,
        trace_id=keys.trace_of(run_id),
        hook=told.hook,
    )


def _message(step: Step, owed: Owed, told: Told, public_url: str) -> dict[str, Any]:
    """What the endpoint is told. It has no payload and no result: the run has them, and its link."""
    spec, error = step.spec, None
    if owed.error_kind is not None:
        error = {"kind": owed.error_kind.value, "responseStatus": owed.response_status}
    return {
        "event": owed.event,
        "hook": told.hook,
        "at": to_rfc3339(owed.at_ms),
        "runId": spec.run_id,
        "stepId": step.id,
        "workflowName": spec.workflow_name,
        "stepName": spec.step_name or None,
        "idempotencyKey": spec.idempotency_key,
        "status": owed.status.value,
        "generation": owed.generation,
        "error": error,
        "url": f"{public_url}/{spec.client_id}/runs/{spec.run_id}" if public_url else None,
        **(_to_be_answered(step, owed, public_url) if owed.event == "event.opened" else {}),
    }


def _to_be_answered(event: Step, owed: Owed, public_url: str) -> dict[str, Any]:
    """By when an event expires, and where its result is posted. That takes a key, unlike a callback URL."""
    at = f"{public_url}/{event.spec.client_id}/steps/{event.id}/result" if public_url else None
    deadline = None if owed.deadline_at_ms is None else to_rfc3339(owed.deadline_at_ms)
    return {"deadlineAt": deadline, "resultUrl": at}


def _at_ms(after: Step, event: HookEvent) -> int:
    if event == "run.paused":
        return 0 if after.pause is None else after.pause.since_ms
    return after.finished_at_ms or 0
