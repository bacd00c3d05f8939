"""What can happen to a step."""

from dataclasses import dataclass

from atomic.domain.hooks import Owed
from atomic.domain.outcomes import CANCELLED, Outcome, StepError, StoredBody
from atomic.domain.steps import Watch
from atomic.protocol.enums import Status


@dataclass(frozen=True, slots=True)
class Claimed:
    """A process claims the step's next attempt under this nonce.

    `cancelling` is that of the row by which the process found the attempt due. What has to be done before
    the attempt depends on it. A step that was deferred until `deferred_until_ms` may be claimed before.
    """

    nonce: str
    cancelling: str = ""
    deferred_until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class NotAdmitted:
    """The step is due and cannot run yet: too many attempts are running at its destination."""

    until_ms: int


@dataclass(frozen=True, slots=True)
class InLine:
    """The step is due and waits for a slot under a key, at this turn, until it is handed one."""

    key: str
    turn: int


@dataclass(frozen=True, slots=True)
class Paced:
    """The step is due, and the rate of a key gave it this time."""

    until_ms: int


@dataclass(frozen=True, slots=True)
class Deferred:
    """Atomic itself did not make the attempt that holds `nonce`: it does not count, and is made later."""

    nonce: str
    error: StepError
    until_ms: int


@dataclass(frozen=True, slots=True)
class ToldUnfinished:
    """An attempt asked for a step at `asked_at_ms` and was told that it is unfinished.

    `attempt`: which attempt asked, by its token; None without a token.
    """

    step_id: str
    asked_at_ms: int
    attempt: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The attempt that holds `nonce` is over. `jitter` is a random number in [0, 1)."""

    nonce: str
    outcome: Outcome
    jitter: float


@dataclass(frozen=True, slots=True)
class AnswersLater:
    """The endpoint postpones the answer of the attempt that holds `nonce`, for a limited time."""

    nonce: str
    within_ms: int


@dataclass(frozen=True, slots=True)
class AnswerOverdue:
    """No answer was posted by `by_ms`, the time limit in the row. `jitter` is as in `Ended`."""

    by_ms: int
    jitter: float


@dataclass(frozen=True, slots=True)
class AnsweredLate:
    """An answer arrived for an attempt that no longer holds the step."""

    attempt: int
    note: str


@dataclass(frozen=True, slots=True)
class WaiterAdded:
    """The step `waiter` wants to be woken when this one settles."""

    waiter: str


@dataclass(frozen=True, slots=True)
class WatchAdded:
    """A step that waits for several steps watches this one, and looks again when this one settles."""

    watch: Watch


@dataclass(frozen=True, slots=True)
class Woken:
    """A step that this one may be waiting for has settled.

    `step_id` names it where that matters. `failed`: it has settled without success.
    """

    step_id: str = ""
    failed: bool = False


@dataclass(frozen=True, slots=True)
class ChildFailed:
    """A step that this one posted has failed, and was not asked to wake this one."""

    step_id: str


@dataclass(frozen=True, slots=True)
class WaitOver:
    """The wait since attempt `attempt` is over: all steps of the set have settled, or one has failed."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Rechecked:
    """None of the steps `live` has settled. This step waits for them since its attempt `attempt`.

    If `live` is empty, the attempt counts as a failure. `idle_until_ms`: when the first of them is due, if
    all of them are timers or events. `jitter` is as in `Ended`.
    """

    attempt: int
    live: tuple[str, ...]
    jitter: float
    idle_until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class OwnerLost:
    """The process that held the step is known to have ended, so its lease does not count any more."""


@dataclass(frozen=True, slots=True)
class ResultPosted:
    """The result of an event step was posted; `rejection` is set when it is rejected instead.

    `message` tells apart equal results that are posted for the next event of a name.
    """

    response: StoredBody
    rejection: StepError | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """A handler asks for an event step whose result came early. Its run has the retention `kept_ms`."""

    kept_ms: int


@dataclass(frozen=True, slots=True)
class LimitsGiven:
    """A waiter sets the deadline or the heartbeat of an event that was opened without it, from now on."""

    deadline_ms: int | None
    heartbeat_ms: int | None


@dataclass(frozen=True, slots=True)
class HeartbeatPosted:
    """Somebody is still at work on the open event."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The step is cancelled. It is kept for its retention, or until `expires_at_ms`."""

    error: StepError = CANCELLED
    expires_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """The step ends by `by_ms`. `is_handler`: it may have posted steps, so it is called once more."""

    by_ms: int
    is_handler: bool


@dataclass(frozen=True, slots=True)
class MadeDue:
    """An operator makes a step that waits for a moment due at another one (None: now)."""

    at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Rescheduled:
    """The step, if still due at `seen_ms`, becomes due at another moment (None: never)."""

    seen_ms: int | None
    due_at_ms: int | None


@dataclass(frozen=True, slots=True)
class LinkEnded:
    """The run of a link has settled, was found to be another one, or exists and is detached.

    `generation` is that of the link when this was found out, `root` the root that has settled, where there
    is one.
    """

    generation: int
    status: Status
    error: StepError | None = None
    response: StoredBody | None = None
    response_status: int | None = None
    root: str = ""


@dataclass(frozen=True, slots=True)
class LinkMoved:
    """The run of a link goes on as another one: from now on, the link waits for that one's root."""

    generation: int
    root: str
    next_root: str


@dataclass(frozen=True, slots=True)
class LinkDue:
    """A live link is rechecked at this time; `error` says why its run could not be started yet."""

    at_ms: int
    error: StepError | None = None


@dataclass(frozen=True, slots=True)
class Paused:
    """Nothing of the run of this root is called until `until_ms`, or until it is resumed; see `Pause`."""

    until_ms: int | None = None
    note: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The run of this root goes on."""


@dataclass(frozen=True, slots=True)
class Rested:
    """The run of this due step is paused, until `until_ms` if that is known.

    `nonce`: the step was claimed for an attempt that was not made. `run_over`: the run has ended.
    """

    until_ms: int | None = None
    nonce: str = ""
    run_over: bool = False


@dataclass(frozen=True, slots=True)
class Released:
    """The run of this step at rest goes on."""


@dataclass(frozen=True, slots=True)
class Redriven:
    """A dead letter that was read in this generation gets a fresh budget of attempts."""

    generation: int


@dataclass(frozen=True, slots=True)
class Superseded:
    """The root gives way to the root `by`, unless it has begun.

    `version`: that of a row whose attempts were claimed, but not made.
    """

    by: str
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Paid:
    """The deliveries of this to hooks are started."""

    owed: tuple[Owed, ...]


@dataclass(frozen=True, slots=True)
class Dismissed:
    """The failed run of this root needs no action any more; `note` says why."""

    note: str = ""


@dataclass(frozen=True, slots=True)
class DismissalUndone:
    """The dismissal of this root's run is taken back."""


Event = (
    Claimed
    | NotAdmitted
    | InLine
    | Paced
    | Deferred
    | ToldUnfinished
    | Ended
    | AnswersLater
    | AnswerOverdue
    | AnsweredLate
    | WaiterAdded
    | WatchAdded
    | Woken
    | ChildFailed
    | WaitOver
    | Rechecked
    | OwnerLost
    | ResultPosted
    | Opened
    | LimitsGiven
    | HeartbeatPosted
    | Cancelled
    | CancelRequested
    | MadeDue
    | Rescheduled
    | LinkEnded
    | LinkMoved
    | LinkDue
    | Paused
    | Resumed
    | Rested
    | Released
    | Redriven
    | Superseded
    | Paid
    | Dismissed
    | DismissalUndone
)
