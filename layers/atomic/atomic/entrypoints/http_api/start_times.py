"""When a step starts, and by when it has to: from requests."""

from datetime import timedelta
from typing import Any, Final

from atomic.entrypoints.http_api.api import Api
from atomic.protocol import problems
from atomic.protocol.constants import DURATION_MAX_MS
from atomic.protocol.requests import StartRequest

_DAY_MS: Final = 24 * 3_600_000


def start_times(api: Api, message: StartRequest) -> dict[str, Any]:
    """When the step starts, and by when it has to. Raises Problem 400 for times that are too far away."""
    times: dict[str, Any] = {}
    if message.start_at is not None:
        now_ms = api.engine.clock.now_ms()
        times["start_at_ms"] = within_a_year("startAt", message.start_at, now_ms)
    if message.start_by is not None:
        now_ms = api.engine.clock.now_ms()
        by_ms, starts_ms = message.start_by, message.start_at
        if starts_ms is None:
            starts_ms = now_ms + message.delay
        if isinstance(by_ms, timedelta):
            by_ms = starts_ms + by_ms // timedelta(milliseconds=1)
        # A step that starts in a year may take some more time to begin.
        times["start_by_ms"] = within_a_year("startBy", by_ms, max(starts_ms, now_ms))
    return times


def within_a_year(member: str, at_ms: int, now_ms: int) -> int:
    """A moment that is as near as durations have to be. Raises Problem 400 for another one."""
    if at_ms > now_ms + DURATION_MAX_MS:
        raise problems.invalid(member, f"use a time within {DURATION_MAX_MS // _DAY_MS} days")
    return at_ms


def until_within_a_year(until_ms: int, now_ms: int) -> int:
    """The end of what begins now. Raises Problem 400 for one that has passed or is too far away."""
    if until_ms <= now_ms:
        raise problems.invalid("until", "use a time that is still to come, or leave it out")
    return within_a_year("until", until_ms, now_ms)
