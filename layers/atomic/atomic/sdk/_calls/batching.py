"""Plans and runs batches and races: the part that both contexts share."""

import hashlib
import sys
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, Final, TypeVar

from atomic.protocol.constants import EVERY_CHILD, NAME_MAX_CHARS
from atomic.protocol.enums import WakePolicy
from atomic.sdk._calls.batch_run import BatchCall, BatchRun, Branch, Unit
from atomic.sdk._calls.batches import (
    ALL,
    EMPTY,
    FIRST_ENDED,
    ITEMS_MAX,
    NOT_STARTED,
    Batch,
    BatchPolicy,
    PolicyOptions,
    Progress,
)
from atomic.sdk._calls.call import Call
from atomic.sdk._calls.conditions import ConditionalContext
from atomic.sdk._calls.context import CallOptions, Step, StepCall
from atomic.sdk._calls.hooks import NO_OBSERVERS, Observers
from atomic.sdk._calls.identity import Position, Scope, name_text
from atomic.sdk._calls.recorded import ValueCall
from atomic.sdk._calls.results import Results
from atomic.sdk._calls.served import NO_NAMES, Names
from atomic.sdk._wire.answers import NAMED_MAX
from atomic.sdk._wire.api import Key, Outcome, StepOptions, act_on_step, check_options, key_text
from atomic.sdk._wire.codecs import PLAIN, Coder
from atomic.sdk._wire.moments import Pause
from atomic.sdk._wire.suspension import Suspended
from atomic.sdk._wire.transport import TRANSIENT, Flow
from atomic.sdk.async_client import AsyncClient
from atomic.sdk.client import Client
from atomic.sdk.errors import AtomicError, InvalidRequestError, NotFoundError
from atomic.sdk.retry import Retry

T = TypeVar("T")
# The post of a step that lost a race arrives within this time, if it was sent.
POSTED_WITHIN_S: Final = 1.0
_PAUSE_S: Final = 0.05
# The record of an early end has room for the digests of so many keys, and for its other parts.
_KEYED_MAX: Final = 20_000
_DIGEST_CHARS: Final = 8


class ParallelOptions(PolicyOptions, total=False):
    """The policy of a batch, and its name."""

    name: str | None


class MapOptions(StepOptions, PolicyOptions, total=False):
    """The policy of a map, and the options of each of its steps: `name` names all of them, or each one."""

    key: Callable[[Any], Key] | None
    name: str | Callable[[Any], str] | None


