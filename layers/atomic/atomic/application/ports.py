"""The interfaces that the engine needs. Each port has one contract suite in `tests/contract`.

All times are integer milliseconds since the epoch (UTC).
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, Self

from atomic.application.audit_log import AuditLog
from atomic.application.cause_query import CausePage, CauseQuery
from atomic.application.child_steps import ChildPage
from atomic.application.counter_store import Counters
from atomic.application.destinations import Permit
from atomic.application.pointer_store import Pointers
from atomic.application.run_query import Counted, ListPage, RunQuery
from atomic.application.schedule_store import Schedules
from atomic.domain.blobs import Place as BlobPlace
from atomic.domain.clients.client import Client
from atomic.domain.outcomes import EndpointResponse
from atomic.domain.outlines import StepOutline
from atomic.domain.steps import Attempt, Step, StepSpec
from atomic.protocol.enums import Status


class StoreUnavailable(Exception):
    """The store did not read or write the row; whether a write was applied is unknown.

    `kind` says in a few words what failed, such as "CreateSchedule: AccessDeniedException". It never
    quotes a client's data. Logs show `kind`, not the message.
    """

    def __init__(self, message: str = "", *, kind: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind

    @classmethod
    def of(cls, error: Exception, *, kind: str | None = None) -> Self:
        """The exception for an error of a library; its kind is the error's type by default."""
        name = type(error).__name__
        return cls(f"{name}: {error}", kind=kind or name)


@dataclass(frozen=True, slots=True)
class DueStep:
    """A live step or a schedule, its client, and when it is due."""

    id: str
    client_id: str
    due_at_ms: int


class Blobs(Protocol):
    """Large texts of steps, stored apart from the rows. A text is stored once, before a row names it.

    Its name is the id of its step and the digest of its content, so no other content ever takes its place.
    One that no row came to name is deleted when its time is over. No other method reads a text.
    """

    async def put_blob(self, step_id: str, digest: str, text: bytes, until_ms: int) -> BlobPlace:
        """Store a text until the moment, at least; its place: "row" if it is small and not stored."""
        ...

    async def get_blob(self, step_id: str, digest: str, place: BlobPlace) -> bytes | None:
        """The text at this place, as it was stored; None when there is none."""
        ...


