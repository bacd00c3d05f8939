"""Does a bulk: its root begins one page after the other, and a page does the act to a hundred runs.

A page that was interrupted is done again as a whole: an act on a run that has it already changes nothing.
A bulk concerns runs as they were when it began. A run that was created since then, or has ended since then
where the act is on ends, is skipped: what fails again is not redriven again.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from atomic.application.batches import side_by_side
from atomic.application.blobs import with_payload, with_response
from atomic.application.cancel import cancel_run
from atomic.application.commit import commit
from atomic.application.dismissing import dismiss_run
from atomic.application.engine import Engine, is_step_called_off
from atomic.application.erasing import erase_run
from atomic.application.making_due import make_due
from atomic.application.pausing import pause_run, resume_run
from atomic.application.ports import StoreUnavailable
from atomic.application.queries import NO_CONDITIONS, Conditions, list_runs
from atomic.application.redrive import redrive_step
from atomic.application.refusals import (
    Busy,
    NotFound,
    NotRedrivableStep,
    NotReschedulable,
    PayloadMismatch,
    Refusal,
    RunExists,
    RunGoesOn,
    RunLive,
)
from atomic.application.restarting import check_ended, restart
from atomic.application.run_query import Counted, RunQuery, cursor_of
from atomic.application.start import now_s, start
from atomic.domain.blobs import at_hand
from atomic.domain.bulk import FIRST_PAGE, Page, Tally, page_spec
from atomic.domain.clients.client import Client
from atomic.domain.events import Paused
from atomic.domain.outcomes import EndpointResponse, NotMade, StepError
from atomic.domain.restarts import is_encrypted, restart_spec
from atomic.domain.start_times import waits_for_a_moment
from atomic.domain.steps import Step
from atomic.protocol import headers, keys
from atomic.protocol.enums import ACTS_ON, LIVE, SETTLED, BulkAction, Status
from atomic.protocol.error_kinds import ErrorKind
from atomic.protocol.wire import from_rfc3339

# A page ends after this time or this many runs. Half of an attempt's time is left for its last acts.
_PAGE_S: Final = 8.0
_PAGE_RUNS: Final = 100
_AT_ONCE: Final = 25
# Of a filter that only comparing can answer, a dry run reads so many pages of the list at most.
_COUNTED_PAGES: Final = 10
_COUNTED_MAX: Final = 1_000_000
_FAILED: Final = b'{"detail":"a page failed; redrive this run to go on with it"}'
_CANCELLED: Final = b'{"detail":"a page was cancelled; begin the bulk again"}'
_JSON: Final = {headers.CONTENT_TYPE: "application/json"}


@dataclass(frozen=True, slots=True)
class Job:
    """What a bulk does, and to which runs."""

    action: BulkAction
    note: str
    query: RunQuery
    conditions: Conditions

    @classmethod
    def of(cls, client_id: str, payload: bytes) -> "Job":
        """The job of the payload of a bulk's root: what of its `BulkRequest` was given."""
        asked: dict[str, Any] = orjson.loads(payload)
        action: BulkAction = asked["do"]
        acts_on, wanted = ACTS_ON[action], asked["filter"]
        status = next(iter(acts_on)) if len(acts_on) == 1 else wanted.get("status")
        query = RunQuery(
            client_id=client_id,
            status=None if status is None else Status(status),
            among=acts_on,
            workflow_name=wanted.get("workflowName"),
            key_prefix=wanted.get("keyPrefix"),
            key_part=wanted.get("keyContains"),
            created_from_ms=_moment(wanted.get("createdAfter")),
            created_before_ms=_moment(wanted.get("createdBefore")),
            tags=tuple(dict.fromkeys(wanted.get("tag", ()))),
            cause=wanted.get("cause"),
            dismissed=wanted.get("dismissed"),
        )
        kind = wanted.get("errorKind")
        conditions = Conditions(
            waits_for=wanted.get("waitsFor"),
            error_kind=None if kind is None else ErrorKind(kind),
            response_status=wanted.get("responseStatus"),
        )
        return cls(action, asked["note"], query, conditions)


def _moment(text: str | None) -> int | None:
    return None if text is None else from_rfc3339(text)


