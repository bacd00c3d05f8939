"""Exports runs: all steps of one run after the other, in pages."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from atomic.application.blobs import as_listed, for_all
from atomic.application.engine import Engine
from atomic.application.queries import PAGE_MAX_BYTES, READ_AT_ONCE, weight
from atomic.application.run_query import RunQuery
from atomic.domain.steps import Step
from atomic.protocol import keys

# How many runs are looked up at a time.
_RUNS_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class Exported:
    """Where a page ended: the last step, and when the root of its run was created."""

    root_created_at_ms: int
    step_id: str

    @property
    def root(self) -> tuple[int, str]:
        """The root, as `RunQuery.after` has it."""
        return self.root_created_at_ms, keys.root_of(keys.run_of(self.step_id))


async def export_page(
    engine: Engine, query: RunQuery, after: Exported | None, limit: int
) -> tuple[Sequence[Step], Exported | None]:
    """A page of the steps of the runs that fit, the newest run first, and where it ended.

    It has fewer steps than the limit when it would become too large, but at least one. Texts that are too
    long for a page are left out. The end is None on the last page.
    """
    steps: list[Step] = []
    room = PAGE_MAX_BYTES
    end: Exported | None = None
    async for step, root_created_at_ms in _steps(engine, query, after):
        room -= weight(step)
        if steps and (room < 0 or len(steps) == limit):
            break
        steps.append(step)
        end = Exported(root_created_at_ms, step.id)
    else:
        end = None
    return await for_all(engine.store, steps, as_listed), end


async def _steps(
    engine: Engine, query: RunQuery, after: Exported | None
) -> AsyncIterator[tuple[Step, int]]:
    """The steps of the runs that fit, each with when its root was created."""
    query = replace(query, limit=_RUNS_AT_ONCE)
    if after is not None:
        query = replace(query, after=after.root)
        async for step in _of_run(engine, keys.run_of(after.step_id), after.step_id):
            # A cursor is anybody's text, and may name a run of another client.
            if step.spec.client_id != query.client_id:
                break
            yield step, after.root_created_at_ms
    while True:
        roots = await engine.store.list(query)
        for root in roots:
            async for step in _of_run(engine, root.spec.run_id, None):
                yield step, root.created_at_ms
        if roots.after is None:
            return
        query = replace(query, after=roots.after)


async def _of_run(engine: Engine, run_id: str, after: str | None) -> AsyncIterator[Step]:
    while page := await engine.store.run(run_id, after=after, limit=READ_AT_ONCE):
        for step in page:
            yield step
        if len(page) < READ_AT_ONCE:
            return
        after = page[-1].id
