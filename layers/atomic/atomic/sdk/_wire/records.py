"""The flows about what is kept: the audit log, runs that are exported or erased, and retentions."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from urllib.parse import quote, urlencode

from atomic.protocol.audit_documents import ActDocument, ActList
from atomic.protocol.documents import ErasedRun
from atomic.protocol.workflow_states import WorkflowRetentionList, WorkflowState
from atomic.sdk._wire.api import document_of, get_of, put_of
from atomic.sdk._wire.lists import list_some
from atomic.sdk._wire.moments import moment
from atomic.sdk._wire.repeats import exchange
from atomic.sdk._wire.transport import Flow, HttpRequest, error_of

_NEXT: Final = re.compile(r'<([^>]+)>; rel="next"')


class ExportPage(NamedTuple):
    """Lines of an export, and the path of the next page."""

    lines: bytes
    next: str | None


def act_filter(
    action: str | None, by: str | None, since: datetime | None, before: datetime | None
) -> dict[str, str]:
    """A filter of the audit log with the wire's names. Raises InvalidRequestError for wrong moments."""
    query = {"action": action or "", "by": by or ""}
    query["from"] = "" if since is None else moment("since", since)
    query["before"] = "" if before is None else moment("before", before)
    return {name: text for name, text in query.items() if text}


def acts(
    client_id: str, query: Mapping[str, str], limit: int, patience_s: float
) -> Flow[list[ActDocument]]:
    """The newest acts that match the filter, at most `limit`."""
    return (
        yield from list_some(client_id, "audit", query, ActList, lambda page: page.acts, limit, patience_s)
    )


def erase(client_id: str, run_id: str, patience_s: float) -> Flow[None]:
    """Erase a run."""
    request = HttpRequest(method="DELETE", target=f"/{quote(client_id)}/runs/{quote(run_id, safe='')}")
    document_of(ErasedRun, (yield from exchange(request, patience_s)))


def set_retention(client_id: str, name: str, days: int, patience_s: float) -> Flow[WorkflowState]:
    """Set the retention of a workflow."""
    request = put_of(_retention_path(client_id, name), {"days": days})
    return document_of(WorkflowState, (yield from exchange(request, patience_s)))


def clear_retention(client_id: str, name: str, patience_s: float) -> Flow[WorkflowState]:
    """Let a workflow have the retention of the server."""
    request = HttpRequest(method="DELETE", target=_retention_path(client_id, name))
    return document_of(WorkflowState, (yield from exchange(request, patience_s)))


def retentions(client_id: str, patience_s: float) -> Flow[list[WorkflowState]]:
    """All workflows that have retentions of their own, by name."""
    request = get_of(f"/{quote(client_id)}/workflow-retentions")
    return document_of(WorkflowRetentionList, (yield from exchange(request, patience_s))).workflows


def _retention_path(client_id: str, name: str) -> str:
    return f"/{quote(client_id)}/workflows/{quote(name, safe='')}/retention"


def export_path(client_id: str, query: Mapping[str, str | Sequence[str]]) -> str:
    """The path of the first page of an export."""
    return f"/{quote(client_id)}/export?{urlencode(query, doseq=True)}"


def export_page(path: str, patience_s: float) -> Flow[ExportPage]:
    """A page of an export."""
    answer = yield from exchange(get_of(path), patience_s)
    if answer.status != 200:
        raise error_of(answer)
    link = _NEXT.fullmatch(answer.headers.get("link", ""))
    return ExportPage(answer.body, link and link[1])
