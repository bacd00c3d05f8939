"""Runs and their dead letters: list, read, count, redrive."""

from dataclasses import replace
from typing import Final

from atomic.application import queries
from atomic.application.erasing import erase_run
from atomic.application.queries import Conditions
from atomic.application.redaction import all_redacted, without_error_excerpt
from atomic.application.redrive import redrive_many, redrive_tagged
from atomic.application.run_query import Cursor, RunQuery
from atomic.domain.clients.client import Client
from atomic.domain.revisions import read_revision
from atomic.entrypoints.http_api.api import Api, read
from atomic.entrypoints.http_api.http import (
    ApiRequest,
    ApiResponse,
    Query,
    link_header,
    read_cause_id,
    read_cursor,
    read_flag,
    read_moment,
    read_step_id,
    refuse_body,
    write_cursor,
)
from atomic.entrypoints.http_api.route import OF_BODIES, PAGE, Operation, Routes, in_query
from atomic.entrypoints.http_api.start_tokens import refuse_unread
from atomic.entrypoints.http_api.views import (
    dead_letters_view,
    json_response,
    run_list_view,
    run_page_view,
    stats_view,
)
from atomic.protocol import problems
from atomic.protocol.constants import BULK_MAX, DURATION_MAX_MS
from atomic.protocol.enums import LIVE, WAITS_FOR, Status
from atomic.protocol.error_kinds import ErrorKind
from atomic.protocol.redrives import RedriveRequest
from atomic.protocol.tags import TAG_FORM, TAGS_MAX, read_tag

routes = Routes()

_CURSOR_FORM: Final = "use the cursor of `next`, unchanged"
_STEPS_DEFAULT: Final = 1000
_WINDOW_DEFAULT_MS: Final = 5 * 60 * 1000
_STATUS_MIN, _STATUS_MAX = 100, 599
_FILTER: Final = (
    in_query("workflowName", "Only of this workflow.", type="string"),
    in_query("keyPrefix", "Only idempotency keys with this prefix.", type="string"),
    in_query("keyContains", "Only idempotency keys with this text in them.", type="string"),
    in_query("createdAfter", "Created at or after.", type="string", format="date-time"),
    in_query("createdBefore", "Created before.", type="string", format="date-time"),
)
_CAUSE: Final = in_query(
    "cause", "Only what failed for this cause, by its id in the list of causes.", type="string"
)
_TAG: Final = in_query(
    "tag",
    "Only with this tag of the run, as `name:value`; given several times, with all of them.",
    type="array",
    items={"type": "string"},
    maxItems=TAGS_MAX,
)
FILTER: Final = (
    in_query("status", "Only in this state.", type="string", enum=list(Status)),
    *_FILTER,
    _TAG,
    _CAUSE,
    in_query(
        "dismissed",
        "Only failed runs: true for those that were dismissed, false for those that need action.",
        type="boolean",
    ),
)
# They are compared with rows.
_CONDITIONS: Final = (
    in_query(
        "errorKind",
        "Only with this error. A failed run also fits by that of its cause.",
        type="string",
        enum=list(ErrorKind),
    ),
    in_query(
        "responseStatus",
        "Only those whose endpoint answered this last. A failed run also fits by its cause.",
        type="integer",
        minimum=_STATUS_MIN,
        maximum=_STATUS_MAX,
    ),
)


