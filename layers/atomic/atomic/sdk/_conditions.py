"""The conditions of `until`: which check or pause comes next.

The result of each check, and the time at which it ended, are recorded. This module uses only these records.
So each replay has the same pauses, and ends at the same check.
"""

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Required, TypedDict

from atomic.protocol.constants import DURATION_MAX_MS
from atomic.sdk._identity import Scope
from atomic.sdk.errors import ConditionNotMetError, InvalidRequestError
from atomic.sdk.retry import Seconds, milliseconds

# Means that no state was given. None is a valid state.
NO_STATE: Final[Any] = object()
_PAUSE_MAX_S: Final = DURATION_MAX_MS / 1000


@dataclass(frozen=True, slots=True)
class Check:
    """Call the check with this payload."""

    payload: Any


@dataclass(frozen=True, slots=True)
class Pause:
    """Sleep for this many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Begin:
    """Record the time at which the call of `until` begins."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The result of a request: its value, and the time at which it ended (RFC 3339)."""

    value: Any
    ended_at: str


Request = Check | Pause | Begin
Poll = Generator[Request, Recorded, Any]


class UntilOptions(TypedDict, total=False):
    """How often a check is repeated, and for how long. Durations are seconds or timedeltas."""

    every: Required[Seconds]
    back_off: float
    deadline: Seconds | None
    max_attempts: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A call of `until`. `check` is a step or a function, and `scope` numbers the calls of the check."""

    check: Callable[..., Any] | str
    poll: Poll
    scope: Scope

    def run(self, request: Check) -> Any:
        """Call the check, which is a function."""
        assert callable(self.check), "it is no step"
        return self.check() if request.payload is None else self.check(request.payload)

    @property
    def title(self) -> str:
        """The name of the call, for people."""
        name = self.check if isinstance(self.check, str) else getattr(self.check, "__name__", "check")
        return f"until {name!r}"


def poll(
    payload: Any,
    state: Any,
    *,
    every: Seconds,
    back_off: float,
    deadline: Seconds | None,
    max_attempts: int | None,
) -> Poll:
    """The requests of a call of `until`. The generator returns the result or state of the last check.

    Raises InvalidRequestError, a ValueError, at once for an invalid option. The generator raises
    ConditionNotMetError when the deadline is over or no attempt is left.
    """
    every_ms = milliseconds("every", every)
    deadline_ms = None if deadline is None else milliseconds("deadline", deadline)
    if not every_ms or every_ms > DURATION_MAX_MS:
        raise InvalidRequestError(f"every: use more than 0 and at most 366 days, not {every!r}.")
    is_number = isinstance(back_off, int | float) and not isinstance(back_off, bool)
    if not is_number or not 1 <= back_off < math.inf:
        raise InvalidRequestError(f"back_off: use a factor from 1 on, not {back_off!r}.")
    is_count = isinstance(max_attempts, int) and not isinstance(max_attempts, bool) and max_attempts >= 1
    if max_attempts is not None and not is_count:
        raise InvalidRequestError(f"max_attempts: use a number from 1 on, not {max_attempts!r}.")
    if state is not NO_STATE and payload is not None:
        raise InvalidRequestError(
            "state: the check gets the state instead of a payload; give only one of them."
        )
    return _requests(payload, state, every_ms / 1000, float(back_off), deadline_ms, max_attempts)


def _requests(
    payload: Any,
    state: Any,
    pause_s: float,
    back_off: float,
    deadline_ms: int | None,
    max_attempts: int | None,
) -> Poll:
    has_state = state is not NO_STATE
    until_s = math.inf
    if deadline_ms is not None:
        until_s = _seconds((yield Begin()).ended_at) + deadline_ms / 1000
    attempts = 0
    while True:
        attempts += 1
        found = yield Check(state if has_state else payload)
        is_met, state = _pair(found.value) if has_state else (bool(found.value), found.value)
        if is_met:
            return state
        left_s = until_s - _seconds(found.ended_at) if deadline_ms is not None else math.inf
        if left_s <= 0 or attempts == max_attempts:
            why = "its deadline is over" if left_s <= 0 else "no attempt is left"
            raise ConditionNotMetError(
                f"The condition is not met at check {attempts}, and {why}.", attempts=attempts, state=state
            )
        yield Pause(min(pause_s, left_s, _PAUSE_MAX_S))
        pause_s = min(pause_s * back_off, _PAUSE_MAX_S)


def _pair(found: Any) -> tuple[bool, Any]:
    if not isinstance(found, list | tuple) or len(found) != 2 or not isinstance(found[0], bool):
        raise InvalidRequestError(
            f"until(state=…): return [is the condition met, the next state], not {str(found)[:99]}."
        )
    return found[0], found[1]


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
