"""The aggregate of the engine: one durable, keyed call."""

from dataclasses import dataclass, field, replace
from typing import Final

from atomic.domain.outcomes import StoredBody
from atomic.domain.retry import RetryPolicy
from atomic.domain.step_errors import StepError, timed_out
from atomic.protocol import keys
from atomic.protocol.enums import SETTLED, Kind, OutcomeKind, Status

# A row has a size limit on every runtime, and 1000 retries must fit: the newest attempts are kept.
ATTEMPTS_KEPT: Final = 50
# The grace period for a late write before another process may claim the step.
LEASE_MARGIN_MS: Final = 15_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSpec:
    """What was requested; it never changes. `payload` is canonical JSON, times are milliseconds.

    `sent_key` is the `Idempotency-Key` for the endpoint, empty if it equals `idempotency_key`.
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
        """The key that is sent to the endpoint."""
        return self.sent_key or self.idempotency_key

    def below_root(self) -> "StepSpec":
        """The same post as a child of the run's root: for posts without a parent that are not the root."""
        parent, called = keys.root_of(self.run_id), self.url or self.kind
        identity = keys.identity(
            self.client_id, self.workflow_name, parent, called, self.step_name, self.idempotency_key
        )
        return replace(self, parent=parent, identity=identity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One HTTP call. `outcome` is None while it runs; `late` notes an answer that came too late."""

    number: int
    generation: int
    started_at_ms: int
    ended_at_ms: int | None = None
    outcome: OutcomeKind | None = None
    status: int | None = None
    error: StepError | None = None
    late: str | None = None

    @property
    def timed_out(self) -> bool:
        """Whether the endpoint was called and did not answer within the attempt's time."""
        return timed_out(self.error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step as stored in its row. `version` counts writes; `nonce` fences the running attempt.

    `due_at_ms` is when a live step must be processed next: its start, its retry, the end of its lease, or
    its next recheck. None means that only an outside event can change it. `deferred_at_ms`: when Atomic
    deferred the attempt that is due.
    `awaited`: its first poster asked to wait for it. `waiters` are the steps to wake when this one settles.
    `woken`: since the running attempt began, a step has settled that it may be waiting for. `told` is the
    first step of which the running attempt was told that it is unfinished.
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
    # Set by a waiter, for an event that was opened without a deadline.
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
    error: StepError | None = None
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
        """Whether the step is a dead letter: it failed and is not an expired event."""
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
    """The part of a step that shows whether it blocks another step, and the progress of its run.

    `awaited`: a poster asked to wait for it: the first one, or a later one, which is among its waiters.
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
