"""When a failed attempt is repeated, and whether its status allows it."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from atomic.protocol import defaults
from atomic.protocol.backoff import Jitter, Strategy, drawn_ms, planned_ms

RETRY_AFTER_MAX_MS: Final = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """`count` retries after the first attempt; delays start at `back_off_ms` and end at `max_back_off_ms`.

    `on` and `never` are statuses and names of errors ("404,5xx,TimeoutError"): with `on`, only those are
    retried; `never` takes precedence over `on`. Network errors and time-outs have neither and are always
    retried. `then_pauses`: without a retry left, the step does not fail, and its run is paused.
    """

    count: int = defaults.RETRY_COUNT
    back_off_ms: int = defaults.BACK_OFF_MS
    strategy: Strategy = defaults.STRATEGY
    factor: float = defaults.FACTOR
    max_back_off_ms: int = defaults.MAX_BACK_OFF_MS
    jitter: Jitter = defaults.JITTER
    on: str | None = None
    never: str | None = None
    then_pauses: bool = False

    def retries(self, status: int, types: Collection[str] = ()) -> bool:
        """Whether an attempt that was answered with this status, and these names of an error, is retried.

        An answer that names no error is judged by the statuses of `on` and `never` alone.
        """
        if self.never is not None and _matches(self.never, status, types):
            return False
        if self.on is not None and (types or _has_status(self.on)):
            return _matches(self.on, status, types)
        return not 300 <= status <= 399 and status != 410


def next_delay_ms(
    policy: RetryPolicy, retry: int, *, jitter: float, retry_after_ms: int | None = None
) -> int:
    """The delay before the given retry (from 1). `jitter` is a random number in [0, 1).

    An endpoint's Retry-After can lengthen the delay, up to 24 hours, never shorten it.
    """
    planned = planned_ms(
        policy.strategy,
        retry,
        back_off_ms=policy.back_off_ms,
        factor=policy.factor,
        most_ms=policy.max_back_off_ms,
    )
    delay = drawn_ms(policy.jitter, planned, jitter)
    return max(delay, min(retry_after_ms or 0, RETRY_AFTER_MAX_MS))


def _matches(rules: str, status: int, types: Collection[str]) -> bool:
    listed = rules.split(",")
    return str(status) in listed or f"{status // 100}xx" in listed or not set(types).isdisjoint(listed)


def _has_status(rules: str) -> bool:
    return any(rule[0].isdigit() for rule in rules.split(","))
