"""Reads: everything that a caller may see is looked up here, and only a client's own rows."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from atomic.application.batches import side_by_side
from atomic.application.blobs import as_listed, as_shown, for_all, is_shown
from atomic.application.cause_query import CausePage, CauseQuery, grouped
from atomic.application.child_steps import response_bytes
from atomic.application.engine import Engine
from atomic.application.lineage import Lineage
from atomic.application.ports import Counts
from atomic.application.refusals import NotFound
from atomic.application.run_query import Cursor, RunQuery, cursor_of
from atomic.application.start import now_s, wait
from atomic.application.wakeups import wake_if_overdue
from atomic.domain.causes import Cause
from atomic.domain.clients.client import Client
from atomic.domain.failed_runs import cause_of, last_status
from atomic.domain.leftovers import not_redrivable_reason
from atomic.domain.outcomes import sentence_of
from atomic.domain.revisions import Revision, changed_since, revision_of
from atomic.domain.steps import Step
from atomic.domain.waits import waits_for
from atomic.protocol import keys
from atomic.protocol.enums import LIVE, NotRedrivable, Status, WaitsFor
from atomic.protocol.error_kinds import ErrorKind

# Lambda answers with 6 MB at most, and writes the document as a JSON string: each quotation mark takes two
# bytes, and characters outside ASCII take three times their length on runtimes before Python 3.12.
PAGE_MAX_BYTES: Final = 2_000_000
# Rows have no large texts, so a hundred are a megabyte or so.
READ_AT_ONCE: Final = 100
# So many steps are read one by one; if more have changed, the run is read from its beginning.
_CHANGED_MAX: Final = 200
# Of a list whose conditions no index knows: the rows, or runs with their steps, that a page reads at most.
_COMPARED_MAX: Final = 500
_STEP_BYTES: Final = 1_500
_ATTEMPT_BYTES: Final = 430


@dataclass(frozen=True, slots=True)
class RunPage:
    """A run's root and a page of its other steps; `next_after` is None on the last page.

    `revision`: what a reader of all pages has; None on later pages. `is_partial`: only steps that changed.
    """

    root: Step
    steps: Sequence[Step]
    next_after: str | None
    revision: Revision | None = None
    is_partial: bool = False


async def get_step(engine: Engine, client: Client, step_id: str) -> Step:
    """A step of the client. Raises NotFound for any other id."""
    step = await engine.store.get(step_id) if keys.is_step_id(step_id) else None
    if step is None or step.spec.client_id != client.id:
        raise NotFound(None if step is None else step.spec.client_id)
    await _wake_if_left_alone(engine, step)
    return step


async def _wake_if_left_alone(engine: Engine, step: Step) -> None:
    """Send the wake-up of a step whose first attempt was lost with its process before anybody was told.

    Otherwise its handler does that by posting it again. But the handler may have gone on without it.
    """
    if step.has_no_wakeup:
        await wake_if_overdue(engine, step)


async def wait_for_step(engine: Engine, step: Step, wait_ms: int) -> Step:
    """Wait until a step settles or the time is over; the step."""
    if step.is_settled or wait_ms <= 0:
        return step
    return await wait(engine, step, now_s() + wait_ms / 1000)


async def get_root(engine: Engine, client: Client, run_id: str) -> Step:
    """The root step of a run of the client. Raises NotFound for any other id."""
    return await get_step(engine, client, keys.root_of(run_id))


async def get_run(engine: Engine, client: Client, run_id: str, *, after: str | None, limit: int) -> RunPage:
    """A run of the client with a page of its steps.

    The page has fewer steps than the limit when its document would become too large, but at least one.
    """
    root = await as_shown(engine.store, await get_root(engine, client, run_id))
    steps, next_after = await _page_of(engine, root, after=after, limit=limit)
    revision = await _revision_of(engine, root, steps, next_after) if after is None else None
    return RunPage(root, await for_all(engine.store, steps, as_listed), next_after, revision)


async def _revision_of(
    engine: Engine, root: Step, steps: Sequence[Step], next_after: str | None
) -> Revision:
    """The revision of a reader who has these steps, and reads the later ones hereafter."""
    if next_after is None:
        return revision_of(root.created_at_ms, steps)
    outline = await engine.store.outline(root.spec.run_id)
    later = [step for step in outline if step.id > next_after and step.id != root.id]
    return revision_of(root.created_at_ms, [*steps, *later])


async def changes_of_run(
    engine: Engine, client: Client, run_id: str, *, since: Revision, limit: int
) -> RunPage | None:
    """The root of a run, and its steps that changed since a revision.

    None when they fit no page, and when the revision is that of an earlier run of the same id.
    """
    root = await as_shown(engine.store, await get_root(engine, client, run_id))
    # Read before the steps: what changes in between is in the answer, and is told once more.
    outline = [step for step in await engine.store.outline(run_id) if step.id != root.id]
    revision = revision_of(root.created_at_ms, outline)
    ids = changed_since(since, revision, outline)
    if since.created_at_ms != root.created_at_ms or len(ids) > min(limit, _CHANGED_MAX):
        return None
    found = await side_by_side(*map(engine.store.get, ids))
    steps = [step for step in found if step is not None]
    for step in steps:
        await _wake_if_left_alone(engine, step)
    if weight(root) + sum(map(weight, steps)) > PAGE_MAX_BYTES:
        return None
    listed = await for_all(engine.store, steps, as_listed)
    return RunPage(root, listed, None, revision, is_partial=True)


async def _page_of(
    engine: Engine, root: Step, *, after: str | None, limit: int
) -> tuple[list[Step], str | None]:
    """A page of the other steps of a run, by the sizes of their documents, and where it ended."""
    room = PAGE_MAX_BYTES - weight(root)
    steps: list[Step] = []
    while True:
        found = await engine.store.run(root.spec.run_id, after=after, limit=READ_AT_ONCE)
        for step in found:
            if step.is_root:
                continue
            room -= weight(step)
            if steps and (room < 0 or len(steps) == limit):
                return steps, steps[-1].id
            await _wake_if_left_alone(engine, step)
            steps.append(step)
        if len(found) < READ_AT_ONCE:
            return steps, None
        after = found[-1].id


def weight(step: Step) -> int:
    """An upper bound of the size of the step's document on a page, in bytes."""
    payload, response = step.spec.payload, step.response
    return (
        _STEP_BYTES
        + (len(payload) if is_shown(payload) else 0)
        + (response_bytes(step) if response is not None and is_shown(response.text) else 0)
        + sum(_ATTEMPT_BYTES + len(sentence_of(attempt.error) or "") for attempt in step.attempt_log)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What no index knows: rows are read and compared. `waits_for`: of a run; the others: of a step.

    `cause` and `tags` are for dead letters, since the list of runs has an index of both: the id of the
    step's own cause, and tags of its run.
    """

    waits_for: WaitsFor | None = None
    error_kind: ErrorKind | None = None
    response_status: int | None = None
    cause: str | None = None
    tags: tuple[str, ...] = ()

    def fit(self, step: Step) -> bool:
        """Whether a step fits, as far as its own row says."""
        kind = None if step.error is None else step.error.kind
        return self._fit_answer(kind, last_status(step)) and (
            self.cause is None or self.cause == cause_of(step).id
        )

    def fit_run(self, root: Step) -> bool:
        """Whether a run fits, as far as the row of its root says: by its own failure or by its cause.

        A handler often answers 500 where one of its steps was answered 503. `cause` is not compared with
        that of the run: `RunQuery.cause` asks for it.
        """
        cause = root.cause
        by_cause = cause is not None and self._fit_answer(cause.error_kind, cause.response_status)
        return by_cause or self.fit(root)

    def _fit_answer(self, kind: ErrorKind | None, status: int | None) -> bool:
        return self.error_kind in {None, kind} and self.response_status in {None, status}


NO_CONDITIONS: Final = Conditions()


# A page of steps, and where the next one begins.
_Read = Callable[[RunQuery], Awaitable[tuple[Sequence[Step], Cursor | None]]]
_Choose = Callable[[Sequence[Step]], Awaitable[Sequence[Step]]]


async def list_runs(
    engine: Engine, query: RunQuery, conditions: Conditions = NO_CONDITIONS
) -> tuple[Sequence[Step], Cursor | None]:
    """The root steps of the client's runs that fit, newest first, and the cursor of the next page.

    With conditions a page may be short, or empty, and there is a next one: see `_compared`.
    """

    async def read(page: RunQuery) -> tuple[Sequence[Step], Cursor | None]:
        roots = await engine.store.list(page)
        return roots, roots.after

    async def choose(roots: Sequence[Step]) -> Sequence[Step]:
        fitting = [root for root in roots if conditions.fit_run(root)]
        if (wanted := conditions.waits_for) is None:
            return fitting
        outlines = await side_by_side(*(engine.store.outline(root.spec.run_id) for root in fitting))
        now_ms, pairs = engine.clock.now_ms(), zip(fitting, outlines, strict=True)
        return [root for root, outline in pairs if wanted in waits_for(root, outline, now_ms)]

    if conditions == NO_CONDITIONS:
        return await read(query)
    if conditions.waits_for is not None:
        query = replace(query, among=query.among & LIVE)
    return await _compared(read, choose, query)


async def _compared(read: _Read, choose: _Choose, query: RunQuery) -> tuple[Sequence[Step], Cursor | None]:
    """The first steps that are chosen of those that are read, and the cursor of the next page.

    So many rows are read at most that an answer takes a bounded time, however few of them fit.
    """
    found: list[Step] = []
    after: Cursor | None = query.after
    for _ in range(_COMPARED_MAX // READ_AT_ONCE):
        steps, after = await read(replace(query, after=after, limit=READ_AT_ONCE))
        found += await choose(steps)
        if len(found) > query.limit:
            return found[: query.limit], cursor_of(found[query.limit - 1])
        if after is None or len(found) == query.limit:
            break
    return found, after


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: its steps by state, without the root; attempts and retries, with the root's."""

    steps: dict[Status, int]
    attempts: int
    retries: int
    waits_for: frozenset[WaitsFor]


async def progress(engine: Engine, roots: Sequence[Step]) -> list[Progress]:
    """How far each of these runs is. Reads the outline of each run."""
    outlines = await side_by_side(*(engine.store.outline(root.spec.run_id) for root in roots))
    now_ms = engine.clock.now_ms()
    return [
        Progress(
            steps=dict(Counter(step.status for step in outline if step.id != root.id)),
            attempts=sum(step.attempt_count for step in outline),
            retries=sum(step.retries for step in outline),
            waits_for=waits_for(root, outline, now_ms),
        )
        for root, outline in zip(roots, outlines, strict=True)
    ]


async def _with_tags(engine: Engine, steps: Sequence[Step], tags: Sequence[str]) -> Sequence[Step]:
    """Those whose run has all of these tags. Only the root of a run has them, so it is read, too."""
    if not tags:
        return steps
    ids = list(dict.fromkeys(keys.root_of(step.spec.run_id) for step in steps))
    roots = await side_by_side(*(engine.store.get(root_id) for root_id in ids))
    fitting = {root.spec.run_id for root in roots if root is not None and {*tags} <= {*root.spec.tags}}
    return [step for step in steps if step.spec.run_id in fitting]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A step that failed, and the reason why it cannot be redriven, if there is one."""

    step: Step
    not_redrivable_reason: NotRedrivable | None


async def dead_letters(
    engine: Engine, query: RunQuery, conditions: Conditions = NO_CONDITIONS
) -> tuple[list[DeadLetter], Cursor | None]:
    """The client's dead letters that fit, newest first, and the cursor of the next page, as for runs."""

    async def read(page: RunQuery) -> tuple[Sequence[Step], Cursor | None]:
        ids = await engine.store.failed(page)
        found = await side_by_side(*(engine.store.get(step_id) for step_id in ids))
        steps = [step for step in found if step is not None]
        return steps, cursor_of(steps[-1]) if len(ids) == page.limit and steps else None

    async def choose(steps: Sequence[Step]) -> Sequence[Step]:
        # The index may lag behind the rows, so a step of it may have been redriven already.
        fitting = [step for step in steps if step.is_dead_letter and conditions.fit(step)]
        return await _with_tags(engine, fitting, conditions.tags)

    if conditions == NO_CONDITIONS:
        steps, after = await read(query)
        failed = await choose(steps)
    else:
        failed, after = await _compared(read, choose, query)
    lineage = Lineage(engine.store)
    return [
        DeadLetter(step, not_redrivable_reason(step, await lineage.ancestors(step))) for step in failed
    ], after


async def handled_causes(engine: Engine, query: CauseQuery) -> CausePage:
    """The causes of the client's newest dead letters whose handlers went on without them."""
    wanted = RunQuery(client_id=query.client_id, workflow_name=query.workflow_name, limit=READ_AT_ONCE)
    found: list[tuple[Step, Cause]] = []
    for _ in range(_COMPARED_MAX // READ_AT_ONCE):
        letters, after = await dead_letters(engine, wanted)
        handled = (letter.step for letter in letters if letter.not_redrivable_reason == "handled")
        found += [(step, cause_of(step)) for step in handled]
        if after is None:
            return grouped(found, query.limit)
        wanted = replace(wanted, after=after)
    return grouped(found, query.limit, is_all=False)


async def count(engine: Engine, client: Client, window_ms: int) -> Counts:
    """The number of the client's steps and recent runs in each state."""
    return await engine.store.count(client.id, engine.clock.now_ms() - window_ms)
