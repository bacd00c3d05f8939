"""What can happen to a step."""

from dataclasses import dataclass

from atomic.domain.outcomes import Outcome, StoredBody
from atomic.domain.step_errors import CANCELLED, StepError


@dataclass(frozen=True, slots=True)
class Claimed:
    """Somebody wants to run the step's next attempt under this nonce."""

    nonce: str


@dataclass(frozen=True, slots=True)
class NotAdmitted:
    """The step is due and cannot be run yet: too much goes on at its destination."""

    until_ms: int


@dataclass(frozen=True, slots=True)
class Deferred:
    """The attempt that holds `nonce` was not made, by Atomic's own doing: it never was, and comes later."""

    nonce: str
    error: StepError
    until_ms: int


@dataclass(frozen=True, slots=True)
class ToldUnfinished:
    """The running attempt was told that a step is unfinished, which it had asked for at `asked_at_ms`."""

    step_id: str
    asked_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The attempt that holds `nonce` is over. `jitter` is a random number in [0, 1)."""

    nonce: str
    outcome: Outcome
    jitter: float


@dataclass(frozen=True, slots=True)
class AnsweredLate:
    """An answer came for an attempt that no longer holds the step."""

    attempt: int
    note: str


@dataclass(frozen=True, slots=True)
class WaiterAdded:
    """The step `waiter` wants to be woken when this one settles."""

    waiter: str


@dataclass(frozen=True, slots=True)
class Woken:
    """A step that this one may be waiting for has settled."""


@dataclass(frozen=True, slots=True)
class Looked:
    """Nothing that this step waits for since its attempt `attempt` has settled; `live` is what there is.

    Without any there is nothing to wait for, and the attempt was a failure. `idle_until_ms`: when the first
    of them is due, where they are timers and events alone. `jitter` is as in `Ended`.
    """

    attempt: int
    live: tuple[str, ...]
    jitter: float
    idle_until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class OwnerLost:
    """Whoever held the step is known to be gone: its lease need not be waited for."""


@dataclass(frozen=True, slots=True)
class ResultPosted:
    """Somebody posted the result of an event step."""

    response: StoredBody


@dataclass(frozen=True, slots=True)
class DeadlineGiven:
    """Who waits for an event gives it the deadline that it was opened without. It counts from now."""

    deadline_ms: int


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Nobody wants the step any more. It is remembered for its retention, or until `expires_at_ms`."""

    error: StepError = CANCELLED
    expires_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Rescheduled:
    """The step, while it is due at `seen_ms`, is to be looked at at another moment (None: not at all)."""

    seen_ms: int | None
    due_at_ms: int | None


@dataclass(frozen=True, slots=True)
class Redriven:
    """Somebody gave a dead letter, as they saw it in this generation, a fresh budget of attempts."""

    generation: int


Event = (
    Claimed
    | NotAdmitted
    | Deferred
    | ToldUnfinished
    | Ended
    | AnsweredLate
    | WaiterAdded
    | Woken
    | Looked
    | OwnerLost
    | ResultPosted
    | DeadlineGiven
    | Cancelled
    | Rescheduled
    | Redriven
)
