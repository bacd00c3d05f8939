"""What use cases refuse. Each says what is so in terms of the engine; the HTTP API puts it into words."""

from atomic.domain.steps import Step
from atomic.protocol.enums import Kind, NotRedrivable, Status


class Refusal(Exception):
    """A use case cannot do what it was asked for."""


class NotFound(Refusal):
    """There is no such thing, or it belongs to another client: to `owner`, where that is known."""

    def __init__(self, owner: str | None = None) -> None:
        super().__init__(owner)
        self.owner = owner


class RunCancelled(Refusal):
    """The run was cancelled and takes no more steps."""


class StepCancelled(Refusal):
    """The step that posts was cancelled, and takes no more steps."""


class IsRoot(Refusal):
    """The step is the root of its run: what is asked for is asked of the run `run_id`."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)
        self.run_id = run_id


class PayloadMismatch(Refusal):
    """The identity is known with another payload: that of `first`, which is untouched."""

    def __init__(self, first: Step) -> None:
        super().__init__(first.id)
        self.first = first


class NotRedrivableStep(Refusal):
    """Nobody waits for the dead letter any more; `reason` says why."""

    def __init__(self, reason: NotRedrivable) -> None:
        super().__init__(reason)
        self.reason = reason


class NotAnOpenEvent(Refusal):
    """The step takes no result: it is no event, or has ended otherwise."""

    def __init__(self, kind: Kind, status: Status) -> None:
        super().__init__(kind, status)
        self.kind, self.status = kind, status