class StepStore(Blobs, Schedules, Pointers, AuditLog, Counters, Protocol):
    """The rows: the truth about every step. Large texts are apart (`Blobs`), and rows have their names.

    Every method may raise StoreUnavailable. A row that `create` or `replace` acknowledged survives the
    end of the process and of the machine. Both raise ValueError for a large text that is not stored.
    """

    async def create(self, step: Step) -> Step | None:
        """Insert the step unless its id is taken: None when inserted, otherwise the existing row."""
        ...

    async def get(self, step_id: str) -> Step | None:
        """The newest acknowledged row."""
        ...

    async def replace(self, step: Step, expected_version: int) -> Step | None:
        """Write the row if it still has the expected version.

        None when written, otherwise the existing row. Raises LookupError when there is none.
        `step.spec`, `step.id` and `step.created_at_ms` must be those of the row, unless the row has
        expired and the step is new: then the whole row is replaced.
        """
        ...

    async def list_live(self, step: Step) -> None:
        """Make sure that `due` finds this live root. It is called before a caller is told of the root."""
        ...

    async def run(self, run_id: str, *, after: str | None, limit: int) -> Sequence[Step]:
        """The steps of a run in the order of their ids, beginning after the given id."""
        ...

    async def outline(self, run_id: str) -> Sequence[StepOutline]:
        """The state of every step of a run, without payloads and answers."""
        ...

    async def children(self, parent_id: str, *, after: str, limit: int) -> Sequence[StepOutline]:
        """The steps whose parent this is, in the order of their ids, beginning after the given id.

        It reads only these, however many other steps the run has.
        """
        ...

    async def child_steps(self, parent_id: str, *, after: str, limit: int, max_bytes: int) -> ChildPage:
        """Whole steps with this parent, beginning after the given id, cut as by `first_page`.

        It reads only these, however many other steps the run has. The rows may be a moment old.
        """
        ...

    async def erase(self, client_id: str, run_id: str, root: Step | None) -> bool:
        """Delete all rows, large texts and tags of a run of this client, if its root is still this row.

        Whether it was done. It may be interrupted: then the run has no root any more for all other
        methods, and `create` of its root raises StoreUnavailable until a call without a root ends it.
        """
        ...

    async def list(self, query: RunQuery) -> ListPage:
        """Root steps that fit the query, newest first (by `created_at_ms`, then id)."""
        ...

    async def count_runs(self, query: RunQuery, enough: int) -> Counted:
        """How many runs all pages of `list` have, from the first on. The store may stop at `enough`."""
        ...

    async def failed(self, query: RunQuery) -> Sequence[str]:
        """Ids of the dead letters, roots or not, that fit the query. The query's status is ignored."""
        ...

    async def causes(self, query: CauseQuery) -> CausePage:
        """The causes that most of the client's runs failed for, by their number.

        A store may read the newest failed runs only.
        """
        ...

    async def count(self, client_id: str, created_from_ms: int) -> "Counts":
        """The number of a client's steps in each state."""
        ...

    async def counted_live(self, client_id: str) -> "CountedLive | None":
        """The last known number of the client's live steps; None where counting costs next to nothing."""
        ...

    async def count_live_of(self, client_id: str, enough: int) -> int:
        """The number of the client's live steps now. The store may stop at `enough`."""
        ...

    async def add_stored_bytes(self, client_id: str, size: int, *, day: int, since_day: int) -> int:
        """Add to the bytes that a client stored on a day; return the sum of the days from `since_day` on.

        Days are counted from the epoch. A repeated write may count twice. The store may forget earlier
        days.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """`live`: live steps by state, now. `runs`: runs created since the given time, by state.

    A store reads a bounded number of rows for it. Where a client has more, `counted_at_ms` tells since when
    the numbers of live steps and dead letters may have changed, and `has_all_runs` is False: `runs` then
    holds the least numbers. `needs_action`: failed runs that were not dismissed; the store may count among
    the newest failed runs only. With `live_are_roots`, `live` counts the root of each run alone.
    """

    live: dict[Status, int]
    runs: dict[Status, int]
    dead_letters: int
    needs_action: int
    oldest_due_at_ms: int | None
    counted_at_ms: int | None = None
    has_all_runs: bool = True
    live_are_roots: bool = False


@dataclass(frozen=True, slots=True)
class CountedLive:
    """A client's live steps, and when they were counted."""

    number: int
    at_ms: int


class WakeupQueue(Protocol):
    """Messages that a step is due. A wake-up may come early, late, twice or, rarely, never; rows decide."""

    def send(
        self,
        step_id: str,
        at_ms: int,
        *,
        client_id: str,
        attempt_ms: int | None,
        is_watchdog: bool = False,
    ) -> Awaitable[None]:
        """Begin to send at once; the awaitable is done when the wake-up is acknowledged.

        `attempt_ms` is how long an attempt of the step may take, None where it is not known. Queues keep
        clients apart, and short attempts from long ones. `is_watchdog`: it is for the end of a lease.
        Nearly all of these find a step that has ended, so they may come some seconds late, if they are not
        due already.
        """
        ...

    def dead_letter(self, step_id: str, reason: str) -> Awaitable[None]:
        """Begin to tell operators that a step fails, where the runtime has a queue for that.

        The row is written as failed only after this is acknowledged. Rarely, the step then ends otherwise.
        """
        ...


class EndpointInvoker(Protocol):
    """Calls endpoints."""

    async def post(self, request: "EndpointRequest") -> EndpointResponse:
        """Make one attempt within `timeout_ms`. Never raises because of the endpoint or the network."""
        ...


