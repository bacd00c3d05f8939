"""Moments on the wire: RFC 3339, UTC, milliseconds. In the code: integer milliseconds since 1970."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def to_rfc3339(at_ms: int) -> str:
    """The moment as text, such as `2026-11-23T07:38:00.123Z`."""
    at_s, ms = divmod(at_ms, 1000)
    return f"{_to_the_second(at_s)}.{ms:03d}Z"


@lru_cache(maxsize=64)
def _to_the_second(at_s: int) -> str:
    # Cached, since an answer has several moments, and most are in the last few seconds.
    return (_EPOCH + timedelta(seconds=at_s)).isoformat(timespec="seconds").removesuffix("+00:00")


def from_rfc3339(text: str) -> int:
    """Milliseconds since the epoch. Raises ValueError unless the text is a date and time with an offset."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("the offset is missing; write UTC as `Z`")
    return (moment - _EPOCH) // timedelta(milliseconds=1)
