"""The port of what clients set themselves: their hooks, and the pauses of their workflows."""

from typing import Protocol

from atomic.domain.hooks import Hook
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
