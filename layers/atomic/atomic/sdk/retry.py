"""How a step is to be retried, and durations as Python writes them."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

Seconds = float | timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """When a failed attempt is repeated; `count` counts retries, so 3 allows 4 attempts.

    Delays are seconds or timedeltas: `back_off` is the first, `max_back_off` the longest. `on` and `never`
    are status rules, as in "404,429,5xx"..
    """

    count: int = 3
    back_off: Seconds = 1.0
    strategy: Literal["exponential", "linear", "fixed"] = "exponential"
    factor: float = 2.0
    max_back_off: Seconds = 3600.0
    jitter: Literal["full", "none"] = "full"
    on: str | None = None
    never: str | None = None

    def document(self) -> dict[str, Any]:
        """As it goes over the wire: milliseconds."""
        return {
            "count": self.count,
            "backOff": milliseconds(self.back_off),
            "strategy": self.strategy,
            "factor": self.factor,
            "maxBackOff": milliseconds(self.max_back_off),
            "jitter": self.jitter,
            **({"on": self.on} if self.on else {}),
            **({"never": self.never} if self.never else {}),
        }


def retry_document(retry: Retry | int) -> dict[str, Any]:
    """A policy; a bare number is its `count`."""
    return {"count": retry} if isinstance(retry, int) else retry.document()


def seconds(duration: Seconds) -> float:
    """A duration as a number of seconds."""
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration)


def milliseconds(duration: Seconds) -> int:
    """A duration as the wire has it; what is more than nothing stays more than nothing."""
    exact = seconds(duration) * 1000
    return max(1, round(exact)) if exact > 0 else 0
