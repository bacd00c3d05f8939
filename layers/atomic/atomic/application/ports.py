"""What the engine needs of the world. Each port has one contract suite in `tests/contract`.

All times are integer milliseconds since the epoch (UTC).
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, Self

from atomic.application.child_steps import ChildPage
from atomic.application.permits import Permit
from atomic.domain.clients.client import Client
from atomic.domain.outcomes import EndpointResponse
from atomic.domain.steps import Attempt, Step, StepOutline, StepSpec
from atomic.protocol.enums import Status


class StoreUnavailable(Exception):
    """The store did not take or give the row; whether a write was applied is unknown.

    `kind` says what failed in a few words that quote nobody, as "CreateSchedule: AccessDeniedException".
    Logs show it, and not the message.
    """

    def __init__(self, message: str = "", *, kind: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind

    @classmethod
    def of(cls, error: Exception, *, kind: str | None = None) -> Self:
        """What to raise for an error of a library; its kind is its type where nothing says more."""
        name = type(error).__name__
        return cls(f"{name}: {error}", kind=kind or name)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQuery:
    """Which runs to list, by their root steps: newest first, `after` the cursor of the last page."""

    client_id: str
    status: Status | None = None
    workflow_name: str | None = None
    key_prefix: str | None = None
    created_from_ms: int | None = None
    created_before_ms: int | None = None
    after: tuple[int, str] | None = None
    limit: int = 50

    def fits(self, step: Step) -> bool:
        """Whether the step is to be listed, whatever its status. A store that queries means the same."""
        spec = step.spec
        from_ms, before_ms = self.created_from_ms, self.created_before_ms
        return (
            spec.client_id == self.client_id
            and self.workflow_name in {None, spec.workflow_name}
            and spec.idempotency_key.startswith(self.key_prefix or "")
            and (from_ms is None or step.created_at_ms >= from_ms)
            and (before_ms is None or step.created_at_ms < before_ms)
            and (self.after is None or (step.created_at_ms, step.id) < self.after)
        )


@dataclass(frozen=True, slots=True)
class DueStep:
    """A live step, whose it is, and when it has to be looked at."""

    id: str
    client_id: str
    due_at_ms: int


class StepStore(Protocol):
    """The rows: the truth about every step.

    Every method may raise StoreUnavailable. A row that `create` or `replace` acknowledged survives the
    end of the process and of the machine.
    """

    async def create(self, step: Step) -> Step | None:
        """Insert the step unless its id is taken: None when inserted, else the row that is there."""
        ...

    async def get(self, step_id: str) -> Step | None:
        """The newest acknowledged row."""
        ...

    async def replace(self, step: Step, expected_version: int) -> Step | None:
        """Write the row if it still has the expected version.

        None when written, else the row that is there. Raises LookupError when there is none.
        `step.spec`, `step.place` and `step.created_at_ms` must be those of the row, unless the row has
        expired and the step is new: then all of it is replaced.
        """
        ...

    async def run(self, run_id: str, *, after: str | None, limit: int) -> Sequence[Step]:
        """The steps of a run in the order of their ids, beginning after the given id."""
        ...

    async def outline(self, run_id: str) -> Sequence[StepOutline]:
        """The state of every step of a run, without payloads and answers."""
        ...

    async def children(self, parent_id: str, *, after: str, limit: int) -> Sequence[StepOutline]:
        """The steps whose parent this is, in the order of their ids, beginning after the given id.

        It reads these, however many other steps their run has.
        """
        ...

    async def child_steps(self, parent_id: str, *, after: str, limit: int, max_bytes: int) -> ChildPage:
        """The steps whose parent this is, whole, as `first_page` takes them, beginning after the given id.

        It reads these, however many other steps their run has. They may be as they were a moment ago.
        """
        ...

    async def list(self, query: RunQuery) -> Sequence[Step]:
        """Root steps that fit the query, newest first (by `created_at_ms`, then id)."""
        ...

    async def failed(self, query: RunQuery) -> Sequence[str]:
        """Ids of the dead letters, roots or not, that fit the query; its status does not count."""
        ...

    async def due(self, before_ms: int, limit: int) -> Sequence[DueStep]:
        """Live steps that are due before the moment, `limit` at most.

        Clients take turns, those with the most overdue steps first, and so do the steps of each.
        """
        ...

    async def with_status(self, status: Status, *, after: str, limit: int) -> Sequence[str]:
        """Ids of steps in a state, in the order of their ids, beginning after the given id."""
        ...

    async def count(self, client_id: str, created_from_ms: int) -> "Counts":
        """How many of a client's steps are in which state."""
        ...

    async def purge(self, now_ms: int, limit: int) -> int:
        """Delete expired rows whose run has no live or unexpired root; how many were deleted.

        A root that was created when a row had expired is that of the next run, and does not keep it.
        """
        ...

    async def add_stored_bytes(self, client_id: str, size: int, *, day: int, since_day: int) -> int:
        """Add to the bytes that a client stored on a day; those of the days from `since_day` on.

        Days are counted from the epoch. A write that is repeated may count twice, and nothing else
        depends on the sum; earlier days may be forgotten.
        """
        ...


@dataclass(frozen=True, slots=True)
class LiveStep:
    """The little of a live step that tells whether somebody has to look at it before it is due.

    `calls`: whether it calls an endpoint. `last_recorded_ms`: see `domain.moments`. `root`: how the root of
    its run stands, None when there is none.
    """

    id: str
    calls: bool
    last_recorded_ms: int
    root: Status | None


