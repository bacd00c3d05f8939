"""Conditions: `until` repeats a check, with pauses.

It uses only recorded results and the times at which they ended. So each replay has the same pauses, and
ends at the same check.
"""

import math
from abc import ABC
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, Required, TypedDict

from atomic.protocol.constants import DURATION_MAX_MS
from atomic.sdk._calls.context import Step, StepCall
from atomic.sdk._calls.identity import Position, Scope, name_text
from atomic.sdk._calls.recorded import RecordingContext
from atomic.sdk._wire.api import Outcome, check_number, check_options
from atomic.sdk._wire.moments import lasting
from atomic.sdk.errors import ConditionNotMetError, InvalidRequestError
from atomic.sdk.retry import Seconds, milliseconds

# Means that no state was given. None is a valid state.
NO_STATE: Final[Any] = object()
_PAUSE_MAX_S: Final = DURATION_MAX_MS / 1000


class UntilOptions(TypedDict, total=False):
    """How often a check is repeated, and for how long. Durations are seconds or timedeltas."""

    every: Required[Seconds]
    back_off: float
    deadline: Seconds | None
    max_attempts: int | None
    name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A call of `until`. `check` is a step or a function, and `scope` numbers the calls of the check.

    `pause_s` is the first pause, and `back_off` the factor from one pause to the next.
    """

    check: Step
    name: str
    scope: Scope
    payload: Any
    state: Any
    pause_s: float
    back_off: float
    deadline_ms: int | None
    max_attempts: int | None

    @property
    def check_name(self) -> str:
        """The name of the check, for people."""
        return self.check if isinstance(self.check, str) else getattr(self.check, "__name__", "check")

    @property
    def title(self) -> str:
        """The name of the call, for people."""
        return f"until {self.name or self.check_name!r}"

    def outcome(self, found: Any) -> tuple[bool, Any]:
        """Whether the result of a check meets the condition, and the result or the next state."""
        if self.state is NO_STATE:
            return bool(found), found
        if not isinstance(found, list | tuple) or len(found) != 2 or not isinstance(found[0], bool):
            raise InvalidRequestError(
                f"until(state=…): return [is the condition met, the next state], not {str(found)[:99]}."
            )
        return found[0], found[1]


class ConditionalContext(RecordingContext, ABC):
    """A context that repeats checks."""

    def _plan_until(self, check: Step, payload: Any, state: Any, options: UntilOptions) -> Condition:
        check_options(options, UntilOptions)
        if not (isinstance(check, str) or callable(check)):
            raise InvalidRequestError(f"check: give a step, or a function, not {check!r}.")
        if "every" not in options:
            raise InvalidRequestError("every: say how many seconds are between two checks.")
        every, back_off = options["every"], options.get("back_off", 1.0)
        deadline, max_attempts = options.get("deadline"), options.get("max_attempts")
        every_ms = milliseconds("every", every)
        if not every_ms or every_ms > DURATION_MAX_MS:
            raise InvalidRequestError(f"every: use more than 0 and at most 366 days, not {every!r}.")
        is_number = isinstance(back_off, int | float) and not isinstance(back_off, bool)
        if not is_number or not 1 <= back_off < math.inf:
            raise InvalidRequestError(f"back_off: use a factor from 1 on, not {back_off!r}.")
        if max_attempts is not None:
            check_number("max_attempts", max_attempts, 1)
        if state is not NO_STATE and payload is not None:
            raise InvalidRequestError(
                "state: the check gets the state instead of a payload; give only one of them."
            )
        name = name_text(options.get("name"))
        return Condition(
            check=check,
            name=name,
            scope=self._scope_of("until", name),
            payload=payload,
            state=state,
            pause_s=every_ms / 1000,
            back_off=float(back_off),
            deadline_ms=None if deadline is None else milliseconds("deadline", deadline),
            max_attempts=max_attempts,
        )

    async def _run_until(self, condition: Condition) -> Any:
        """Repeat the check. Raises ConditionNotMetError when the deadline is over or no attempt is left."""
        name, pause_s, deadline_ms = condition.name, condition.pause_s, condition.deadline_ms
        given = condition.payload if condition.state is NO_STATE else condition.state
        begun_s, attempts = 0.0, 0
        if deadline_ms is not None:
            position = Position(condition.scope.path)
            begin = self._plan_recorded("until", f"begin of {name or 'until'}", position, None)
            begun_s = _seconds(await self._settle(begin))
        while True:
            attempts += 1
            step_call, outcome = await self._check_condition(condition, given)
            is_met, found = condition.outcome(step_call.result_of(outcome))
            if is_met:
                return found
            left_s = math.inf if deadline_ms is None else begun_s + deadline_ms / 1000 - _seconds(outcome)
            if left_s <= 0 or attempts == condition.max_attempts:
                why = "its deadline is over" if left_s <= 0 else "no attempt is left"
                which = f"condition {name!r}" if name else "condition"
                raise ConditionNotMetError(
                    f"The {which} is not met at check {attempts}, and {why}.",
                    attempts=attempts,
                    state=found,
                )
            pause = self._plan_sleep(lasting(min(pause_s, left_s, _PAUSE_MAX_S)), name or None)
            (await self._settle(pause)).unwrap()
            pause_s = min(pause_s * condition.back_off, _PAUSE_MAX_S)
            given = given if condition.state is NO_STATE else found

    async def _check_condition(self, condition: Condition, given: Any) -> tuple[StepCall[Any], Outcome]:
        check, name = condition.check, condition.name
        if isinstance(check, str) or self._serves(check):
            step_call = self._plan(check, given, {"name": name or None}, None, condition.scope)
            return step_call, await self._settle(step_call)
        # A function that is not served runs in the handler.
        has_input = condition.state is not NO_STATE or given is not None
        function = partial(check, given) if has_input else check
        value = self._plan_value(name or condition.check_name, function, None, None)
        return value.step, await self._settle(value.step, lambda _: self._ask_value(value))


def _seconds(outcome: Outcome) -> float:
    """The time at which a step ended."""
    return datetime.fromisoformat(outcome.ended_at).timestamp()
