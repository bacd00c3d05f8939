"""Answers as the drivers hand them to a flow: with the moment they came, and some chance."""

import random
import time
from collections.abc import Iterable, Mapping

from atomic.sdk._flow import Deadline
from atomic.sdk._http import HttpResponse
from atomic.sdk._mixups import lost_because
from atomic.sdk.retry import Seconds, seconds


def came(
    url: str, status: int, headers: Mapping[str, str] | Iterable[tuple[str, str]], body: bytes
) -> HttpResponse:
    """An answer that came from there just now."""
    lower = {name.lower(): value for name, value in dict(headers).items()}
    return HttpResponse(
        status=status, headers=lower, body=body, url=url, at_s=time.monotonic(), chance=_chance()
    )


def lost(url: str, error: Exception) -> HttpResponse:
    """No answer came from there."""
    reason, cure = lost_because(url, error)
    return HttpResponse(
        status=0, error=f"{url}: {reason}", cure=cure, url=url, at_s=time.monotonic(), chance=_chance()
    )


def limits_from_now(timeout: Seconds | None, patience_s: float) -> Deadline:
    """A call that begins now."""
    timeout_s = None if timeout is None else seconds(timeout)
    return Deadline(time.monotonic(), timeout_s, patience_s)


def _chance() -> float:
    return random.random()  # noqa: S311 - it spreads retries, it keeps no secret
