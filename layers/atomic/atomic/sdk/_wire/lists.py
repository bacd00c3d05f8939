"""Lists, of which the API gives pages, and the filters of runs and of dead letters."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypedDict, TypeVar
from urllib.parse import quote, urlencode

from pydantic.alias_generators import to_camel

from atomic.protocol.audit_documents import ActList
from atomic.protocol.constants import PAGE_MAX
from atomic.protocol.counter_documents import CounterList, WorkflowList
from atomic.protocol.documents import DeadLetter, DeadLetterList, ErrorKindName, RunList, RunSummary
from atomic.protocol.enums import WaitsFor
from atomic.protocol.flow import FlowKeyList
from atomic.protocol.schedule_documents import ScheduleList
from atomic.sdk._wire.api import check_options, document_of, get_of
from atomic.sdk._wire.repeats import exchange
from atomic.sdk._wire.transport import Flow

Page = TypeVar(
    "Page",
    RunList,
    DeadLetterList,
    ScheduleList,
    FlowKeyList,
    ActList,
    CounterList,
    WorkflowList,
)
Item = TypeVar("Item")


class RunFilter(TypedDict, total=False):
    """A filter for runs: by name, prefix of the key, and RFC 3339 times such as 2026-11-23T07:38:00Z."""

    workflow_name: str
    key_prefix: str
    created_after: str
    created_before: str


class RedriveFilter(RunFilter, total=False):
    """The same, and a tag of the run as "name:value", or several tags."""

    tag: str | Sequence[str]


class ExportFilter(RedriveFilter, total=False):
    """The same, with a part of the key; for failed runs, their cause, and whether they were dismissed."""

    key_contains: str
    cause: str
    dismissed: bool


class ListFilter(RedriveFilter, total=False):
    """The same, and what only lists take: a part of the key, error, cause, answer of the endpoint."""

    key_contains: str
    error_kind: ErrorKindName
    response_status: int
    cause: str


class RunListFilter(ListFilter, total=False):
    """The same; whether failed runs were dismissed; and what live runs wait for."""

    dismissed: bool
    waits_for: WaitsFor


def filter_document(wanted: Mapping[str, Any], known: type = RunFilter) -> dict[str, Any]:
    """A filter with the wire's names. Raises InvalidRequestError for members that it does not have."""
    check_options(wanted, known)
    return {to_camel(name): _text(value) for name, value in wanted.items() if value is not None}


def _text(value: object) -> str | list[str]:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [str(each) for each in value]
    return str(value)


def list_runs(
    client_id: str, query: Mapping[str, Any], limit: int, patience_s: float
) -> Flow[list[RunSummary]]:
    """The newest runs that match the filter, at most `limit`."""
    path = _first_page(client_id, "runs", query, limit)
    return [*(yield from _pages(path, RunList, lambda page: page.runs, limit, patience_s))]


def list_dead_letters(
    client_id: str, query: Mapping[str, Any], limit: int, patience_s: float
) -> Flow[list[DeadLetter]]:
    """The newest dead letters that match the filter, at most `limit`."""
    return (
        yield from list_some(
            client_id,
            "dead-letters",
            query,
            DeadLetterList,
            lambda page: page.dead_letters,
            limit,
            patience_s,
        )
    )


def list_some(
    client_id: str,
    what: str,
    query: Mapping[str, str],
    model: type[Page],
    items: Callable[[Page], list[Item]],
    limit: int,
    patience_s: float,
) -> Flow[list[Item]]:
    """The first items of a list, `what` in the path, that match the filter: at most `limit`."""
    path = _first_page(client_id, what, query, limit)
    return (yield from _pages(path, model, items, limit, patience_s))


def list_all(
    client_id: str,
    what: str,
    model: type[Page],
    items: Callable[[Page], list[Item]],
    patience_s: float,
    query: Mapping[str, str] | None = None,
) -> Flow[list[Item]]:
    """All items of a list, `what` in the path, that match the filter, in the order of the server."""
    path = _first_page(client_id, what, query or {}, PAGE_MAX)
    return (yield from _pages(path, model, items, None, patience_s))


def _first_page(client_id: str, what: str, query: Mapping[str, Any], limit: int) -> str:
    given = {**query, "limit": str(max(1, min(limit, PAGE_MAX)))}
    return f"/{quote(client_id)}/{what}?{urlencode(given, doseq=True)}"


def _pages(
    path: str | None,
    model: type[Page],
    items: Callable[[Page], list[Item]],
    limit: int | None,
    patience_s: float,
) -> Flow[list[Item]]:
    found: list[Item] = []
    while path is not None and (limit is None or len(found) < limit):
        page = document_of(model, (yield from exchange(get_of(path), patience_s)))
        found += items(page)
        path = page.next
    return found[:limit]
