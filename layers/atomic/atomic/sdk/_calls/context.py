"""The common part of `Context` and `AsyncContext`: calls of steps, their documents, the remaining time."""

import logging
import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Hashable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, Generic, NamedTuple, NoReturn, TypeVar

from atomic.sdk._calls.call import Call, joined_url
from atomic.sdk._calls.hooks import NO_OBSERVERS, Observers
from atomic.sdk._calls.identity import (
    OpenedEvents,
    Position,
    Scope,
    name_text,
    step_id,
    step_key,
)
from atomic.sdk._calls.logs import WorkflowLogger
from atomic.sdk._calls.results import Results, ResultsQuery, read_results, steps_path
from atomic.sdk._calls.served import NO_NAMES, Function, Names, Served
from atomic.sdk._wire import api
from atomic.sdk._wire.codecs import PLAIN, Coder
from atomic.sdk._wire.encodings import first_accepted
from atomic.sdk._wire.in_process import clock
from atomic.sdk._wire.moments import Pause
from atomic.sdk._wire.suspension import Suspended
from atomic.sdk._wire.transport import Flow, HttpResponse
from atomic.sdk._wire.values import UNDECLARED, ValueType, jsonable, value_type
from atomic.sdk.async_client import AsyncClient
from atomic.sdk.client import Client
from atomic.sdk.errors import (
    AtomicError,
    CancelledError,
    EventTimeoutError,
    InvalidRequestError,
    NonRetryable,
    NotFinishedError,
    StepFailedError,
    TooDeepError,
    TooLargeError,
    UrlNotAllowedError,
)
from atomic.sdk.retry import Seconds, milliseconds

_log: Final = logging.getLogger("atomic.sdk")
# A server returns the outcome of a finished step, however short the wait is.
LOOK_S: Final = 0.001
# Errors that are the outcome of a step, so handlers may catch them. All others come from the server or the
# network, or from a handler that changed between replays. A replay may not meet them, so they suspend.
_REFUSALS: Final = (InvalidRequestError, TooDeepError, TooLargeError, UrlNotAllowedError)
_OUTCOMES: Final = (StepFailedError, CancelledError, *_REFUSALS)
_LATE_CALLS_MAX: Final = 100
# The pause between the calls of a handler that does not stop when it is suspended.
LOOP_PAUSE_S: Final = 1.0

# Means that a call has no default. None is a valid default.
NO_DEFAULT: Final[Any] = object()

T = TypeVar("T")
CallResult = TypeVar("CallResult", covariant=True)
PlainFunction = Callable[..., T]
AsyncFunction = Callable[..., Coroutine[Any, Any, T]]
Step = str | Function


class CallOptions(api.StepOptions, total=False):
    """Options of a step that a handler calls. `timeout` is how long the handler waits for it.

    `name` is its name for people. Calls of the same URL with different names are different steps.

    Calls of the same URL are numbered in order, and each call is another step. `key` replaces this number.
    Calls with the same URL and the same key are numbered among themselves.
    """

    timeout: Seconds
    key: api.Key | None
    name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCall(Generic[CallResult]):
    """A step with its identity. The handler waits at most `timeout_s` for it (None: its remaining time).

    `name` is its name in messages. `changes_live`: this call may add something to a live step.
    `default` is the result of an event whose deadline is over, unless it is NO_DEFAULT. `coder` reads the
    response, which the step `answered_by` has made; what the SDK records for itself is plain. `older` are
    the encodings of the payload by older keys.
    """

    id: str
    name: str
    document: dict[str, Any]
    result: ValueType = UNDECLARED
    timeout_s: float | None = None
    changes_live: bool = False
    default: Any = NO_DEFAULT
    coder: Coder = PLAIN
    answered_by: str
    older: Iterable[Any] = ()

    def documents(self) -> Iterator[dict[str, Any]]:
        """What is posted, and then the same with older encodings of the payload."""
        yield self.document
        for payload in self.older:
            yield {**self.document, "payload": payload}

    @property
    def title(self) -> str:
        """The step's kind and name, for people."""
        kind = self.document.get("kind", "step")
        if kind == "timer":
            return "sleep" if self.name == "sleep" else f"sleep {self.name!r}"
        return f"{kind} {self.name!r}"

    def waited_for(self, timeout_s: float) -> "StepCall[CallResult]":
        """The same call, with a wait of at most `timeout_s`."""
        known_s = math.inf if self.timeout_s is None else self.timeout_s
        return replace(self, timeout_s=min(timeout_s, known_s))

    def result_of(self, outcome: api.Outcome) -> CallResult:
        """What the call returns: the response as the requested type, or the default of an expired event.

        Raises StepFailedError, and SerializationError when the response does not fit the type.
        """
        if self.default is not NO_DEFAULT and isinstance(outcome.error, EventTimeoutError):
            expired: CallResult = self.default
            return expired
        what, kind = f"the result of step {self.name!r}", self.document.get("kind", "step")
        made_by = outcome.continued_as or self.answered_by
        value: CallResult = self.result.read(
            self.coder.read_result(outcome.unwrap(), made_by, kind, what), what
        )
        return value


