"""Why an attempt or a step did not succeed: stable names for programs, and the sentence of each for people.

`docs/errors.md` has the table.
"""

from enum import StrEnum
from typing import Final

from atomic.protocol import headers
from atomic.protocol.constants import DURATION_MAX_MS


class ErrorKind(StrEnum):
    """What Atomic found. Rows, documents and log lines hold it; sentences are for people only."""

    # What the endpoint answered.
    ENDPOINT_ANSWERED = "endpoint_answered"
    FORBADE_RETRY = "forbade_retry"
    REDIRECT_REFUSED = "redirect_refused"
    RESPONSE_TOO_LARGE = "response_too_large"
    RESPONSE_NOT_STORABLE = "response_not_storable"
    FUNCTION_FAILED = "function_failed"
    WAITED_FOR_NOTHING = "waited_for_nothing"
    UNKNOWN_WAKE = "unknown_wake"
    INVALID_ANSWER_WITHIN = "invalid_answer_within"
    INVALID_CONTINUE_AS = "invalid_continue_as"
    # No whole answer came.
    TIMED_OUT = "timed_out"
    CONNECTION_TIMED_OUT = "connection_timed_out"
    NETWORK = "network"
    LAMBDA_REFUSED = "lambda_refused"
    ADDRESS_NOT_ALLOWED = "address_not_allowed"
    NO_ANSWER = "no_answer"
    ANSWER_OVERDUE = "answer_overdue"
    LOST = "lost"
    # The endpoint was not called.
    CLIENT_MAY_NOT_CALL = "client_may_not_call"
    CANCELLED_BEFORE_CALL = "cancelled_before_call"
    # It was not called yet, for a reason of Atomic's own: the step is deferred.
    CIRCUIT_OPEN = "circuit_open"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    RESOURCES_EXHAUSTED = "resources_exhausted"
    STORE_UNAVAILABLE = "store_unavailable"
    # The end of a step beside that of an attempt.
    LOST_TOO_OFTEN = "lost_too_often"
    DEADLINE_OVER = "deadline_over"
    NO_TIME_LEFT = "no_time_left"
    START_EXPIRED = "start_expired"
    EVENT_EXPIRED = "event_expired"
    HEARTBEAT_MISSED = "heartbeat_missed"
    EVENT_REJECTED = "event_rejected"
    CANCELLED = "cancelled"
    STEP_CANCELLED = "step_cancelled"
    SUPERSEDED = "superseded"
    RUN_ENDED = "run_ended"
    RUN_GONE = "run_gone"
    # Of a link: the run that it starts, and waits for.
    CHILD_FAILED = "child_failed"
    CHILD_CANCELLED = "child_cancelled"
    CHILD_DIFFERS = "child_differs"
    CHILD_GONE = "child_gone"
    RUN_CYCLE = "run_cycle"
    CHILD_BUSY = "child_busy"
    START_REFUSED = "start_refused"


_NOT_CALLED: Final = "not called yet: {}"
_NETWORK: Final = "network: {}"
# What Atomic says of an error of each kind; `{}` is its detail.
SENTENCES: Final[dict[ErrorKind, str]] = {
    ErrorKind.ENDPOINT_ANSWERED: "the endpoint answered {}",
    ErrorKind.FORBADE_RETRY: "the endpoint answered {} and forbade a retry",
    ErrorKind.REDIRECT_REFUSED: "the endpoint answered {}, and no redirect is followed",
    ErrorKind.RESPONSE_TOO_LARGE: "response_too_large: the body is over {} bytes; store it and answer "
    "with a reference",
    ErrorKind.RESPONSE_NOT_STORABLE: "response_not_storable: {}",
    ErrorKind.FUNCTION_FAILED: "the function failed",
    ErrorKind.WAITED_FOR_NOTHING: f"{headers.WAITING_FOR} named no step of this client that is still to "
    "settle",
    ErrorKind.UNKNOWN_WAKE: f"{headers.WAKE} may be any, all or settled, and not {{}}",
    ErrorKind.INVALID_ANSWER_WITHIN: f"{headers.ANSWER_WITHIN} takes 1 to {DURATION_MAX_MS} milliseconds, "
    f"without {headers.WAITING_FOR}, and not {{}}",
    ErrorKind.INVALID_CONTINUE_AS: f"{headers.CONTINUE_AS}: {{}}",
    ErrorKind.ANSWER_OVERDUE: "timeout: no answer was posted within {} ms",
    ErrorKind.TIMED_OUT: "timeout: no whole answer within {} ms",
    ErrorKind.CONNECTION_TIMED_OUT: "timeout: no connection within {} ms",
    ErrorKind.NETWORK: _NETWORK,
    ErrorKind.LAMBDA_REFUSED: "Lambda answered {}",
    ErrorKind.ADDRESS_NOT_ALLOWED: _NETWORK,
    ErrorKind.NO_ANSWER: "no answer",
    ErrorKind.LOST: "no process was left to record the answer",
    ErrorKind.CLIENT_MAY_NOT_CALL: "the client may not call this URL any more; have it added, and redrive",
    ErrorKind.CANCELLED_BEFORE_CALL: "cancelled before the endpoint was called",
    ErrorKind.CIRCUIT_OPEN: _NOT_CALLED,
    ErrorKind.TOO_MANY_CONNECTIONS: "not called yet: too many connections are being opened there",
    ErrorKind.RESOURCES_EXHAUSTED: _NOT_CALLED,
    ErrorKind.STORE_UNAVAILABLE: "not called yet: its client, its run or its payload cannot be read",
    ErrorKind.LOST_TOO_OFTEN: "{} attempts in a row ended without a recorded answer",
    ErrorKind.DEADLINE_OVER: "the deadline of {} ms is over",
    ErrorKind.NO_TIME_LEFT: "no time for another attempt within the deadline of {} ms",
    ErrorKind.START_EXPIRED: "its first attempt had not begun by {}",
    ErrorKind.EVENT_EXPIRED: "the event was not completed within {} ms",
    ErrorKind.HEARTBEAT_MISSED: "no heartbeat of the event came within {} ms",
    ErrorKind.EVENT_REJECTED: "the event was rejected",
    ErrorKind.CANCELLED: "cancelled",
    ErrorKind.STEP_CANCELLED: "cancelled by itself, or with a step above it",
    ErrorKind.SUPERSEDED: "superseded by the run {}",
    ErrorKind.RUN_ENDED: "its run has ended",
    ErrorKind.RUN_GONE: "its run is gone",
    ErrorKind.CHILD_FAILED: "the run {} failed",
    ErrorKind.CHILD_CANCELLED: "the run {} was cancelled",
    ErrorKind.CHILD_DIFFERS: "the run {} exists with another payload or URL",
    ErrorKind.CHILD_GONE: "the run {} is forgotten",
    ErrorKind.RUN_CYCLE: "the run {} waits for this one",
    ErrorKind.CHILD_BUSY: "the run {} has the key of its singleton",
    ErrorKind.START_REFUSED: "its run is not started yet: {}",
}
