"""Why an attempt or a step did not succeed: stable names for programs. `docs/errors.md` has the table."""

from enum import StrEnum


class ErrorKind(StrEnum):
    """What Atomic found. Rows, documents and log lines hold it; sentences are for people only."""

    # What the endpoint answered.
    ENDPOINT_ANSWERED = "endpoint_answered"
    FORBADE_RETRY = "forbade_retry"
    REDIRECT_REFUSED = "redirect_refused"
    RESPONSE_TOO_LARGE = "response_too_large"
    RESPONSE_NOT_STORABLE = "response_not_storable"
    WAITED_FOR_NOTHING = "waited_for_nothing"
    UNKNOWN_WAKE = "unknown_wake"
    INVALID_ANSWER_WITHIN = "invalid_answer_within"
    INVALID_CONTINUE_AS = "invalid_continue_as"
    # No whole answer came.
    TIMED_OUT = "timed_out"
    CONNECTION_TIMED_OUT = "connection_timed_out"
    NETWORK = "network"
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
    EVENT_EXPIRED = "event_expired"
    HEARTBEAT_MISSED = "heartbeat_missed"
    EVENT_REJECTED = "event_rejected"
    CANCELLED = "cancelled"
    STEP_CANCELLED = "step_cancelled"
    RUN_ENDED = "run_ended"
    RUN_GONE = "run_gone"
    # Of a link: the run that it starts, and waits for.
    CHILD_FAILED = "child_failed"
    CHILD_CANCELLED = "child_cancelled"
    CHILD_DIFFERS = "child_differs"
    CHILD_GONE = "child_gone"
    RUN_CYCLE = "run_cycle"
    START_REFUSED = "start_refused"
