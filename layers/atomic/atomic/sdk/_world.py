"""Answers as the drivers hand them to a flow: with the moment they came, and some chance."""

import random
import time
from collections.abc import Iterable, Mapping

from atomic.sdk._flow import Limits
from atomic.sdk._http import HttpAnswer
from atomic.sdk.retry import Seconds, seconds


def came(status: int, headers: Mapping[str, str] | Iterable[tuple[str, str]], body: bytes) -> HttpAnswer:
    """An answer that came just now."""
    lower = {name.lower(): value for name, value in dict(headers).items()}
    return HttpAnswer(status=status, headers=lower, body=body, at_s=time.monotonic(), chance=_chance())


def lost(url: str, error: Exception) -> HttpAnswer:
    """No answer came from there."""
    text = f"{url}: {_reason(error)}"
    return HttpAnswer(status=0, error=text, at_s=time.monotonic(), chance=_chance())


def _reason(error: BaseException) -> str:
    """What happened below all libraries: "Connection refused", not who raised it from what."""
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def limits_from_now(timeout: Seconds | None, patience_s: float) -> Limits:
    """A call that begins now."""
    timeout_s = None if timeout is None else seconds(timeout)
    return Limits(time.monotonic(), timeout_s, patience_s)


def _chance() -> float:
    return random.random()  # noqa: S311 - it spreads retries, it keeps no secret
