"""What a schedule owes to hooks when it has missed slots, and the run that pays it.

A gap is told once, however many slots it has: a week without a server is ten thousand of them.
"""

from collections.abc import Iterable
from typing import Any, Final

from atomic.domain.hooks import Gap, Hook, Told
from atomic.domain.owing import DeliveryLimits, root_of_delivery
from atomic.domain.schedules import Missed, Schedule, moved
from atomic.domain.steps import StepSpec
from atomic.protocol.enums import HookEvent
from atomic.protocol.wire import to_rfc3339

_EVENT: Final[HookEvent] = "schedule.missed"


def after_missed(schedule: Schedule, missed: Missed, hooks: Iterable[Hook], now_ms: int) -> Schedule:
    """The schedule after slots were missed, with what it owes to these hooks."""
    name = schedule.start.workflow_name
    told = tuple(Told(hook.name, hook.url) for hook in hooks if hook.wants(_EVENT, name))
    after = {"missed": schedule.missed + missed.count}
    if not told or schedule.next_slot_ms is None:
        return moved(schedule, missed.up_to_ms, **after)
    first_ms = schedule.next_slot_ms
    gap = Gap(at_ms=now_ms, first_ms=first_ms, last_ms=missed.up_to_ms, count=missed.count, told=told)
    return moved(schedule, missed.up_to_ms, owes=(*schedule.owes, gap), **after)


def gap_delivery(schedule: Schedule, gap: Gap, told: Told, limits: DeliveryLimits) -> StepSpec:
    """The root of the run that tells a hook."""
    client_id, name, at = schedule.client_id, schedule.name, limits.public_url
    message: dict[str, Any] = {
        "event": _EVENT,
        "hook": told.hook,
        "at": to_rfc3339(gap.at_ms),
        "scheduleName": name,
        "workflowName": schedule.start.workflow_name,
        "missed": gap.count,
        "from": to_rfc3339(gap.first_ms),
        "to": to_rfc3339(gap.last_ms),
        "url": f"{at}/{client_id}/schedules/{name}" if at else None,
    }
    key = f"{name}:{gap.first_ms}:{_EVENT}@{gap.at_ms}:{told.hook}"
    return root_of_delivery(client_id, told, key, message, limits)
