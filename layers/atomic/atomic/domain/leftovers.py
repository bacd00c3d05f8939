"""Live steps that nobody wants any more, since the root of their run has ended."""

from atomic.domain.steps import Step
from atomic.protocol.enums import Status


def is_left_over(root: Status, *, calls: bool) -> bool:
    """Whether a live step ends with its run, whose root stands so; `calls`: it calls an endpoint.

    Nothing of a cancelled run goes on. Of other runs the calls do, and nobody needs their timers and
    events. Those of a run that failed stay for its redrive.
    """
    return root is Status.CANCELLED or (root is Status.SUCCEEDED and not calls)


def is_forgotten(rootless: Step, now_ms: int) -> bool:
    """Whether a live step without a root is one of a run that is gone.

    An event may come before its root; it waits for it as long as a step is remembered.
    """
    return rootless.spec.kind != "http" and rootless.created_at_ms + rootless.spec.retention_ms <= now_ms
