"""Rows in a dict: the store of simulations and of users' tests."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from atomic.adapters.memory.acts import MemoryAuditLog
from atomic.adapters.memory.counters import MemoryCounters
from atomic.adapters.memory.pointers import MemoryPointers
from atomic.adapters.memory.schedules import MemorySchedules
from atomic.application.cause_query import CausePage, CauseQuery, grouped
from atomic.application.child_steps import ChildPage, first_page
from atomic.application.ports import CountedLive, Counts, DueStep
from atomic.application.round_robin import due_in_turns
from atomic.application.run_query import Counted, ListPage, RunQuery
from atomic.application.server_store import LiveStep
from atomic.domain.blobs import Blob, Place, as_stored
from atomic.domain.outlines import StepOutline, outline_of
from atomic.domain.redating import last_recorded_ms
from atomic.domain.steps import Step
from atomic.protocol import keys
from atomic.protocol.enums import LIVE, Status


def _row(step: Step) -> Step:
    """The step as a row gives it back: without its large texts. Raises ValueError for one not stored."""
    payload, response = step.spec.payload, step.response
    if isinstance(payload, Blob):
        step = replace(step, spec=replace(step.spec, payload=as_stored(payload, step.id)))
    if response is not None and isinstance(response.text, Blob):
        step = replace(step, response=replace(response, text=as_stored(response.text, step.id)))
    return step


class _Blob(NamedTuple):
    text: bytes
    until_ms: int


class MemoryStepStore(MemorySchedules, MemoryPointers, MemoryAuditLog, MemoryCounters):
    """Implements `ports.ServerStore`. Rows live as long as the object.

    Queries scan every row.
    """

    def __init__(self) -> None:
        MemorySchedules.__init__(self)
        MemoryPointers.__init__(self)
        MemoryAuditLog.__init__(self)
        MemoryCounters.__init__(self)
        self._rows: dict[str, Step] = {}
        self._stored: dict[tuple[str, int], int] = {}
        self._blobs: dict[tuple[str, str], _Blob] = {}

    async def create(self, step: Step) -> Step | None:
        """Insert the step unless its id is taken."""
        row = _row(step)
        existing = self._rows.setdefault(step.id, row)
        return None if existing is row else existing

    async def get(self, step_id: str) -> Step | None:
        """The row of this id."""
        return self._rows.get(step_id)

    async def replace(self, step: Step, expected_version: int) -> Step | None:
        """Write the row if it has the expected version; raises LookupError if there is none."""
        existing = self._rows.get(step.id)
        if existing is None:
            raise LookupError(step.id)
        if existing.version != expected_version:
            return existing
        if existing.created_at_ms != step.created_at_ms:
            self._keep_counts([existing])
        self._rows[step.id] = _row(step)
        return None

    async def list_live(self, step: Step) -> None:
        """Nothing: every row is found."""

    async def run(self, run_id: str, *, after: str | None, limit: int) -> Sequence[Step]:
        """A page of the run's steps in the order of their ids."""
        steps = [step for step in self._of_run(run_id) if after is None or step.id > after]
        return sorted(steps, key=lambda step: step.id)[:limit]

    async def outline(self, run_id: str) -> Sequence[StepOutline]:
        """The state of every step of the run."""
        return [outline_of(step) for step in self._of_run(run_id)]

    async def children(self, parent_id: str, *, after: str, limit: int) -> Sequence[StepOutline]:
        """A page of the step's children in the order of their ids."""
        steps = [step for step in self._rows.values() if step.spec.parent == parent_id and step.id > after]
        return [outline_of(step) for step in sorted(steps, key=lambda step: step.id)[:limit]]

    async def child_steps(self, parent_id: str, *, after: str, limit: int, max_bytes: int) -> ChildPage:
        """A page of the step's children in the order of their ids, whole."""
        steps = [step for step in self._rows.values() if step.spec.parent == parent_id and step.id > after]
        return first_page(sorted(steps, key=lambda step: step.id), limit=limit, max_bytes=max_bytes)

    async def erase(self, client_id: str, run_id: str, root: Step | None) -> bool:
        """Delete all of a run, if its root is still this row."""
        row = self._rows.get(keys.root_of(run_id))
        if row is None or root is None or (row.spec.client_id, row.version) != (client_id, root.version):
            return False
        steps = [step for step in self._rows.values() if step.spec.run_id == run_id]
        self._keep_counts(steps)
        for step in steps:
            del self._rows[step.id]
        for step_id, digest in [each for each in self._blobs if keys.run_of(each[0]) == run_id]:
            del self._blobs[step_id, digest]
        return True

    async def list(self, query: RunQuery) -> ListPage:
        """Root steps that fit, newest first."""
        return ListPage.of(_page(query, self._runs(query)), query)

    async def count_runs(self, query: RunQuery, enough: int) -> Counted:  # noqa: ARG002 - the port has it
        """All runs that fit."""
        return Counted(sum(map(query.fits, self._runs(query))), is_all=True)

    def _runs(self, query: RunQuery) -> Iterable[Step]:
        wanted = query.statuses
        return (step for step in self._rows.values() if step.is_root and step.status in wanted)

    async def failed(self, query: RunQuery) -> Sequence[str]:
        """Ids of the dead letters that fit, newest first."""
        failed = (step for step in self._rows.values() if step.is_dead_letter)
        return [step.id for step in _page(query, failed)]

    async def causes(self, query: CauseQuery) -> CausePage:
        """The causes that most of the client's runs failed for."""
        wanted = RunQuery(
            client_id=query.client_id,
            workflow_name=query.workflow_name,
            dismissed=query.dismissed,
            limit=len(self._rows),
        )
        failed = [(step, step.cause) for step in await self.list(wanted) if step.cause is not None]
        return grouped(failed, query.limit)

    async def due(self, before_ms: int, limit: int) -> Sequence[DueStep]:
        """Live steps that are due before the moment, clients in turns, the most overdue first."""
        due = [
            DueStep(step.id, step.spec.client_id, due_at_ms)
            for step in self._rows.values()
            if (due_at_ms := step.found_due_ms) is not None and due_at_ms < before_ms
        ]
        return due_in_turns([*due, *self._due_schedules(before_ms)], limit)

    async def with_status(self, status: Status, *, after: str, limit: int) -> Sequence[str]:
        """A page of the ids of steps in a state, in their order."""
        ids = [step.id for step in self._rows.values() if step.status is status and step.id > after]
        return sorted(ids)[:limit]

    async def live(self, status: Status, *, after: str, limit: int) -> Sequence[LiveStep]:
        """A page of the live steps in a state, in the order of their ids."""
        ids = await self.with_status(status, after=after, limit=limit)
        steps = [self._rows[step_id] for step_id in ids]
        roots = [self._rows.get(keys.root_of(step.spec.run_id)) for step in steps]
        return [
            LiveStep(
                step.id, step.spec.kind == "http", last_recorded_ms(step), root.status if root else None
            )
            for step, root in zip(steps, roots, strict=True)
        ]

    async def count_live(self) -> int:
        """How many live steps all clients have."""
        return sum(step.status in LIVE for step in self._rows.values())

    async def count(self, client_id: str, created_from_ms: int) -> Counts:
        """How many of the client's steps are in which state; states without any are left out."""
        steps = [step for step in self._rows.values() if step.spec.client_id == client_id]
        live = [step for step in steps if step.status in LIVE]
        recent = [step for step in steps if step.is_root and step.created_at_ms >= created_from_ms]
        return Counts(
            live=dict(Counter(step.status for step in live)),
            runs=dict(Counter(step.status for step in recent)),
            dead_letters=sum(step.is_dead_letter for step in steps),
            needs_action=sum(step.cause is not None and step.dismissal is None for step in steps),
            oldest_due_at_ms=min((s.due_at_ms for s in live if s.due_at_ms is not None), default=None),
        )

    async def counted_live(self, client_id: str) -> CountedLive | None:  # noqa: ARG002 - the port has it
        """None: it counts at once."""
        return None

    async def count_live_of(self, client_id: str, enough: int) -> int:  # noqa: ARG002 - the port has it
        """How many live steps the client has."""
        return sum(step.status in LIVE and step.spec.client_id == client_id for step in self._rows.values())

    async def add_stored_bytes(self, client_id: str, size: int, *, day: int, since_day: int) -> int:
        """Add to the stored bytes of the client; the sum."""
        self._stored[client_id, day] = self._stored.get((client_id, day), 0) + size
        return sum(
            kept for (owner, on), kept in self._stored.items() if owner == client_id and on >= since_day
        )

    async def purge(self, now_ms: int, limit: int) -> int:
        """Delete expired rows whose root is gone or expired as well, or is that of the next run."""
        forgotten = [step for step in self._rows.values() if self._is_forgotten(step, now_ms)][:limit]
        self._keep_counts(forgotten)
        for step in forgotten:
            del self._rows[step.id]
        for (step_id, digest), blob in list(self._blobs.items()):
            if blob.until_ms <= now_ms and step_id not in self._rows:
                del self._blobs[step_id, digest]
        self._purge_pointers(now_ms)
        self._purge_acts(now_ms)
        self._purge_counters(now_ms)
        return len(forgotten)

    async def clear(self) -> None:
        """Delete everything."""
        for kept in (self._rows, self._blobs, self._stored, self._schedules, self._pointers, self._acts):
            kept.clear()
        MemoryCounters.__init__(self)

    async def put_blob(self, step_id: str, digest: str, text: bytes, until_ms: int) -> Place:
        """Keep a large text."""
        before = self._blobs.get((step_id, digest))
        self._blobs[step_id, digest] = _Blob(text, max(until_ms, before.until_ms if before else 0))
        return "table"

    async def get_blob(self, step_id: str, digest: str, place: Place) -> bytes | None:  # noqa: ARG002 - one place
        """A large text."""
        blob = self._blobs.get((step_id, digest))
        return blob and blob.text

    def _of_run(self, run_id: str) -> Iterable[Step]:
        first, end = keys.steps_range(run_id)
        return (step for step in self._rows.values() if first < step.id < end)

    def _is_forgotten(self, step: Step, now_ms: int) -> bool:
        root = self._rows.get(keys.root_of(step.spec.run_id))
        if step.expires_at_ms is None or not _has_expired(step, now_ms):
            return False
        is_of_another_run = root is not None and root.created_at_ms >= step.expires_at_ms
        return root is None or is_of_another_run or _has_expired(root, now_ms)


def _has_expired(step: Step, now_ms: int) -> bool:
    return step.expires_at_ms is not None and step.expires_at_ms <= now_ms and not step.owes


def _page(query: RunQuery, steps: Iterable[Step]) -> list[Step]:
    fitting = [step for step in steps if query.fits(step)]
    return sorted(fitting, key=_age, reverse=True)[: query.limit]


def _age(step: Step) -> tuple[int, str]:
    return step.created_at_ms, step.id