class BatchingContext(ConditionalContext, ABC):
    """A context that runs batches."""

    def __init__(
        self,
        call: Call,
        client: Client | AsyncClient,
        wait_s: float,
        names: Names = NO_NAMES,
        build: str = "",
        observers: Observers = NO_OBSERVERS,
        coder: Coder = PLAIN,
    ) -> None:
        super().__init__(call, client, wait_s, names, build, observers, coder)
        # The batches that have not ended.
        self._runs: list[BatchRun] = []

    def _plan(
        self, step: Step, payload: Any, options: CallOptions, result: Any = None, scope: Scope | None = None
    ) -> StepCall[Any]:
        if label := self._label():
            known = step if isinstance(step, str) else self._served(step).name
            name = f"{label}: {name_text(options.get('name')) or known}"
            options = {**options, "name": name[:NAME_MAX_CHARS]}
        return super()._plan(step, payload, options, result, scope)

    def _plan_sleep(self, pause: Pause, name: str | None = None) -> StepCall[None]:
        label, name = self._label(), name_text(name) or "sleep"
        return super()._plan_sleep(pause, f"{label}: {name}"[:NAME_MAX_CHARS] if label else name)

    def _plan_value(
        self, name: str, function: Callable[[], Any], retry: Retry | int | None, returns: Any
    ) -> ValueCall:
        if (label := self._label()) and name_text(name):
            name = f"{label}: {name}"[:NAME_MAX_CHARS]
        return super()._plan_value(name, function, retry, returns)

    def _label(self) -> str:
        """The name of the branch that makes the current call; the steps of a branch are shown with it."""
        branch = self._branch()
        return "" if branch is None else branch.label

    def _plan_map(self, items: Iterable[Any], step: Step, result: Any, options: MapOptions) -> BatchCall:
        check_options(options, MapOptions)
        given: Mapping[str, Any] = options
        own: dict[str, Any] = {key: given[key] for key in StepOptions.__annotations__ if key in given}
        known, keys = _listed(items, options.get("key"))
        for item in known:
            # Each item must have a form in JSON before anything is posted.
            self._written(step, item)

        # Another process may have the items in another order, but their keys are the same.
        is_keyed = options.get("key") is not None
        places = sorted(range(len(known)), key=keys.__getitem__) if is_keyed else range(len(known))
        named = options.get("name")
        name = "" if callable(named) else name_text(named)
        names = [name_text(named(known[at])) for at in places] if callable(named) else ()

        def unit(index: int, scope: Scope) -> StepCall[Any]:
            at = places[index]
            each: Any = {**own, "name": (names[index] if names else name) or None}
            return self._plan(step, known[at], each, result, scope.below(keys[at]))

        label = name or (step if isinstance(step, str) else self._served(step).name)
        # The name is part of the identity of each step. So the batch itself is numbered without the name.
        batch = self._batch_call("map", len(known), _policy_of(options, len(known)), unit)
        keyed = [keys[at] for at in places] if is_keyed else ()
        return replace(
            batch, title=f"map {label!r}", name=name or "map", names=names, places=places, keys=keyed
        )

    def _plan_parallel(
        self, calls: Sequence[Any], names: Sequence[str], options: ParallelOptions
    ) -> BatchCall:
        check_options(options, ParallelOptions)
        policy = _policy_of(options, len(calls))
        return self._plan_units("parallel", calls, policy, name=options.get("name"), names=names)

    def _plan_race(self, calls: Sequence[Any], names: Sequence[str], name: str | None) -> BatchCall:
        if not calls:
            raise InvalidRequestError("race: give at least one call; a race without calls has no winner.")
        batch = self._plan_units("race", calls, FIRST_ENDED, name=name, names=names)
        return replace(batch, cancels_rest=True)

    def _plan_units(
        self,
        kind: str,
        calls: Sequence[Any],
        policy: BatchPolicy,
        *,
        name: str | None,
        names: Sequence[str] = (),
    ) -> BatchCall:
        name = name_text(name)
        outer, outer_label = self._branch(), self._label()

        def unit(index: int, scope: Scope) -> Unit:
            call = calls[index]
            if isinstance(call, StepCall):
                return call
            part = f"/{names[index]}" if names else str(index)
            label = names[index] if names else f"{name} {index}" if name else outer_label
            may_be_left = policy.may_end_early(len(calls)) or self._may_be_left()
            return Branch(
                owner=self,
                work=call,
                scope=scope.below(part),
                outer=outer,
                label=label,
                may_be_left=may_be_left,
                is_told=outer is not None and outer.is_told,
            )

        batch = self._batch_call(kind, len(calls), policy, unit, name)
        return replace(batch, works=calls, names=names, keys=names)

    def _batch_call(
        self,
        kind: str,
        count: int,
        policy: BatchPolicy,
        unit: Callable[[int, Scope], Unit],
        name: str = "",
    ) -> BatchCall:
        policy.check(count)
        scope = self._scope_of(kind, name)
        return BatchCall(
            title=f"{kind} {name!r}" if name else kind,
            kind=kind,
            name=name or kind,
            count=count,
            policy=policy,
            unit=lambda index: unit(index, scope),
            record=Position(scope.path),
        )

    async def _run_batch(self, batch: BatchCall) -> Batch[Any]:
        if not batch.count:
            return EMPTY
        run = self._make_run(batch)
        self._runs.append(run)
        try:
            if (end := await self._earlier_end(batch, run.progress.may_start_too_many)) is not None:
                run.progress.adopt(end)
            ended = await run.run(self._left_s, partial(self._recorded_end, batch))
        finally:
            # A `def` handler that is suspended here still waits for the batch.
            if not isinstance(sys.exception(), Suspended):
                self._runs.remove(run)
        self._is_past = self._is_past or not run.progress.was_replayed
        live = [*run.left, *self._left_before(batch, run, await self._known())]
        self._leave(live)
        if batch.cancels_rest:
            until_s = self._now_s() + POSTED_WITHIN_S
            for step_id in live:
                await self._cancel(self._leaving(step_id, until_s))
        await self._take_turn(run.progress)
        return ended

    async def _earlier_end(self, batch: BatchCall, must_know: bool) -> Any:
        """The end that an earlier attempt recorded; None when it is not known."""
        if not batch.policy.may_end_early(batch.count):
            return None

        async def ask(record: StepCall[Any]) -> Outcome:
            with self._called(record):
                known = await self._known()
                found = await self._found(record) if must_know else self._earlier(known, record)
            return found or Outcome("", was_replayed=True)

        end = (await self._settle(self._plan_record(batch, None), ask)).unwrap()
        return None if end is None else _in_place(end, batch)

    async def _recorded_end(self, batch: BatchCall, end: Any) -> Any:
        keys = "".join(map(_key_digest, batch.keys)) if len(batch.keys) <= _KEYED_MAX else ""
        posted = self._plan_record(batch, {**end, "keys": keys})
        return _in_place((await self._settle(posted)).unwrap(), batch)

    def _plan_record(self, batch: BatchCall, end: Any) -> StepCall[Any]:
        return self._plan_recorded(batch.kind, f"end of {batch.name}", batch.record, end)

    def _left_before(self, batch: BatchCall, run: BatchRun, results: Results) -> list[str]:
        """The ids of the live steps that an earlier attempt of the batch started, and did not wait for."""
        units = [batch.unit(at) for at in run.progress.left_before(any_started=results.unused > 0)]
        ids = [unit.id for unit in units if isinstance(unit, StepCall)]
        # These were posted: each may be live until the results show its end.
        recorded = filter(results.may_be_live, run.progress.left_steps)
        return [*filter(results.is_live, ids), *recorded]

    def _leaving(self, step_id: str, until_s: float) -> Flow[None]:
        """Cancel a step that lost its race. Raises Suspended if that must be tried again later.

        The post of the step may be under way. So a step that is not found is looked for until `until_s`.
        """
        patience_s, pause_s = min(self._client.patience_s, max(POSTED_WITHIN_S, self._left_s())), 0.0
        client_id, given = self._client.client_id, self._path.headers
        while True:
            try:
                yield from act_on_step(client_id, "cancel", step_id, patience_s, given, pause_s=pause_s)
            except NotFoundError:
                pause_s = 2 * pause_s or _PAUSE_S
                if self._now_s() + pause_s <= until_s:
                    continue
            except TRANSIENT as error:
                raise Suspended(error) from None
            except AtomicError:
                # The step has ended, or may not be cancelled.
                pass
            return

    def _may_be_left(self) -> bool:
        branch = self._branch()
        return branch is not None and branch.may_be_left

    def _owner(self, step_id: str) -> Branch | None:
        if (branch := self._branch()) is not None:
            branch.calls(step_id)
        return branch

    def _went_on(self, outcome: Outcome) -> None:
        """Tell the branch that made a call the outcome of this call."""
        self._is_past = self._is_past or not outcome.was_replayed
        if (branch := self._branch()) is not None:
            branch.went_on(outcome)

    def _suspension(self, cause: Exception | None) -> Suspended:
        """The signal that suspends a handler, with the steps that it waits for and its wake policy."""
        waiting_for, wake = self.unfinished, self._wake()
        if wake != "any" and len(waiting_for) > NAMED_MAX:
            # The header has no room for all ids. So it has the first ones and `*`, which means all live
            # steps. A handler that does not wait for some live step leaves `*` out.
            every = () if self._has_left else (EVERY_CHILD,)
            waiting_for = [*every, *waiting_for[: NAMED_MAX - 1]]
        return Suspended(cause, waiting_for, wake)

    def _wake(self) -> WakePolicy:
        """The wake policy of the batch that all open steps belong to; `any` when there is no such batch."""
        open_steps = self._open.keys()
        for run in self._runs:
            if open_steps and open_steps == set(run.steps.values()):
                return run.progress.wake
        return "any"

    @abstractmethod
    def _make_run(self, batch: BatchCall) -> BatchRun: ...

    @abstractmethod
    def _branch(self) -> Branch | None:
        """The branch that makes the current call; None outside of batches."""

    async def _cancel(self, leaving: Flow[None]) -> None:
        """Cancel a step that the handler does not wait for."""
        await self._send(leaving)

    async def _take_turn(self, progress: Progress) -> None:
        """In a replay with several tasks, go on when it is this batch's turn."""


