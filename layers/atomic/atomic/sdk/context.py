"""What a workflow's plain handler is given: which run it is, and how to call steps."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final, TypeVar, Unpack, overload

from atomic.sdk._context import (
    LOOP_PAUSE_S,
    AsyncFunction,
    BaseContext,
    Call,
    CallOptions,
    PlainFunction,
    Step,
)
from atomic.sdk._responses import PASSING
from atomic.sdk._step_call import NO_NAMES, MadeCall, Names, StepCall
from atomic.sdk.client import Client
from atomic.sdk.errors import NonRetryable, Suspended
from atomic.sdk.retry import Seconds

T = TypeVar("T")
_THREADS_MAX: Final = 32


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
        step_call = self._plan(step, payload, options, result)
        self._uncalled[id(step_call)] = MadeCall.here(step_call, 1)
        return step_call

    def parallel(self, *calls: StepCall[T]) -> list[T]:
        """Call steps side by side; their responses in the order of the calls.

        All of them end before anything is raised: then the error of the first call that has one.
        """
        self._check()
        for step_call in calls:
            if not isinstance(step_call, StepCall):
                self._refuse(
                    f"parallel takes what `ctx.call` gives, not a {type(step_call).__qualname__}: write "
                    "`ctx.parallel(*calls)` for a list of them, and `ctx.call` instead of `ctx.step`."
                )
            self._uncalled.pop(id(step_call), None)
        if not calls:
            return []
        with ThreadPoolExecutor(min(len(calls), _THREADS_MAX)) as pool:
            futures = [pool.submit(self._ask, step_call) for step_call in calls]
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
        step_call = self._plan_opening(name, deadline)
        with self._suspending(), self._called(step_call):
            return self._client.run_flow(self._opening(step_call))

    def call_handler(self, function: Callable[[], T]) -> T:
        """Run the handler. For framework adapters.

        Raises Suspended when the handler is suspended, whatever it ends with."""
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

    def _perform(self, step_call: StepCall[T]) -> T:
        self._check()
        with self._suspending():
            return self._ask(step_call)

    def _ask(self, step_call: StepCall[T]) -> T:
        with self._called(step_call):
            response = self._client.run_flow(self._flow(step_call)).unwrap()
        return step_call.read(response)

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

    def _end_with(self, cause: Exception) -> None:
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
                time.sleep(LOOP_PAUSE_S)
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
