"""The step: one durable, keyed call. It is the engine's aggregate, with its due times and its changes.

An event is one write, so each path of a transition calls `changed` once.
"""

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from atomic.domain.blobs import INLINE_MAX_BYTES, Text, text_of
from atomic.domain.causes import Cause, Dismissal
from atomic.domain.copies import Copied, Members, members_of
from atomic.domain.flow import FlowEntry
from atomic.domain.hooks import Owed, RunHook
from atomic.domain.outcomes import Outcome, StepError, StoredBody
from atomic.domain.pauses import Pause, Rest
from atomic.domain.pointers import Debounce, Singleton
from atomic.domain.retry import RetryPolicy
from atomic.protocol import keys
from atomic.protocol.enums import SETTLED, Kind, OutcomeKind, Status, WakePolicy
from atomic.protocol.error_kinds import ErrorKind
from atomic.protocol.wire import to_rfc3339

# A row has a size limit on every runtime, and 1000 retries must fit: the newest attempts are kept.
ATTEMPTS_KEPT: Final = 50
# The grace period for a late write before another process may claim the step.
LEASE_MARGIN_MS: Final = 15_000
# When a link is rechecked first: longer than it takes to create its root. Only a crash makes it necessary.
LINK_RECHECK_MS: Final = 60_000
Cancelling = Literal["", "last", "recall", "recalled"]
_ROOT_END: Final = keys.step_id("", keys.ROOT)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSpec:
    """What was requested; it never changes. `payload` is canonical JSON, times are milliseconds.

    `url`: of a step that calls, empty if Atomic itself is the endpoint (`domain.bulk`). `heartbeat_ms`: an
    event expires when no heartbeat comes for so long. `fails_if_lost`: an attempt that was lost is not
    repeated, because it may have had its effect. `capture`: the headers (lower case) that a callback of
    the event keeps, with the body as it was sent. `reached_at`: the URL of this API when an event began;
    its callback URL, which is in payloads, keeps it. `sent_key` is the `Idempotency-Key` for the endpoint,
    empty if it equals `idempotency_key`. `child_name`, `child_key`: name and key of the run that a link
    starts (`domain.links`); its `url`, `payload` and limits are those of the run's root. `detached`: the
    link does not wait for the run, and has no outcome of it; that root has this too. `keeps_child`: the
    run goes on when the link is cancelled. `started_by`: the link that created this root, or the first
    root of a chain. `continued_from`: the root that this one goes on for. `depth`: how many links are
    above this root, or above the root that this link starts. `start_at_ms`: when it starts, in place of
    `delay_ms`. `start_by_ms`: it fails unless its first attempt has begun by then. `scheduled_at_ms`: the
    time of a schedule that this root is the run of; `last_scheduled_at_ms`: that of the schedule's run
    before. `flow`: the keys under which attempts need slots (`domain.flow`). `singleton`, `debounce`: the
    key that this root shares with others (`domain.pointers`). `paused`: the run is paused from its start.
    `tags`: of a run, and of a link for its run, as texts (`protocol.tags`). `hook`: the hook that this
    root tells. `hooks`: those of its run. `restart_of`: the run it starts again.
    `unsampled`: who posted it said that the trace is not recorded.
    """

    client_id: str
    run_id: str
    identity: str
    kind: Kind = "http"
    workflow_name: str
    url: str
    step_name: str = ""
    idempotency_key: str
    sent_key: str = ""
    parent: str | None = None
    payload: Text
    fingerprint: str
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    delay_ms: int = 0
    start_at_ms: int | None = None
    start_by_ms: int | None = None
    attempt_timeout_ms: int = 20_000
    deadline_ms: int | None = None
    heartbeat_ms: int | None = None
    fails_if_lost: bool = False
    capture: tuple[str, ...] = ()
    reached_at: str | None = None
    retention_ms: int
    trace_id: str
    child_name: str = ""
    child_key: str = ""
    detached: bool = False
    keeps_child: bool = False
    started_by: str | None = None
    depth: int = 0
    continued_from: str | None = None
    scheduled_at_ms: int | None = None
    last_scheduled_at_ms: int | None = None
    flow: tuple[FlowEntry, ...] = ()
    singleton: Singleton | None = None
    debounce: Debounce | None = None
    paused: bool = False
    tags: tuple[str, ...] = ()
    hook: str = ""
    hooks: tuple[RunHook, ...] = ()
    restart_of: str | None = None
    unsampled: bool = False

    def __post_init__(self) -> None:
        if len(self.payload) > INLINE_MAX_BYTES:
            object.__setattr__(self, "payload", text_of(self.payload))

    @property
    def child_root(self) -> str:
        """The id of the root that a link starts."""
        return keys.root_of(keys.run_id(self.client_id, self.child_name, self.child_key))

    @property
    def endpoint_key(self) -> str:
        """The key that is sent to the endpoint."""
        return self.sent_key or self.idempotency_key

    def below_root(self) -> "StepSpec":
        """The same post as a child of the run's root: for posts without a parent that are not the root."""
        parent, called = keys.root_of(self.run_id), self.url or self.kind
        identity = keys.identity(
            self.client_id, self.workflow_name, parent, called, self.step_name, self.idempotency_key
        )
        own: dict[str, Any] = {"singleton": None, "debounce": None, "tags": (), "hooks": ()}
        return copied(self, _SPEC, parent=parent, identity=identity, **own)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One call; `outcome` is None while it runs, `late` notes a late answer; the rest is of `Outcome`."""

    number: int
    generation: int
    started_at_ms: int
    ended_at_ms: int | None = None
    outcome: OutcomeKind | None = None
    status: int | None = None
    error: StepError | None = None
    late: str | None = None
    build: str | None = None
    unused_results: int = 0


@dataclass(frozen=True, slots=True)
class Watch:
    """This step is watched: the step `waiter` waits for several steps since its attempt `attempt`.

    `origin` is the step that was watched before this one; empty for the first.
    """

    waiter: str
    attempt: int
    origin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step as stored in its row. `version` counts writes; `nonce` fences the running attempt.

    `due_at_ms` is when a live step must be processed next: its start, its retry, the end of its lease, or
    its next recheck. None means that only an outside event can change it. `dated_at_ms`: when that was set,
    if not at the end of the last attempt: clocks differ. `made_due_ms`: the last moment at which an
    operator has made it due. `retries_before`: those of earlier generations. `given_deadline_ms` and
    `given_heartbeat_ms` were set by a waiter, for an event that was opened without them. `heartbeat_by_ms`:
    when an open event expires unless a heartbeat comes. A heartbeat leaves `due_at_ms` as it is, and needs
    no wake-up. `answer_by_ms`: the running attempt has no process any more. Its answer is to be posted by
    this time. `awaited`: the first post of this step asked to wait for it. `has_no_wakeup`: this post waits
    for the first attempt, so no wake-up was sent. It is sent before anybody is told that the step is
    unfinished. `waiters` are the steps to wake when this one settles. `watches` are of steps that wait for
    several steps. `wake`: how this step itself waits for several steps; None means any of them. `woken`: a
    step that this one may be waiting for has settled since the running attempt began. `told` is the first
    unfinished step that the running attempt was told of. `failed_meanwhile`: a step that this one may be
    waiting for has failed since the last attempt began. `continued_as`: the root that goes on in place of
    this one; of a link, the last such root of its run. `early`: the result came before a handler asked for
    this event; "opened" when a handler has asked since. `message`: which message the result of this event
    is, if it was posted for the next event of its name. `cancelling`: a graceful cancel is under way. Under
    "last" the running attempt is the last one. Under "recall" the step is called once more and told, under
    "recalled" it was. It ends by `cancel_by_ms`. A failed step keeps this for its redrive, which has
    `cancel_within_ms` again. `in_line`: it waits for a slot under the key `line`, and is not due. `turn` is
    its place in that line, which it keeps for its retries. `paced_ms`: the time that a rate gave it.
    `pause`: of a root, the pause of its run. `rest`: the run is paused, and the step has come due. `owes`:
    what hooks are to be told (`domain.owing`); until then the row is found as if it were due. `cause`: of a
    root that failed, why its run failed. `dismissal`: that run needs no action any more.
    """

    spec: StepSpec
    id: str
    created_at_ms: int
    awaited: bool = False
    version: int = 1
    status: Status
    generation: int = 1
    due_at_ms: int | None
    deadline_at_ms: int | None = None
    heartbeat_by_ms: int | None = None
    given_deadline_ms: int | None = None
    given_heartbeat_ms: int | None = None
    nonce: str | None = None
    answer_by_ms: int | None = None
    attempt_count: int = 0
    retries_used: int = 0
    retries_before: int = 0
    consecutive_lost: int = 0
    dated_at_ms: int | None = None
    made_due_ms: int | None = None
    has_no_wakeup: bool = False
    rechecks: int = 0
    woken: bool = False
    failed_meanwhile: bool = False
    told: str | None = None
    waiting_for: tuple[str, ...] = ()
    wake: WakePolicy | None = None
    waiters: tuple[str, ...] = ()
    watches: tuple[Watch, ...] = ()
    attempt_log: tuple[Attempt, ...] = ()
    response: StoredBody | None = None
    response_status: int | None = None
    error: StepError | None = None
    finished_at_ms: int | None = None
    expires_at_ms: int | None = None
    continued_as: str | None = None
    early: Literal["", "unopened", "opened"] = ""
    message: str = ""
    cancelling: Cancelling = ""
    cancel_by_ms: int | None = None
    cancel_within_ms: int = 0
    in_line: bool = False
    line: str = ""
    turn: int | None = None
    paced_ms: int | None = None
    pause: Pause | None = None
    rest: Rest | None = None
    owes: tuple[Owed, ...] = ()
    cause: Cause | None = None
    dismissal: Dismissal | None = None

    @property
    def position(self) -> str:
        """Where the step is in its run: the part of its id after the run's id."""
        return keys.position_of(self.id)

    @property
    def is_root(self) -> bool:
        """Whether this is the workflow itself."""
        return self.id.endswith(_ROOT_END)

    @property
    def is_settled(self) -> bool:
        """Whether the outcome is recorded; it then never changes within this generation."""
        return self.status in SETTLED

    @property
    def is_dead_letter(self) -> bool:
        """Whether the step is a dead letter: it failed and is not an event."""
        return self.status is Status.FAILED and self.spec.kind == "http"

    @property
    def found_due_ms(self) -> int | None:
        """From when on stores find the row among those that are due: also one that owes something."""
        return earliest_ms(self.due_at_ms, *(owed.at_ms for owed in self.owes))

    def attempt(self, number: int) -> Attempt | None:
        """The attempt of this number; None when it is not kept any more, or was not made."""
        return next((made for made in self.attempt_log if made.number == number), None)

    @property
    def deadline_ms(self) -> int | None:
        """The time of the step as a whole."""
        return self.spec.deadline_ms if self.given_deadline_ms is None else self.given_deadline_ms

    @property
    def heartbeat_ms(self) -> int | None:
        """How long an open event lives without a heartbeat."""
        return self.spec.heartbeat_ms if self.given_heartbeat_ms is None else self.given_heartbeat_ms


