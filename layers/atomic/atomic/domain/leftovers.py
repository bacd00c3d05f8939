"""Steps that no workflow needs any more: live ones of runs that have ended, expired ones, dead letters."""

from collections.abc import Sequence

from atomic.domain.steps import Step
from atomic.protocol.enums import NotRedrivable, Status


def is_left_over(root: Status, *, calls: bool) -> bool:
    """Whether a live step ends with its run, given the status of the root; `calls`: it calls an endpoint.

    All steps of a cancelled run end. If the run succeeded, its timers and events end and its calls
    continue. So does a link that has not started its run yet. If it failed, all stay for its redrive.
    """
    return root is Status.CANCELLED or (root is Status.SUCCEEDED and not calls)


def is_forgotten(rootless: Step, now_ms: int) -> bool:
    """Whether a live step without a root belongs to a run that does not exist any more.

    An event may be posted before its root. It is kept for its retention.
    """
    return rootless.spec.kind != "http" and rootless.created_at_ms + rootless.spec.retention_ms <= now_ms


def is_outlived(step: Step, root: Step | None, now_ms: int) -> bool:
    """Whether the outcome of a step has expired, given the root that its run has now.

    An outcome is kept at least as long as the root of its run. A root that began when the step had expired
    belongs to another run.
    """
    if step.expires_at_ms is None or step.expires_at_ms > now_ms:
        return False
    if root is None or step.expires_at_ms <= root.created_at_ms:
        return True
    return root.expires_at_ms is not None and root.expires_at_ms <= now_ms


def not_redrivable_reason(dead_letter: Step, ancestors: Sequence[Step]) -> NotRedrivable | None:
    """Why a redrive of this dead letter would have no effect, given the steps above it, the nearest first.

    `handled`: its handler saw the failure, continued without the step and succeeded. If the step failed
    after the handler had succeeded, the handler never saw it, and the step stays redrivable.
    `cancelled`: its run was cancelled.
    """
    if any(step.status is Status.CANCELLED for step in ancestors):
        return "cancelled"
    below = dead_letter
    for step in ancestors:
        if step.status is not Status.FAILED:
            is_handled = step.status is Status.SUCCEEDED and _ended_at_ms(step) >= _ended_at_ms(below)
            return "handled" if is_handled else None
        below = step
    return None


def _ended_at_ms(step: Step) -> int:
    return step.finished_at_ms or 0
