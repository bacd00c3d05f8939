"""Schedules as the API shows them."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import islice
from typing import Any, Final

import orjson

from atomic.application.redaction import redacted_payload
from atomic.domain.blobs import at_hand
from atomic.domain.cadence import AnyOf, At, Cron, Every
from atomic.domain.clients.client import Client
from atomic.domain.schedules import Plan, Schedule, at_ms, slots_ms
from atomic.domain.steps import Step, StepSpec
from atomic.entrypoints.http_api.views import (
    flow_view,
    hooks_view,
    moment_view,
    retry_view,
    tags_view,
)
from atomic.protocol.wire import to_rfc3339

_MS: Final = timedelta(milliseconds=1)


def schedule_view(
    schedule: Schedule, root: Step | None, client: Client, *, next_shown: int
) -> dict[str, Any]:
    """A schedule with its next times; `root` is that of its last run, None if there is none any more."""
    plan, slot = schedule.plan, schedule.next_slot_ms
    shows_next = slot is not None and not schedule.paused
    following = islice(slots_ms(plan, (slot or 0) - 1), next_shown) if shows_next else ()
    return {
        "name": schedule.name,
        "version": schedule.version,
        **_times(plan),
        "start": _start(schedule.start, client),
        "overlap": plan.overlap,
        "catchUp": {"policy": plan.catch_up, "window": plan.catch_up_window_ms},
        "spread": plan.spread_ms,
        "until": moment_view(plan.until_ms),
        "limit": plan.limit,
        "pauseAfterFailures": plan.pause_after_failures,
        "paused": schedule.paused,
        "note": schedule.note,
        "createdAt": to_rfc3339(schedule.created_at_ms),
        "updatedAt": to_rfc3339(schedule.updated_at_ms),
        "next": [to_rfc3339(each) for each in following],
        "dueAt": moment_view(schedule.due_at_ms),
        "last": _last(schedule, root),
        "queued": moment_view(schedule.queued_ms),
        "started": schedule.started,
        "skipped": schedule.skipped,
        "missed": schedule.missed,
        "failures": schedule.failures,
        "refused": schedule.refused or None,
    }


def _times(plan: Plan) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "cron": None, "every": None, "phase": 0, "at": None, "timeZone": "UTC", "dst": "once"
    }  # fmt: skip
    match plan.cadence:
        case Cron() as cron:
            shown |= _crons((cron,))
        case AnyOf(crons):
            shown |= _crons(crons)
        case Every(period, anchor):
            shown |= {"every": period // _MS, "phase": at_ms(anchor)}
        case At(instants):
            shown |= {"at": [to_rfc3339(at_ms(each)) for each in instants]}
    return shown


def _crons(crons: Sequence[Cron]) -> dict[str, Any]:
    return {"cron": [each.expression for each in crons], "timeZone": crons[0].zone, "dst": crons[0].dst}


def _start(spec: StepSpec, client: Client) -> dict[str, Any]:
    return {
        "workflowName": spec.workflow_name,
        "stepInvokeUrl": spec.url,
        "payload": orjson.Fragment(redacted_payload(at_hand(spec.payload), client)),
        "retry": retry_view(spec.retry),
        "deadline": spec.deadline_ms,
        "attemptTimeout": spec.attempt_timeout_ms,
        "onLost": "fail" if spec.fails_if_lost else "repeat",
        "flow": flow_view(spec),
        **tags_view(spec),
        **hooks_view(spec),
    }


def _last(schedule: Schedule, root: Step | None) -> dict[str, Any] | None:
    if schedule.last_run is None or schedule.last_started_ms is None:
        return None
    return {
        "runId": schedule.last_run,
        "scheduledAt": to_rfc3339(schedule.last_started_ms),
        # It may go on as runs that were not looked at.
        "status": None if root is None or root.continued_as is not None else root.status.value,
    }
