"""Errors of use cases, in terms of the engine. The HTTP API turns them into problems."""

from atomic.domain.steps import Step
from atomic.protocol.enums import Kind, NotRedrivable, Status


class Refusal(Exception):
    """A use case refuses a request."""


class NotFound(Refusal):
    """It does not exist, or belongs to another client: `owner`, where that is known."""

    def __init__(self, owner: str | None = None) -> None:
        super().__init__(owner)
        self.owner = owner


class RunCancelled(Refusal):
    """The run was cancelled, so no step can be added."""


class StepCancelled(Refusal):
    """The step that posts was cancelled, and takes no more steps."""


class TooDeep(Refusal):
    """The run is the last of a long chain of runs that started each other, and may start no other."""


class RunExists(Refusal):
    """The run cannot go on as `root`, which was started otherwise."""

    def __init__(self, root: Step) -> None:
        super().__init__(root.id)
        self.root = root


class Busy(Refusal):
    """Another run has the key of the singleton; `holder` is its root."""

    def __init__(self, holder: Step) -> None:
        super().__init__(holder.id)
        self.holder = holder


class ChangedMeanwhile(Refusal):
    """The schedule has another version than the caller expects; 0 if there is none."""

    def __init__(self, version: int) -> None:
        super().__init__(version)
        self.version = version


class TooManySchedules(Refusal):
    """The client has as many schedules as it may have."""


class IsNoRoot(Refusal):
    """Only the root of a run shares a key with others, and this would be a step of a run."""


class RunEnded(Refusal):
    """The run has ended, and cannot be paused. `root` is its root."""

    def __init__(self, root: Step) -> None:
        super().__init__(root.id)
        self.root = root


class RunNotFailed(Refusal):
    """The run has not failed, so there is nothing to dismiss. `root` is its root."""

    def __init__(self, root: Step) -> None:
        super().__init__(root.id)
        self.root = root


class RunGoesOn(Refusal):
    """The run has not ended, and is not started again beside itself. `root` is its root.

    Of a run that went on as others, it is the last one's.
    """

    def __init__(self, root: Step) -> None:
        super().__init__(root.id)
        self.root = root


class RunLive(Refusal):
    """The run has live steps, and cannot be erased."""

    def __init__(self, run_id: str, live: int) -> None:
        super().__init__(run_id, live)
        self.run_id = run_id
        self.live = live


class IsRoot(Refusal):
    """The step is the root of its run. The caller must ask the same of the run `run_id`."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)
        self.run_id = run_id


class PayloadMismatch(Refusal):
    """The identity was posted before with another payload. `first` is that step, which is unchanged."""

    def __init__(self, first: Step) -> None:
        super().__init__(first.id)
        self.first = first


class AttemptOver(Refusal):
    """The answer is for an attempt that has ended otherwise, or that the step does not have any more."""

    def __init__(self, step: Step, attempt: int) -> None:
        super().__init__(step.id, attempt)
        self.step, self.attempt = step, attempt


class NotRedrivableStep(Refusal):
    """No handler needs the dead letter any more; `reason` says why."""

    def __init__(self, reason: NotRedrivable) -> None:
        super().__init__(reason)
        self.reason = reason


class NotReschedulable(Refusal):
    """The step waits for no moment: it has ended, an attempt is under way, or it waits for others."""

    def __init__(self, step: Step) -> None:
        super().__init__(step.id)
        self.step = step


class NotAnOpenEvent(Refusal):
    """The step takes no result: it is not an event, or has ended otherwise.

    `status` is None where there is no such step.
    """

    def __init__(self, kind: Kind, status: Status | None) -> None:
        super().__init__(kind, status)
        self.kind, self.status = kind, status


class TakesNoEvents(Refusal):
    """The workflow that an event is for has succeeded or was cancelled, and asks for no event any more."""

    def __init__(self, status: Status) -> None:
        super().__init__(status)
        self.status = status
