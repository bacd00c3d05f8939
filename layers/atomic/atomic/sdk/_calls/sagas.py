"""How handlers write sagas, in `with` and in `async with`. What a saga does is in `undos`."""

from abc import ABC
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar, Unpack, overload

from atomic.sdk._calls.context import NO_DEFAULT, AsyncFunction, CallOptions, PlainFunction, Step
from atomic.sdk._calls.pending import PendingCall, Unawaited
from atomic.sdk._calls.recorded import at_once
from atomic.sdk._calls.undos import UNDO_RETRY, SagaContext, SagaParts, Undo
from atomic.sdk.retry import Retry

T = TypeVar("T")


class AsyncSaga:
    """A saga of an `async def` handler: `async with ctx.saga() as saga`."""

    def __init__(self, parts: SagaParts, unawaited: Unawaited) -> None:
        self._parts = parts
        self._unawaited = unawaited

    async def __aenter__(self) -> "AsyncSaga":
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, raised: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._parts.end(raised)

    @overload
    def step(
        self,
        step: Step,
        payload: Any = None,
        *,
        undo: Undo,
        undo_payload: Any = ...,
        result: type[T],
        **options: Unpack[CallOptions],
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def step(
        self,
        step: str,
        payload: Any = None,
        *,
        undo: Undo,
        undo_payload: Any = ...,
        **options: Unpack[CallOptions],
    ) -> Coroutine[Any, Any, Any]: ...
    @overload
    def step(
        self,
        step: AsyncFunction[T],
        payload: Any = None,
        *,
        undo: Undo,
        undo_payload: Any = ...,
        **options: Unpack[CallOptions],
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def step(
        self,
        step: PlainFunction[T],
        payload: Any = None,
        *,
        undo: Undo,
        undo_payload: Any = ...,
        **options: Unpack[CallOptions],
    ) -> Coroutine[Any, Any, T]: ...
    def step(
        self,
        step: Step,
        payload: Any = None,
        *,
        undo: Undo,
        undo_payload: Any = NO_DEFAULT,
        result: Any = None,
        **options: Unpack[CallOptions],
    ) -> Coroutine[Any, Any, Any]:
        """Call a step, and undo it if the block raises. Await this for its response.

        - `undo`: a URL, or a function that the same `Endpoints` serve: it is called as a step. It must
          accept that the step has had no effect. Or a function without arguments that makes the call.
        - `undo_payload`: the payload of the undo (default: that of the step).

        All other arguments are those of `ctx.step`. Raises what `ctx.step` raises.
        """
        planned = self._parts.step(step, payload, (undo, undo_payload), result, options)
        return PendingCall(planned.call, planned.perform, self._unawaited)

    def run(
        self,
        name: str,
        function: Callable[[], Any],
        *,
        undo: Undo,
        undo_payload: Any = NO_DEFAULT,
        returns: Any = None,
        retry: Retry | int | None = None,
    ) -> Coroutine[Any, Any, Any]:
        """Compute a value as `ctx.run` does, and undo it if the block raises. Await this for the value.

        `undo` is that of `step`; `undo_payload` is its payload (default None).
        """
        planned = self._parts.value(name, function, (undo, undo_payload), returns, retry)
        return PendingCall(planned.call, planned.perform, self._unawaited)

    def undo(self, step: Undo, payload: Any = None, **options: Unpack[CallOptions]) -> None:
        """Note an undo: if the block raises from now on, this step is called.

        `step` is a URL or a function as `undo` of `step`; `options` are those of `ctx.step`.
        """
        self._parts.note(step, payload, options)


class AsyncSagas(SagaContext, ABC):
    """The method `saga` of an `async def` handler's context."""

    _unawaited: Unawaited

    def saga(self, name: str | None = None, *, retry: Retry | int = UNDO_RETRY) -> AsyncSaga:
        """Undo what a block has called if it raises: `async with ctx.saga() as saga`.

        - `name`: the name of the saga in errors, lists and the dashboard (default: "saga").
        - `retry`: how often a failed attempt of an undo is repeated, as a `Retry` or a number of retries
          (default: 1000, which takes longer than a day).

        In the block, `saga.step(step, payload, undo=…)` calls a step as `step` does, and notes its undo:
        a URL or a function as a step, which gets the same payload, or `undo_payload`; or a function
        without arguments that makes the call. `saga.run(name, function, undo=…)` is `run` with an undo.
        `saga.undo(step, payload)` notes an undo by hand.

        If the block raises, the undos run in reverse order, each as a step. They include that of the call
        that failed, because it may have had its effect. Then the error is raised again. If an undo failed,
        `SagaFailedError` is raised, and the error is its `__cause__`. `RetryAfter` undoes nothing.
        """
        return AsyncSaga(self._parts_of_saga(name, retry), self._unawaited)


class Saga:
    """A saga of a `def` handler: `with ctx.saga() as saga`."""

    def __init__(self, parts: SagaParts) -> None:
        self._parts = parts

    def __enter__(self) -> "Saga":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, raised: BaseException | None, _trace: TracebackType | None
    ) -> None:
        at_once(self._parts.end(raised))

    @overload
    def step(
        self,
        step: Step,
        payload: Any = None,
        *,
        undo: Undo,
        undo_payload: Any = ...,
        result: type[T],
        **options: Unpack[CallOptions],
    ) -> T: ...
    @overload
    def step(
        self,
        step: str,
        payload: Any = None,
        *,
        undo: Undo,
        undo_payload: Any = ...,
        **options: Unpack[CallOptions],
    ) -> Any: ...
    @overload
    def step(
        self,
        step: AsyncFunction[T],
        payload: Any = None,
        *,
        undo: Undo,
        undo_payload: Any = ...,
        **options: Unpack[CallOptions],
    ) -> T: ...
    @overload
    def step(
        self,
        step: PlainFunction[T],
        payload: Any = None,
        *,
        undo: Undo,
        undo_payload: Any = ...,
        **options: Unpack[CallOptions],
    ) -> T: ...
    def step(
        self,
        step: Step,
        payload: Any = None,
        *,
        undo: Undo,
        undo_payload: Any = NO_DEFAULT,
        result: Any = None,
        **options: Unpack[CallOptions],
    ) -> Any:
        """Call a step, return its response, and undo it if the block raises.

        - `undo`: a URL, or a function that the same `Endpoints` serve: it is called as a step. It must
          accept that the step has had no effect. Or a function without arguments that makes the call.
        - `undo_payload`: the payload of the undo (default: that of the step).

        All other arguments are those of `ctx.step`. Raises what `ctx.step` raises.
        """
        planned = self._parts.step(step, payload, (undo, undo_payload), result, options)
        return at_once(planned.perform(planned.call))

    def run(
        self,
        name: str,
        function: Callable[[], Any],
        *,
        undo: Undo,
        undo_payload: Any = NO_DEFAULT,
        returns: Any = None,
        retry: Retry | int | None = None,
    ) -> Any:
        """Compute a value as `ctx.run` does, and undo it if the block raises.

        `undo` is that of `step`; `undo_payload` is its payload (default None).
        """
        planned = self._parts.value(name, function, (undo, undo_payload), returns, retry)
        return at_once(planned.perform(planned.call))

    def undo(self, step: Undo, payload: Any = None, **options: Unpack[CallOptions]) -> None:
        """Note an undo: if the block raises from now on, this step is called.

        `step` is a URL or a function as `undo` of `step`; `options` are those of `ctx.step`.
        """
        self._parts.note(step, payload, options)


class BlockingSagas(SagaContext, ABC):
    """The method `saga` of a `def` handler's context."""

    def saga(self, name: str | None = None, *, retry: Retry | int = UNDO_RETRY) -> Saga:
        """Undo what a block has called if it raises: `with ctx.saga() as saga`.

        - `name`: the name of the saga in errors, lists and the dashboard (default: "saga").
        - `retry`: how often a failed attempt of an undo is repeated, as a `Retry` or a number of retries
          (default: 1000, which takes longer than a day).

        In the block, `saga.step(step, payload, undo=…)` calls a step as `step` does, and notes its undo:
        a URL or a function as a step, which gets the same payload, or `undo_payload`; or a function
        without arguments that makes the call. `saga.run(name, function, undo=…)` is `run` with an undo.
        `saga.undo(step, payload)` notes an undo by hand.

        If the block raises, the undos run in reverse order, each as a step. They include that of the call
        that failed, because it may have had its effect. Then the error is raised again. If an undo failed,
        `SagaFailedError` is raised, and the error is its `__cause__`. `RetryAfter` undoes nothing.
        """
        return Saga(self._parts_of_saga(name, retry))