_STEP, _SPEC, _ATTEMPT = map(members_of, (Step, StepSpec, Attempt))


def copied(source: Copied, members: Members, **changes: Any) -> Copied:
    """As by `dataclasses.replace`; `__post_init__` is not called, so changes have to be valid."""
    copy = object.__new__(type(source))
    for set_member, value in zip(members.setters, members.values(source), strict=True):
        set_member(copy, value)
    for name, value in changes.items():
        object.__setattr__(copy, name, value)
    return copy


def deadline_from_now_ms(deadline_ms: int | None, now_ms: int) -> int | None:
    """The end of a deadline that begins now."""
    return None if deadline_ms is None else now_ms + deadline_ms


def first_due_ms(
    spec: StepSpec, deadline_ms: int | None, heartbeat_by_ms: int | None, now_ms: int
) -> int | None:
    """When a step that is not claimed yet is due; an event is due only when it may expire."""
    if spec.kind == "event":
        return earliest_ms(deadline_ms, heartbeat_by_ms)
    begin_by_ms = None if spec.start_by_ms is None else max(spec.start_by_ms, now_ms)
    return earliest_ms(deadline_ms, starts_ms(spec, now_ms), begin_by_ms)


def starts_ms(spec: StepSpec, now_ms: int) -> int:
    """When a step that is posted now starts: its first attempt, or the end of a timer."""
    return now_ms + spec.delay_ms if spec.start_at_ms is None else max(spec.start_at_ms, now_ms)


