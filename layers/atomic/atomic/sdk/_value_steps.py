"""Values of a handler: the handler computes a value once, and each replay gets the same value.

A value is a step that has succeeded when it is posted. The function runs before the post. So it runs again
when the attempt ends before the value is stored. The first stored value counts: when attempts overlap, each
of them uses that value, and not the result of its own function.
"""

import random as chance
import typing
from abc import ABC
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from inspect import unwrap
from typing import Any, Final, TypeVar

from atomic.protocol.backoff import drawn_ms, planned_ms
from atomic.protocol.wire import RetryOptions
from atomic.sdk._api import Outcome
from atomic.sdk._context import BaseContext, RunningValue, StepCall, running_value
from atomic.sdk._identity import FIRST, step_key
from atomic.sdk._results import Results, read_one
from atomic.sdk._transport import Flow
from atomic.sdk._values import UNDECLARED, ValueType, value_type
from atomic.sdk.errors import InvalidRequestError, NonRetryable, RetryAfter, UnavailableError
from atomic.sdk.retry import Retry, is_retried, local_retry

T = TypeVar("T")
# The handler raises these on purpose, and each has its own effect on the whole handler.
_NOT_RETRIED: Final = (NonRetryable, RetryAfter)


@dataclass(frozen=True, slots=True)
class ValueCall:
    """A value: its step, the function that computes it, and the retries of the function."""

    step: StepCall[Any]
    function: Callable[[], Any]
    retry: Retry
    policy: RetryOptions

    def pause_s(self, error: Exception, retries: int, left_s: float) -> float:
        """The pause before the next retry, in seconds. Raises the error when no retry is left."""
        if (
            isinstance(error, _NOT_RETRIED)
            or not is_retried(self.retry, error)
            or retries >= self.policy.count
        ):
            raise error
        policy = self.policy
        planned = planned_ms(
            policy.strategy,
            retries + 1,
            back_off_ms=policy.back_off,
            factor=policy.factor,
            most_ms=policy.max_back_off_ms,
        )
        pause_s = drawn_ms(policy.jitter, planned, chance.random()) / 1000  # noqa: S311 - keeps no secret
        if pause_s > left_s:
            raise error
        return pause_s

    def posted(self, value: Any) -> StepCall[Any]:
        """The step with the computed value. Raises SerializationError for one that JSON would change."""
        written = self.step.result.kept(value, f"value {self.step.name!r}")
        return replace(self.step, document={**self.step.document, "payload": written})


class ValueSteps(BaseContext, ABC):
    """The code for values that both contexts share."""

    def _plan_value(
        self, name: str, function: Callable[[], Any], retry: Retry | int | None, returns: Any
    ) -> ValueCall:
        if not isinstance(name, str) or not name:
            raise InvalidRequestError(f"name: use a text that is not empty, not {name!r}.")
        if not callable(function):
            raise InvalidRequestError(
                f"value {name!r}: give a function without arguments, not {function!r}."
            )
        result = _returned_type(function) if returns is None else value_type(returns)
        retry, policy = local_retry(retry)
        key = step_key(self.idempotency_key, self._position(f"value {name}"))
        return ValueCall(self._value_call(name, name, key, result), function, retry, policy)

    def _plan_version(self, name: str, newest: int) -> StepCall[int]:
        if not isinstance(newest, int) or isinstance(newest, bool) or newest < 1:
            raise InvalidRequestError(f"newest: use a whole number from 1 on, not {newest!r}.")
        # All branches and all calls with this name get the same version.
        key = step_key(self.idempotency_key, FIRST)
        return self._value_call(name, f"version {name}", key, value_type(int))

    def _value_call(self, name: str, step_name: str, key: str, result: ValueType) -> StepCall[Any]:
        document: dict[str, Any] = {
            "workflowName": self.workflow_name,
            "kind": "value",
            "stepName": step_name,
            "idempotencyKey": key,
        }
        return self._step_call(name, document, result=result)

    def _stored(self, step_call: StepCall[Any]) -> Flow[Outcome | None] | None:
        """A request for a value that an earlier attempt may have just stored; None at the first attempt."""
        if self._query is None:
            return None
        return read_one(self._query, step_call.id, step_call.document, self._client.patience_s)

    def _first_version(self, step_call: StepCall[int], newest: int, results: Results) -> StepCall[int]:
        """The step that records the version of this run.

        An unused result shows that an earlier attempt continued from here without a version. Then it is 0.
        """
        if not results.is_complete:
            raise UnavailableError(
                f"version({step_call.name!r}) cannot read the results of earlier attempts."
            )
        version = 0 if results.unused else newest
        return replace(step_call, document={**step_call.document, "payload": version})

    def _left_s(self) -> float:
        return self._until_s - self._now_s()

    @contextmanager
    def _running(self, step_call: StepCall[Any]) -> Iterator[None]:
        """Note that the function of a value runs. The function must not call the context."""
        outer = running_value.set(RunningValue(self, step_call.name))
        try:
            yield
        finally:
            running_value.reset(outer)


def _returned_type(function: Callable[[], Any]) -> ValueType:
    """The annotated return type of a function; UNDECLARED when there is none."""
    inner = unwrap(function)
    if "return" not in getattr(inner, "__annotations__", {}):
        return UNDECLARED
    try:
        return value_type(typing.get_type_hints(inner, include_extras=True)["return"])
    except (NameError, TypeError):
        # The annotation uses a name that exists for type checkers only.
        return UNDECLARED
