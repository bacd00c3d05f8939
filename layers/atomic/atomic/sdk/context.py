"""What a workflow's handler is given: who calls it, and how to call steps."""

import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar, Unpack, overload

from atomic.sdk._awaiting import MadeCall, PendingCall, Unawaited
from atomic.sdk._context import BaseContext, Call, CallOptions
from atomic.sdk._identity import Scope, current_scope, enter_strand
from atomic.sdk._planning import NO_NAMES, Function, Names, StepCall
from atomic.sdk._refusals import PASSING
from atomic.sdk.async_client import AsyncClient
from atomic.sdk.client import Client
from atomic.sdk.errors import NonRetryable, Suspended
from atomic.sdk.retry import Seconds

if TYPE_CHECKING:
    from atomic.sdk._branches import Branches

T = TypeVar("T")
PlainFunction = Callable[..., T]
AsyncFunction = Callable[..., Coroutine[Any, Any, T]]
Step = str | Function
_THREADS_MAX: Final = 32
# Between the calls of a handler that does not stop when it is suspended.
_LOOP_PAUSE_S: Final = 1.0


class Context(BaseContext):
    """A workflow's view of its run, in a plain function.

    A step is named by its URL, absolute or relative to the workflow's own ("charge" beside "order" is
    ".../charge"), or by a function that the same `Endpoints` serve. It is one step however often the
    workflow is called, and answers at once when it is done.
    While a step is not finished the handler ends, and is called again when it is. A BaseException unwinds
    it, and nothing counts that it does on the way. Raises StepFailedError when the step failed; uncaught,
    that ends the workflow as well.
    """

    def __init__(self, call: Call, client: Client, wait_s: float, names: Names = NO_NAMES) -> None:
        super().__init__(call, client, wait_s, names)
        self._client = client
        self._thread = threading.get_ident()
        self._suspended = threading.Event()
        self._cause: Exception | None = None
        self._uncalled: dict[int, MadeCall] = {}
        self._has_ended = False

    @overload
    def step(
        self, step: Step, payload: Any = None, *, result: type[T], **options: Unpack[CallOptions]
    ) -> T: ...
    @overload
    def step(self, step: str, payload: Any = None, **options: Unpack[CallOptions]) -> Any: ...
    @overload
    def step(self, step: AsyncFunction[T], payload: Any = None, **options: Unpack[CallOptions]) -> T: ...
    @overload
    def step(self, step: PlainFunction[T], payload: Any = None, **options: Unpack[CallOptions]) -> T: ...
    def step(
        self, step: Step, payload: Any = None, *, result: Any = None, **options: Unpack[CallOptions]
    ) -> Any:
        """Call a step and return its response as `result`, a type that pydantic knows.

        Left out, it is what a function says it returns; of a URL, plain JSON values.
        """
        return self._perform(self._plan(step, payload, options, result))

    @overload
    def call(
        self, step: Step, payload: Any = None, *, result: type[T], **options: Unpack[CallOptions]
    ) -> StepCall[T]: ...
    @overload
    def call(self, step: str, payload: Any = None, **options: Unpack[CallOptions]) -> StepCall[Any]: ...
    @overload
    def call(
        self, step: AsyncFunction[T], payload: Any = None, **options: Unpack[CallOptions]
    ) -> StepCall[T]: ...
    @overload
    def call(
        self, step: PlainFunction[T], payload: Any = None, **options: Unpack[CallOptions]
    ) -> StepCall[T]: ...
    def call(
        self, step: Step, payload: Any = None, *, result: Any = None, **options: Unpack[CallOptions]
    ) -> StepCall[Any]:
        """A step as `step` would call it, for `parallel` to call."""
        planned = self._plan(step, payload, options, result)
        self._uncalled[id(planned)] = MadeCall.here(planned, 1)
        return planned

    def parallel(self, *calls: StepCall[T]) -> list[T]:
        """Call steps side by side; their responses in the order of the calls.

        All of them end before anything is raised: then the error of the first call that has one.
        """
        self._check()
        for planned in calls:
            if not isinstance(planned, StepCall):
                self._refuse(
                    f"parallel takes what `ctx.call` gives, not a {type(planned).__qualname__}: write "
                    "`ctx.parallel(*calls)` for a list of them, and `ctx.call` instead of `ctx.step`."
                )
            self._uncalled.pop(id(planned), None)
        if not calls:
            return []
        with ThreadPoolExecutor(min(len(calls), _THREADS_MAX)) as pool:
            futures = [pool.submit(self._ask, planned) for planned in calls]
        errors = [error for future in futures if (error := future.exception()) is not None]
        with self._suspending():
            for error in sorted(errors, key=_finality):
                raise error
        return [future.result() for future in futures]

    def sleep(self, duration: Seconds) -> None:
        """Go on after a time, days or months if need be: nothing waits meanwhile."""
        self._perform(self._plan_sleep(duration))

    @overload
    def event(self, name: str, *, result: type[T], deadline: Seconds | None = None) -> T: ...
    @overload
    def event(self, name: str, *, deadline: Seconds | None = None) -> Any: ...
    def event(self, name: str, *, result: Any = None, deadline: Seconds | None = None) -> Any:
        """What somebody posts as the result of an event by `Client.complete(id)`.

        It is the oldest event that `open_event` opened under this name and nobody waited for yet; else
        another one. One that nobody completes before its `deadline` is an EventTimeoutError; the deadline
        counts from here, or from `open_event` when it was given there.
        """
        return self._perform(self._plan_event(name, deadline, result))

    def open_event(self, name: str, *, deadline: Seconds | None = None) -> str:
        """Another event of this name: the id under which it can be completed from now on.

        A `deadline` counts from here. When it is over `event` raises, and this does not.
        """
        self._check()
        planned = self._plan_opening(name, deadline)
        with self._suspending(), self._called(planned):
            return self._client.run_flow(self._opening(planned))

    def call_handler(self, function: Callable[[], T]) -> T:
        """Run the handler. For the shells. Raises Suspended when it is suspended, whatever it ends with."""
        try:
            result = function()
            if self._uncalled:
                made = "; ".join(map(str, self._uncalled.values()))
                raise NonRetryable(f"Not called: {made}. Give what `ctx.call` returns to `ctx.parallel`.")
            return result
        finally:
            self._has_ended = True
            is_stopped = isinstance(sys.exception(), KeyboardInterrupt | SystemExit)
            if self._suspended.is_set() and not is_stopped:
                raise Suspended(self._cause, self.unfinished) from None

    def _perform(self, planned: StepCall[T]) -> T:
        self._check()
        with self._suspending():
            return self._ask(planned)

    def _ask(self, planned: StepCall[T]) -> T:
        with self._called(planned):
            response = self._client.run_flow(self._flow(planned)).unwrap()
        return planned.read(response)

    @contextmanager
    def _suspending(self) -> Iterator[None]:
        """Around a call of a branch: when it is suspended, so is the whole handler."""
        try:
            yield
        except Suspended as signal:
            if threading.get_ident() != self._thread:
                # The other threads go on while there is time.
                self._suspended.wait(max(0.0, self._until_s - self._now_s()))
            self._suspend(signal.cause)
            raise

    def _give_up(self, cause: Exception) -> None:
        self._suspend(cause)

    def _suspend(self, cause: Exception | None) -> None:
        with self._lock:
            if self._cause is None or isinstance(self._cause, PASSING):
                self._cause = cause or self._cause
            self._suspended.set()

    def _check(self) -> None:
        """Raises Suspended when the handler is suspended: nothing of it has an effect any more."""
        if self._suspended.is_set():
            if self._came_late():
                time.sleep(_LOOP_PAUSE_S)
            raise Suspended
        if self._has_ended:
            raise RuntimeError(
                "The workflow has ended, and this call came after: let it wait for its threads."
            )


