"""Redrive on rows as races or wrong handlers may have left them."""

from dataclasses import replace

from atomic.adapters.memory.store import MemoryStepStore
from atomic.application.lineage import Lineage
from atomic.application.redrive import redrive_many, redrive_step, redrive_tagged
from atomic.application.run_query import RunQuery
from atomic.domain.events import Cancelled
from atomic.domain.leftovers import not_redrivable_reason
from atomic.domain.steps import Step
from atomic.domain.transitions import transition
from atomic.protocol.enums import Status
from atomic.testing import LocalAtomic, run
from contract.builders import a_child, a_root, a_spec


def filled(*rows: Step) -> MemoryStepStore:
    store = MemoryStepStore()
    store._rows = {row.id: row for row in rows}
    return store


def test_a_redrive_by_tags_reads_a_bounded_number_and_goes_on() -> None:
    others = [
        a_root(a_spec(key=f"key-{number}"), at_ms=2_000 + number, status=Status.FAILED)
        for number in range(600)
    ]
    tagged = replace(a_spec(key="tagged"), tags=("customer:c-17", "env:prod"))
    root = a_root(tagged, at_ms=500, status=Status.FAILED)
    below = a_child("below", tagged, at_ms=600, status=Status.FAILED)
    engine = LocalAtomic(store=filled(root, below, *others)).engine
    query, tags = RunQuery(client_id="acme", limit=1_000), ("customer:c-17",)

    async def redrive() -> None:
        none, after = await redrive_tagged(engine, query, tags)
        assert (none, after) == ([], (2_100, others[100].id))
        redriven, end = await redrive_tagged(engine, replace(query, after=after), tags)
        assert (redriven[0], end) == (below.id, None)
        row = await engine.store.get(root.id)
        assert row is not None
        # Its failed ancestor is redriven with it.
        assert row.generation == 2

    run(redrive())


def test_skipped_dead_letters_do_not_hide_the_others() -> None:
    rows = []
    for number in range(9):
        spec = a_spec(key=f"key-{number}")
        rows += [
            a_root(spec, at_ms=2_000 + number, status=Status.SUCCEEDED),
            a_child("caught", spec, at_ms=1_000 + number, status=Status.FAILED),
        ]
    dead = a_root(a_spec(key="dead"), at_ms=500, status=Status.FAILED)
    engine = LocalAtomic(store=filled(dead, *rows)).engine

    async def redrive() -> tuple[list[str], bool]:
        return await redrive_many(engine, RunQuery(client_id="acme", limit=2))

    assert run(redrive()) == ([dead.id], False)


def test_a_cycle_of_parents_is_handled() -> None:
    spec = a_spec()
    one, other = (a_child(name, spec, status=Status.FAILED) for name in ("one", "other"))
    one = replace(one, spec=replace(one.spec, parent=other.id))
    other = replace(other, spec=replace(other.spec, parent=one.id))
    root = a_root(spec, status=Status.CANCELLED)

    async def ancestors() -> list[Step]:
        return await Lineage(filled(one, other, root)).ancestors(one)

    found = run(ancestors())

    assert [step.id for step in found] == [other.id, root.id]
    assert not_redrivable_reason(one, found) == "cancelled"


def test_a_run_that_is_cancelled_while_a_step_of_it_is_redriven_stays_cancelled() -> None:
    spec = a_spec()
    root, step = a_root(spec), a_child("step", spec, status=Status.FAILED)

    class CancelledMeanwhile(MemoryStepStore):
        async def replace(self, step: Step, expected_version: int) -> Step | None:
            if step.generation == 2 and self._rows[root.id] is root:
                self._rows[root.id] = transition(root, Cancelled(), root.created_at_ms)
            return await super().replace(step, expected_version)

    store = CancelledMeanwhile()
    store._rows = {row.id: row for row in (root, step)}

    async def redrive() -> None:
        await redrive_step(LocalAtomic(store=store).engine, step)

    run(redrive())

    assert store._rows[step.id].status is Status.CANCELLED


def test_a_redrive_that_read_an_old_row_reads_again_before_it_refuses() -> None:
    spec = a_spec()
    old = a_child("step", spec, status=Status.FAILED)
    now = replace(old, version=4, generation=2, status=Status.SUCCEEDED)
    root = replace(a_root(spec, at_ms=2_000, status=Status.SUCCEEDED), generation=2)

    async def redrive() -> Step:
        return await redrive_step(LocalAtomic(store=filled(root, now)).engine, old)

    assert run(redrive()) == now
