"""The runs that an `async def` handler starts: the methods of its context, and the handle of a run."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Generic, NoReturn, TypeVar, Unpack, overload

from atomic.sdk._calls.child_runs import ChildRuns, RunOptions
from atomic.sdk._calls.context import AsyncFunction, PlainFunction, Step, StepCall
from atomic.sdk._calls.pending import PendingCall, Unawaited
from atomic.sdk._calls.recorded import Ask
from atomic.sdk._wire.api import Key

T = TypeVar("T")


class AsyncRunHandle(Generic[T]):
    """A run that a workflow has started. `start_run` makes it; `run_id` is the id of the run.

    The context gives it `result` and `cancel`, which do what the methods of these names do. Each replay of
    the workflow makes its own handle.
    """

    def __init__(
        self,
        run_id: str,
        result: Callable[[], Coroutine[Any, Any, T]],
        cancel: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        self.run_id = run_id
        self._result = result
        self._cancel = cancel

    def result(self) -> Coroutine[Any, Any, T]:
        """Await this to wait for the outcome of the run, as for a step.

        Returns the response of the run; of one that goes on by `continue_as`, that of the last run.

        Raises `RunFailedError`, a `StepFailedError`, when the run has failed, `StepCancelledError` when it
        was cancelled, `CancelledError`, `SerializationError` when the response does not fit its type,
        `DecodingError` when the codec cannot read it, and `InvalidRequestError` for a detached run.
        """
        return self._result()

    def cancel(self) -> Coroutine[Any, Any, None]:
        """Await this to cancel the call, and the run if the call has started it and does not keep it.

        `result` then raises `StepCancelledError`. A run that has ended stays as it is.

        Raises `InvalidRequestError` for a detached run.
        """
        return self._cancel()


class AsyncChildRuns(ChildRuns, ABC):
    """The methods `run_workflow`, `start_run` and `continue_as` of an `async def` handler's context."""

    _unawaited: Unawaited

    @overload
    def run_workflow(
        self, workflow: Step, payload: Any = None, *, result: type[T], **options: Unpack[RunOptions]
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def run_workflow(
        self, workflow: str, payload: Any = None, **options: Unpack[RunOptions]
    ) -> Coroutine[Any, Any, Any]: ...
    @overload
    def run_workflow(
        self, workflow: AsyncFunction[T], payload: Any = None, **options: Unpack[RunOptions]
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def run_workflow(
        self, workflow: PlainFunction[T], payload: Any = None, **options: Unpack[RunOptions]
    ) -> Coroutine[Any, Any, T]: ...
    def run_workflow(
        self, workflow: Step, payload: Any = None, *, result: Any = None, **options: Unpack[RunOptions]
    ) -> Coroutine[Any, Any, Any]:
        """Start a run of its own, and await this for its outcome. Each replay gets the same outcome.

        - `workflow`: a function that the same `Endpoints` serve, or a URL, absolute or relative to the
          workflow's own. It may be the workflow itself.
        - `payload`: the input of the run: JSON values, a model, a dataclass (default None).
        - `result`: the type that the run's response is read as (default: the return type of the function;
          for a URL, plain JSON values).
        - `key`: with `workflow_name`, says which run this is, as a str, an int or a UUID. A run that exists
          is not started again; the call waits for it (default: a key of this call alone).
        - `workflow_name`: the name of the run in lists (default: the name of the function; a URL needs it).
        - `name`: the name of the call in errors, lists and the dashboard (default: `workflow_name`).
        - `on_cancel`: what becomes of the run when this workflow or the call is cancelled: "cancel" (the
          default) cancels it, if this call has started it; "keep" lets it go on.
        - `retry`: how often a failed attempt of the run is repeated, as a `Retry` or a number of retries
          (default: 25, with growing pauses of 1 s to 2 minutes).
        - `delay`: seconds, or a timedelta, before its first attempt (default 0).
        - `start_at`: when to make its first attempt, as a datetime with a time zone, in place of `delay`
          (default: at once, as for a time that is over).
        - `start_by`: it fails unless its first attempt has begun by then: a datetime, or seconds or a
          timedelta after its start (default: no limit).
        - `deadline`: seconds, or a timedelta, that the run may take in total (default: no limit).
        - `attempt_timeout`: seconds, or a timedelta, that one HTTP attempt may take (default 20).
        - `on_lost`: what to do when Atomic does not know whether an attempt was made: "repeat" (the
          default) calls the workflow again, "fail" lets it fail.
        - `flow`: a `Flow`, or a list of them: limits that the run shares with others (default: none).
        - `singleton`: a `Singleton`: one run of its key goes on at a time (default: none).
        - `debounce`: a `Debounce`: of a burst of starts only the last one runs (default: none).
        - `tags`: up to 8 names with values by which the run is found, such as {"customer": "c-17"}
          (default: none).

        The run is in lists, has its own limits and its own time of retention, and may be started from
        elsewhere with the same name and key. A step is cheaper, also where it is a workflow.

        Returns the response of the run; of one that goes on by `continue_as`, that of the last run.

        Raises `RunFailedError`, a `StepFailedError`, when the run has failed, `StepCancelledError` when it
        was cancelled, `RunDiffersError` when a run with this key has another payload or URL,
        `RunCycleError` when that run waits for this one, `TooDeepError` when 32 runs have started each
        other, `CancelledError`, `SerializationError` when the payload or the response does not fit its
        type, `DecodingError` when the codec cannot read the response, `InvalidRequestError` for a wrong
        option, `TooLargeError`, `UrlNotAllowedError`, and LookupError for a function that is not served.
        """
        link = self._plan_run(workflow, payload, options, result)
        return PendingCall(link, self._perform, self._unawaited)

    @overload
    def start_run(
        self,
        workflow: Step,
        payload: Any = None,
        *,
        result: type[T],
        detached: bool = ...,
        **options: Unpack[RunOptions],
    ) -> Coroutine[Any, Any, AsyncRunHandle[T]]: ...
    @overload
    def start_run(
        self, workflow: str, payload: Any = None, *, detached: bool = ..., **options: Unpack[RunOptions]
    ) -> Coroutine[Any, Any, AsyncRunHandle[Any]]: ...
    @overload
    def start_run(
        self,
        workflow: AsyncFunction[T],
        payload: Any = None,
        *,
        detached: bool = ...,
        **options: Unpack[RunOptions],
    ) -> Coroutine[Any, Any, AsyncRunHandle[T]]: ...
    @overload
    def start_run(
        self,
        workflow: PlainFunction[T],
        payload: Any = None,
        *,
        detached: bool = ...,
        **options: Unpack[RunOptions],
    ) -> Coroutine[Any, Any, AsyncRunHandle[T]]: ...
    def start_run(
        self,
        workflow: Step,
        payload: Any = None,
        *,
        result: Any = None,
        detached: bool = False,
        **options: Unpack[RunOptions],
    ) -> Coroutine[Any, Any, AsyncRunHandle[Any]]:
        """Start a run of its own, and await this for a handle, without waiting for its outcome.

        - `workflow`: a function that the same `Endpoints` serve, or a URL, absolute or relative to the
          workflow's own. It may be the workflow itself.
        - `payload`: the input of the run: JSON values, a model, a dataclass (default None).
        - `result`: the type that the run's response is read as (default: the return type of the function;
          for a URL, plain JSON values).
        - `key`: with `workflow_name`, says which run this is, as a str, an int or a UUID. A run that exists
          is not started again; the call waits for it (default: a key of this call alone).
        - `workflow_name`: the name of the run in lists (default: the name of the function; a URL needs it).
        - `name`: the name of the call in errors, lists and the dashboard (default: `workflow_name`).
        - `on_cancel`: what becomes of the run when this workflow or the call is cancelled: "cancel" (the
          default) cancels it, if this call has started it; "keep" lets it go on.
        - `detached`: the run is not waited for, and never cancelled with this workflow (default False).
        - `retry`: how often a failed attempt of the run is repeated, as a `Retry` or a number of retries
          (default: 25, with growing pauses of 1 s to 2 minutes).
        - `delay`: seconds, or a timedelta, before its first attempt (default 0).
        - `start_at`: when to make its first attempt, as a datetime with a time zone, in place of `delay`
          (default: at once, as for a time that is over).
        - `start_by`: it fails unless its first attempt has begun by then: a datetime, or seconds or a
          timedelta after its start (default: no limit).
        - `deadline`: seconds, or a timedelta, that the run may take in total (default: no limit).
        - `attempt_timeout`: seconds, or a timedelta, that one HTTP attempt may take (default 20).
        - `on_lost`: what to do when Atomic does not know whether an attempt was made: "repeat" (the
          default) calls the workflow again, "fail" lets it fail.
        - `flow`: a `Flow`, or a list of them: limits that the run shares with others (default: none).
        - `singleton`: a `Singleton`: one run of its key goes on at a time (default: none).
        - `debounce`: a `Debounce`: of a burst of starts only the last one runs (default: none).
        - `tags`: up to 8 names with values by which the run is found, such as {"customer": "c-17"}
          (default: none).

        Returns the handle, when the run is stored: `run_id`, `result()` and `cancel()`. A run that nobody
        waits for goes on when this workflow has succeeded.

        Raises `RunDiffersError` when a run with this key has another payload or URL,
        `RunCycleError` when that run waits for this one, `TooDeepError` when 32 runs have started each
        other, `CancelledError`, `SerializationError` when the payload does not fit its
        type, `InvalidRequestError` for a wrong option, `TooLargeError`, `UrlNotAllowedError`, and
        LookupError for a function that is not served.
        """
        link = self._plan_run(workflow, payload, options, result, detached=detached)
        result, cancel = partial(self._result_of, link), partial(self._cancel_of, link)
        handle: AsyncRunHandle[Any] = AsyncRunHandle(self._run_id(link.document), result, cancel)
        return PendingCall(link, partial(self._started, handle=handle), self._unawaited)

    def continue_as(self, payload: Any = None, *, key: Key | None = None) -> Coroutine[Any, Any, NoReturn]:
        """Go on as a new run of this workflow, and end this one: `return await ctx.continue_as(...)`.

        A loop without end has a history of one round this way. The call never returns: this run succeeds at
        this point, as if the workflow had returned here. Unfinished steps go on, and nothing waits for
        them. Callers that wait for this run wait for the new one.

        - `payload`: the input of the new run: JSON values, a model, a dataclass (default None).
        - `key`: the key of the new run, as a str, an int or a UUID (default: the key of this run with
          `/2`, then `/3` and so on).

        The new run has the retries and the times of this one.

        Raises `SerializationError` for a payload that does not fit, `InvalidRequestError` for an invalid
        key, and `TooLargeError`. The workflow fails when a run with this key exists already, and when the
        workflow is itself a step of another one.
        """
        following = self._plan_next(payload, key)
        begin = partial(self._perform, ask=self._ask_next)
        return PendingCall(following, begin, self._unawaited)

    async def _started(self, link: StepCall[Any], handle: AsyncRunHandle[T]) -> AsyncRunHandle[T]:
        await self._start(link)
        return handle

    def _result_of(self, link: StepCall[T]) -> Coroutine[Any, Any, T]:
        return PendingCall(self._attached(link), self._perform, self._unawaited, depth=3)

    def _cancel_of(self, link: StepCall[Any]) -> Coroutine[Any, Any, None]:
        return PendingCall(self._attached(link), self._cancel_now, self._unawaited, depth=3)

    async def _cancel_now(self, link: StepCall[Any]) -> None:
        await self._check_late()
        await self._cancel_link(link)

    @abstractmethod
    async def _perform(self, step_call: StepCall[T], ask: Ask | None = None) -> T: ...

    @abstractmethod
    async def _check_late(self) -> None: ...