def begin_by_ms(step: Step) -> int | None:
    """By when the first attempt must begin. None without a limit, and once it has begun.

    A step that was redriven has no such limit: an operator asks for its attempt now.
    """
    return step.spec.start_by_ms if step.attempt_count == 0 and step.generation == 1 else None


def earliest_ms(*times_ms: int | None) -> int | None:
    """The earliest of the times that are set."""
    return min((at_ms for at_ms in times_ms if at_ms is not None), default=None)


def within_limits(step: Step, at_ms: int) -> int:
    """This moment; or the step's deadline, the end of its cancel or of its start, whichever is earliest."""
    limits = (step.deadline_at_ms, step.cancel_by_ms, begin_by_ms(step))
    return min([at_ms, *(limit_ms for limit_ms in limits if limit_ms is not None)])


def attempt_timeout_ms(spec: StepSpec, deadline_ms: int | None, now_ms: int) -> int:
    """Total time of an attempt that starts now: the deadline may leave less than the time-out."""
    if deadline_ms is None:
        return spec.attempt_timeout_ms
    return max(1, min(spec.attempt_timeout_ms, deadline_ms - now_ms))


def lease_end_ms(spec: StepSpec, deadline_ms: int | None, now_ms: int) -> int:
    """When an attempt that starts now counts as lost unless its end was recorded."""
    return now_ms + attempt_timeout_ms(spec, deadline_ms, now_ms) + LEASE_MARGIN_MS


