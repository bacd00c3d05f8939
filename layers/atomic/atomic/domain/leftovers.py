"""Live steps that nobody wants any more, since the root of their run has ended."""

from atomic.domain.steps import Kind, Status


def is_left_over(kind: Kind, root: Status | None) -> bool:
    """Whether a live step ends with its run; `root` is how the run's root stands, None when it is gone.

    Nothing of a cancelled run goes on. Of other runs the calls do, and nobody needs their timers and
    events. Those of a run that failed stay for its redrive.
    """
    if root is Status.CANCELLED:
        return True
    return kind != "http" and root in {Status.SUCCEEDED, None}
