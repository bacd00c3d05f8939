"""The requests to pause a workflow and to set its retention, and the answers about such workflows."""

from typing import Annotated, Final

from pydantic import Field

from atomic.protocol.wire import Document, MomentIfGiven, WireModel, without_default

# The record of a client has the notes of all its pauses.
_NOTE_MAX_CHARS: Final = 200


class WorkflowPauseRequest(WireModel):
    """`POST /{clientId}/workflows/{workflowName}/pause`: why, and for how long. Both may be left out."""

    note: Annotated[str, Field(max_length=_NOTE_MAX_CHARS)] = Field(
        default="", description="For people: why the workflow is paused."
    )
    until: MomentIfGiven = Field(
        default=None,
        json_schema_extra=without_default,
        description="The workflow goes on by itself at this time.",
    )


class RetentionRequest(WireModel):
    """`PUT /{clientId}/workflows/{workflowName}/retention`: for how long its runs are kept."""

    days: Annotated[int, Field(ge=1)] = Field(
        description="For how many days after its end a run is kept. At most the retention of the server."
    )


class WorkflowPauseDocument(Document):
    """The pause of a workflow. None of its runs is called meanwhile."""

    since: str
    until: str | None = Field(description="When it ends by itself; null: when the workflow is resumed.")
    note: str


class WorkflowState(Document):
    """A workflow of the client: whether its runs are called, how long they are kept. It needs no runs."""

    workflow_name: str
    paused: WorkflowPauseDocument | None = Field(description="Null: it is not paused.")
    retention_days: int = Field(
        description="For how many days after its end a run is kept that begins now: the workflow's own "
        "retention, or that of the server."
    )


class PausedWorkflowList(Document):
    """The paused workflows of a client, by name."""

    workflows: list[WorkflowState]


class WorkflowRetentionList(Document):
    """The workflows of a client that have retentions of their own, by name."""

    workflows: list[WorkflowState]
