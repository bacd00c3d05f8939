"""Counters of runs: the workflows of a client, and what became of their runs, by the hour or the minute."""

from typing import Any, Final
from urllib.parse import quote, unquote

from atomic.application.counter_store import CounterQuery
from atomic.domain.clients.client import Client
from atomic.domain.counters import (
    HOUR_MS,
    KEPT_MS,
    MINUTE_MS,
    MINUTES_KEPT_MS,
    OTHER,
    Counter,
    Tally,
    WorkflowCount,
    hour_of,
    span_of,
)
from atomic.entrypoints.http_api.api import Api
from atomic.entrypoints.http_api.http import (
    ApiRequest,
    ApiResponse,
    Query,
    link_header,
    read_cursor,
    read_number,
    write_cursor,
)
from atomic.entrypoints.http_api.route import PAGE, Operation, Routes, in_query
from atomic.entrypoints.http_api.views import json_response
from atomic.protocol import problems
from atomic.protocol.wire import to_rfc3339

routes = Routes()

_DAY_HOURS: Final = 24
_CURSOR_CURE: Final = "use the cursor of `next`, unchanged"
_EVERY_CURE: Final = "use whole hours, or minutes that divide an hour, in milliseconds"


@routes.add(
    "GET",
    "/{clientId}/workflows",
    Operation(
        id="listWorkflows",
        summary="List workflows by name, with counts of their runs",
        query=(
            in_query(
                "from",
                "Count the runs that were started from the hour of this moment on; from its minute on if "
                "it is in this hour or the 7 before, and the server counts minutes. The default are this "
                "hour and the 23 before. `countedFrom` of the answer says which it was.",
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
    recent_ms = hour_ms - (_DAY_HOURS - 1) * HOUR_MS
    if from_ms is not None:
        recent_ms = span_of(from_ms, _answered_ms(api, MINUTE_MS, from_ms, hour_ms))
    found = await api.engine.store.workflows(
        client.id,
        from_ms=hour_ms - KEPT_MS + HOUR_MS,
        recent_from_ms=recent_ms,
        after=after,
        # One more shows whether there are more.
        limit=limit + 1,
    )
    page = found[:limit]
    # All pages are about the same hours.
    link = query.link(cursor=_cursor(hour_ms, page[-1].name)) if len(found) > limit else None
    view = {
        "workflows": [_workflow_view(each) for each in page],
        "countedFrom": to_rfc3339(recent_ms),
        "next": link,
    }
    return json_response(200, view, link_header(link))


@routes.add(
    "GET",
    "/{clientId}/counters",
    Operation(
        id="listCounters",
        summary="Count runs by workflow and hour of their start, the newest hour first",
        description="They are kept for 31 days, also those of runs that were erased or have expired. Those "
        "of minutes are kept for this hour and the 7 before, and not on AWS.",
        query=(
            in_query(
                "from",
                "Spans from the one of this moment on. The default is a day ago; for minutes, the "
                "beginning of the hours that have them.",
                type="string",
                format="date-time",
            ),
            in_query(
                "to", "Spans that began before. The default is now.", type="string", format="date-time"
            ),
            in_query("workflowName", "Only of this workflow.", type="string"),
            in_query(
                "every",
                "The length of each span in milliseconds: whole hours, or minutes that divide an hour. The "
                "default is an hour. Spans begin at its multiples since 1970 (UTC); `from` is rounded down "
                "to one. Where minutes are not kept, spans are hours; `spanMs` of the answer says so.",
                type="integer",
                minimum=MINUTE_MS,
                maximum=KEPT_MS,
                multipleOf=MINUTE_MS,
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
    """A page of the client's counters, the newest span first."""
    query = Query(request)
    hour_ms = _this_hour(api)
    from_ms, to_ms = query.moment("from"), query.moment("to")
    name = query.take("workflowName", str, "")
    asked_ms = query.number("every", HOUR_MS, least=MINUTE_MS, most=KEPT_MS)
    if (asked_ms % HOUR_MS and HOUR_MS % asked_ms) or asked_ms % MINUTE_MS:
        raise problems.invalid("every", _EVERY_CURE)
    all_names = query.flag("allWorkflows")
    if from_ms is None:
        from_ms = hour_ms - (_DAY_HOURS * HOUR_MS if asked_ms >= HOUR_MS else MINUTES_KEPT_MS - HOUR_MS)
    # All pages have spans of the same length, also where an hour ends between two of them.
    position = query.take("cursor", _read_counter_cursor, _CURSOR_CURE)
    span_ms, after = position or (_answered_ms(api, asked_ms, from_ms, hour_ms), None)
    if span_ms not in {max(asked_ms, HOUR_MS), _answered_ms(api, asked_ms, hour_ms, hour_ms)}:
        raise problems.invalid("cursor", _CURSOR_CURE)
    limit = query.page_limit()
    query.refuse_rest()
    first_ms = span_of(from_ms, span_ms)
    end_ms = hour_ms + HOUR_MS if to_ms is None else to_ms
    if end_ms <= first_ms:
        raise problems.invalid("to", "no span is between `from` and `to`; use a later `to`")
    wanted = CounterQuery(
        client_id=client.id,
        from_ms=max(first_ms, hour_ms - KEPT_MS + HOUR_MS),
        before_ms=end_ms,
        workflow_name=name,
        every_ms=span_ms,
        all_names=all_names,
        after=after,
        limit=limit,
    )
    page = await api.engine.store.counters(wanted)
    link = query.link(cursor=_counter_cursor(span_ms, *page.next_after)) if page.next_after else None
    view = {
        "counters": [_counter_view(each, span_ms) for each in page.counters],
        "spanMs": span_ms,
        "next": link,
    }
    return json_response(200, view, link_header(link))


def _answered_ms(api: Api, asked_ms: int, from_ms: int, this_hour_ms: int) -> int:
    """The length of spans that are answered: an hour for minutes that are not kept."""
    has_minutes = api.engine.store.has_minutes and from_ms >= this_hour_ms - MINUTES_KEPT_MS + HOUR_MS
    return asked_ms if has_minutes else max(asked_ms, HOUR_MS)


def _this_hour(api: Api) -> int:
    return hour_of(api.engine.clock.now_ms())


def _counter_view(counter: Counter, span_ms: int) -> dict[str, Any]:
    tally, counted_at_ms = counter.tally, counter.counted_at_ms
    return {
        "beganAt": to_rfc3339(counter.began_ms),
        "spanMs": span_ms,
        "workflowName": _name(counter.workflow_name),
        "live": tally.live,
        **_numbers(tally),
        "durationMsSum": tally.duration_ms_sum,
        "countedAt": None if counted_at_ms is None else to_rfc3339(counted_at_ms),
    }


def _workflow_view(count: WorkflowCount) -> dict[str, Any]:
    started_ms = count.last_started_ms
    return {
        "workflowName": _name(count.name),
        "live": count.live,
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


def _counter_cursor(span_ms: int, began_ms: int, name: str) -> str:
    return write_cursor(began_ms, f"{span_ms}.{quote(name, safe='')}")


def _read_counter_cursor(text: str) -> tuple[int, tuple[int, str]]:
    """The length of the spans, and the last counter of the page before."""
    began_ms, last = read_cursor(text, str)
    span_ms, _, name = last.partition(".")
    return read_number(span_ms), (began_ms, unquote(name))