def changed(step: Step, **changes: Any) -> Step:
    """The step with these changes, and its version one higher."""
    return copied(step, _STEP, version=step.version + 1, **changes)


def settled(
    step: Step, status: Status, now_ms: int, *, error: StepError | None = None, **also: Any
) -> Step:
    """The step with its outcome."""
    return changed(
        step,
        status=status,
        error=error,
        due_at_ms=None,
        nonce=None,
        answer_by_ms=None,
        waiting_for=(),
        wake=None,
        woken=False,
        failed_meanwhile=False,
        told=None,
        dated_at_ms=None,
        has_no_wakeup=False,
        cancelling=step.cancelling if status is Status.FAILED else "",
        cancel_by_ms=None,
        in_line=False,
        # By its turn, a store finds its place in line, to take it away.
        turn=step.turn if step.in_line else None,
        paced_ms=None,
        rest=None,
        finished_at_ms=now_ms,
        expires_at_ms=now_ms + step.spec.retention_ms,
        **also,
    )


def out_of_time(step: Step, attempts: tuple[Attempt, ...], now_ms: int) -> Step:
    """The step, failed because its deadline is over, or it is too late for its first attempt."""
    last, status = (attempts[-1].error, attempts[-1].status) if attempts else (None, None)
    if deadline_is_over(step, now_ms):
        kind = ErrorKind.EVENT_EXPIRED if step.spec.kind == "event" else ErrorKind.DEADLINE_OVER
        error = StepError(kind, str(step.deadline_ms), last=last)
    else:
        error = StepError(ErrorKind.START_EXPIRED, to_rfc3339(step.spec.start_by_ms or 0), last=step.error)
    return settled(step, Status.FAILED, now_ms, error=error, attempt_log=attempts, response_status=status)


def deadline_is_over(step: Step, now_ms: int) -> bool:
    """Whether the deadline of the step is over."""
    return step.deadline_at_ms is not None and now_ms >= step.deadline_at_ms


def is_too_late(step: Step, now_ms: int) -> bool:
    """Whether it is too late for an attempt: by the deadline, or by when the first one has to begin."""
    by_ms = begin_by_ms(step)
    return deadline_is_over(step, now_ms) or (by_ms is not None and now_ms >= by_ms)


def closed(attempts: tuple[Attempt, ...], outcome: Outcome, now_ms: int) -> tuple[Attempt, ...]:
    """The attempts, the last one closed with this outcome."""
    last = copied(
        attempts[-1], _ATTEMPT, ended_at_ms=now_ms, outcome=outcome.kind, status=outcome.status,
        error=outcome.error, build=outcome.build, unused_results=outcome.unused_results)  # fmt: skip
    return (*attempts[:-1], last)
