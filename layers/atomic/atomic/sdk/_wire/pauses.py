"""Pauses of runs and of workflows, as flows."""

from datetime import datetime
from urllib.parse import quote

from atomic.protocol.documents import RunSummary
from atomic.protocol.workflow_states import PausedWorkflowList, WorkflowState
from atomic.sdk._wire.api import act_on_run, document_of, get_of, post_of
from atomic.sdk._wire.moments import moment
from atomic.sdk._wire.repeats import exchange
from atomic.sdk._wire.transport import Flow


def pause(
    client_id: str, run_id: str, patience_s: float, *, note: str, until: datetime | None
) -> Flow[RunSummary]:
    """Pause a run, until it is resumed or until a moment."""
    return (yield from act_on_run(client_id, "pause", run_id, patience_s, _document(note, until)))


def pause_workflow(
    client_id: str, name: str, patience_s: float, *, note: str, until: datetime | None
) -> Flow[WorkflowState]:
    """Pause a workflow, until it is resumed or until a moment."""
    request = post_of(f"{_path(client_id, name)}/pause", _document(note, until))
    return document_of(WorkflowState, (yield from exchange(request, patience_s)))


def resume_workflow(client_id: str, name: str, patience_s: float) -> Flow[WorkflowState]:
    """Let the runs of a workflow go on."""
    request = post_of(f"{_path(client_id, name)}/resume", None)
    return document_of(WorkflowState, (yield from exchange(request, patience_s)))


def workflow_state(client_id: str, name: str, patience_s: float) -> Flow[WorkflowState]:
    """Whether a workflow is paused."""
    request = get_of(_path(client_id, name))
    return document_of(WorkflowState, (yield from exchange(request, patience_s)))


def paused_workflows(client_id: str, patience_s: float) -> Flow[list[WorkflowState]]:
    """All paused workflows of the client, by name."""
    request = get_of(f"/{quote(client_id)}/paused-workflows")
    return document_of(PausedWorkflowList, (yield from exchange(request, patience_s))).workflows


def _document(note: str, until: datetime | None) -> dict[str, str]:
    document = {"note": note} if note else {}
    if until is not None:
        document["until"] = moment("until", until)
    return document


def _path(client_id: str, name: str) -> str:
    return f"/{quote(client_id)}/workflows/{quote(name, safe='')}"
