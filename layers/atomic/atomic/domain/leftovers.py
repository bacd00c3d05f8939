"""Live steps that are not needed any more, since the root of their run has ended."""

from atomic.domain.steps import Step
from atomic.protocol.enums import Status


def is_left_over(root: Status, *, calls: bool) -> bool:
    """Whether a live step ends with its run, given the status of the root; `calls`: it calls an endpoint.

    All steps of a cancelled run end. If the run succeeded, its timers and events end and its calls
    continue. If it failed, all stay for its redrive.
    """
    return root is Status.CANCELLED or (root is Status.SUCCEEDED and not calls)


def is_forgotten(rootless: Step, now_ms: int) -> bool:
    """Whether a live step without a root belongs to a run that does not exist any more.

    An event may be posted before its root. It is kept for its retention.
    """
    return rootless.spec.kind != "http" and rootless.created_at_ms + rootless.spec.retention_ms <= now_ms
