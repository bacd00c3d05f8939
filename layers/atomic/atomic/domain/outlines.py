"""Outlines of steps: as much of a row as shows the progress of a run, and what blocks another step."""

from dataclasses import dataclass

from atomic.domain.steps import Step, Watch
from atomic.protocol.enums import Kind, Status


@dataclass(frozen=True, slots=True)
class StepOutline:
    """The part of a step that shows whether it blocks another step, and the progress of its run.

    `awaited`: a post asked to wait for this step: the first one, or one whose step is among its waiters.
    `in_line`: whether it waits for a slot of flow control. `retries`: those before a redrive included.
    `version` counts the writes of its row.
    """

    id: str
    parent: str | None
    status: Status
    finished_at_ms: int | None
    attempt_count: int
    awaited: bool = False
    kind: Kind = "http"
    due_at_ms: int | None = None
    watches: tuple[Watch, ...] = ()
    in_line: bool = False
    retries: int = 0
    version: int = 1

    @property
    def calls(self) -> bool:
        """Whether the step calls an endpoint."""
        return self.kind == "http"

    @property
    def has_failed(self) -> bool:
        """Whether the step has settled without success."""
        return self.status in {Status.FAILED, Status.CANCELLED}


def outline_of(step: Step) -> StepOutline:
    """The outline of a step."""
    return StepOutline(
        step.id,
        step.spec.parent,
        step.status,
        step.finished_at_ms,
        step.attempt_count,
        step.awaited or bool(step.waiters),
        step.spec.kind,
        step.due_at_ms,
        step.watches,
        step.in_line,
        step.retries_before + step.retries_used,
        step.version,
    )