def always() -> bool:
    """The default of `is_wanted`: the request is never cancelled."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRequest:
    """One attempt as it is sent.

    The sender calls `is_wanted` each time the request has waited for something. Once it returns False,
    nothing more is sent. `once`: the request is never sent a second time, whatever happens to the first.
    `is_probe`: it belongs to no attempt of the step that it names.
    """

    client_id: str
    workflow_name: str = ""
    url: str
    headers: dict[str, str]
    body: bytes
    timeout_ms: int
    once: bool = False
    is_probe: bool = False
    is_wanted: Callable[[], bool] = always


class Destinations(Protocol):
    """Limits the attempts at each destination, so that one dead destination does not take all workers.

    A destination is an origin (scheme, host, port) as one client calls it. Nothing here raises: an attempt
    that cannot be counted gets a permit.
    """

    async def enter(self, spec: StepSpec) -> Permit | None:
        """A permit for an attempt, or None. A step that calls nothing always gets one."""
        ...

    def defer_until_ms(self, spec: StepSpec, now_ms: int) -> int:
        """The time at which a step that got no permit may try again: one after the other."""
        ...


@dataclass(frozen=True, slots=True)
class RateDecision:
    """Whether a start is allowed: `wait_ms` is then 0. `left` is how many more are allowed at once."""

    wait_ms: int
    left: int


class StartRates(Protocol):
    """Counts starts. Nothing here raises: a start that cannot be counted is allowed."""

    async def take(self, client_id: str, per_s: float, now_ms: int) -> RateDecision:
        """Take one start, if one is left."""
        ...

    async def release(self, client_id: str, per_s: float) -> None:
        """Give back a start that was taken when nothing was started."""
        ...


class Clock(Protocol):
    """The time. It decides when something happens, never whether."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, for times in rows."""
        ...

    def wall_ms(self) -> int:
        """Milliseconds since the epoch by the wall clock, for times that others compare with theirs."""
        ...


class Entropy(Protocol):
    """The source of nonces and jitter."""

    def token(self) -> str:
        """32 unguessable hex digits."""
        ...

    def fraction(self) -> float:
        """A number in [0, 1)."""
        ...


class Subscription(Protocol):
    """One caller's wait for one step. `is_open` is False once callers may not wait any longer."""

    @property
    def is_open(self) -> bool: ...

    async def next(self, timeout_ms: int) -> Step | None:
        """The settled step; None when the time is over, or when the caller should read the store."""
        ...


class Notifier(Protocol):
    """Tells waiting callers of this process that their step has settled. A lost message costs only time."""

    def subscribe(self, step_id: str) -> AbstractContextManager[Subscription]:
        """Listen for one step from now on."""
        ...

    def publish(self, step: Step) -> None:
        """Tell the callers: the step has settled and its row is durable."""
        ...

    def close(self) -> None:
        """End all waits, now and later: the process is about to end."""
        ...


class ClientRegistry(Protocol):
    """The clients of a runtime. The tokens of their callback URLs are made under `callback_keys`."""

    @property
    def callback_keys(self) -> tuple[bytes, ...]:
        """The keys of the runtime, the same in all its processes; none when there are no callback URLs.

        New tokens are made under the first one.
        """
        ...

    async def authenticate(self, api_key: str | None, client_id: str) -> Client | None:
        """The client that the key belongs to, which may not be `client_id`; None for an invalid key."""
        ...

    async def get(self, client_id: str) -> Client | None:
        """A client by its id."""
        ...


class Telemetry(Protocol):
    """Metrics and logs for operators. Methods return at once and never raise."""

    def started(self, step: Step) -> None:
        """A step was created."""
        ...

    def attempt_ended(self, step: Step, attempt: Attempt) -> None:
        """An attempt is over and its row is written."""
        ...

    def owner_lost(self, step: Step) -> None:
        """A server has started, and its last process made the last attempt of this step."""
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