@routes.add(
    "GET",
    "/{clientId}/runs",
    Operation(
        id="listRuns",
        summary="List runs, newest first",
        query=(
            *FILTER,
            *_CONDITIONS,
            in_query(
                "waitsFor",
                "Only live runs that wait for this, by one of their live steps.",
                type="string",
                enum=list(WAITS_FOR),
            ),
            in_query("progress", "Include how far each run is.", type="boolean"),
            *PAGE,
        ),
        answers=((200, "RunList", "A page of runs."),),
        refusals=(problems.INVALID_REQUEST,),
    ),
    scope="read",
)
async def get_runs(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """A page of the client's runs, newest first."""
    query = Query(request, repeated="tag")
    with_progress = query.flag("progress")
    wanted = filtered(query, client)
    waits_for = query.one_of("waitsFor", WAITS_FOR)
    if waits_for is not None and (status := wanted.status) is not None and status not in LIVE:
        raise problems.invalid("waitsFor", f"a run that is {status} waits for nothing; leave status out")
    if waits_for is not None and wanted.is_of_failed:
        raise problems.invalid("waitsFor", "a failed run waits for nothing; leave cause and dismissed out")
    conditions = replace(_conditions(query), waits_for=waits_for)
    roots, next_after = await queries.list_runs(api.engine, _page(query, wanted), conditions)
    progress = await queries.progress(api.engine, roots) if with_progress else None
    link = query.link(cursor=write_cursor(*next_after)) if next_after else None
    shown = [without_error_excerpt(root, client) for root in roots]
    return json_response(200, run_list_view(shown, progress, link), link_header(link))


@routes.add(
    "GET",
    "/{clientId}/runs/{runId}",
    Operation(
        id="getRun",
        summary="Read a run: root, steps, attempts",
        query=(
            in_query("after", "Where the last page of steps ended.", type="string"),
            in_query("limit", "Steps on a page.", type="integer", minimum=1, maximum=_STEPS_DEFAULT),
            in_query(
                "since",
                "The `revision` of an earlier answer: only the steps that changed since. If they do not "
                "fit a page, the answer is as without it, and `isPartial` is false.",
                type="string",
            ),
        ),
        answers=((200, "RunDocument", "The run."),),
        refusals=(problems.INVALID_REQUEST,),
    ),
    scope="read",
    by_token=True,
)
async def get_run(api: Api, request: ApiRequest, client: Client, run_id: str) -> ApiResponse:
    """A run with a page of its steps."""
    query = Query(request)
    after = query.take("after", read_step_id, "use the value of `next`, unchanged")
    limit = query.number("limit", _STEPS_DEFAULT, least=1, most=_STEPS_DEFAULT)
    since = query.take("since", read_revision, "use the value of `revision`, unchanged")
    query.refuse_rest()
    if since is not None and after is not None:
        raise problems.invalid("since", "pages have no `since`; leave one of the two out")
    page = None
    if since is not None:
        page = await queries.changes_of_run(api.engine, client, run_id, since=since, limit=limit)
    if page is None:
        page = await queries.get_run(api.engine, client, run_id, after=after, limit=limit)
    if client.token is not None:
        refuse_unread(client.token, page.root, with_steps=True)
    link = query.link(after=page.next_after, since=None) if page.next_after else None
    price = api.estimated_usd and api.estimated_usd([page.root, *page.steps])
    root, *steps = await all_redacted(api.engine.large_bodies, [page.root, *page.steps], client)
    page = replace(page, root=root, steps=steps)
    return json_response(200, run_page_view(page, link, price), link_header(link))


@routes.add(
    "DELETE",
    "/{clientId}/runs/{runId}",
    Operation(
        id="eraseRun",
        summary="Erase a run that has ended: its steps, payloads and responses",
        description="A run with a live step is refused: cancel it first. If the answer is lost, repeat the "
        "request until it is 404. Afterwards a start of the same key begins a new run. Runs that it has "
        "started stay.",
        answers=((200, "ErasedRun", "It is gone."),),
        refusals=(problems.INVALID_REQUEST, problems.RUN_LIVE),
    ),
    scope="admin",
    is_act=True,
)
async def delete_run(api: Api, request: ApiRequest, client: Client, run_id: str) -> ApiResponse:
    """Erase a run that has ended."""
    Query(request).refuse_rest()
    refuse_body(request)
    await erase_run(api.engine, client, run_id)
    return json_response(200, {"erased": run_id})


@routes.add(
    "GET",
    "/{clientId}/dead-letters",
    Operation(
        id="listDeadLetters",
        summary="List the steps that failed, by creation, newest first",
        description="With `cause`, those whose own error has this cause.",
        query=(*_FILTER, _TAG, *_CONDITIONS, _CAUSE, *PAGE),
        answers=((200, "DeadLetterList", "A page of dead letters."),),
        refusals=(problems.INVALID_REQUEST,),
    ),
    scope="read",
)
async def get_dead_letters(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """A page of the client's steps that failed, newest first."""
    query = Query(request, repeated="tag")
    conditions = replace(_conditions(query), cause=_cause(query), tags=_tags(query))
    page = _page(query, _of_both_lists(query, client))
    letters, next_after = await queries.dead_letters(api.engine, page, conditions)
    link = query.link(cursor=write_cursor(*next_after)) if next_after else None
    shown = [replace(letter, step=without_error_excerpt(letter.step, client)) for letter in letters]
    return json_response(200, dead_letters_view(shown, link), link_header(link))


@routes.add(
    "POST",
    "/{clientId}/redrive",
    Operation(
        id="redriveMany",
        summary="Redrive the dead letters that fit a filter",
        request=RedriveRequest,
        answers=((200, "RedriveResult", "What was redriven."),),
        refusals=OF_BODIES,
    ),
    scope="act",
    is_act=True,
)
async def post_redrive(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """Redrive the dead letters that fit a filter, the newest first."""
    asked = await read(api, client, request, RedriveRequest)
    wanted = asked.filter
    query = RunQuery(
        client_id=client.id,
        workflow_name=wanted.workflow_name,
        key_prefix=wanted.key_prefix,
        created_from_ms=read_moment("filter.createdAfter", wanted.created_after),
        created_before_ms=read_moment("filter.createdBefore", wanted.created_before),
        after=_read_after(asked.cursor),
        limit=BULK_MAX,
    )
    before_ms = read_moment("filter.failedBefore", wanted.failed_before)
    after: Cursor | None = None
    if wanted.tag is None:
        redriven, more = await redrive_many(api.engine, query, failed_before_ms=before_ms)
    else:
        tags = tuple(wanted.tag)
        redriven, after = await redrive_tagged(api.engine, query, tags, failed_before_ms=before_ms)
        more = after is not None
    next_cursor = write_cursor(*after) if after else None
    shown = {"redriven": len(redriven), "steps": redriven, "more": more, "next": next_cursor}
    return json_response(200, shown)


@routes.add(
    "GET",
    "/{clientId}/stats",
    Operation(
        id="getStats",
        summary="Count steps and recent runs, and show which origins are slowed",
        query=(
            in_query(
                "window",
                "Count runs created within this time (milliseconds).",
                type="integer",
                minimum=1,
                maximum=DURATION_MAX_MS,
            ),
        ),
        answers=((200, "Stats", "The counts."),),
        refusals=(problems.INVALID_REQUEST,),
    ),
    scope="read",
)
async def get_stats(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """The number of the client's steps and recent runs in each state."""
    query = Query(request)
    window_ms = query.number("window", _WINDOW_DEFAULT_MS, least=1, most=DURATION_MAX_MS)
    query.refuse_rest()
    counts = await queries.count(api.engine, client, window_ms)
    adaptive = api.engine.admission.adaptive
    slowed = adaptive.slowed(client.id) if adaptive is not None else []
    return json_response(200, stats_view(counts, window_ms, slowed, api.engine.admission.calls_per_s()))


def _read_after(cursor: str | None) -> Cursor | None:
    try:
        return None if cursor is None else read_cursor(cursor)
    except ValueError:
        raise problems.invalid("cursor", _CURSOR_FORM) from None


def _tags(query: Query) -> tuple[str, ...]:
    """The tags of a filter, each once. Raises Problem 400 for more than a run has."""
    distinct = tuple(dict.fromkeys(query.take_all(read_tag, TAG_FORM)))
    if len(distinct) > TAGS_MAX:
        raise problems.invalid("tag", f"use at most {TAGS_MAX}; a run has no more")
    return distinct


def _conditions(query: Query) -> Conditions:
    """The conditions that are compared with rows. Raises Problem 400."""
    kind = query.take("errorKind", ErrorKind, f"use one of {', '.join(ErrorKind)}")
    status = query.number("responseStatus", 0, least=_STATUS_MIN, most=_STATUS_MAX)
    return Conditions(error_kind=kind, response_status=status or None)


def filtered(query: Query, client: Client) -> RunQuery:
    """The filter of runs that `FILTER` describes. Raises Problem 400."""
    status = query.take("status", Status, f"use one of {', '.join(Status)}")
    wanted = replace(
        _of_both_lists(query, client),
        status=status,
        tags=_tags(query),
        cause=_cause(query),
        dismissed=query.take("dismissed", read_flag, "use true or false"),
    )
    if wanted.is_of_failed and not wanted.statuses:
        raise problems.invalid("status", "only failed runs have a cause or a dismissal; leave status out")
    return wanted


def _cause(query: Query) -> str | None:
    return query.take("cause", read_cause_id, "use the id of a cause, as GET /{clientId}/causes has it")


def _of_both_lists(query: Query, client: Client) -> RunQuery:
    return RunQuery(
        client_id=client.id,
        workflow_name=query.take("workflowName", str, ""),
        key_prefix=query.take("keyPrefix", str, ""),
        key_part=query.take("keyContains", str, ""),
        created_from_ms=query.moment("createdAfter"),
        created_before_ms=query.moment("createdBefore"),
    )


def _page(query: Query, wanted: RunQuery) -> RunQuery:
    """The filter, and which page of it; there must be no other parameter."""
    after = query.take("cursor", read_cursor, _CURSOR_FORM)
    wanted = replace(wanted, after=after, limit=query.page_limit())
    query.refuse_rest()
    return wanted
