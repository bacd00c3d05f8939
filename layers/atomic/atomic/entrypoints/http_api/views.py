"""What the API answers: its responses, and their JSON documents, which contain stored JSON unchanged."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson

from atomic.application.adaptive import SlowedOrigin
from atomic.application.child_steps import ChildPage
from atomic.application.ports import Counts
from atomic.application.probe import Probed
from atomic.application.queries import DeadLetter, Progress, RunPage
from atomic.domain.blobs import Blob, Text
from atomic.domain.outcomes import StepError, StoredBody, sentence_of
from atomic.domain.retry import RetryPolicy
from atomic.domain.steps import Attempt, Step, StepSpec
from atomic.entrypoints.http_api.http import ApiResponse
from atomic.protocol import keys
from atomic.protocol.enums import EventWas, Status
from atomic.protocol.problems import MEDIA_TYPE, Problem
from atomic.protocol.tags import tag_members
from atomic.protocol.wire import to_rfc3339

# Answers contain data of endpoints and callers, so a browser must never treat them as anything but JSON.
NO_GUESSING: Final = {"x-content-type-options": "nosniff"}


def json_response(
    status: int, document: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> ApiResponse:
    """A JSON response."""
    return ApiResponse(
        status=status,
        body=orjson.dumps(document),
        headers={"content-type": "application/json", **NO_GUESSING, **(headers or {})},
    )


def problem_response(problem: Problem) -> ApiResponse:
    """A problem as a response (RFC 9457). Its `Link` leads to what this server says about the problem."""
    told = {"content-type": MEDIA_TYPE, "link": f'</docs#{problem.type.name}>; rel="help"', **NO_GUESSING}
    return ApiResponse(
        status=problem.type.status,
        body=orjson.dumps(problem.document()),
        headers={**told, **problem.headers},
    )


def outcome_view(step: Step) -> dict[str, Any]:
    """The answer to a start: the step's ids, its state and its outcome."""
    return {**_summary(step), **_response(step.response), "responseStatus": step.response_status}


def step_view(step: Step) -> dict[str, Any]:
    """Everything about a step, with its attempts and payload."""
    spec = step.spec
    last = step.attempt_log[-1] if step.attempt_log else None
    return {
        **outcome_view(step),
        "errorExcerpt": _excerpt(step.error),
        "endpointKey": spec.endpoint_key if spec.kind == "http" else None,
        **_payload(spec.payload),
        "delay": spec.delay_ms,
        "startAt": moment_view(spec.start_at_ms),
        "startBy": moment_view(spec.start_by_ms),
        "deadline": step.deadline_ms,
        "deadlineAt": moment_view(step.deadline_at_ms),
        "heartbeat": step.heartbeat_ms,
        "heartbeatBy": moment_view(step.heartbeat_by_ms),
        "attemptTimeout": spec.attempt_timeout_ms,
        "onLost": "fail" if spec.fails_if_lost else "repeat",
        "retriesUsed": step.retries_used,
        "retry": retry_view(spec.retry),
        "answerBy": moment_view(step.answer_by_ms),
        "waitingFor": list(step.waiting_for),
        **({"flow": flow_view(spec), "inLine": step.line if step.in_line else None} if spec.flow else {}),
        **sharing_view(spec),
        **hooks_view(spec),
        "traceId": spec.trace_id,
        "build": last and last.build,
        "unusedResults": last.unused_results if last else 0,
        "attemptLog": [_attempt(attempt) for attempt in step.attempt_log],
    }


def retry_view(retry: RetryPolicy) -> dict[str, Any]:
    """The retry policy in force."""
    return {
        "count": retry.count,
        "backOff": retry.back_off_ms,
        "strategy": retry.strategy,
        "factor": retry.factor,
        "maxBackOff": retry.max_back_off_ms,
        "jitter": retry.jitter,
        "on": retry.on,
        "never": retry.never,
        "then": "pause" if retry.then_pauses else "fail",
    }


def flow_view(spec: StepSpec) -> list[dict[str, Any]]:
    """The limits that a step shares with others."""
    return [
        {
            "key": entry.key,
            "concurrency": entry.concurrency,
            "rate": entry.rate and {"limit": entry.rate.limit, "per": entry.rate.per_ms},
            "scope": entry.scope,
            "priority": entry.priority,
            "fair": entry.fair,
        }
        for entry in spec.flow
    ]


def sharing_view(spec: StepSpec) -> dict[str, Any]:
    """The key that a run shares with others, if there is one."""
    if (single := spec.singleton) is not None:
        return {"singleton": {"key": single.key, "onBusy": single.on_busy}}
    if (burst := spec.debounce) is not None:
        return {"debounce": {"key": burst.key, "quiet": burst.quiet_ms, "max": burst.max_ms}}
    return {}


def hooks_view(spec: StepSpec) -> dict[str, Any]:
    """The hooks that the start of a run has given, if there are any."""
    return {"hooks": {hook.event: hook.url for hook in spec.hooks}} if spec.hooks else {}


