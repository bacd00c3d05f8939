"""Faults that the SDK once had, which tests plant again in every worker."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from atomic.protocol import keys
from atomic.sdk._calls import batching, branches, identity, undos
from atomic.sdk._calls.batch_run import Branch
from atomic.sdk._calls.batches import BatchPolicy, Progress
from atomic.sdk._calls.batching import BatchingContext, _listed, _policy_of
from atomic.sdk._calls.blocking_batches import BlockingBatches
from atomic.sdk._calls.branches import Branches
from atomic.sdk._calls.callbacks import CallbackCall, CallbackCalls
from atomic.sdk._calls.child_runs import ChildRuns
from atomic.sdk._calls.context import NO_DEFAULT, StepCall
from atomic.sdk._calls.events import EventCalls
from atomic.sdk._calls.identity import FIRST, Scope, enter_branch
from atomic.sdk._calls.recorded import RecordingContext, ValueCall
from atomic.sdk._calls.results import Results
from atomic.sdk._calls.undos import SagaContext
from atomic.sdk._wire import api, values
from atomic.sdk._wire.api import Outcome, post_start
from atomic.sdk._wire.repeats import exchange
from atomic.sdk._wire.suspension import Suspended
from atomic.sdk._wire.transport import Flow, HttpResponse, StepsPath, error_of
from atomic.sdk.async_context import AsyncContext
from atomic.sdk.context import Context
from atomic.sdk.errors import RunCancelledError
from atomic.sdk.retry import Seconds, milliseconds

Patch = tuple[Any, str, Any]

_as_it_is = keys.identity
_undo_of_saga, _undoes = SagaContext._undo, SagaContext._undoes
_plan_run = ChildRuns._plan_run
_planned_callback, _result_of = CallbackCalls._planned_callback, StepCall.result_of


def _identity_without_parent(
    client_id: str, workflow_name: str, parent: str, url: str, step_name: str, idempotency_key: str
) -> str:
    return _as_it_is(client_id, workflow_name, "", url, step_name, idempotency_key)


def _own_key(idempotency_key: str, identity: str) -> str:
    return idempotency_key


def _end_as_it_ends(self: Context, function: Callable[[], Any]) -> Any:
    try:
        return function()
    except Suspended as signal:
        raise Suspended(signal.cause, self.unfinished) from None


async def _await_as_it_ends(self: AsyncContext, handler: Awaitable[Any]) -> Any:
    loop = asyncio.get_running_loop()
    self._wait_by(loop.time)
    self._branches = Branches(self._until_s, is_replay=False)
    if self._results is None:
        self._reader = loop.create_task(self._client.run_flow(self._reading()))
    await self._known()
    enter_branch(self, self._root)
    try:
        return await handler
    except BaseExceptionGroup as group:
        raise Suspended(None, self.unfinished) from group
    except Suspended as signal:
        raise Suspended(signal.cause, self.unfinished) from None
    finally:
        self._has_ended = True
        await self._branches.unwind()


def _go_on(self: Context) -> None:
    """Continue although the workflow is suspended."""


async def _raise_into_the_branch(self: AsyncContext, step_call: StepCall[Any], cause: Any) -> None:
    raise Suspended(cause)


def _no_order(member: Any) -> int:
    return 0


def _in_no_branch(make: Callable[[], asyncio.Task[Any]]) -> asyncio.Task[Any]:
    return make()


def _as_it_comes(coroutine: Any) -> list[Any]:
    return [coroutine]


def _plan_the_only_event(
    self: EventCalls,
    name: str,
    deadline: Seconds | None,
    heartbeat: Seconds | None,
    result: Any = None,
    default: Any = NO_DEFAULT,
) -> Any:
    limits = {} if deadline is None else {"deadline": milliseconds("deadline", deadline)}
    return self._event_call(name, FIRST, limits, result)


def _begin_what_is_live(
    path: StepsPath, document: Mapping[str, Any], patience_s: float
) -> Flow[HttpResponse]:
    answer = yield from exchange(post_start(path, document, 0.0), patience_s)
    if answer.status not in {200, 202}:
        raise error_of(answer)
    return answer


async def _own_value(self: RecordingContext, value: ValueCall) -> Outcome:
    posted = value.posted(await self._computed(value))
    with self._called(posted):
        await self._send(self._flow(posted))
    return Outcome(ended_at="", was_replayed=False, response=posted.document["payload"])


def _whatever_it_is(
    self: Results, step_id: str, document: Mapping[str, Any], *, changes_live: bool = False
) -> Outcome | None:
    known = self._steps.get(step_id)
    return known and Outcome(ended_at=known.finished_at, was_replayed=True, response=known.response)


def _return_although_it_waits(self: BlockingBatches, branch: Branch) -> Any:
    self._local.branch = branch
    try:
        return branch.work()  # type: ignore[operator]
    finally:
        self._local.branch = None


def _go_on_losing(self: BatchingContext, step_id: str, until_s: float) -> Flow[None]:
    yield from ()


def _limit_nothing(options: Any, count: int) -> BatchPolicy:
    return replace(_policy_of(options, count), concurrency=None)


def _keys_by_place(items: Any, key: Any) -> tuple[list[Any], list[str]]:
    known, keys = _listed(items, key)
    return known, [str(index) for index in range(len(keys))]


async def _forget_what_is_replayed(
    self: SagaContext, saga: undos._State, noted: undos._Noted, step_call: StepCall[Any], ask: Any
) -> Any:
    outcome = await self._settle(step_call, ask)
    if outcome.was_replayed:
        saga.noted.remove(noted)
    else:
        noted.ended_at = outcome.ended_at
    return step_call.result_of(outcome)


async def _note_what_has_succeeded(
    self: SagaContext, saga: undos._State, noted: undos._Noted, step_call: StepCall[Any], ask: Any
) -> Any:
    outcome = await self._settle(step_call, ask)
    if outcome.error is not None:
        saga.noted.remove(noted)
    noted.ended_at = outcome.ended_at
    return step_call.result_of(outcome)


async def _undo_at_once(self: SagaContext, noted: undos._Noted) -> Exception | None:
    if noted.of is not None and noted.ended_at is None:
        noted.ended_at = ""
    return await _undo_of_saga(self, noted)


async def _undo_in_each_attempt(self: SagaContext, noted: undos._Noted) -> Exception | None:
    noted.key += f" {self.attempt}"
    return await _undo_of_saga(self, noted)


def _undoes_unless_told(self: SagaContext, raised: BaseException) -> bool:
    return not isinstance(raised, RunCancelledError) and _undoes(self, raised)


async def _undo_once(self: SagaContext, noted: undos._Noted) -> Exception | None:
    make_undo, told = noted.make_undo, []

    async def once(key: str) -> Any:
        if told:
            raise told[0]
        try:
            return await make_undo(key)
        except RunCancelledError as error:
            told.append(error)
            raise

    noted.make_undo = once
    return await _undo_of_saga(self, noted)


def _note_first(self: SagaContext, saga: undos._State, noted: undos._Noted) -> None:
    saga.noted.insert(0, noted)


async def _is_in_results(self: SagaContext, step_call: StepCall[Any]) -> bool:
    return (await self._known()).has(step_call.id)


def _share_keys(self: Scope, *parts: str) -> Scope:
    return Scope((*self.path, *parts))


def _hand_out_again(self: CallbackCalls, *given: Any) -> CallbackCall:
    callback = _planned_callback(self, *given)
    return replace(callback, scope=callback.scope.below(str(self.attempt)))


def _default_for_any_failure(self: StepCall[Any], outcome: Outcome) -> Any:
    if self.default is not NO_DEFAULT and outcome.error is not None:
        return self.default
    return _result_of(self, outcome)


def _start_anew(
    self: ChildRuns, workflow: Any, payload: Any, options: Any, result: Any = None, **more: Any
) -> StepCall[Any]:
    link = _plan_run(self, workflow, payload, options, result, **more)
    if "key" in options:
        return link
    number = min(self.attempt, 2)
    key = f"{link.document['run']['idempotencyKey']}-{number}"
    own = f"{link.document['idempotencyKey']}-{number}"
    run = {**link.document["run"], "idempotencyKey": key}
    document = {**link.document, "run": run, "idempotencyKey": own}
    return replace(
        link, id=identity.step_id(self._client.client_id, self.run_id, document), document=document
    )


# Client and server both use `protocol`, so these faults are planted into the engine as well.
SHARED: Final[Mapping[str, tuple[Patch, ...]]] = {
    "nested workflows share identities": (
        (keys, "identity", _identity_without_parent),
        (keys, "scoped_key", _own_key),
    ),
    "identities of one key send one key to an endpoint": ((keys, "scoped_key", _own_key),),
}
SDK: Final[Mapping[str, tuple[Patch, ...]]] = {
    **SHARED,
    "a suspended `def` goes on": ((Context, "call_handler", _end_as_it_ends), (Context, "_check", _go_on)),
    "a suspended `async def` goes on": (
        (AsyncContext, "await_handler", _await_as_it_ends),
        (AsyncContext, "_stay", _raise_into_the_branch),
    ),
    "events of a name are one": (
        (EventCalls, "_plan_event", _plan_the_only_event),
        (EventCalls, "_plan_opening", _plan_the_only_event),
    ),
    "an event that is over cannot be opened": ((api, "begin", _begin_what_is_live),),
    "each attempt goes on with a value of its own": ((RecordingContext, "_ask_value", _own_value),),
    "what has a result has succeeded": ((Results, "outcome", _whatever_it_is),),
    "a branch of a `def` handler that waits has a result": (
        (BlockingBatches, "_enter", _return_although_it_waits),
        (Context, "_check", _go_on),
    ),
    "each replay finds an end of its own": ((Progress, "needs_record", False),),
    "what has lost a race goes on": ((BatchingContext, "_leaving", _go_on_losing),),
    "a batch has no limit": ((batching, "_policy_of", _limit_nothing),),
    "items with keys are told apart by their places": ((batching, "_listed", _keys_by_place),),
    "branches share their keys": ((Scope, "below", _share_keys),),
    "a saga forgets what an earlier attempt has called": (
        (SagaContext, "_make_call", _forget_what_is_replayed),
    ),
    "only what has succeeded is undone": ((SagaContext, "_make_call", _note_what_has_succeeded),),
    "an undo does not wait for its call": ((SagaContext, "_undo", _undo_at_once),),
    "each attempt undoes": ((SagaContext, "_undo", _undo_in_each_attempt),),
    "undos run in the order of their calls": ((SagaContext, "_note", _note_first),),
    "an undone saga believes its results": ((SagaContext, "_was_posted", _is_in_results),),
    "each attempt hands out a callback URL": ((CallbackCalls, "_planned_callback", _hand_out_again),),
    "a second attempt starts its runs again": ((ChildRuns, "_plan_run", _start_anew),),
    "a default hides a rejection": ((StepCall, "result_of", _default_for_any_failure),),
    "sets have the order of their process": ((values, "_spelling", _no_order),),
    "tasks of tasks are numbered as they come": ((branches, "in_new_branch", _in_no_branch),),
    "branches that are taken as they complete begin in any order": ((identity, "_in_order", _as_it_comes),),
}
# Faults of graceful cancels: only programs whose runs are cancelled find them.
CANCELS: Final[Mapping[str, tuple[Patch, ...]]] = {
    "an undo that a cancel has ended is not made again": ((SagaContext, "_undo", _undo_once),),
    "a cancel undoes nothing": ((SagaContext, "_undoes", _undoes_unless_told),),
}
_undo: list[Patch] = []


def plant_here(names: tuple[str, ...]) -> None:
    """Plant the faults of these names, and no others, in this process."""
    while _undo:
        setattr(*_undo.pop())
    for name in names:
        for owner, attribute, fault in {**SDK, **CANCELS}.get(name, ()):
            _undo.append((owner, attribute, getattr(owner, attribute)))
            setattr(owner, attribute, fault)