def _key_digest(key: str) -> str:
    return b64encode(hashlib.sha256(key.encode()).digest()[:6]).decode()


def _in_place(end: Mapping[str, Any], batch: BatchCall) -> dict[str, Any]:
    """A recorded end, by the present places of the items: some may have been moved, added or removed."""
    letters, keys = end["items"], end["keys"]
    if keys and batch.keys:
        known = {
            keys[_DIGEST_CHARS * at : _DIGEST_CHARS * (at + 1)]: letter for at, letter in enumerate(letters)
        }
        letters = "".join(known.get(_key_digest(key), NOT_STARTED) for key in batch.keys)
    return {**end, "items": letters[: batch.count].ljust(batch.count, NOT_STARTED)}


def _policy_of(options: Mapping[str, Any], count: int) -> BatchPolicy:
    given = {name: options[name] for name in PolicyOptions.__annotations__ if name in options}
    if isinstance(share := given.get("tolerated_failures"), str):
        given["tolerated_failures"] = _share_of(count, share)
    return BatchPolicy(**given)


def _share_of(count: int, share: str) -> int:
    """How many failures of `count` items a share such as "25%" tolerates."""
    percent = share.removesuffix("%")
    is_number = percent.isascii() and percent.isdigit() and len(percent) <= 3
    if percent == share or not is_number or int(percent) > 100:
        raise InvalidRequestError(
            f'tolerated_failures: use a number of items, or a share from "0%" to "100%", not {share!r}.'
        )
    return count * int(percent) // 100


