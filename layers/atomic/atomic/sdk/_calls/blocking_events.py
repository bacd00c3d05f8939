"""The events of a `def` handler: the methods that open them and wait for them."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import Any, TypeVar, overload

from atomic.sdk._calls.context import NO_DEFAULT, StepCall
from atomic.sdk._calls.events import EventCalls
from atomic.sdk._calls.recorded import at_once
from atomic.sdk._calls.results import Results
from atomic.sdk.client import Client
from atomic.sdk.retry import Seconds

T = TypeVar("T")
D = TypeVar("D")


class BlockingEvents(EventCalls, ABC):
    """The methods `event` and `open_event` of a `def` handler's context."""

    _client: Client

    @overload
    def event(
        self,
        name: str,
        *,
        result: type[T],
        deadline: Seconds | None = None,
        heartbeat: Seconds | None = None,
    ) -> T: ...
    @overload
    def event(
        self,
        name: str,
        *,
        result: type[T],
        deadline: Seconds | None = None,
        heartbeat: Seconds | None = None,
        default: D,
    ) -> T | D: ...
    @overload
    def event(
        self,
        name: str,
        *,
        deadline: Seconds | None = None,
        heartbeat: Seconds | None = None,
        default: Any = ...,
    ) -> Any: ...
    def event(
        self,
        name: str,
        *,
        result: Any = None,
        deadline: Seconds | None = None,
        heartbeat: Seconds | None = None,
        default: Any = NO_DEFAULT,
    ) -> Any:
        """Wait until somebody gives an event its result, by `Client.signal` or `Client.complete`.

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
        return self._perform(self._plan_event(name, deadline, heartbeat, result, default))

    def open_event(
        self, name: str, *, deadline: Seconds | None = None, heartbeat: Seconds | None = None
    ) -> str:
        """Open an event before the workflow waits for it, so that its id can be passed on.

        - `name`: the name of the event.
        - `deadline`: seconds, or a timedelta, from now on until it expires (default: never). When it is
          over, `event` raises `EventTimeoutError`; `open_event` does not.
        - `heartbeat`: seconds, or a timedelta, after which the event expires unless `Client.heartbeat` says
          that somebody is still at work on it (default: it needs no heartbeats).

        Returns the id, for `Client.complete`. Each call opens another event.

        Raises `InvalidRequestError` for an invalid limit, and `CancelledError`.
        """
        self._check()
        step_call = self._plan_opening(name, deadline, heartbeat)
        with self._suspending():
            known = at_once(self._known())
            with self._observed_opening(step_call, known), self._called(step_call):
                if known.has_event(step_call.id):
                    return step_call.id
                return self._client.run_flow(self._opening(step_call))

    @abstractmethod
    def _perform(self, step_call: StepCall[T]) -> T: ...

    @abstractmethod
    async def _known(self) -> Results: ...

    @abstractmethod
    def _check(self) -> None: ...

    @abstractmethod
    def _suspending(self) -> AbstractContextManager[None]: ...
