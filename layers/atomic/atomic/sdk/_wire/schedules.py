"""The flows of schedules, and the documents that they send."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

from atomic.protocol import headers
from atomic.protocol.schedule_documents import (
    Backfilled,
    DeletedSchedule,
    NextSlots,
    ScheduleDocument,
    ScheduleList,
    Triggered,
)
from atomic.sdk._wire.api import Key, document_of, get_of, key_text, post_of, put_of
from atomic.sdk._wire.lists import list_all
from atomic.sdk._wire.moments import moment
from atomic.sdk._wire.repeats import exchange
from atomic.sdk._wire.transport import Flow, HttpRequest, HttpResponse, Model, error_of, read

# Of the answers to requests that may make something.
_DONE: Final = frozenset({200, 201})


def put(
    client_id: str,
    name: str,
    document: Mapping[str, Any],
    patience_s: float,
    *,
    version: int | None,
    dry_run: bool,
) -> Flow[ScheduleDocument]:
    """Create or replace a schedule; `version` is the one that it must have, 0 for none."""
    condition: dict[str, str] = {}
    if version is not None:
        condition = {"If-Match": f'"{version}"'} if version else {"If-None-Match": "*"}
    target = _path(client_id, name) + ("?dryRun=true" if dry_run else "")
    request = put_of(target, document, condition)
    return _made(ScheduleDocument, (yield from exchange(request, patience_s)))


def get(client_id: str, name: str, patience_s: float) -> Flow[ScheduleDocument]:
    """A schedule as it stands."""
    request = get_of(_path(client_id, name))
    return document_of(ScheduleDocument, (yield from exchange(request, patience_s)))


def all_of(client_id: str, patience_s: float) -> Flow[list[ScheduleDocument]]:
    """All schedules of the client, by name."""
    return (
        yield from list_all(client_id, "schedules", ScheduleList, lambda page: page.schedules, patience_s)
    )


def act(
    client_id: str, name: str, action: str, patience_s: float, document: Any = None
) -> Flow[ScheduleDocument]:
    """Pause or resume a schedule."""
    request = post_of(f"{_path(client_id, name)}/{action}", document)
    return document_of(ScheduleDocument, (yield from exchange(request, patience_s)))


def delete(client_id: str, name: str, patience_s: float) -> Flow[None]:
    """Delete a schedule."""
    request = HttpRequest(method="DELETE", target=_path(client_id, name))
    document_of(DeletedSchedule, (yield from exchange(request, patience_s)))


def next_slots(
    client_id: str, name: str, patience_s: float, *, count: int, since: datetime | None
) -> Flow[list[str]]:
    """The next times of a schedule."""
    query = {"count": str(count)} | ({} if since is None else {"from": moment("since", since)})
    request = get_of(f"{_path(client_id, name)}/next?{urlencode(query)}")
    return document_of(NextSlots, (yield from exchange(request, patience_s))).next


def trigger(client_id: str, name: str, key: Key, patience_s: float) -> Flow[Triggered]:
    """Start a run now; the same key finds the same run."""
    request = post_of(
        f"{_path(client_id, name)}/trigger", extra={headers.IDEMPOTENCY_KEY: f'"{key_text(key)}"'}
    )
    return _made(Triggered, (yield from exchange(request, patience_s)))


def backfill(
    client_id: str, name: str, patience_s: float, *, since: datetime, to: datetime, dry_run: bool
) -> Flow[Backfilled]:
    """Start the runs of past times, page by page; all of them as one page."""
    document = {"from": moment("since", since), "to": moment("to", to), "dryRun": dry_run}
    pages: list[Backfilled] = []
    while True:
        request = post_of(f"{_path(client_id, name)}/backfill", document)
        page = document_of(Backfilled, (yield from exchange(request, patience_s)))
        pages.append(page)
        if page.next is None:
            break
        document["from"] = page.next
    return Backfilled(
        slots=[slot for page in pages for slot in page.slots],
        started=sum(page.started for page in pages),
        existing=sum(page.existing for page in pages),
        next=None,
    )


def _path(client_id: str, name: str) -> str:
    return f"/{quote(client_id)}/schedules/{quote(name, safe='')}"


def _made(model: type[Model], answer: HttpResponse) -> Model:
    if answer.status not in _DONE:
        raise error_of(answer)
    return read(model, answer)