def names_of(calls: object) -> list[str]:
    """The names of the calls of a batch; empty when they have none."""
    return list(calls) if isinstance(calls, Mapping) else []


def _listed(items: Iterable[Any], key: Callable[[Any], Key] | None) -> tuple[list[Any], list[str]]:
    """The items of a map and their keys. Raises InvalidRequestError, a ValueError, for wrong ones."""
    if isinstance(items, str | bytes) or not isinstance(items, Iterable):
        raise InvalidRequestError(f"items: give a list of them, not {type(items).__qualname__}.")
    if key is None and isinstance(items, set | frozenset):
        raise InvalidRequestError(
            "items: a set has another order in each process; sort it, or give a `key`."
        )
    # One more than allowed is enough to refuse a generator that never ends.
    known = list(islice(items, ITEMS_MAX + 1))
    ALL.check(len(known))
    if key is None:
        return known, [str(index) for index in range(len(known))]
    first: dict[str, int] = {}
    for index, item in enumerate(known):
        text = f"/{key_text(key(item))}"
        if first.setdefault(text, index) != index:
            raise InvalidRequestError(f"key: items {first[text]} and {index} both have {text[1:]!r}.")
    return known, list(first)


def gathered(batch: Batch[T], *, return_exceptions: bool) -> list[Any]:
    """The results of a batch in order. An error of an item is raised, or is among the results."""
    if not return_exceptions:
        return batch.results()
    return [item.result if item.error is None else item.error for item in batch]


def winner(batch: Batch[T]) -> tuple[str, T]:
    """The name and the result of the first call that ended in a race. Raises the error of this call."""
    for item in batch:
        if item.error is not None:
            raise item.error
        if item.status == "succeeded":
            result: Any = item.result
            return item.name, result
    raise InvalidRequestError("race: the call that won is not among the calls any more; put it back.")
