"""The retry policy of a step, and durations as seconds or timedeltas."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, Literal

from pydantic import ValidationError
from pydantic.alias_generators import to_snake

from atomic.protocol import defaults
from atomic.protocol.backoff import Jitter, Strategy
from atomic.protocol.wire import RetryOptions
from atomic.sdk.errors import InvalidRequestError

Seconds = float | timedelta
Exceptions = type[Exception] | Sequence[type[Exception]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """The retry policy of a step: when a failed attempt is repeated.

    - `count`: how many times at most (default 25), so 3 allows 4 attempts.
    - `back_off`: seconds, or a timedelta, before the first retry (default 1).
    - `strategy`: how the pause grows: "exponential" (times `factor` each time; the default), "linear" (by
      `back_off` each time) or "fixed".
    - `factor`: for "exponential" (default 2).
    - `max_back_off`: the longest pause in seconds, or a timedelta (default: two minutes, or `back_off` when
      that is longer).
    - `jitter`: "full" (the default) draws each pause between 0 and its length, "none" does not.
    - `on`: retry only these exceptions of the step (a type, or a list of types), or only these statuses,
      such as "404,429,5xx" (default: all but permanent ones). Exceptions are compared by their names, and
      subclasses count, too. For `ctx.run`, only types of exceptions.
    - `never`: exceptions or statuses that are not retried, in the same form (default: none).
    - `then`: what happens when the last retry has failed: "fail" (the default), or "pause": the run is
      paused, and a resume gives the step all of its retries again. Not for `ctx.run`.
    """

    count: int = defaults.RETRY_COUNT
    back_off: Seconds = defaults.BACK_OFF_MS / 1000
    strategy: Strategy = defaults.STRATEGY
    factor: float = defaults.FACTOR
    max_back_off: Seconds | None = None
    jitter: Jitter = defaults.JITTER
    on: str | Exceptions | None = None
    never: str | Exceptions | None = None
    then: Literal["fail", "pause"] = "fail"

    def document(self) -> dict[str, Any]:
        """The wire form, in milliseconds. Raises InvalidRequestError that names the invalid options."""
        options = _options(self, on=_rules("on", self.on), never=_rules("never", self.never))
        # Servers of the first versions do not know `then`.
        left_out = {"then"} if options.then == "fail" else None
        return options.model_dump(by_alias=True, exclude_none=True, exclude=left_out)


def _options(retry: Retry, *, on: str | None = None, never: str | None = None) -> RetryOptions:
    most = retry.max_back_off
    try:
        return RetryOptions(
            count=retry.count,
            back_off=milliseconds("back_off", retry.back_off),
            strategy=retry.strategy,
            factor=retry.factor,
            max_back_off=None if most is None else milliseconds("max_back_off", most),
            jitter=retry.jitter,
            on=on,
            never=never,
            then=retry.then,
        )
    except ValidationError as refused:
        errors = refused.errors(include_url=False)
        wrong = [f"{to_snake(str(found['loc'][0]))}: {found['msg']}" for found in errors]
        raise InvalidRequestError(f"retry: {'; '.join(wrong)}.") from None


def retry_document(retry: Retry | int) -> dict[str, Any]:
    """The wire form of a policy; a number is its `count`. Raises InvalidRequestError for other values."""
    if isinstance(retry, Retry):
        return retry.document()
    if isinstance(retry, int) and not isinstance(retry, bool):
        return {"count": _counted(retry)[1].count}
    raise InvalidRequestError(f"retry: use a Retry, or the number of retries, not {retry!r}.")


def local_retry(retry: Retry | int | None) -> tuple[Retry, RetryOptions]:
    """The policy for the function of a value. A number is its `count`; None means no retries.

    Raises InvalidRequestError for anything else, and for a policy with statuses.
    """
    if retry is None or (isinstance(retry, int) and not isinstance(retry, bool)):
        return _counted(retry or 0)
    if not isinstance(retry, Retry):
        raise InvalidRequestError(f"retry: use a Retry, or the number of retries, not {retry!r}.")
    for name, given in (("on", retry.on), ("never", retry.never)):
        if given is not None:
            _types(name, given)
    if retry.then != "fail":
        raise InvalidRequestError('retry: then: "pause" is for steps that endpoints run; leave it out.')
    return retry, _options(retry)


# Cached, because pydantic checks each policy, and most values have the same one.
@lru_cache(maxsize=64)
def _counted(count: int) -> tuple[Retry, RetryOptions]:
    retry = Retry(count=count)
    return retry, _options(retry)


def is_retried(retry: Retry, error: Exception) -> bool:
    """Whether `on` and `never`, as types of exceptions, let an error be retried."""
    is_on = retry.on is None or isinstance(error, _types("on", retry.on))
    return is_on and (retry.never is None or not isinstance(error, _types("never", retry.never)))


def _rules(name: str, given: str | Exceptions | None) -> str | None:
    """Statuses as they are given, and types of exceptions by their names."""
    if given is None or isinstance(given, str):
        return given or None
    return ",".join(kind.__name__ for kind in _types(name, given))


def _types(name: str, given: str | Exceptions) -> tuple[type[Exception], ...]:
    """Types of exceptions as a tuple. Raises InvalidRequestError for anything else."""
    kinds = tuple(given) if isinstance(given, list | tuple) else (given,)
    if kinds and all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds):
        return kinds
    raise InvalidRequestError(
        f"retry: {name}: use a type of exception or a list of them, or statuses of a step, as in "
        f'"404,429,5xx", not {given!r}.'
    )


def seconds(duration: Seconds) -> float:
    """A duration as a number of seconds."""
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration)


def milliseconds(name: str, duration: Seconds, *, may_be_past: bool = False) -> int:
    """A duration in milliseconds. A positive duration never becomes 0.

    `may_be_past`: a negative duration counts as 0 instead of being refused. Raises InvalidRequestError with
    `name` for a duration that is negative, infinite or not a number.
    """
    try:
        exact = seconds(duration) * 1000
    except (TypeError, ValueError, OverflowError):
        exact = math.nan
    if may_be_past:
        exact = max(exact, 0.0)
    if not 0 <= exact < math.inf:
        raise InvalidRequestError(f"{name}: use seconds or a timedelta, 0 or more, not {duration!r}.")
    return max(1, round(exact)) if exact > 0 else 0