async def counted(engine: Engine, job: Job) -> tuple[Counted, list[Step]]:
    """How many runs fit now, and the newest of them."""
    page = replace(job.query, limit=_PAGE_RUNS)
    sample, after = await list_runs(engine, page, job.conditions)
    if job.conditions == NO_CONDITIONS:
        return await engine.store.count_runs(job.query, _COUNTED_MAX), list(sample)
    number = len(sample)
    for _ in range(_COUNTED_PAGES - 1):
        if after is None:
            break
        more, after = await list_runs(engine, replace(page, after=after), job.conditions)
        number += len(more)
    return Counted(number, after is None), list(sample)


async def do_bulk(engine: Engine, step: Step) -> EndpointResponse:
    """Answer an attempt of a bulk's root or of one of its pages, as their endpoint."""
    try:
        return await (_do_all if step.is_root else _do_page)(engine, step)
    except StoreUnavailable:
        return EndpointResponse(not_made=NotMade(StepError(ErrorKind.STORE_UNAVAILABLE)))
    except Refusal:
        # It was cancelled meanwhile, or another attempt has begun the same page a moment ago.
        return EndpointResponse(status=500)


async def _do_all(engine: Engine, root: Step) -> EndpointResponse:
    """Begin the next page, and wait for it, until there is none; after some time in a new attempt."""
    until_s = now_s() + _PAGE_S
    number, last = await _last_page(engine, root)
    while last is None or last.is_settled:
        if last is None:
            page = replace(FIRST_PAGE, tally=await _first_tally(engine, root))
        elif last.status is not Status.SUCCEEDED:
            detail = _CANCELLED if last.status is Status.CANCELLED else _FAILED
            return EndpointResponse(status=500, headers={**_JSON, headers.NO_RETRY: "true"}, body=detail)
        else:
            page = await _result_of(engine, last)
            if page.after is None:
                return EndpointResponse(status=200, headers=_JSON, body=page.to_json())
        number += 1
        wait_ms = None if now_s() < until_s else 0
        spec = page_spec(root, number, page)
        last = (await start(engine, spec, wait_ms=wait_ms, attempt=root.attempt_count)).step
    return EndpointResponse(status=202, headers={headers.WAITING_FOR: last.id})


async def _first_tally(engine: Engine, root: Step) -> Tally:
    found, _ = await counted(engine, await _job(engine, root))
    return Tally(runs=found.number, is_all=found.is_all)


async def _last_page(engine: Engine, root: Step) -> tuple[int, Step | None]:
    """The number and the row of the page that was begun last: pages have all numbers from 1 on.

    Some twenty reads find it among 100,000. Children are not counted: others may post below this root.
    """
    there, missing, last = 0, 1, None
    while (page := await _page(engine, root, missing)) is not None:
        there, missing, last = missing, 2 * missing, page
    while missing - there > 1:
        middle = (there + missing) // 2
        if (page := await _page(engine, root, middle)) is None:
            missing = middle
        else:
            there, last = middle, page
    return there, last


async def _page(engine: Engine, root: Step, number: int) -> Step | None:
    spec = page_spec(root, number, FIRST_PAGE)
    return await engine.store.get(keys.step_id(spec.run_id, spec.identity))


async def progress_of(engine: Engine, root: Step) -> Page:
    """How far the bulk of this root is: the result of its last page that has ended."""
    number, page = await _last_page(engine, root)
    while page is not None and page.status is not Status.SUCCEEDED:
        number -= 1
        page = await _page(engine, root, number) if number else None
    return FIRST_PAGE if page is None else await _result_of(engine, page)


async def _result_of(engine: Engine, page: Step) -> Page:
    response = (await with_response(engine.store, page)).response
    assert response is not None
    return Page.of_json(at_hand(response.text))


async def _job(engine: Engine, step: Step) -> Job:
    spec = (await with_payload(engine.store, step)).spec
    return Job.of(spec.client_id, at_hand(spec.payload))


async def _do_page(engine: Engine, step: Step) -> EndpointResponse:
    """Do the act to the next runs of the list, and say where the next page begins."""
    root = await engine.store.get(keys.root_of(step.spec.run_id))
    client = await engine.clients.get(step.spec.client_id)
    if root is None or client is None:
        return EndpointResponse(status=500)
    job, began_s = await _job(engine, root), now_s()
    page = Page.of_json(at_hand((await with_payload(engine.store, step)).spec.payload))
    runs, after = await list_runs(
        engine, replace(job.query, after=page.after, limit=_PAGE_RUNS), job.conditions
    )
    bulk, tally = _Bulk(engine, client, job, root), page.tally
    for first in range(0, len(runs), _AT_ONCE):
        some = runs[first : first + _AT_ONCE]
        if await is_step_called_off(engine, step):
            # Nobody reads this.
            break
        for run, came_of_it in zip(some, await side_by_side(*map(bulk.do, some)), strict=True):
            tally = tally.add(run.spec.run_id, came_of_it)
        if now_s() - began_s > _PAGE_S:
            is_last = first + len(some) == len(runs)
            after = after if is_last else cursor_of(some[-1])
            break
    return EndpointResponse(status=200, headers=_JSON, body=Page(after, tally).to_json())