def tags_view(spec: StepSpec) -> dict[str, Any]:
    """The tags of a run, or those that a link gives to its run, if there are any."""
    return {"tags": tag_members(spec.tags)} if spec.tags else {}


def event_view(step: Step, was: EventWas) -> dict[str, Any]:
    """The answer to a result that was posted by the name of its event: nothing of the result itself."""
    return {
        "id": step.id,
        "runId": step.spec.run_id,
        "parent": step.spec.parent,
        "name": step.spec.step_name,
        "status": step.status.value,
        "was": was,
    }


def run_view(root: Step) -> dict[str, Any]:
    """A run in a list: its root step without payload and response."""
    return _summary(root)


def run_page_view(page: RunPage, next_link: str | None, price_usd: float | None) -> dict[str, Any]:
    """A run with a page of its steps, oldest first, and their cost where it is known."""
    steps = sorted(page.steps, key=lambda step: (step.created_at_ms, step.id))
    return {
        "run": run_view(page.root),
        "root": step_view(page.root),
        "steps": [step_view(step) for step in steps],
        "estimatedCostUsd": price_usd,
        "revision": page.revision and page.revision.as_text(),
        "isPartial": page.is_partial,
        "next": next_link,
    }


def results_view(parent: str, page: ChildPage, also: Callable[[Step], Mapping[str, Any]]) -> dict[str, Any]:
    """What became of a handler's steps, with the responses of those that have succeeded.

    `also` gives further members of a step.
    """
    steps = [{**_result(step), **also(step)} for step in page.steps]
    return {"parent": parent, "steps": steps, "next": page.next_after}


def _result(step: Step) -> dict[str, Any]:
    spec = step.spec
    shown: dict[str, Any] = {"id": step.id, "kind": spec.kind, "status": step.status.value}
    if spec.step_name:
        shown["stepName"] = spec.step_name
    shown["fingerprint"] = spec.fingerprint
    if step.continued_as is not None:
        shown["continuedAs"] = step.continued_as
    if step.status is not Status.SUCCEEDED:
        return shown
    return {
        **shown,
        "finishedAt": moment_view(step.finished_at_ms),
        **_response(step.response),
        "responseStatus": step.response_status,
    }


def run_list_view(
    roots: Sequence[Step], progress: Sequence[Progress] | None, next_link: str | None
) -> dict[str, Any]:
    """A page of runs, each with its progress when the request asked for it."""
    runs = [run_view(root) for root in roots]
    for run, far in zip(runs, progress or (), strict=progress is not None):
        counts = {"steps": _by_name(far.steps), "attempts": far.attempts, "retries": far.retries}
        run["progress"] = {**counts, "waitsFor": sorted(far.waits_for)}
    return {"runs": runs, "next": next_link}


def dead_letters_view(letters: Sequence[DeadLetter], next_link: str | None) -> dict[str, Any]:
    """A page of steps that failed."""
    dead = [
        {
            **_summary(letter.step),
            "responseStatus": letter.step.response_status,
            "notRedrivableReason": letter.not_redrivable_reason,
        }
        for letter in letters
    ]
    return {"deadLetters": dead, "next": next_link}


def probe_view(probed: Probed) -> dict[str, Any]:
    """The result of a probe."""
    return {
        "responseStatus": probed.status,
        "error": sentence_of(probed.error),
        "errorKind": _kind(probed.error),
        "duration": probed.duration_ms,
    }


def stats_view(
    counts: Counts, window_ms: int, slowed: Sequence[SlowedOrigin], calls_per_s: int | None
) -> dict[str, Any]:
    """The counts of steps and recent runs, and what is slowed."""
    return {
        "window": window_ms,
        "runs": _by_name(counts.runs),
        "live": _by_name(counts.live),
        "liveOf": "runs" if counts.live_are_roots else "steps",
        "deadLetters": counts.dead_letters,
        "needsAction": counts.needs_action,
        "oldestDueAt": moment_view(counts.oldest_due_at_ms),
        "countedAt": moment_view(counts.counted_at_ms),
        "hasAllRuns": counts.has_all_runs,
        "callsPerSecond": calls_per_s,
        "slowedOrigins": [
            {
                "origin": each.origin,
                "limit": each.limit,
                "underWay": each.under_way,
                "waiting": each.waiting,
                "rests": each.rests_ms,
            }
            for each in slowed
        ],
    }


def failure_members(step: Step) -> dict[str, Any]:
    """The extension members of a 424: the step's ids and the last answer of its endpoint, with its body."""
    return {
        "id": step.id,
        "runId": step.spec.run_id,
        "lastStatus": step.response_status,
        "lastError": sentence_of(step.error),
        "lastErrorKind": _kind(step.error),
        "lastErrorType": _type(step.error),
        "lastErrorExcerpt": _excerpt(step.error),
        "attempts": step.attempt_count,
        "stepInvokeUrl": step.spec.url or None,
        "stepName": step.spec.step_name or None,
        "finishedAt": moment_view(step.finished_at_ms),
        **({} if step.response is None else _response(step.response)),
        **_run_links(step),
    }


