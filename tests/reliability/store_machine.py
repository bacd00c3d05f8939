"""A Hypothesis state machine that runs a store and a model of it, and compares all their results."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from atomic.application.ports import StepStore
from atomic.application.run_query import RunQuery
from atomic.domain.steps import Step
from atomic.protocol import keys
from atomic.protocol.enums import LIVE, Status
from contract.builders import RETENTION_MS, a_child, a_root, a_spec

T = TypeVar("T")
moments = st.sampled_from([1_000, 2_000, 3_000])
statuses = st.sampled_from(list(Status))
maybe_moments = st.none() | moments
limits = st.sampled_from([1, 2, 100])
laters = st.sampled_from([2_000, 2_000 + RETENTION_MS, 9_000 + RETENTION_MS])


@st.composite
def steps(draw: st.DrawFn) -> Step:
    """Steps with few different ids and contents, so that collisions are frequent."""
    spec = a_spec(
        client_id=draw(st.sampled_from(["acme", "beta"])),
        workflow_name=draw(st.sampled_from(["v", "w"])),
        key=draw(st.sampled_from(["a", "ab", "b"])),
        payload=draw(st.sampled_from([b"null", b'{"n":1}'])),
    )
    at_ms, status = draw(moments), draw(statuses)
    if draw(st.booleans()):
        return a_root(spec, at_ms=at_ms, status=status)
    return a_child(draw(st.sampled_from(["s", "t"])), spec, at_ms=at_ms, status=status)


@st.composite
def queries(draw: st.DrawFn) -> RunQuery:
    """Any combination of filters."""
    return RunQuery(
        client_id=draw(st.sampled_from(["acme", "beta"])),
        status=draw(st.none() | statuses),
        workflow_name=draw(st.sampled_from([None, "v", "w"])),
        key_prefix=draw(st.sampled_from([None, "a", "ab", "b", "c"])),
        created_from_ms=draw(maybe_moments),
        created_before_ms=draw(maybe_moments),
        limit=draw(limits),
    )


class StoreMachine(RuleBasedStateMachine):
    """`model` holds the rows that the store must have. A subclass provides the store and empties it."""

    runner: ClassVar[asyncio.Runner]
    store: StepStore

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str, Step] = {}

    def wait(self, work: Awaitable[T]) -> T:
        """Run until the work is done."""

        async def body() -> T:
            return await work

        return self.runner.run(body())

    @rule(step=steps())
    def create(self, step: Step) -> None:
        existing = self.model.get(step.id)
        assert self.wait(self.store.create(step)) == existing
        self.model.setdefault(step.id, step)

    @rule(rivals=st.lists(steps(), min_size=2, max_size=4))
    def create_at_once(self, rivals: list[Step]) -> None:
        async def together() -> list[Step | None]:
            return await asyncio.gather(*map(self.store.create, rivals))

        for step, answer in zip(rivals, self.wait(together()), strict=True):
            existing = self.model.setdefault(step.id, step)
            assert answer == (None if existing is step else existing)

    @rule(data=st.data(), status=statuses, at_ms=moments, behind=st.sampled_from([0, 0, 0, 1, -1]))
    def replace(self, data: st.DataObject, status: Status, at_ms: int, behind: int) -> None:
        existing = self._one(data)
        if existing is None:
            return
        expected = existing.version - behind
        after = _moved(existing, status, at_ms)
        answer = self.wait(self.store.replace(after, expected))
        assert answer == (existing if behind else None)
        if not behind:
            self.model[existing.id] = after

    @rule(data=st.data(), at_ms=moments)
    def begin_anew(self, data: st.DataObject, at_ms: int) -> None:
        """A new step replaces an expired one of the same identity."""
        existing = self._one(data)
        if existing is None or existing.expires_at_ms is None:
            return
        spec = replace(existing.spec, payload=b'"new"')
        new = replace(
            a_root(spec, at_ms=existing.created_at_ms + RETENTION_MS + at_ms),
            id=existing.id,
            version=existing.version + 1,
        )
        assert self.wait(self.store.replace(new, existing.version)) is None
        self.model[new.id] = new

    @rule(step=steps())
    def replace_nothing(self, step: Step) -> None:
        if step.id in self.model:
            return
        try:
            self.wait(self.store.replace(step, 1))
        except LookupError:
            return
        raise AssertionError("a row that is not there was replaced")

    @rule(step=steps())
    def get(self, step: Step) -> None:
        assert self.wait(self.store.get(step.id)) == self.model.get(step.id)

    @rule(query=queries())
    def pages(self, query: RunQuery) -> None:
        """List all pages, one after the other, and check that each has the requested size."""
        found: list[Step] = []
        page = self.wait(self.store.list(query))
        while page:
            found += page
            assert len(page) <= query.limit
            assert len(found) <= len(self.model)
            page = self.wait(self.store.list(replace(query, after=(page[-1].created_at_ms, page[-1].id))))
        assert found == self._fitting(
            query, lambda step: step.is_root and query.status in {None, step.status}
        )

    @rule(query=queries())
    def failed(self, query: RunQuery) -> None:
        expected = self._fitting(query, lambda step: step.status is Status.FAILED)
        found = self.wait(self.store.failed(query))
        assert [*found] == [step.id for step in expected[: query.limit]]

    @rule(before_ms=moments, limit=limits)
    def due(self, before_ms: int, limit: int) -> None:
        lines: dict[str, list[int]] = {}
        for step in self.model.values():
            if step.due_at_ms is not None and step.due_at_ms < before_ms:
                lines.setdefault(step.spec.client_id, []).append(step.due_at_ms)
        found = self.wait(self.store.due(before_ms, limit))
        assert len({step.id for step in found}) == len(found) == min(limit, sum(map(len, lines.values())))
        assert all(self.model[step.id].due_at_ms == step.due_at_ms for step in found)
        taken = {client_id: [s.due_at_ms for s in found if s.client_id == client_id] for client_id in lines}
        for client_id, line in lines.items():
            assert taken[client_id] == sorted(line)[: len(taken[client_id])]
            if len(taken[client_id]) < len(line):
                # No client got two more steps than a client that still has due ones.
                assert all(len(others) <= len(taken[client_id]) + 1 for others in taken.values())

    @rule(status=statuses, limit=limits)
    def with_status(self, status: Status, limit: int) -> None:
        ids = sorted(step.id for step in self.model.values() if step.status is status)
        after = ids[0] if len(ids) > 1 else ""
        found = self.wait(self.store.with_status(status, after=after, limit=limit))
        assert [*found] == [step_id for step_id in ids if step_id > after][:limit]

    @rule(step=steps())
    def run(self, step: Step) -> None:
        of_run = sorted(
            (row for row in self.model.values() if row.spec.run_id == step.spec.run_id),
            key=lambda row: row.id,
        )
        assert self.wait(self.store.run(step.spec.run_id, after=None, limit=100)) == of_run
        outline = self.wait(self.store.outline(step.spec.run_id))
        assert {(row.id, row.status, row.finished_at_ms) for row in outline} == {
            (row.id, row.status, row.finished_at_ms) for row in of_run
        }

    @rule(client_id=st.sampled_from(["acme", "beta"]), from_ms=moments)
    def count(self, client_id: str, from_ms: int) -> None:
        rows = [step for step in self.model.values() if step.spec.client_id == client_id]
        counts = self.wait(self.store.count(client_id, from_ms))
        assert sum(counts.live.values()) == sum(step.status in LIVE for step in rows)
        recent = [step for step in rows if step.is_root and step.created_at_ms >= from_ms]
        assert sum(counts.runs.values()) == len(recent)
        assert counts.dead_letters == sum(step.status is Status.FAILED for step in rows)
        due = [step.due_at_ms for step in rows if step.due_at_ms is not None]
        assert counts.oldest_due_at_ms == min(due, default=None)

    @rule(now_ms=laters)
    def purge(self, now_ms: int) -> None:
        gone = [step.id for step in self.model.values() if self._is_forgotten(step, now_ms)]
        assert self.wait(self.store.purge(now_ms, 100)) == len(gone)
        for step_id in gone:
            del self.model[step_id]

    def _is_forgotten(self, step: Step, now_ms: int) -> bool:
        root = self.model.get(keys.root_of(step.spec.run_id), step)
        if step.expires_at_ms is None or step.expires_at_ms > now_ms:
            return False
        if root.created_at_ms >= step.expires_at_ms:
            return True
        return root.expires_at_ms is not None and root.expires_at_ms <= now_ms

    def _one(self, data: st.DataObject) -> Step | None:
        return self.model[data.draw(st.sampled_from(sorted(self.model)))] if self.model else None

    def _fitting(self, query: RunQuery, wanted: Callable[[Step], Any]) -> list[Step]:
        found = [
            step
            for step in self.model.values()
            if wanted(step)
            and step.spec.client_id == query.client_id
            and query.workflow_name in {None, step.spec.workflow_name}
            and step.spec.idempotency_key.startswith(query.key_prefix or "")
            and (query.created_from_ms or 0) <= step.created_at_ms
            and step.created_at_ms < (query.created_before_ms or 10**15)
        ]
        return sorted(found, key=lambda step: (step.created_at_ms, step.id), reverse=True)


def _moved(step: Step, status: Status, at_ms: int) -> Step:
    is_live = status in LIVE
    return replace(
        step,
        version=step.version + 1,
        status=status,
        due_at_ms=at_ms if is_live and status is not Status.WAITING else None,
        finished_at_ms=None if is_live else at_ms,
        expires_at_ms=None if is_live else at_ms + RETENTION_MS,
    )
