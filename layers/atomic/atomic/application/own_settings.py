"""The port of what clients set themselves: hooks, pauses of workflows and their retentions."""

from typing import Protocol

from atomic.domain.hooks import Hook
from atomic.domain.retentions import Retentions, WorkflowRetention
from atomic.domain.workflow_pauses import WorkflowPause


class OwnSettingsStore(Protocol):
    """What a runtime's clients have set themselves, as it is stored now.

    It is in the record of a client, which each process has cached. Methods may raise the errors of their
    store, and those of `application.client_admin`.
    """

    def hooks(self, client_id: str) -> tuple[Hook, ...]:
        """The hooks of a client, by name."""
        ...

    def put_hook(self, client_id: str, hook: Hook) -> bool:
        """Add a hook, or replace that of its name; whether it is new. Raises TooManyHooks."""
        ...

    def delete_hook(self, client_id: str, name: str) -> None:
        """Delete a hook. Raises UnknownHook."""
        ...

    def workflow_pauses(self, client_id: str) -> tuple[WorkflowPause, ...]:
        """The pauses of a client's workflows, by name. Some may be over."""
        ...

    def pause_workflow(self, client_id: str, pause: WorkflowPause) -> None:
        """Pause a workflow, or change its pause. Raises TooManyWorkflowPauses."""
        ...

    def resume_workflow(self, client_id: str, name: str) -> None:
        """Let the runs of a workflow go on. One that is not paused is not changed."""
        ...

    def retentions(self, client_id: str) -> Retentions:
        """The retentions of a client's workflows."""
        ...

    def set_retention(self, client_id: str, retention: WorkflowRetention) -> None:
        """Set the retention of a workflow. Raises TooManyRetentions."""
        ...

    def clear_retention(self, client_id: str, name: str) -> None:
        """Let a workflow have the retention of the server again. One that has it is not changed."""
        ...