def _by_name(counts: Mapping[Status, int]) -> dict[str, int]:
    return {status.value: number for status, number in counts.items()}


def _summary(step: Step) -> dict[str, Any]:
    spec = step.spec
    is_cancelling = step.cancel_by_ms is not None and not step.is_settled
    cancels = {"cancelBy": moment_view(step.cancel_by_ms)} if is_cancelling else {}
    return {
        "id": step.id,
        "runId": spec.run_id,
        "parent": spec.parent,
        "kind": spec.kind,
        "workflowName": spec.workflow_name,
        "stepName": spec.step_name or None,
        "stepInvokeUrl": spec.url or None,
        "idempotencyKey": spec.idempotency_key,
        "status": step.status.value,
        "generation": step.generation,
        "attempts": step.attempt_count,
        "error": sentence_of(step.error),
        "errorKind": _kind(step.error),
        "errorType": _type(step.error),
        "createdAt": to_rfc3339(step.created_at_ms),
        "dueAt": moment_view(step.due_at_ms) if step.rest is None else None,
        "finishedAt": moment_view(step.finished_at_ms),
        **_run_links(step),
        **cancels,
        **(_paused(step) if step.pause or step.rest else {}),
        **(_failed(step) if step.cause else {}),
        **tags_view(spec),
    }


def _paused(step: Step) -> dict[str, Any]:
    """The pause of a run, in its root, and the rest of a step."""
    pause, rest, shown = step.pause, step.rest, dict[str, Any]()
    if pause is not None and step.status is not Status.CANCELLED:
        since, until = to_rfc3339(pause.since_ms), moment_view(pause.until_ms)
        shown["paused"] = {"since": since, "until": until, "note": pause.note, "by": pause.by or None}
    if rest is not None:
        shown["rests"] = {"since": to_rfc3339(rest.since_ms), "exhausted": rest.exhausted}
    return shown


def _failed(root: Step) -> dict[str, Any]:
    """Why a run failed, and its dismissal, in its root."""
    shown, cause, dismissal = dict[str, Any](), root.cause, root.dismissal
    if cause is not None:
        shown["cause"] = {"id": cause.id, "stepId": cause.step_id}
    if dismissal is not None:
        shown["dismissed"] = {"at": to_rfc3339(dismissal.at_ms), "note": dismissal.note}
    return shown


def _run_links(step: Step) -> dict[str, str]:
    """What ties a link or a root to other runs; nothing for most steps."""
    spec = step.spec
    ties = {
        "childRunId": keys.run_of(spec.child_root) if spec.kind == "run" else None,
        "startedBy": spec.started_by,
        "continuedFrom": spec.continued_from,
        "continuedAs": step.continued_as,
        "scheduledAt": moment_view(spec.scheduled_at_ms),
        "restartOf": spec.restart_of,
    }
    return {name: step_id for name, step_id in ties.items() if step_id is not None}


def _attempt(attempt: Attempt) -> dict[str, Any]:
    ended_at_ms = attempt.ended_at_ms
    return {
        "number": attempt.number,
        "generation": attempt.generation,
        "startedAt": to_rfc3339(attempt.started_at_ms),
        "endedAt": moment_view(ended_at_ms),
        "duration": None if ended_at_ms is None else ended_at_ms - attempt.started_at_ms,
        "outcome": attempt.outcome and attempt.outcome.value,
        "status": attempt.status,
        "error": sentence_of(attempt.error),
        "errorKind": _kind(attempt.error),
        "errorType": _type(attempt.error),
        "late": attempt.late,
        "build": attempt.build,
        "unusedResults": attempt.unused_results,
    }


def _kind(error: StepError | None) -> str | None:
    return None if error is None else error.kind.value


def _type(error: StepError | None) -> str | None:
    return None if error is None else error.raised or None


def _excerpt(error: StepError | None) -> str | None:
    return None if error is None else error.said or None


def _payload(payload: Text) -> dict[str, Any]:
    if (text := _shown(payload)) is None:
        return {"payload": None, "payloadBytes": len(payload)}
    return {"payload": orjson.Fragment(text)}


def _shown(text: Text) -> bytes | None:
    """The text; None for a large one that was not read to be shown."""
    return text.text if isinstance(text, Blob) else text


def _response(response: StoredBody | None) -> dict[str, Any]:
    if response is None:
        return {"response": None}
    if (text := _shown(response.text)) is None:
        return {"response": None, "responseBytes": len(response.text)}
    if response.form == "json":
        return {"response": orjson.Fragment(text)}
    return {
        "response": text.decode(),
        "responseContentType": response.content_type,
        **({"responseEncoding": "base64"} if response.form == "base64" else {}),
    }


def moment_view(at_ms: int | None) -> str | None:
    """A time as the API shows it."""
    return None if at_ms is None else to_rfc3339(at_ms)
