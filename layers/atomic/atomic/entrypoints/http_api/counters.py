"""Counters of runs: the workflows of a client, and what became of their runs, hour by hour."""

from typing import Any, Final
from urllib.parse import quote, unquote

from atomic.application.counter_store import CounterQuery
from atomic.domain.clients.client import Client
from atomic.domain.counters import HOUR_MS, KEPT_MS, OTHER, Counter, Tally, WorkflowCount, hour_of
from atomic.entrypoints.http_api.api import Api
from atomic.entrypoints.http_api.http import (
    ApiRequest,
    ApiResponse,
    Query,
    link_header,
    read_cursor,
    write_cursor,
)
from atomic.entrypoints.http_api.route import PAGE, Operation, Routes, in_query
from atomic.entrypoints.http_api.views import json_response
from atomic.protocol import problems
from atomic.protocol.wire import to_rfc3339

routes = Routes()

_DAY_HOURS: Final = 24
_CURSOR_CURE: Final = "use the cursor of `next`, unchanged"


@routes.add(
    "GET",
    "/{clientId}/workflows",
    Operation(
        id="listWorkflows",
        summary="List workflows by name, with counts of their runs",
        query=(
            in_query(
                "from",
                "Count the runs of the hours from the one of this moment on. The default are this hour and "
                "the 23 before.",
                type="string",
                format="date-time",
            ),
            *PAGE,
        ),
        answers=((200, "WorkflowList", "A page of workflows."),),
        refusals=(problems.INVALID_REQUEST,),
    ),
    scope="read",
)
async def get_workflows(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """A page of the workflows that the client has started."""
    query = Query(request)
    hour_ms, after = query.take("cursor", _read_cursor, _CURSOR_CURE) or (_this_hour(api), None)
    from_ms = query.moment("from")
    limit = query.page_limit()
    query.refuse_rest()
    found = await api.engine.store.workflows(
        client.id,
        from_ms=hour_ms - KEPT_MS + HOUR_MS,
        recent_from_ms=hour_ms - (_DAY_HOURS - 1) * HOUR_MS if from_ms is None else hour_of(from_ms),
        after=after,
        # One more shows whether there are more.
        limit=limit + 1,
    )
    page = found[:limit]
    # All pages are about the same hours.
    link = query.link(cursor=_cursor(hour_ms, page[-1].name)) if len(found) > limit else None
    view = {"workflows": [_workflow_view(each) for each in page], "next": link}
    return json_response(200, view, link_header(link))


@routes.add(
    "GET",
    "/{clientId}/counters",
    Operation(
        id="listCounters",
        summary="Count runs by workflow and hour of their start, the newest hour first",
        description="They are kept for 31 days, also those of runs that were erased or have expired.",
        query=(
            in_query(
                "from",
                "Hours from the one of this moment on. The default is a day ago.",
                type="string",
                format="date-time",
            ),
            in_query(
                "to", "Hours that began before. The default is now.", type="string", format="date-time"
            ),
            in_query("workflowName", "Only of this workflow.", type="string"),
            in_query(
                "every",
                "Sum up the hours of each span of this length, in milliseconds: whole hours, an hour by "
                "default. Spans begin at its multiples since 1970 (UTC); `from` is rounded down to one.",
                type="integer",
                minimum=HOUR_MS,
                maximum=KEPT_MS,
                multipleOf=HOUR_MS,
            ),
            in_query("allWorkflows", "Sum up all workflows; `workflowName` is null then.", type="boolean"),
            *PAGE,
        ),
        answers=((200, "CounterList", "A page of counters."),),
        refusals=(problems.INVALID_REQUEST,),
    ),
    scope="read",
)
async def get_counters(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """A page of the client's counters, the newest hour first."""
    query = Query(request)
    hour_ms = _this_hour(api)
    from_ms, to_ms = query.moment("from"), query.moment("to")
    name = query.take("workflowName", str, "")
    after = query.take("cursor", _read_cursor, _CURSOR_CURE)
    every_ms = query.number("every", HOUR_MS, least=HOUR_MS, most=KEPT_MS)
    if every_ms % HOUR_MS:
        raise problems.invalid("every", "use whole hours, in milliseconds")
    all_names = query.flag("allWorkflows")
    limit = query.page_limit()
    query.refuse_rest()
    first_ms = hour_ms - _DAY_HOURS * HOUR_MS if from_ms is None else hour_of(from_ms)
    first_ms -= first_ms % every_ms
    end_ms = hour_ms + HOUR_MS if to_ms is None else to_ms
    if end_ms <= first_ms:
        raise problems.invalid("to", "no hour is between `from` and `to`; use a later `to`")
    wanted = CounterQuery(
        client_id=client.id,
        from_ms=max(first_ms, hour_ms - KEPT_MS + HOUR_MS),
        before_ms=end_ms,
        workflow_name=name,
        every_ms=every_ms,
        all_names=all_names,
        after=after,
        limit=limit,
    )
    page = await api.engine.store.counters(wanted)
    link = query.link(cursor=_cursor(*page.next_after)) if page.next_after else None
    view = {"counters": [_counter_view(each) for each in page.counters], "next": link}
    return json_response(200, view, link_header(link))


def _this_hour(api: Api) -> int:
    return hour_of(api.engine.clock.now_ms())


def _counter_view(counter: Counter) -> dict[str, Any]:
    tally, counted_at_ms = counter.tally, counter.counted_at_ms
    return {
        "hour": to_rfc3339(counter.hour_ms),
        "workflowName": _name(counter.workflow_name),
        "live": tally.live,
        **_numbers(tally),
        "durationMsSum": tally.duration_ms_sum,
        "countedAt": None if counted_at_ms is None else to_rfc3339(counted_at_ms),
    }


def _workflow_view(count: WorkflowCount) -> dict[str, Any]:
    started_ms = count.kept.last_started_ms
    return {
        "workflowName": _name(count.name),
        "live": count.kept.live,
        "lastStartAt": to_rfc3339(started_ms) if started_ms else None,
        **_numbers(count.recent),
    }


def _numbers(tally: Tally) -> dict[str, Any]:
    return {
        "started": tally.started,
        "succeeded": tally.succeeded,
        "failed": tally.failed,
        "cancelled": tally.cancelled,
        "retries": tally.retries,
        "durationMsP50": tally.duration_ms_of(0.5),
        "durationMsP95": tally.duration_ms_of(0.95),
    }


def _name(name: str) -> str | None:
    return None if name == OTHER else name


def _cursor(hour_ms: int, name: str) -> str:
    return write_cursor(hour_ms, quote(name, safe=""))


def _read_cursor(text: str) -> tuple[int, str]:
    return read_cursor(text, unquote)
