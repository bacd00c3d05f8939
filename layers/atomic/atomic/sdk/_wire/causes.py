"""The flows about causes of failures, and about the dismissal of failed runs."""

from urllib.parse import quote, urlencode

from atomic.protocol.cause_documents import CauseList
from atomic.protocol.constants import PAGE_MAX
from atomic.protocol.documents import RunSummary
from atomic.protocol.enums import CauseState
from atomic.sdk._wire.api import act_on_run, document_of, get_of
from atomic.sdk._wire.repeats import exchange
from atomic.sdk._wire.transport import Flow, HttpRequest


def causes(
    client_id: str, state: CauseState, workflow_name: str | None, limit: int, patience_s: float
) -> Flow[CauseList]:
    """The causes of failures, the most frequent first."""
    query = {"state": state, "limit": str(max(1, min(limit, PAGE_MAX)))}
    if workflow_name is not None:
        query["workflowName"] = workflow_name
    request = get_of(f"/{quote(client_id)}/causes?{urlencode(query)}")
    return document_of(CauseList, (yield from exchange(request, patience_s)))


def dismiss(client_id: str, run_id: str, note: str, patience_s: float) -> Flow[RunSummary]:
    """Dismiss a failed run."""
    document = {"note": note} if note else {}
    return (yield from act_on_run(client_id, "dismiss", run_id, patience_s, document))


def undismiss(client_id: str, run_id: str, patience_s: float) -> Flow[RunSummary]:
    """Take the dismissal of a run back."""
    target = f"/{quote(client_id)}/runs/{quote(run_id, safe='')}/dismiss"
    request = HttpRequest(method="DELETE", target=target)
    return document_of(RunSummary, (yield from exchange(request, patience_s)))
