"""All errors of the SDK. The docstring of an error is the second half of its message: what to do.

AtomicError
├── NoAnswerError            no answer within the client's patience
├── NotFinishedError         the caller's own limit is over; the step goes on          (504, 202)
├── StepFailedError          the step failed                                          (424)
│   ├── StartExpiredError    its first attempt had not begun by its `start_by`          (424)
│   ├── EventTimeoutError    the event was not completed before its deadline           (424)
│   │   └── HeartbeatMissedError  no heartbeat of the event came in time               (424)
│   ├── EventRejectedError   somebody rejected the event                               (424)
│   └── RunFailedError       the run that the call has started failed                  (424)
│       ├── RunDiffersError  a run with this key exists, with another payload or URL   (422)
│       └── RunCycleError    that run waits for this one                               (409)
├── CancelledError           the step or its run was cancelled                         (409)
│   ├── StepCancelledError   the step was cancelled, and not its run                   (409)
│   └── RunCancelledError    the run is cancelled gracefully, and the handler may undo what it did
├── ConditionNotMetError     `ctx.until` ended without it: its deadline or its attempts are over
├── SagaFailedError          a saga was undone, but not wholly, or by an earlier attempt
├── SerializationError       a value would not come back from JSON unchanged
├── DecodingError            the codec cannot read a value
│   └── UnknownKeyError      it is encrypted with a key that this program does not have
└── RefusedError             the API refused the request
    ├── InvalidRequestError  (400)     ├── TooLargeError         (413)
    ├── UnauthorizedError    (401)     ├── PayloadMismatchError  (422)
    ├── UrlNotAllowedError   (403)     ├── TooManyRequestsError  (429)
    ├── NotFoundError        (404)     ├── NotAnOpenEventError   (409)
    ├── TooDeepError         (409)     ├── NotRedrivableError    (409)
    ├── RunExistsError       (409)     ├── AttemptOverError      (409)
    ├── BusyError            (409)     └── UnavailableError      (5xx)

NonRetryable, RetryAfter     raised by you, in an endpoint
"""

import inspect
import math
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, ClassVar, Final

from atomic.protocol import failures, problems
from atomic.protocol.error_kinds import ErrorKind


class AtomicError(Exception):
    """Something went wrong between this program and Atomic."""

    # A stable name for programs; for a refusal of the API, the name of the problem type.
    code: str = "error"
    # Whether calling the handler again is useless: such an error fails a workflow without a retry.
    is_permanent: ClassVar[bool] = False

    def __init__(self, detail: str = "", *, cure: str = "") -> None:
        cure = cure or " ".join(inspect.cleandoc(type(self).__doc__ or "").split())
        # Some details are sentences, and some are a validator's messages without a full stop.
        stop = "." if cure and detail and detail[-1] not in ".!?…" else ""
        super().__init__(f"{detail}{stop} {cure}".strip())
        self.detail = detail
        # Shown below the message in a traceback, and no part of it.
        self.add_note(f"See {self.help} in the documentation of Atomic.")

    @property
    def help(self) -> str:
        """The part of the documentation about errors with this code."""
        return f"troubleshooting.md#{self.code}"


class NoAnswerError(AtomicError):
    """Check ATOMIC_URL, and that the server runs (`atomic doctor` tells).
    Posting again with the same key is safe."""

    code = "no-answer"


class NotFinishedError(AtomicError):
    """The step goes on. To get its outcome, make the same start again with the same key."""

    code = "not-finished"

    def __init__(self, detail: str = "", *, step_id: str | None = None) -> None:
        super().__init__(detail)
        self.step_id = step_id


class StepFailedError(AtomicError):
    """The step is a dead letter: fix its endpoint and redrive it, or catch this and go on without it."""

    code = "step-failed"
    is_permanent = True

    def __init__(self, detail: str = "", *, members: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail)
        known = self.problem = dict(members or {})
        self.step_id: str | None = known.get("id")
        self.step: str | None = known.get("stepName") or known.get("stepInvokeUrl")
        self.last_status: int | None = known.get("lastStatus")
        self.last_error: str | None = known.get("lastError")
        # The reason, for programs: one of the kinds of docs/errors.md.
        self.last_error_kind: str | None = known.get("lastErrorKind")
        # The name of the exception that the endpoint raised, if it said so.
        self.last_error_type: str | None = known.get("lastErrorType")
        self.attempts: int | None = known.get("attempts")
        # The reason, with the endpoint's own text if it gave one; for nested steps, the innermost reason.
        self.reason = _reason(known)
        # The last answer of the endpoint; without an answer, an object with the reason as its `detail`.
        self.response: Any = known.get("response")
        if self.response is None:
            self.response = {"detail": self.reason}
        self.finished_at: str | None = known.get("finishedAt")


