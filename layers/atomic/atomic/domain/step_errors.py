"""Why an attempt or a step did not succeed. This is data that rows keep, not an exception.

What Atomic found and what the endpoint said are kept apart: the excerpt belongs to the client and may be
hidden. The sentence that people read is composed here and nowhere else.
"""

from dataclasses import dataclass, replace
from typing import Final

from atomic.protocol import failures, headers
from atomic.protocol.error_kinds import ErrorKind

_NOT_CALLED: Final = "not called yet: {}"
_NETWORK: Final = "network: {}"
_SENTENCES: Final[dict[ErrorKind, str]] = {
    ErrorKind.ENDPOINT_ANSWERED: "the endpoint answered {}",
    ErrorKind.FORBADE_RETRY: "the endpoint answered {} and forbade a retry",
    ErrorKind.REDIRECT_REFUSED: "the endpoint answered {}, and no redirect is followed",
    ErrorKind.RESPONSE_TOO_LARGE: "response_too_large: the body is over {} bytes; store it and answer "
    "with a reference",
    ErrorKind.RESPONSE_NOT_STORABLE: "response_not_storable: {}",
    ErrorKind.WAITED_FOR_NOTHING: f"{headers.WAITING_FOR} named no step of this client that is still to "
    "settle",
    ErrorKind.UNKNOWN_WAKE: f"{headers.WAKE} may be any, all or settled, and not {{}}",
    ErrorKind.TIMED_OUT: "timeout: no whole answer within {} ms",
    ErrorKind.CONNECTION_TIMED_OUT: "timeout: no connection within {} ms",
    ErrorKind.NETWORK: _NETWORK,
    ErrorKind.ADDRESS_NOT_ALLOWED: _NETWORK,
    ErrorKind.NO_ANSWER: "no answer",
    ErrorKind.LOST: "no process was left to record the answer",
    ErrorKind.CLIENT_MAY_NOT_CALL: "the client may not call this URL any more; have it added, and redrive",
    ErrorKind.CANCELLED_BEFORE_CALL: "cancelled before the endpoint was called",
    ErrorKind.CIRCUIT_OPEN: _NOT_CALLED,
    ErrorKind.TOO_MANY_CONNECTIONS: "not called yet: too many connections are being opened there",
    ErrorKind.RESOURCES_EXHAUSTED: _NOT_CALLED,
    ErrorKind.STORE_UNAVAILABLE: "not called yet: its client or its run cannot be read",
    ErrorKind.LOST_TOO_OFTEN: "{} attempts in a row ended without a recorded answer",
    ErrorKind.DEADLINE_OVER: "the deadline of {} ms is over",
    ErrorKind.NO_TIME_LEFT: "no time for another attempt within the deadline of {} ms",
    ErrorKind.EVENT_EXPIRED: "the event was not completed within {} ms",
    ErrorKind.CANCELLED: "cancelled",
    ErrorKind.STEP_CANCELLED: "cancelled by itself, or with a step above it",
    ErrorKind.RUN_ENDED: "its run has ended",
    ErrorKind.RUN_GONE: "its run is gone",
}


@dataclass(frozen=True, slots=True)
class StepError:
    """An error as it is kept.

    `detail` fills the sentence of the kind: the endpoint's status, a number of milliseconds or bytes, or a
    few words of Atomic's own. `excerpt` is the beginning of what the endpoint said. `last` is the error of
    the last attempt, where the step ended for another reason.
    """

    kind: ErrorKind
    detail: str = ""
    excerpt: str = ""
    last: "StepError | None" = None

    def __str__(self) -> str:
        """The sentence for people: what Atomic found, then what the endpoint said."""
        sentence = failures.with_excerpt(_SENTENCES[self.kind].format(self.detail), self.excerpt)
        return sentence if self.last is None else f"{sentence}; last: {self.last}"

    @property
    def said(self) -> str:
        """What the endpoint said; empty where it said nothing, or where that is hidden."""
        return self.excerpt or (self.last.said if self.last else "")

    def without_excerpt(self) -> "StepError":
        """The error without anything that the endpoint said."""
        return replace(self, excerpt="", last=self.last and self.last.without_excerpt())


CANCELLED: Final = StepError(ErrorKind.CANCELLED)
STEP_CANCELLED: Final = StepError(ErrorKind.STEP_CANCELLED)


def is_step_cancelled(error: StepError | None) -> bool:
    """Whether a step was cancelled without its run."""
    return error is not None and error.kind is ErrorKind.STEP_CANCELLED


def sentence_of(error: StepError | None) -> str | None:
    """The sentence for people, where there is an error."""
    return None if error is None else str(error)


def timed_out(error: StepError | None) -> bool:
    """Whether the endpoint was called and did not answer within the attempt's time."""
    return error is not None and error.kind is ErrorKind.TIMED_OUT
