"""What a workflow's handler is given: who calls it, and how to call steps."""

import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar, Unpack, overload

from atomic.sdk._context import BaseContext, Call, CallOptions
from atomic.sdk._identity import current_scope, enter_strand
from atomic.sdk._planning import NO_NAMES, Function, Names, Planned
from atomic.sdk.async_client import AsyncClient
from atomic.sdk.client import Client
from atomic.sdk.errors import Suspended
from atomic.sdk.retry import Seconds

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")
PlainFunction = Callable[..., T]
AsyncFunction = Callable[..., Coroutine[Any, Any, T]]
Step = str | Function
_THREADS_MAX: Final = 32


class Context(BaseContext):
    """A workflow's view of its run, in a plain function.

    A step is named by its URL, absolute or relative to the workflow's own ("charge" beside "order" is
    ".../charge"), or by a function that the same `Endpoints` serve. It is one step however often the
    workflow is called, and answers at once when it is done.
    While a step is not finished the handler ends, and is called again when it is.
    Raises StepFailedError when the step gave up; uncaught, that ends the workflow as well.
    """

    def __init__(self, call: Call, client: Client, hang_s: float, names: Names = NO_NAMES) -> None:
        super().__init__(call, client, hang_s, names)
        self._client = client
        self._lock = threading.Lock()

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
    ) -> Planned[T]: ...
    @overload
    def call(self, step: str, payload: Any = None, **options: Unpack[CallOptions]) -> Planned[Any]: ...
    @overload
    def call(
        self, step: AsyncFunction[T], payload: Any = None, **options: Unpack[CallOptions]
    ) -> Planned[T]: ...
    @overload
    def call(
        self, step: PlainFunction[T], payload: Any = None, **options: Unpack[CallOptions]
    ) -> Planned[T]: ...
    def call(
        self, step: Step, payload: Any = None, *, result: Any = None, **options: Unpack[CallOptions]
    ) -> Planned[Any]:
        """A step as `step` would call it, for `parallel` to call."""
        return self._plan(step, payload, options, result)

    def parallel(self, *calls: Planned[T]) -> list[T]:
        """Call steps side by side; their responses in the order of the calls.

        All are called before anything is raised: an error of a step first, else the handler ends until one
        of the unfinished is done.
        """
        if not calls:
            return []
        with ThreadPoolExecutor(min(len(calls), _THREADS_MAX)) as pool:
            futures = [pool.submit(self._perform, planned) for planned in calls]
        errors = [error for future in futures if (error := future.exception()) is not None]
        for error in sorted(errors, key=lambda error: isinstance(error, Suspended)):
            raise error
        return [future.result() for future in futures]

    def sleep(self, duration: Seconds) -> None:
        """Go on after a time, days or months if need be: nothing hangs meanwhile."""
        self._perform(self._plan_sleep(duration))

    @overload
    def event(self, name: str, *, result: type[T], deadline: Seconds | None = None) -> T: ...
    @overload
    def event(self, name: str, *, deadline: Seconds | None = None) -> Any: ...
    def event(self, name: str, *, result: Any = None, deadline: Seconds | None = None) -> Any:
        """What somebody posts as the result of this event by `Client.complete(id)`; see `open_event`.

        With a `deadline`, an event that nobody completes in time is a StepFailedError.
        """
        return self._perform(self._plan_event(name, deadline, result))

    def open_event(self, name: str, *, deadline: Seconds | None = None) -> str:
        """The id under which the event of this name can be completed from now on."""
        return self._client.run_flow(self._opening(self._plan_event(name, deadline)))

    def _suffix(self, url: str) -> str:
        with self._lock:
            return super()._suffix(url)

    def _perform(self, planned: Planned[T]) -> T:
        with self._called(planned):
            response = self._client.run_flow(self._flow(planned))
        return planned.read(response)


class AsyncContext(BaseContext):
    """What `Context` is, for `async def` handlers; side by side is `asyncio.gather` or a TaskGroup.

    Which step a call is gets settled when `step` is called, not when it is awaited.
    """

    def __init__(self, call: Call, client: AsyncClient, hang_s: float, names: Names = NO_NAMES) -> None:
        super().__init__(call, client, hang_s, names)
        self._client = client
        self._tasks: set[asyncio.Task[Any]] = set()

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
        return self._perform(self._plan(step, payload, options, result))

    def sleep(self, duration: Seconds) -> Coroutine[Any, Any, None]:
        """As `Context.sleep`."""
        return self._perform(self._plan_sleep(duration))

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
        return self._perform(self._plan_event(name, deadline, result))

    def open_event(self, name: str, *, deadline: Seconds | None = None) -> Coroutine[Any, Any, str]:
        """As `Context.open_event`."""
        return self._client.run_flow(self._opening(self._plan_event(name, deadline)))

    def begin(self) -> None:
        """The running task is the handler's own. For the shells."""
        enter_strand(self, self._root)

    def abandon(self) -> None:
        """The handler has ended: nobody needs what its tasks still wait for. For the shells."""
        for task in self._tasks:
            task.cancel()

    def _suffix(self, url: str) -> str:
        return current_scope(self, self._root).suffix(url)

    async def _perform(self, planned: Planned[T]) -> T:
        from asyncio import current_task

        task = current_task()
        assert task is not None, "asyncio runs coroutines in tasks"
        self._tasks.add(task)
        try:
            with self._called(planned):
                response = await self._client.run_flow(self._flow(planned))
        finally:
            self._tasks.discard(task)
        return planned.read(response)
