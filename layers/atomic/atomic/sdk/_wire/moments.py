"""Moments as the API takes them, and the times of a start."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from atomic.protocol.wire import to_rfc3339
from atomic.sdk.errors import InvalidRequestError
from atomic.sdk.retry import Seconds, milliseconds

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def moment(name: str, at: object) -> str:
    """An aware datetime as text. Raises InvalidRequestError with `name` for anything else."""
    if not isinstance(at, datetime) or at.utcoffset() is None:
        raise InvalidRequestError(
            f"{name}: use a datetime with a time zone, as datetime.now(UTC), not {at!r}."
        )
    try:
        return to_rfc3339((at - _EPOCH) // timedelta(milliseconds=1))
    except OverflowError:
        raise InvalidRequestError(
            f"{name}: use a time of the years 1 to 9999 in UTC, not {at!r}."
        ) from None


def start_times(options: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a start that say when it begins."""
    members: dict[str, Any] = {}
    if "delay" in options:
        members["delay"] = milliseconds("delay", options["delay"])
    if "start_at" in options:
        members["startAt"] = moment("start_at", options["start_at"])
    if "start_by" in options:
        by = options["start_by"]
        is_moment = isinstance(by, datetime)
        members["startBy"] = moment("start_by", by) if is_moment else milliseconds("start_by", by)
    return members


class Pause(NamedTuple):
    """How long a timer lasts: the member of its start, and about how many seconds that is from now on."""

    member: dict[str, Any]
    seconds: float


def lasting(duration: Seconds) -> Pause:
    """A pause of this time. Raises InvalidRequestError."""
    delay_ms = milliseconds("sleep", duration, may_be_past=True)
    return Pause({"delay": delay_ms}, delay_ms / 1000)


def until(at: datetime) -> Pause:
    """A pause until a moment. Raises InvalidRequestError."""
    text = moment("sleep_until", at)
    return Pause({"startAt": text}, (at - datetime.now(UTC)).total_seconds())