class RunningValue(NamedTuple):
    """The function of a value while it runs, and the context whose value it is."""

    owner: "BaseContext"
    name: str


running_value: Final[ContextVar[RunningValue | None]] = ContextVar("atomic_running_value", default=None)


class BaseContext(ABC):
    """A handler's view of its run. `wait_s` is how long one call of the handler waits for its steps.

    `names` are the names of the functions that are served beside it; `build` is that of the application;
    `observers` are its hooks, and `coder` encodes its values.
    """

    def __init__(
        self,
        call: Call,
        client: Client | AsyncClient,
        wait_s: float,
        names: Names = NO_NAMES,
        build: str = "",
        observers: Observers = NO_OBSERVERS,
        coder: Coder = PLAIN,
    ) -> None:
        self._call = call
        self._coder = coder
        self._names = names
        self._observers = observers
        self.run_id = call.run_id
        self.step_id = call.step_id
        self.workflow_name = call.workflow_name
        self.idempotency_key = call.idempotency_key
        self.attempt = call.attempt
        self._client = client
        self._path = steps_path(client.connection, call, build, observers.trace_of(call))
        self._query: ResultsQuery | None = None
        if call.attempt > 1 and call.attempt_token:
            self._query = ResultsQuery(client.client_id, call.run_id, call.step_id, call.attempt_token)
        # What earlier attempts posted: nothing before the second one; None until it is read.
        self._results: Results | None = Results() if call.attempt == 1 else None
        # Whether the handler has done something that no earlier attempt did.
        self._is_past = call.attempt == 1
        self._wait_s = wait_s
        self._wait_by(clock())
        self._root = Scope()
        # The handler may have threads.
        self._lock = threading.RLock()
        self._events = OpenedEvents()
        # The steps that were called and have no outcome yet, with the branch of a batch that called each.
        self._open: dict[str, object] = {}
        self._fetched: set[str] = set()  # steps that had ended before; their outcomes are to come
        # Whether there may be live steps that the handler does not wait for.
        self._has_left = False
        self._late_calls = 0

    def _wait_by(self, now_s: Callable[[], float]) -> None:
        """Start the time for waiting now, by this clock."""
        self._now_s = now_s
        self._until_s = now_s() + self._wait_s

    @property
    def unfinished(self) -> list[str]:
        """The ids of the steps that were called and have no outcome yet."""
        return list(self._open)

    @property
    def unused_results(self) -> int:
        """The number of known steps of earlier attempts that this attempt has not asked for."""
        return 0 if self._results is None else self._results.unused

    @property
    def is_replaying(self) -> bool:
        """Whether an earlier attempt of the handler has run the code from here on, as far as is known.

        It has, when it posted a step for which this attempt has not asked yet.
        """
        known = self._known_now()
        self._is_past = self._is_past or (known is not None and not known.is_ahead)
        return self._is_behind()

    @cached_property
    def logger(self) -> WorkflowLogger:
        """The logger `atomic.workflow`, which is silent in a replay. Its records have the run's ids."""
        return WorkflowLogger(self._call, is_silent=lambda: self._has_stopped() or self.is_replaying)

    def _is_behind(self) -> bool:
        return not self._is_past

    @abstractmethod
    def _known_now(self) -> Results | None:
        """The results of earlier attempts, which a `def` handler reads if necessary; None if not known."""

    @abstractmethod
    def _has_stopped(self) -> bool:
        """Whether the handler, or the branch that calls this, is suspended."""

    def _plan(
        self, step: Step, payload: Any, options: CallOptions, result: Any = None, scope: Scope | None = None
    ) -> StepCall[Any]:
        api.check_options(options, CallOptions)
        name, returns, written = self._written(step, payload)
        url = joined_url(self._call.url, name)
        key, given = options.get("key"), name_text(options.get("name"))
        # A URL has no spaces, so no URL equals this text.
        called = f"{url} {given}" if given else url
        position = self._position(called, None if key is None else api.key_text(key), scope)
        own_key = step_key(self.idempotency_key, position)
        document = api.start_document(self.workflow_name, url, written, key=own_key, options=options)
        if given:
            name = document["stepName"] = given
        timeout_s = milliseconds("timeout", options["timeout"]) / 1000 if "timeout" in options else None
        returns = returns if result is None else value_type(result)
        return self._step_call(name, document, result=returns, timeout_s=timeout_s)

    def _written(self, step: str | Function, payload: Any) -> tuple[str, ValueType, Any]:
        """The name of a step, what it returns, and its payload as JSON values."""
        if isinstance(step, str):
            return step, UNDECLARED, jsonable(payload, f"the payload of step {step!r}")
        served = self._served(step)
        return served.name, served.returns, served.written(payload)

    def _plan_sleep(self, pause: Pause, name: str | None = None) -> StepCall[None]:
        name = name_text(name) or "sleep"
        document: dict[str, Any] = {
            "workflowName": self.workflow_name,
            "kind": "timer",
            "stepName": name,
            "idempotencyKey": step_key(self.idempotency_key, self._position(f"timer {name}")),
            **pause.member,
        }
        # Waiting is useless for a timer that outlasts this attempt.
        is_long = pause.seconds > self._left_s()
        return self._step_call(name, document, timeout_s=0.0 if is_long else None)

    def _step_call(
        self,
        name: str,
        document: dict[str, Any],
        *,
        result: ValueType = UNDECLARED,
        timeout_s: float | None = None,
        root_id: str | None = None,
        coder: Coder | None = None,
    ) -> StepCall[Any]:
        """The call of a step. If it starts a run, `root_id` gets the payload and makes the response."""
        if (running := running_value.get()) is not None and running.owner is self:
            self._refuse(
                f"The function of value {running.name!r} calls {name!r}: it runs again when its attempt "
                "dies, so let the handler call steps, before or after it."
            )
        posted = {**document, "parent": self.step_id}
        step_call_id = step_id(self._client.client_id, self.run_id, posted)
        answered_by = root_id or step_call_id
        older: Iterable[Any] = ()
        if "stepInvokeUrl" in posted:
            payload = self._coder.payload(posted["payload"], answered_by, f"the payload of step {name!r}")
            posted["payload"], older = payload.newest, payload.older
        return StepCall(
            id=step_call_id,
            name=name,
            document=posted,
            result=result,
            timeout_s=timeout_s,
            coder=coder or self._coder,
            answered_by=answered_by,
            older=older,
        )

    def _serves(self, function: Function) -> bool:
        """Whether a function is served beside this workflow. If not, it may run in the handler."""
        return isinstance(function, Hashable) and function in self._names

    def _served(self, function: Function) -> Served:
        try:
            return self._names[function]
        except (KeyError, TypeError):
            raise LookupError(f"{function!r} is not served beside this workflow: give its URL") from None

    def _scope(self) -> Scope:
        """The scope of the branch that makes a call."""
        return self._root

    def _position(self, step: str, key: str | None = None, scope: Scope | None = None) -> Position:
        with self._lock:
            return (scope or self._scope()).position(step, key)

    def _left_s(self) -> float:
        return self._until_s - self._now_s()

    def _beginning(self, step_call: StepCall[Any]) -> Flow[HttpResponse]:
        """Post a call without waiting for its outcome."""
        patience_s = min(self._client.patience_s, max(LOOK_S, self._left_s()))
        return first_accepted(step_call.documents(), lambda each: api.begin(self._path, each, patience_s))

    def _flow(self, step_call: StepCall[Any]) -> Flow[api.Outcome]:
        left_s = max(LOOK_S, self._left_s())
        wait_s = left_s if step_call.timeout_s is None else min(step_call.timeout_s, left_s)
        limits = {"wait_s": max(LOOK_S, wait_s), "patience_s": min(self._client.patience_s, left_s)}
        return first_accepted(step_call.documents(), lambda each: api.step_once(self._path, each, **limits))

    def _earlier(self, results: Results, step_call: StepCall[Any]) -> api.Outcome | None:
        return results.outcome(step_call.id, step_call.documents(), changes_live=step_call.changes_live)

    def _reading(self) -> Flow[Results]:
        return read_results(self._query, self._client.patience_s)

    @contextmanager
    def _called(self, step_call: StepCall[Any]) -> Iterator[None]:
        """Wrap a post. Raises Suspended for a live step, and for an error that is not an outcome."""
        self._open[step_call.id] = self._owner(step_call.id)
        try:
            yield
        except NotFinishedError:
            raise Suspended from None
        except AtomicError as error:
            if not isinstance(error, _OUTCOMES):
                raise Suspended(error) from None
            self._open.pop(step_call.id, None)
            raise
        except BaseException:
            self._leave([step_call.id])
            raise
        self._open.pop(step_call.id, None)

    def _owner(self, _step_id: str) -> object:
        """The branch of a batch that calls a step; None outside of batches."""
        return None

    def _leave(self, step_ids: Iterable[str]) -> None:
        """Note that the handler does not wait for these steps any more. They may be live."""
        for left in step_ids:
            self._open.pop(left, None)
            self._has_left = True

    def _refuse(self, why: str) -> NoReturn:
        """Fail the workflow without a retry, even when its code catches the error."""
        error = NonRetryable(why)
        self._suspend(error)
        raise error

    @abstractmethod
    def _suspend(self, cause: Exception | None) -> None:
        """End the handler for this cause, even if its code goes on. None: steps are not finished."""

    def _came_late(self) -> bool:
        """Count a call after the handler's end. Returns whether so many must be a loop."""
        self._late_calls += 1
        if self._late_calls == _LATE_CALLS_MAX:
            _log.error(
                "workflow %r of run %s calls steps again and again after its end: let BaseException pass",
                self.workflow_name,
                self.run_id,
            )
        return self._late_calls >= _LATE_CALLS_MAX
