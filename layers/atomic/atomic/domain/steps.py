"""The aggregate of the engine: one durable, keyed call."""

from dataclasses import dataclass, field, replace
from typing import Final

from atomic.domain.outcomes import StoredBody
from atomic.domain.retry import RetryPolicy
from atomic.protocol import keys
from atomic.protocol.enums import SETTLED, Kind, OutcomeKind, Status

# A row has a size limit on every runtime, and 1000 retries must fit: the newest attempts are kept.
ATTEMPTS_KEPT: Final = 50
# A late write needs time to arrive before somebody else may claim the step.
LEASE_MARGIN_MS: Final = 15_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSpec:
    """What was asked for; it never changes. `payload` is canonical JSON, times are milliseconds.

    `sent_key` is the `Idempotency-Key` for the endpoint, empty where it is `idempotency_key`.
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
    payload: bytes
    fingerprint: str
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    delay_ms: int = 0
    attempt_timeout_ms: int = 20_000
    deadline_ms: int | None = None
    retention_ms: int
    trace_id: str

    @property
    def endpoint_key(self) -> str:
        """The key that the endpoint is sent."""
        return self.sent_key or self.idempotency_key

    def below_root(self) -> "StepSpec":
        """The same post as a step of the run's root: what one without a parent is that is not the root."""
        parent, called = keys.root_of(self.run_id), self.url or self.kind
        identity = keys.identity(
            self.client_id, self.workflow_name, parent, called, self.step_name, self.idempotency_key
        )
        return replace(self, parent=parent, identity=identity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One HTTP call. `outcome` is None while it runs; `late` notes an answer that came too late.

    `timed_out`: the endpoint had been called and did not answer within the attempt's time.
    """

    number: int
    generation: int
    started_at_ms: int
    ended_at_ms: int | None = None
    outcome: OutcomeKind | None = None
    status: int | None = None
    error: str | None = None
    timed_out: bool = False
    late: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step as its row stands. `version` counts writes; `nonce` fences the running attempt.

    `due_at_ms` is when somebody has to look at a live step again: its start, its retry, the end of its
    lease, its next recheck. None means that only an outside event can move it. `deferred_at_ms`: when
    Atomic itself has put off the attempt that is due.
    `awaited`: whoever posted it first asked to wait for it. `waiters` are the steps to wake when this one
    settles; `woken` says that one of those a running step may be waiting for has settled since its attempt
    began. `told` is the first step that the running attempt was told is unfinished.
    """

    spec: StepSpec
    position: str
    created_at_ms: int
    awaited: bool = False
    version: int = 1
    status: Status
    generation: int = 1
    due_at_ms: int | None
    deadline_at_ms: int | None = None
    # Of an event: what somebody who waits for it has given it, when it was opened without one.
    given_deadline_ms: int | None = None
    nonce: str | None = None
    attempt_count: int = 0
    retries_used: int = 0
    consecutive_lost: int = 0
    deferred_at_ms: int | None = None
    rechecks: int = 0
    woken: bool = False
    told: str | None = None
    waiting_for: tuple[str, ...] = ()
    waiters: tuple[str, ...] = ()
    attempt_log: tuple[Attempt, ...] = ()
    response: StoredBody | None = None
    response_status: int | None = None
    error: str | None = None
    finished_at_ms: int | None = None
    expires_at_ms: int | None = None

    @property
    def id(self) -> str:
        """The step's id; it begins with its run's id."""
        return keys.step_id(self.spec.run_id, self.position)

    @property
    def is_root(self) -> bool:
        """Whether this is the workflow itself."""
        return self.position == keys.ROOT

    @property
    def is_settled(self) -> bool:
        """Whether the outcome is recorded; it then never changes within this generation."""
        return self.status in SETTLED

    @property
    def is_dead_letter(self) -> bool:
        """Whether the step waits for an operator: it failed, and is no event that nobody completed."""
        return self.status is Status.FAILED and self.spec.kind == "http"

    @property
    def deadline_ms(self) -> int | None:
        """The time of the step as a whole."""
        return self.spec.deadline_ms if self.given_deadline_ms is None else self.given_deadline_ms

    @property
    def parent(self) -> str | None:
        """The step that may be waiting for this one: its parent; None for a root."""
        return self.spec.parent


@dataclass(frozen=True, slots=True)
class StepOutline:
    """The little of a step that tells whether somebody still has to wait for it, and how far its run is.

    `awaited`: a poster asked to wait for it, be it the first one or, as its waiters tell, a later one.
    """

    id: str
    parent: str | None
    status: Status
    finished_at_ms: int | None
    attempt_count: int
    awaited: bool = False


def outline_of(step: Step) -> StepOutline:
    """The outline of a step."""
    awaited = step.awaited or bool(step.waiters)
    return StepOutline(
        step.id, step.spec.parent, step.status, step.finished_at_ms, step.attempt_count, awaited
    )
