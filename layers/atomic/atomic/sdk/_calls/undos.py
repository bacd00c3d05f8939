"""Sagas: an undo is noted before each call, and all undos run in reverse order when the block raises.

An undo is noted before its call, because a call without an answer may have had its effect.

Before the first undo, the saga records that it is undone. Each later attempt of the handler finds the
record and undoes the rest, even if its block does not raise again: the error may have been one of the
handler's own work, or an operator has redriven the step that failed. Such an attempt calls nothing new.

If a call was redriven, its end is another one. The undo of that call has this end in its key, so it runs
again.

What both kinds of handlers do is written once, as in `recorded`.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple

from atomic.protocol import keys
from atomic.protocol.constants import NAME_MAX_CHARS, RETRY_COUNT_MAX
from atomic.sdk._calls.cancels import undoing
from atomic.sdk._calls.context import (
    NO_DEFAULT,
    CallOptions,
    Step,
    StepCall,
    running_value,
)
from atomic.sdk._calls.identity import Position, Scope, name_text
from atomic.sdk._calls.recorded import Ask, RecordingContext
from atomic.sdk._wire.answers import cause_of
from atomic.sdk._wire.api import Outcome, check_options, start_document
from atomic.sdk.errors import (
    AtomicError,
    InvalidRequestError,
    RetryAfter,
    RunCancelledError,
    SagaFailedError,
)
from atomic.sdk.retry import Retry

# The pauses between retries grow to 2 minutes, so 1000 retries last for more than a day.
UNDO_RETRY: Final = RETRY_COUNT_MAX
_BECAUSE_MAX_CHARS: Final = 1000

Undo = str | Callable[..., Any]
# Makes an undo. The key tells this call apart from all others of its saga.
_MakeUndo = Callable[[str], Coroutine[Any, Any, Any]]


@dataclass(slots=True, eq=False)
class _Noted:
    """An undo, and the call that it undoes; None if a handler has noted it by hand.

    `key` tells it apart from the other undos of its saga. `has_begun`: this attempt has begun the call, and
    may post it. `ended_at` is when it ended: empty if it was refused, None if it has not ended.
    """

    make_undo: _MakeUndo
    key: str
    of: StepCall[Any] | None = None
    has_begun: bool = False
    ended_at: str | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class _State:
    """One saga in one call of its handler. `scope` tells the calls of its undos apart from all others."""

    name: str
    retry: Retry | int
    scope: Scope
    noted: list[_Noted] = field(default_factory=list)
    is_over: bool = False


class Planned(NamedTuple):
    """A call of a saga, and what performs it."""

    call: StepCall[Any]
    perform: Callable[[StepCall[Any]], Coroutine[Any, Any, Any]]


class SagaParts(NamedTuple):
    """What a saga asks its context for."""

    step: Callable[..., Planned]
    value: Callable[..., Planned]
    note: Callable[..., None]
    end: Callable[[BaseException | None], Coroutine[Any, Any, None]]


class SagaContext(RecordingContext, ABC):
    """A context that undoes calls."""

    _has_ended: bool

    def _parts_of_saga(self, name: str | None, retry: Retry | int) -> SagaParts:
        name = name_text(name)
        saga = _State(name=name or "saga", retry=retry, scope=self._scope_of("saga", name))
        return SagaParts(
            partial(self._plan_step_of, saga),
            partial(self._plan_value_of, saga),
            partial(self._note_by_hand, saga),
            partial(self._end, saga),
        )

    def _plan_step_of(
        self,
        saga: _State,
        step: Step,
        payload: Any,
        undo: tuple[Undo, Any],
        result: Any,
        options: CallOptions,
    ) -> Planned:
        step_call = self._plan(step, payload, options, result)
        own_payload = payload if undo[1] is NO_DEFAULT else undo[1]
        make_undo = self._undo_maker(saga, undo[0], own_payload, {}, step_call.name)
        return self._planned(saga, make_undo, step_call, self._ask)

    def _plan_value_of(
        self,
        saga: _State,
        name: str,
        function: Callable[[], Any],
        undo: tuple[Undo, Any],
        returns: Any,
        retry: Retry | int | None,
    ) -> Planned:
        value = self._plan_value(name, function, retry, returns)
        own_payload = None if undo[1] is NO_DEFAULT else undo[1]
        make_undo = self._undo_maker(saga, undo[0], own_payload, {}, name)
        return self._planned(saga, make_undo, value.step, lambda _: self._ask_value(value))

    def _note_by_hand(self, saga: _State, undo: Undo, payload: Any, options: CallOptions) -> None:
        if (running := running_value.get()) is not None and running.owner is self:
            self._refuse(
                f"The function of value {running.name!r} notes an undo, which no replay would know. "
                "Give it to `saga.run`."
            )
        name = undo if isinstance(undo, str) else getattr(undo, "__name__", "by hand")
        key = str(saga.scope.position("by hand").number)
        make_undo = self._undo_maker(saga, undo, payload, options, name)
        self._note(saga, _Noted(make_undo, key, ended_at=""))

    def _planned(self, saga: _State, make_undo: _MakeUndo, step_call: StepCall[Any], ask: Ask) -> Planned:
        noted = _Noted(make_undo, keys.position_of(step_call.id), step_call)
        self._note(saga, noted)
        return Planned(step_call, lambda _: self._make_call(saga, noted, step_call, ask))

    def _note(self, saga: _State, noted: _Noted) -> None:
        if saga.is_over:
            raise RuntimeError(
                f"The {saga.name} ended before this call: await all of its calls in its block."
            )
        if self._may_be_left():
            self._refuse(
                f"A branch calls {saga.name!r}, and its batch may end early: what it calls might not be "
                "undone. Use `ctx.parallel(calls)`, which waits for all branches."
            )
        saga.noted.append(noted)

    def _undo_maker(
        self, saga: _State, undo: Undo, payload: Any, options: CallOptions, name: str
    ) -> _MakeUndo:
        """What makes an undo. Its payload is written now, because it may be changed until then.

        Raises InvalidRequestError for wrong options now, since an undo that is refused undoes nothing.
        """
        if not (isinstance(undo, str) or self._serves(undo)):
            _check_takes_nothing(undo)
            return lambda _: self._call_function(undo)
        served, _, written = self._written(undo, payload)
        own: CallOptions = {"retry": saga.retry, "name": f"undo {name}"[:NAME_MAX_CHARS], **options}
        check_options(own, CallOptions)
        start_document(self.workflow_name, served, None, key="undo", options=own)

        async def make_undo(key: str) -> Any:
            step_call = self._plan(served, written, {**own, "key": key}, None, saga.scope)
            return step_call.result_of(await self._settle(step_call))

        return make_undo

    async def _make_call(self, saga: _State, noted: _Noted, step_call: StepCall[Any], ask: Ask) -> Any:
        """Make a call whose undo is noted."""

        async def asked(step_call: StepCall[Any]) -> Outcome:
            because = await self._undone_because(saga)
            if because is not None and not await self._was_posted(step_call):
                # A cancel is raised here as in the attempt that has begun to undo.
                await self._tell_if_cancelled(step_call)
                if not _is_value(step_call):
                    saga.noted.remove(noted)
                raise _failed(saga, because)
            return await ask(step_call)

        # The first new call of a branch whose run is cancelled raises. The undos must not post it either.
        noted.has_begun = not self.cancelled or undoing.get() or self._is_told()
        try:
            outcome = await self._settle(step_call, asked)
        except Exception:
            noted.ended_at = ""
            raise
        noted.ended_at = outcome.ended_at
        return step_call.result_of(outcome)

    async def _end(self, saga: _State, raised: BaseException | None) -> None:
        """End a saga. If its block raised, or an earlier attempt has undone it, undo all of it.

        Raises SagaFailedError when an undo failed, or when the block has not raised again.
        """
        saga.is_over = True
        if raised is not None and not self._undoes(raised):
            return
        if raised is None and await self._undone_because(saga) is None:
            return
        outer = undoing.set(True)
        try:
            because: str = (await self._settle(self._plan_undone(saga, raised))).unwrap()
            ends = [await self._undo(noted) for noted in reversed(saga.noted)]
        finally:
            undoing.reset(outer)
        errors = [error for error in ends if error is not None]
        if errors or raised is None:
            raise _failed(saga, because, errors) from raised

    def _undoes(self, raised: BaseException) -> bool:
        """Whether a block that raises this is undone. A suspension undoes nothing, and is no Exception."""
        if isinstance(raised, Exception):
            return not isinstance(cause_of(raised), RetryAfter)
        from asyncio import CancelledError

        # A TaskGroup or a time-out cancels a task of the handler. A suspension also cancels all of them.
        is_left = isinstance(raised, CancelledError)
        return is_left and not (self._has_ended or self._has_stopped())

    async def _undo(self, noted: _Noted) -> Exception | None:
        """Undo a call. Returns the error of its undo."""
        if noted.of is not None and noted.ended_at is None:
            # The block did not wait for this call.
            if not (noted.has_begun or await self._has_begun_before(noted.of)):
                return None
            if not _is_value(noted.of):
                # The step goes on, and its undo must not come first.
                with suppress(AtomicError):
                    noted.ended_at = (await self._settle(noted.of)).ended_at
        try:
            await self._make_undo(noted)
        except Exception as error:
            return error
        return None

    async def _has_begun_before(self, step_call: StepCall[Any]) -> bool:
        """Whether an earlier attempt may have begun a call: a batch that ended early begins none again."""
        return self.attempt > 1 and (_is_value(step_call) or await self._was_posted(step_call))

    async def _make_undo(self, noted: _Noted) -> None:
        key = f"{noted.key} {noted.ended_at}" if noted.ended_at else noted.key
        try:
            await noted.make_undo(key)
        except RunCancelledError:
            # The cancel came while an earlier attempt undid, and has ended this undo as any other step.
            await noted.make_undo(f"{key} again")

    @abstractmethod
    def _may_be_left(self) -> bool:
        """Whether the current call belongs to a branch that no replay may run."""

    async def _undone_because(self, saga: _State) -> str | None:
        """Why an earlier attempt has undone the saga; None if none has."""
        if self.attempt == 1:
            return None
        found = self._earlier(await self._known(), self._plan_undone(saga, None))
        return None if found is None else found.response

    def _plan_undone(self, saga: _State, raised: BaseException | None) -> StepCall[Any]:
        because = f"{type(raised).__name__}: {raised}"[:_BECAUSE_MAX_CHARS]
        position = Position((*saga.scope.path, "undone"))
        whole = because.encode(errors="replace").decode()
        return self._plan_recorded(saga.name, f"undo of {saga.name}", position, whole)


def _is_value(step_call: StepCall[Any]) -> bool:
    """Whether a function of the handler makes this call: it may have run without a post."""
    return step_call.document.get("kind") == "value"


def _failed(saga: _State, because: str, errors: Sequence[Exception] = ()) -> SagaFailedError:
    return SagaFailedError(f"{saga.name} was undone: {because}.", because=because, errors=errors)


def _check_takes_nothing(undo: Callable[..., Any]) -> None:
    """Raise InvalidRequestError if this cannot be called without arguments."""
    try:
        inspect.signature(undo).bind()
    except TypeError:
        raise InvalidRequestError(
            f"undo: {undo!r} is not served beside this workflow. Give its URL, or a function without "
            "arguments that makes the call."
        ) from None
