"""What a workflow's `async def` handler is given: which run it is, and how to call steps."""

from collections.abc import Awaitable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, Unpack, overload

from atomic.sdk._context import (
    LOOP_PAUSE_S,
    AsyncFunction,
    BaseContext,
    Call,
    CallOptions,
    PlainFunction,
    Step,
)
from atomic.sdk._identity import Scope, current_scope, enter_branch
from atomic.sdk._responses import PASSING
from atomic.sdk._step_call import NO_NAMES, Names, PendingCall, StepCall, Unawaited
from atomic.sdk.async_client import AsyncClient
from atomic.sdk.errors import NonRetryable, Suspended
from atomic.sdk.retry import Seconds

if TYPE_CHECKING:
    from atomic.sdk._branches import Branches

T = TypeVar("T")


class AsyncContext(BaseContext):
    """What `Context` is, for `async def` handlers; side by side is `asyncio.gather` or a TaskGroup.

    Which step a call is gets settled when `step` is called, not when it is awaited. While a step is not
    finished its task does not go on. The other tasks of the handler do; when none of them can, the handler
    ends, and is called again later.
    """

    def __init__(self, call: Call, client: AsyncClient, wait_s: float, names: Names = NO_NAMES) -> None:
        super().__init__(call, client, wait_s, names)
        self._client = client
        self._branches: Branches
        self._unawaited = Unawaited()
        self._has_ended = False

    @overload
    def step(
        self, step: Step, payload: Any = None, *, result: type[T], **options: Unpack[CallOptions]
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def step(
        self, step: str, payload: Any = None, **options: Unpack[CallOptions]
    ) -> Coroutine[Any, Any, Any]: ...
    @overload
    def step(
        self, step: AsyncFunction[T], payload: Any = None, **options: Unpack[CallOptions]
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def step(
        self, step: PlainFunction[T], payload: Any = None, **options: Unpack[CallOptions]
    ) -> Coroutine[Any, Any, T]: ...
    def step(
        self, step: Step, payload: Any = None, *, result: Any = None, **options: Unpack[CallOptions]
    ) -> Coroutine[Any, Any, Any]:
        """As `Context.step`."""
        step_call = self._plan(step, payload, options, result)
        return PendingCall(step_call, self._perform, self._unawaited)

    def sleep(self, duration: Seconds) -> Coroutine[Any, Any, None]:
        """As `Context.sleep`."""
        step_call = self._plan_sleep(duration)
        return PendingCall(step_call, self._perform, self._unawaited)

    @overload
    def event(
        self, name: str, *, result: type[T], deadline: Seconds | None = None
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def event(self, name: str, *, deadline: Seconds | None = None) -> Coroutine[Any, Any, Any]: ...
    def event(
        self, name: str, *, result: Any = None, deadline: Seconds | None = None
    ) -> Coroutine[Any, Any, Any]:
        """As `Context.event`."""
        step_call = self._plan_event(name, deadline, result)
        return PendingCall(step_call, self._perform, self._unawaited)

    def open_event(self, name: str, *, deadline: Seconds | None = None) -> Coroutine[Any, Any, str]:
        """As `Context.open_event`."""
        step_call = self._plan_opening(name, deadline)
        return PendingCall(step_call, self._open_event, self._unawaited)

    async def await_handler(self, handler: Awaitable[T]) -> T:
        """Await the handler, as `Context.call_handler` calls it."""
        # asyncio is a seventh of the SDK's import, and who has an `async def` has imported it.
        from asyncio import get_running_loop

        from atomic.sdk._branches import Branches

        self._wait_by(get_running_loop().time)
        self._branches = Branches(self._until_s, is_replay=self.attempt > 1)
        try:
            main = await self._branches.run(self._main(handler))
            if self._branches.is_suspended:
                self._require_awaited(self._unawaited.dropped)
                raise Suspended(self._branches.cause, self.unfinished)
            if main.cancelled():
                raise RuntimeError("The handler cancelled itself.")
            result: T = main.result()
            return result
        finally:
            self._has_ended = True
            await self._branches.unwind()

    async def _main(self, handler: Awaitable[T]) -> T:
        enter_branch(self, self._root)
        result = await handler
        self._require_awaited([*self._unawaited.dropped, *self._unawaited.calls.values()])
        return result

    async def _perform(self, step_call: StepCall[T]) -> T:
        if self._has_ended or self._branches.is_suspended:
            await self._refuse_late()
        with self._branches.call() as call:
            try:
                with self._called(step_call):
                    outcome = await self._client.run_flow(self._flow(step_call))
            except Suspended as signal:
                call.answered()
                await self._stay(step_call, signal.cause)
            call.answered()
            if self._branches.has_order:
                await self._branches.turn(call.post, outcome.ended_at, was_replayed=outcome.was_replayed)
        return step_call.read(outcome.unwrap())

    async def _open_event(self, step_call: StepCall[Any]) -> str:
        if self._has_ended or self._branches.is_suspended:
            await self._refuse_late()
        with self._branches.call() as call:
            try:
                with self._called(step_call):
                    return await self._client.run_flow(self._opening(step_call))
            except Suspended as signal:
                call.answered()
                await self._stay(step_call, signal.cause)

    async def _refuse_late(self) -> NoReturn:
        await self._branches.refuse(LOOP_PAUSE_S if self._came_late() else 0)

    async def _stay(self, step_call: StepCall[Any], cause: Exception | None) -> NoReturn:
        """Go on no more. What other branches do cannot change a cause that does not pass."""
        if cause is not None and not isinstance(cause, PASSING):
            self._end_with(cause)
        try:
            await self._branches.park(cause)
        finally:
            self._open.pop(step_call.id, None)

    def _end_with(self, cause: Exception) -> None:
        self._branches.suspend(cause)

    def _scope(self) -> Scope:
        return current_scope(self, self._root)

    def _require_awaited(self, calls: Sequence[object]) -> None:
        if calls:
            raise NonRetryable(f"Not awaited: {'; '.join(map(str, calls))}. Write `await` before the call.")