def _finality(error: BaseException) -> int:
    """Sorts what came of calls: first what keeps the others from counting."""
    if not isinstance(error, Suspended):
        return 3
    if error.cause is None:
        return 2
    return 1 if isinstance(error.cause, PASSING) else 0


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
        planned = self._plan(step, payload, options, result)
        return PendingCall(planned, self._perform, self._unawaited)

    def sleep(self, duration: Seconds) -> Coroutine[Any, Any, None]:
        """As `Context.sleep`."""
        planned = self._plan_sleep(duration)
        return PendingCall(planned, self._perform, self._unawaited)

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
        planned = self._plan_event(name, deadline, result)
        return PendingCall(planned, self._perform, self._unawaited)

    def open_event(self, name: str, *, deadline: Seconds | None = None) -> Coroutine[Any, Any, str]:
        """As `Context.open_event`."""
        planned = self._plan_opening(name, deadline)
        return PendingCall(planned, self._open_event, self._unawaited)

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
        enter_strand(self, self._root)
        result = await handler
        self._require_awaited([*self._unawaited.dropped, *self._unawaited.calls.values()])
        return result

    async def _perform(self, planned: StepCall[T]) -> T:
        if self._has_ended or self._branches.is_suspended:
            await self._refuse_late()
        with self._branches.call() as call:
            try:
                with self._called(planned):
                    outcome = await self._client.run_flow(self._flow(planned))
            except Suspended as signal:
                call.answered()
                await self._stay(planned, signal.cause)
            call.answered()
            if self._branches.has_order:
                await self._branches.turn(call.post, outcome.ended_at, was_replayed=outcome.was_replayed)
        return planned.read(outcome.unwrap())

    async def _open_event(self, planned: StepCall[Any]) -> str:
        if self._has_ended or self._branches.is_suspended:
            await self._refuse_late()
        with self._branches.call() as call:
            try:
                with self._called(planned):
                    return await self._client.run_flow(self._opening(planned))
            except Suspended as signal:
                call.answered()
                await self._stay(planned, signal.cause)

    async def _refuse_late(self) -> NoReturn:
        await self._branches.refuse(_LOOP_PAUSE_S if self._came_late() else 0)

    async def _stay(self, planned: StepCall[Any], cause: Exception | None) -> NoReturn:
        """Go on no more. What other branches do cannot change a cause that does not pass."""
        if cause is not None and not isinstance(cause, PASSING):
            self._give_up(cause)
        try:
            await self._branches.park(cause)
        finally:
            self._open.pop(planned.id, None)

    def _give_up(self, cause: Exception) -> None:
        self._branches.suspend(cause)

    def _scope(self) -> Scope:
        return current_scope(self, self._root)

    def _require_awaited(self, calls: Sequence[object]) -> None:
        if calls:
            raise NonRetryable(f"Not awaited: {'; '.join(map(str, calls))}. Write `await` before the call.")