@dataclass(frozen=True, slots=True)
class _Bulk:
    engine: Engine
    client: Client
    job: Job
    root: Step

    async def do(self, run: Step) -> bool | str:
        """Do the act to the run: whether it was done, or why it was refused."""
        if not self._concerns(run):
            return False
        try:
            return await _ACTS[self.job.action](self, run)
        except NotRedrivableStep:
            return False
        except Refusal as refusal:
            return _REASONS.get(type(refusal), "conflict")

    def _concerns(self, run: Step) -> bool:
        """Whether the run is one that this bulk is about: not itself, and none that came later."""
        acts_on, began_ms = ACTS_ON[self.job.action], self.root.created_at_ms
        since_ms = run.finished_at_ms if acts_on <= SETTLED else run.created_at_ms
        is_earlier = since_ms is not None and since_ms <= began_ms
        return run.id != self.root.id and run.status in acts_on and is_earlier


async def _cancel(bulk: _Bulk, run: Step) -> bool:
    await cancel_run(bulk.engine, run.spec.run_id)
    return True


async def _redrive(bulk: _Bulk, run: Step) -> bool:
    return (await redrive_step(bulk.engine, run)).generation > run.generation


async def _dismiss(bulk: _Bulk, run: Step) -> bool:
    if run.dismissal is not None:
        return False
    await dismiss_run(bulk.engine, run, bulk.job.note)
    return True


async def _pause(bulk: _Bulk, run: Step) -> bool:
    if run.pause is not None:
        return False
    event = Paused(note=bulk.job.note)
    after = await pause_run(bulk.engine, commit, run.spec.run_id, event)
    return after is not None and after.pause is not None


async def _resume(bulk: _Bulk, run: Step) -> bool:
    if run.pause is None:
        return False
    await resume_run(bulk.engine, commit, run.spec.run_id)
    return True


async def _due(bulk: _Bulk, run: Step) -> bool:
    """Make all steps of the run due that wait for a moment."""
    is_done = False
    for outline in await bulk.engine.store.outline(run.spec.run_id):
        step = await bulk.engine.store.get(outline.id) if outline.status in LIVE else None
        if step is not None and waits_for_a_moment(step):
            with suppress(NotReschedulable):
                await make_due(bulk.engine, step, None)
                is_done = True
    return is_done


async def _restart(bulk: _Bulk, run: Step) -> bool | str:
    await check_ended(bulk.engine, run)
    if not run.spec.url:
        return "is-bulk"
    if not bulk.client.may_call(run.spec.url):
        return "url-not-allowed"
    run = await with_payload(bulk.engine.store, run)
    if is_encrypted(run.spec.payload):
        return "encrypted"
    spec = restart_spec(
        run,
        keys.restart_key(run.spec.idempotency_key, is_restart=run.spec.restart_of is not None),
        run.spec.payload,
        run.spec.fingerprint,
        trace=(None, False),
        retention_ms=bulk.engine.kept_ms(bulk.client, run.spec.workflow_name),
    )
    return (await restart(bulk.engine, run, spec)).created


async def _erase(bulk: _Bulk, run: Step) -> bool:
    with suppress(NotFound):
        await erase_run(bulk.engine, bulk.client, run.spec.run_id)
    return True


_ACTS: Final[dict[BulkAction, Callable[[_Bulk, Step], Awaitable[bool | str]]]] = {
    "cancel": _cancel,
    "redrive": _redrive,
    "dismiss": _dismiss,
    "pause": _pause,
    "resume": _resume,
    "due": _due,
    "restart": _restart,
    "erase": _erase,
}
# Named as the problems of the same act on one run.
_REASONS: Final[dict[type[Refusal], str]] = {
    Busy: "busy",
    PayloadMismatch: "payload-mismatch",
    RunExists: "run-exists",
    RunGoesOn: "run-live",
    RunLive: "run-live",
}