class LiveSteps(Protocol):
    """The rows that are live, whoever's, roots or not. It takes an index of all live steps.

    Methods may raise StoreUnavailable.
    """

    async def live(self, status: Status, *, after: str, limit: int) -> Sequence[LiveStep]:
        """Live steps in a state, in the order of their ids, beginning after the given id."""
        ...

    async def count_live(self) -> int:
        """How many live steps there are."""
        ...


class ServerStore(StepStore, LiveSteps, Protocol):
    """What a server that is always there needs of its rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """`live`: live steps by state, now. `runs`: runs created since the asked moment, by state."""

    live: dict[Status, int]
    runs: dict[Status, int]
    dead_letters: int
    oldest_due_at_ms: int | None


class WakeupQueue(Protocol):
    """Wake-ups that a step is due. A wake-up may come early, late, twice or, rarely, never; rows decide."""

    def send(self, step_id: str, at_ms: int, *, client_id: str, attempt_ms: int | None) -> Awaitable[None]:
        """Begin sending at once; the awaitable is done when the wake-up is acknowledged.

        `attempt_ms` is how long an attempt of the step may take, None where it is not known: queues keep
        clients apart, and what is soon over from what may take long.
        """
        ...

    def dead_letter(self, step_id: str, reason: str) -> Awaitable[None]:
        """Begin telling operators that a step fails, where the runtime has a queue for that.

        Its row says so only when this is acknowledged; rarely the row then says something else.
        """
        ...


class EndpointInvoker(Protocol):
    """Calls endpoints."""

    async def post(self, request: "EndpointRequest") -> EndpointResponse:
        """Make one attempt. Never raises for what the far side did; ends within `timeout_ms`."""
        ...


def always() -> bool:
    """What nobody calls off is always wanted."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRequest:
    """One attempt as it goes over the wire.

    `is_wanted` is to be asked whenever the request has waited for something: once it says no, nothing is
    sent any more.
    """

    client_id: str
    url: str
    headers: dict[str, str]
    body: bytes
    timeout_ms: int
    is_wanted: Callable[[], bool] = always


class Destinations(Protocol):
    """The attempts under way, by where they go, so that one dead destination does not take all workers.

    A destination is an origin (scheme, host, port) as one client calls it. Nothing here raises: who cannot
    be counted is let in.
    """

    async def enter(self, spec: StepSpec) -> Permit | None:
        """Take a place for an attempt; None when there is none. A step that calls nothing needs none."""
        ...

    def defer_until_ms(self, spec: StepSpec, now_ms: int) -> int:
        """The time at which a step that got no permit may try again: one after the other."""
        ...


@dataclass(frozen=True, slots=True)
class RateDecision:
    """Whether a start may be: `wait_ms` is 0 if so. `left` is how many may follow it at once."""

    wait_ms: int
    left: int


class StartRates(Protocol):
    """Counts starts. Nothing here raises: what cannot be counted is let in."""

    async def take(self, client_id: str, per_s: float, now_ms: int) -> RateDecision:
        """Take one start, if there is one."""
        ...

    async def release(self, client_id: str, per_s: float) -> None:
        """Give back one that was taken: nothing was started."""
        ...


class Clock(Protocol):
    """The time. It decides when something happens, never whether."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, as the rows count them."""
        ...

    def wall_ms(self) -> int:
        """The same as the wall clock has it: for moments that somebody else compares with his own."""
        ...


class Entropy(Protocol):
    """Where nonces and jitter come from."""

    def token(self) -> str:
        """32 unguessable hex digits."""
        ...

    def fraction(self) -> float:
        """A number in [0, 1)."""
        ...


class Subscription(Protocol):
    """One caller's ear for one step. `is_open` is False when nobody may wait here any longer."""

    @property
    def is_open(self) -> bool: ...

    async def next(self, timeout_ms: int) -> Step | None:
        """The step as it settled, or None when the time is over or it is worth asking the store."""
        ...


class Notifier(Protocol):
    """Tells waiting callers of this process that their step has settled. Losing news costs time only."""

    def subscribe(self, step_id: str) -> AbstractContextManager[Subscription]:
        """Listen from now on."""
        ...

    def publish(self, step: Step) -> None:
        """The step has settled and the row is durable."""
        ...

    def close(self) -> None:
        """Let nobody wait any longer, now or later: the process is about to end."""
        ...


class ClientRegistry(Protocol):
    """The clients of a runtime."""

    async def authenticate(self, api_key: str | None, client_id: str) -> Client | None:
        """The client that the key opens, whatever `client_id` the path names; None for no valid key."""
        ...

    async def get(self, client_id: str) -> Client | None:
        """A client by its id."""
        ...


class Telemetry(Protocol):
    """What operators watch. Methods return at once and never raise."""

    def started(self, step: Step) -> None:
        """A step was created."""
        ...

    def attempt_ended(self, step: Step, attempt: Attempt) -> None:
        """An attempt is over and its row is written."""
        ...

    def settled(self, step: Step) -> None:
        """A step has its outcome."""
        ...

    def reopened(self, step: Step) -> None:
        """A settled step is live again: it was redriven."""
        ...

    def lagged(self, lag_ms: int) -> None:
        """A due step was picked up this much after its time."""
        ...

    def deferred(self, step: Step) -> None:
        """A due step was deferred: its destination gave no permit, or Atomic could not make the call."""
        ...