class StartExpiredError(StepFailedError):
    """The step was not called: start it again with a new key, redrive it, or catch this and go on."""

    code = "start-expired"


class EventTimeoutError(StepFailedError):
    """The event was not completed before its deadline: catch this to go on without it."""

    code = "event-expired"


class HeartbeatMissedError(EventTimeoutError):
    """No heartbeat of the event came in time, so nobody seems to be at work on it."""

    code = "heartbeat-missed"


class EventRejectedError(StepFailedError):
    """Somebody rejected the event: catch this to go on without it. `response` is what they sent."""

    code = "event-rejected"


class RunFailedError(StepFailedError):
    """`run_id` is the run: fix its endpoint and redrive its dead letter, or catch this and go on."""

    code = "run-failed"

    def __init__(self, detail: str = "", *, members: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail, members=members)
        self.run_id: str | None = self.problem.get("childRunId")


class RunDiffersError(RunFailedError):
    """Start another run, under another `key`."""

    code = "run-differs"


class RunCycleError(RunFailedError):
    """Start it with `detached=True`: then nothing waits for it."""

    code = "run-cycle"


class CancelledError(AtomicError):
    """The run was cancelled and takes no more steps. To run it again, start it with a new key."""

    code = "cancelled"
    is_permanent = True


class StepCancelledError(CancelledError):
    """The step was cancelled, and its run goes on: catch this to go on without the step."""

    code = "step-cancelled"


class RunCancelledError(CancelledError):
    """The run is cancelled, and the handler may still undo what it did: catch this, undo, and raise it, as
    `ctx.saga()` does."""

    code = "run-cancelled"


class ConditionNotMetError(AtomicError):
    """What `ctx.until` waits for did not come about in time: catch this to go on without it."""

    code = "condition-not-met"
    is_permanent = True

    def __init__(self, detail: str = "", *, attempts: int = 0, state: Any = None) -> None:
        super().__init__(detail)
        # How often it was checked, and what the last check found.
        self.attempts = attempts
        self.state = state


class SagaFailedError(AtomicError):
    """What was called is undone, except where an undo failed: those are dead letters. To run the workflow
    again, start it with a new key."""

    code = "saga-failed"
    is_permanent = True

    def __init__(self, detail: str = "", *, because: str = "", errors: Iterable[Exception] = ()) -> None:
        self.errors = list(errors)
        # The error that ended the block of the saga, as it was recorded.
        self.because = because
        super().__init__(detail + "".join(f" An undo failed: {error}" for error in self.errors))


class SerializationError(AtomicError, ValueError):
    """Values are sent as JSON: declare a type that pydantic reads back from it (a model, a dataclass,
    `list[UUID]`), or send another form of the value (text, numbers, a reference)."""

    code = "not-serializable"
    is_permanent = True


class DecodingError(AtomicError):
    """Give this program the codec, and the keys, that the value was encoded with."""

    code = "not-decodable"


class UnknownKeyError(DecodingError):
    """Give this program that key as well, after the one that it writes with, and keep a key for as long as
    a value is kept that was written with it."""

    code = "unknown-key"

    def __init__(self, detail: str = "", *, key_id: str = "") -> None:
        super().__init__(detail)
        self.key_id = key_id


class RefusedError(AtomicError):
    """The API refused the request."""

    code = "refused"

    def __init__(
        self,
        detail: str = "",
        *,
        status: int = 0,
        problem: Mapping[str, Any] | None = None,
        retry_after: str = "",
        cure: str = "",
    ) -> None:
        self.problem = dict(problem or {})
        # There may be problem types without a class.
        if name := problems.name_of(self.problem):
            self.code = name
        super().__init__(detail, cure=cure)
        self.status = status
        # The header `Retry-After`; empty when there was none.
        self.retry_after = retry_after


