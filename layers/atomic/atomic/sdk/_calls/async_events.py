"""The events and callbacks of an `async def` handler: the methods that open them and wait for them."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar, overload

from atomic.sdk._calls.callbacks import CallbackCalls, Submit
from atomic.sdk._calls.context import NO_DEFAULT, StepCall
from atomic.sdk._calls.pending import PendingCall, Unawaited
from atomic.sdk._wire.events import EventId
from atomic.sdk._wire.suspension import Suspended
from atomic.sdk.retry import Seconds

if TYPE_CHECKING:
    from atomic.sdk._calls.branches import Branches

T = TypeVar("T")
D = TypeVar("D")
# What `event` returns to a loop whose deadline is over.
_END: Final[Any] = object()


class _AsyncTurns(AsyncIterator[Any]):
    """An `async for` over events; each turn waits for another one."""

    def __init__(self, wait: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self._wait = wait
        self._is_over = False

    async def __anext__(self) -> Any:
        result = _END if self._is_over else await self._wait()
        if result is _END:
            self._is_over = True
            raise StopAsyncIteration
        return result


class AsyncEvents(CallbackCalls, ABC):
    """The methods `event`, `events`, `open_event` and `callback` of an `async def` handler's context."""

    _branches: "Branches"
    _unawaited: Unawaited

    @overload
    def event(
        self, name: str, *, result: type[T], deadline: Seconds | None = None
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def event(
        self,
        name: str,
        *,
        result: type[T],
        deadline: Seconds | None = None,
        heartbeat: Seconds | None = None,
        default: D,
    ) -> Coroutine[Any, Any, T | D]: ...
    @overload
    def event(
        self,
        name: str,
        *,
        deadline: Seconds | None = None,
        heartbeat: Seconds | None = None,
        default: Any = ...,
    ) -> Coroutine[Any, Any, Any]: ...
    def event(
        self,
        name: str,
        *,
        result: Any = None,
        deadline: Seconds | None = None,
        heartbeat: Seconds | None = None,
        default: Any = NO_DEFAULT,
    ) -> Coroutine[Any, Any, Any]:
        """Await this until somebody gives an event its result by `Client.signal` or `complete`.

        - `name`: the name of the event.
        - `result`: the type that its result is read as (default: plain JSON values).
        - `deadline`: seconds, or a timedelta, until the event expires (default: never). The time counts
          from this call, or from `open_event` if that was given the deadline.
        - `heartbeat`: seconds, or a timedelta, after which the event expires unless `Client.heartbeat` says
          that somebody is still at work on it (default: it needs no heartbeats).
        - `default`: what to return when the event expires (default: `EventTimeoutError` is raised).

        The call takes the oldest event of this name that `open_event` has opened and no call has waited for
        yet. If there is none, each call waits for another one: `number` 2, 3 … of `Client.signal`. An event
        of a task or a batch has an id, but no name for others: open it before, in the workflow itself.

        Returns the result, which may have come before this call.

        Raises `EventTimeoutError` when the deadline is over, its subclass `HeartbeatMissedError` when no
        heartbeat came, `EventRejectedError` when somebody rejected it, `CancelledError`,
        `SerializationError` when the result does not fit the type, and `InvalidRequestError` for an invalid
        limit, or for a default without one. A deadline or heartbeat other than the one of `open_event`
        fails the workflow.
        """
        step_call = self._plan_event(name, deadline, heartbeat, result, default)
        return PendingCall(step_call, self._perform, self._unawaited)

    @overload
    def events(
        self, name: str, *, result: type[T], deadline: Seconds | None = None
    ) -> AsyncIterator[T]: ...
    @overload
    def events(self, name: str, *, deadline: Seconds | None = None) -> AsyncIterator[Any]: ...
    def events(
        self, name: str, *, result: Any = None, deadline: Seconds | None = None
    ) -> AsyncIterator[Any]:
        """Wait for one event of a name after the other, with `async for`.

        - `name`: the name of the events.
        - `result`: the type that each result is read as (default: plain JSON values).
        - `deadline`: seconds, or a timedelta, to wait for each of them (default: for ever). When it is
          over, the loop ends.

        Each turn is a call of `event`: the second one waits for event `number` 2, and so on, also in a
        later loop over the same name. `Client.signal` with `next=True` tells the first one that has no
        result, so the loop takes messages in the order in which they arrived, however early.

        Returns an asynchronous iterator over the results. Each turn raises what `event` raises, except for
        the end of the `deadline`. After an `EventRejectedError`, the iterator goes on with the next event.
        """
        default = NO_DEFAULT if deadline is None else _END

        async def wait() -> Any:
            return await self.event(name, result=result, deadline=deadline, default=default)

        return _AsyncTurns(wait)

    def open_event(
        self,
        name: str,
        *,
        deadline: Seconds | None = None,
        heartbeat: Seconds | None = None,
        capture: Sequence[str] = (),
    ) -> Coroutine[Any, Any, EventId]:
        """Open an event before the workflow waits for it, so that its id can be passed on; await the id.

        - `name`: the name of the event.
        - `deadline`: seconds, or a timedelta, from now on until it expires (default: never). When it is
          over, `event` raises `EventTimeoutError`; `open_event` does not.
        - `heartbeat`: seconds, or a timedelta, after which the event expires unless `Client.heartbeat` says
          that somebody is still at work on it (default: it needs no heartbeats).
        - `capture`: names of headers, up to 8, that the result keeps when it comes to the callback URL,
          with the body as it was sent (default: none; the result is what the body means).

        Returns the id, a text for `Client.complete`. Its `url` is the callback URL, by which a third party
        completes the event without an API key. Each call opens another event.

        Raises `InvalidRequestError` for an invalid limit, and `CancelledError`.
        """
        step_call = self._plan_opening(name, deadline, heartbeat, capture)
        return PendingCall(step_call, self._open_event, self._unawaited)

    @overload
    def callback(
        self,
        name: str,
        *,
        submit: Submit,
        result: type[T],
        deadline: Seconds | None = None,
        heartbeat: Seconds | None = None,
        capture: Sequence[str] = (),
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def callback(
        self,
        name: str,
        *,
        submit: Submit,
        result: type[T],
        deadline: Seconds | None = None,
        heartbeat: Seconds | None = None,
        capture: Sequence[str] = (),
        default: D,
    ) -> Coroutine[Any, Any, T | D]: ...
    @overload
    def callback(
        self,
        name: str,
        *,
        submit: Submit,
        deadline: Seconds | None = None,
        heartbeat: Seconds | None = None,
        capture: Sequence[str] = (),
        default: Any = ...,
    ) -> Coroutine[Any, Any, Any]: ...
    def callback(
        self,
        name: str,
        *,
        submit: Submit,
        result: Any = None,
        deadline: Seconds | None = None,
        heartbeat: Seconds | None = None,
        capture: Sequence[str] = (),
        default: Any = NO_DEFAULT,
    ) -> Coroutine[Any, Any, Any]:
        """Open an event, let a step hand its URL to a third party, and wait for its result; await this.

        - `name`: the name of the event.
        - `submit`: a URL, or a function that the same `Endpoints` serve: it is called as a step, with the
          URL as its payload. Or a function of the URL that calls a step with it
          (`lambda url: ctx.step(charge, Charge(amount=1, callback_url=url))`).
        - `result`: the type that the event's result is read as (default: plain JSON values).
        - `deadline`, `heartbeat`, `default`: those of `event`. They count from the opening, before the
          step.
        - `capture`: names of headers, up to 8. The result is then a dict with these `headers`, and the
          `body` as it was sent (`contentType`, `encoding` "text" or "base64"), to verify a signature.

        Returns the result. What a third party may send is in docs/protocol.md ("Callback URLs"): JSON, a
        form, a text, or `/reject`.

        Raises what `event` and the step raise, and LookupError when the server gives no callback URLs. When
        the step fails, the event stays open until the run ends.
        """
        limits = (deadline, heartbeat)
        callback = self._planned_callback(name, submit, limits, capture, result, default)
        return PendingCall(callback, self._call_back, self._unawaited)

    async def _open_event(self, step_call: StepCall[Any]) -> EventId:
        await self._check_late()
        with self._branches.call() as call:
            try:
                return await self._opened(step_call)
            except Suspended as signal:
                call.answered()
                await self._stay(step_call, signal.cause)

    @abstractmethod
    async def _perform(self, step_call: StepCall[T]) -> T: ...

    @abstractmethod
    async def _check_late(self) -> None: ...

    @abstractmethod
    async def _stay(self, step_call: StepCall[Any], cause: Exception | None) -> NoReturn: ...
