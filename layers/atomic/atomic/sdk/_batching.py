"""Plans the calls of batches, races and conditions, for both contexts. `_batch_run` runs them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from atomic.protocol.constants import EVERY_CHILD
from atomic.protocol.enums import WakePolicy
from atomic.sdk._api import Key, Outcome, StepOptions, act_on_step, check_options
from atomic.sdk._batch_run import BatchCall, BatchRun, Branch, Unit
from atomic.sdk._batches import FIRST, BatchPolicy, PolicyOptions, listed, policy_of
from atomic.sdk._conditions import Begin, Check, Condition, Pause, UntilOptions, poll
from atomic.sdk._context import NO_NAMES, Call, Names, Step, StepCall
from atomic.sdk._identity import Position, Scope, step_key
from atomic.sdk._results import Results
from atomic.sdk._transport import Flow
from atomic.sdk._value_steps import ValueCall, ValueSteps
from atomic.sdk._values import UNDECLARED
from atomic.sdk.async_client import AsyncClient
from atomic.sdk.client import Client
from atomic.sdk.errors import AtomicError, InvalidRequestError, Suspended

# Proxies accept about 4 KiB of headers. A server that does not know `*` still reads the other ids.
_NAMED_MAX: Final = 40
_UNTIL: Final[Mapping[str, Any]] = {"back_off": 1.0, "deadline": None, "max_attempts": None}


class ItemOptions(StepOptions, total=False):
    """Options of each step of a map; `name` is the name of these steps."""

    name: str | None


class MapOptions(ItemOptions, PolicyOptions, total=False):
    """The policy of a map, and the options of each of its steps."""


class BatchingContext(ValueSteps, ABC):
    """A context that runs batches."""

    def __init__(
        self,
        call: Call,
        client: Client | AsyncClient,
        wait_s: float,
        names: Names = NO_NAMES,
        build: str = "",
    ) -> None:
        super().__init__(call, client, wait_s, names, build)
        # The batches that have not ended.
        self._runs: list[BatchRun] = []

    def _plan_map(
        self,
        items: Iterable[Any],
        step: Step,
        key: Callable[[Any], Key] | None,
        result: Any,
        options: MapOptions,
    ) -> BatchCall:
        check_options(options, MapOptions)
        given: Mapping[str, Any] = options
        own: Any = {name: value for name, value in given.items() if name in ItemOptions.__annotations__}
        rest: Any = {name: value for name, value in given.items() if name not in own}
        policy = policy_of(rest)
        known, keys = listed(items, key)
        policy.check(len(known))
        for item in known:
            # Each item must have a form in JSON before anything is posted.
            self._written(step, item)
        scope = self._batch_scope("map")

        def unit(index: int) -> StepCall[Any]:
            return self._plan(step, known[index], own, result, scope.below(keys[index]))

        name = step if isinstance(step, str) else self._served(step).name
        return self._batch_call(f"map {name!r}", len(known), policy, unit, scope)

    def _plan_units(
        self,
        kind: str,
        calls: Sequence[StepCall[Any] | Any],
        policy: BatchPolicy,
        names: Sequence[str] = (),
    ) -> BatchCall:
        policy.check(len(calls))
        scope = self._batch_scope(kind)
        outer = self._branch()

        def unit(index: int) -> Unit:
            call = calls[index]
            if isinstance(call, StepCall):
                return call
            part = names[index] if names else str(index)
            return Branch(owner=self, work=call, scope=scope.below(part), outer=outer)

        return replace(self._batch_call(kind, len(calls), policy, unit, scope), works=calls)

    def _batch_scope(self, kind: str) -> Scope:
        """The scope of the next batch of a kind."""
        with self._lock:
            return self._scope().below(f"{kind}{self._position(kind).number}")

    def _batch_call(
        self, title: str, count: int, policy: BatchPolicy, unit: Callable[[int], Unit], scope: Scope
    ) -> BatchCall:
        record = Position(scope.path)
        return BatchCall(title=title, count=count, policy=policy, unit=unit, record=record)

    def _plan_record(self, batch: BatchCall, end: Any) -> StepCall[Any]:
        name = batch.title.partition(" ")[0]
        return self._plan_recorded(name, f"end of {name}", batch.record, end)

    def _plan_recorded(self, name: str, step_name: str, position: Position, value: Any) -> StepCall[Any]:
        step_call = self._value_call(name, step_name, step_key(self.idempotency_key, position), UNDECLARED)
        return replace(step_call, document={**step_call.document, "payload": value})

    @abstractmethod
    def _branch(self) -> Branch | None:
        """The branch that makes the current call; None outside of batches."""

    def _plan_race(self, calls: Mapping[str, Any]) -> BatchCall:
        if not calls:
            raise InvalidRequestError("race: give at least one call; a race without calls has no winner.")
        names = [f"/{name}" for name in calls]
        batch = self._plan_units("race", list(calls.values()), FIRST, names)
        return replace(batch, cancels_rest=True)

    def _plan_until(self, check: Step, payload: Any, state: Any, options: UntilOptions) -> Condition:
        check_options(options, UntilOptions)
        if "every" not in options:
            raise InvalidRequestError("every: say how many seconds are between two checks.")
        asked = poll(payload, state, **{**_UNTIL, **options})
        return Condition(check=check, poll=asked, scope=self._batch_scope("until"))

    def _plan_request(self, condition: Condition, request: Check | Pause | Begin) -> StepCall[Any]:
        """The step of a request; a check that is a function has none."""
        if isinstance(request, Pause):
            return self._plan_sleep(request.seconds)
        if isinstance(request, Begin):
            return self._plan_recorded("until", "begin of until", Position(condition.scope.path), None)
        return self._plan(condition.check, request.payload, {}, None, condition.scope)

    def _plan_check(self, condition: Condition, check: Check) -> ValueCall:
        """The value of a check that is a function."""
        name = getattr(condition.check, "__name__", "check")
        return self._plan_value(name, partial(condition.run, check), None, None)

    def _is_function(self, condition: Condition) -> bool:
        """Whether the check is a function that is not served. Such a function runs in the handler."""
        return callable(condition.check) and condition.check not in self._names

    def _left_before(self, batch: BatchCall, run: BatchRun, results: Results) -> list[str]:
        """The ids of the live steps that an earlier attempt of the batch started, and did not wait for."""
        units = [batch.unit(at) for at in run.progress.left_before()]
        ids = [unit.id for unit in units if isinstance(unit, StepCall)]
        return [step_id for step_id in (*ids, *run.progress.left_steps) if results.is_live(step_id)]

    def _leaving(self, step_id: str) -> Flow[bool]:
        """Cancel a step that lost its race; False when that fails, and the step goes on."""
        patience_s = min(self._client.patience_s, max(0.0, self._left_s()))
        try:
            yield from act_on_step(
                self._client.client_id, "cancel", step_id, patience_s, self._path.headers
            )
        except AtomicError:
            return False
        return True

    def _owner(self, step_id: str) -> Branch | None:
        if (branch := self._branch()) is not None:
            branch.calls(step_id)
        return branch

    def _went_on(self, outcome: Outcome) -> None:
        """Tell the branch that made a call the outcome of this call."""
        if (branch := self._branch()) is not None:
            branch.went_on(outcome)

    def _suspension(self, cause: Exception | None) -> Suspended:
        """The signal that suspends a handler, with the steps that it waits for and its wake policy."""
        waiting_for, wake = self.unfinished, self._wake()
        if wake != "any" and len(waiting_for) > _NAMED_MAX:
            # The header has no room for all of them, so it names the first ones. `*` adds all live steps. A
            # handler that does not wait for some of these leaves it out.
            every = () if self._has_left else (EVERY_CHILD,)
            waiting_for = [*every, *waiting_for[: _NAMED_MAX - 1]]
        return Suspended(cause, waiting_for, wake)

    def _wake(self) -> WakePolicy:
        """The wake policy of the batch that all open steps belong to; `any` when there is no such batch."""
        open_steps = self._open.keys()
        for run in self._runs:
            if open_steps and open_steps == set(run.steps.values()):
                return run.progress.wake
        return "any"