class InvalidRequestError(RefusedError, ValueError):
    """Change the fields that the message names."""

    code = "invalid-request"
    is_permanent = True


class UnauthorizedError(RefusedError):
    """Set ATOMIC_API_KEY to a live key of this client."""

    code = "unauthorized"


class UrlNotAllowedError(RefusedError):
    """`atomic clients base-urls` and the operator's API set the allowed URLs."""

    code = "url-not-allowed"
    is_permanent = True


class NotFoundError(RefusedError):
    """ATOMIC_CLIENT_ID names the client."""

    code = "not-found"
    is_permanent = True


class NotAnOpenEventError(RefusedError):
    """Only an event that is still open takes a result."""

    code = "not-an-open-event"
    is_permanent = True


class AttemptOverError(RefusedError):
    """Its attempt has ended without this answer, which is noted: drop it."""

    code = "attempt-over"
    is_permanent = True


class NotRedrivableError(RefusedError):
    """Only a dead letter that its run still needs can be redriven."""

    code = "not-redrivable"
    is_permanent = True


class RunExistsError(RefusedError):
    """Give `ctx.continue_as` another `key`."""

    code = "run-exists"
    is_permanent = True


class BusyError(RefusedError):
    """Another run has the key of the singleton; the members `runId` and `id` of the problem say which."""

    code = "busy"


class TooDeepError(RefusedError):
    """A run that starts itself must end some time; for a loop without end, use `ctx.continue_as`."""

    code = "too-deep"
    is_permanent = True


class TooLargeError(RefusedError):
    """2 MiB is the limit of a payload, and of an answer."""

    code = "too-large"
    is_permanent = True


class PayloadMismatchError(RefusedError):
    """A workflow must post the same payloads in each replay: get times, random values and outside data from
    steps, and give each call a `key=` where their order may change (as_completed, sets, threads). A codec
    must encode equal payloads equally."""

    code = "payload-mismatch"
    is_permanent = True


class TooManyRequestsError(RefusedError):
    """Start fewer steps at a time, or ask the operator for a higher limit."""

    code = "too-many-requests"


class UnavailableError(RefusedError):
    """The server cannot answer right now; posting again with the same key is safe."""

    code = "unavailable"


# Refusals that are told apart by their code, and not by the status alone.
REFUSALS: Final[tuple[type[RefusedError], ...]] = (
    AttemptOverError,
    BusyError,
    NotAnOpenEventError,
    NotRedrivableError,
    RunExistsError,
    TooDeepError,
    UrlNotAllowedError,
)


class NonRetryable(Exception):
    """Raise it in an endpoint when another attempt would be useless: the step fails at once."""

    code: ClassVar[str] = "non-retryable"


class RetryAfter(Exception):
    """Raise it in an endpoint to be called again after so many seconds (or a timedelta) at the earliest.

    The longest delay is one day. A negative one counts as 0.
    """

    code: ClassVar[str] = "retry-after"

    def __init__(self, seconds: float | timedelta, message: str = "not yet") -> None:
        super().__init__(message)
        given = seconds.total_seconds() if isinstance(seconds, timedelta) else float(seconds)
        if not math.isfinite(given):
            raise ValueError(f"RetryAfter({seconds}): give a delay; to end the retries, raise NonRetryable")
        self.seconds = max(given, 0.0)


# The classes of errors by what failed.
FAILURES: Final[dict[str, type[StepFailedError]]] = {
    ErrorKind.START_EXPIRED: StartExpiredError,
    ErrorKind.EVENT_EXPIRED: EventTimeoutError,
    ErrorKind.HEARTBEAT_MISSED: HeartbeatMissedError,
    ErrorKind.EVENT_REJECTED: EventRejectedError,
    ErrorKind.CHILD_FAILED: RunFailedError,
    ErrorKind.CHILD_GONE: RunFailedError,
    ErrorKind.CHILD_DIFFERS: RunDiffersError,
    ErrorKind.RUN_CYCLE: RunCycleError,
}


def _reason(problem: Mapping[str, Any]) -> str:
    response = problem.get("response")
    said = response.get("detail") if isinstance(response, dict) else None
    return said if isinstance(said, str) and said else failures.reason(problem)
