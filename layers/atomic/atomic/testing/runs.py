"""A run as tests read it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from atomic.protocol.documents import RunDocument, StepDocument
from atomic.protocol.wire import from_rfc3339


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of a run below its root, oldest first: `run.steps["mail"]`, or by number from 0.

    A name is that of the call (`name=`), else the last part of its URL. It stands for the first step that
    has it; `all(name)` gives all of them.
    """

    documents: tuple[StepDocument, ...]

    def __getitem__(self, which: str | int) -> StepDocument:
        """The step. Raises KeyError, which names the steps that there are, or IndexError."""
        if isinstance(which, int):
            return self.documents[which]
        for step in self.all(which):
            return step
        raise KeyError(f"the run has no step {which!r}; it has {', '.join(self.names) or 'none'}")

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __len__(self) -> int:
        return len(self.documents)

    @property
    def names(self) -> list[str]:
        """The names of the steps, in order."""
        return [name_of(step) for step in self.documents]

    def all(self, name: str) -> list[StepDocument]:
        """All steps of a name, in order."""
        return [step for step in self.documents if name_of(step) == name]


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it was at one moment.

    `document` is what the API shows. `replays` has a list for each call of its workflow: what the workflow
    called, in order, as kind and name ("step charge").
    """

    document: RunDocument
    replays: tuple[tuple[str, ...], ...] = ()

    @property
    def root(self) -> StepDocument:
        """The step of the workflow itself."""
        return self.document.root

    @property
    def id(self) -> str:
        """The id of the run."""
        return self.document.run.run_id

    @property
    def workflow_name(self) -> str:
        """The name of its workflow."""
        return self.root.workflow_name

    @property
    def key(self) -> str:
        """Its idempotency key."""
        return self.root.idempotency_key

    @property
    def status(self) -> str:
        """`pending`, `running`, `waiting`, `succeeded`, `failed` or `cancelled`, as in the API."""
        return self.root.status

    @property
    def result(self) -> Any:
        """What the workflow returned, as JSON values; None before its end."""
        return self.root.response

    @property
    def error(self) -> str | None:
        """Why it failed, as a sentence."""
        return self.root.error

    @property
    def attempts(self) -> int:
        """How often its workflow was called, replays included."""
        return self.root.attempts

    @property
    def steps(self) -> Steps:
        """Its steps."""
        return Steps(tuple(self.document.steps))

    def timeline(self) -> str:
        """What happened when, as text: a line for each step, with the time since the start of the run."""
        begin = self.root.created_at
        lines = [
            f"{_after(begin, step.created_at):>12}  {name_of(step):<20} {_kind(step):<6} {step.status}"
            f"{_attempts(step)}{_end(begin, step)}"
            for step in (self.root, *self.document.steps)
        ]
        return "\n".join(lines)

    def snapshot(self) -> str:
        """The calls of the run: kind, name and key of each step in order, a line each.

        It has no times, no ids, no payloads and no results, so that it changes only with the workflow.
        """
        return "\n".join(
            f"{_kind(step)} {name_of(step)} {step.idempotency_key}".rstrip() for step in self.document.steps
        )


def name_of(step: StepDocument) -> str:
    """The name of its call, else the last part of its URL."""
    last = (step.step_invoke_url or "").partition("?")[0].rstrip("/").rpartition("/")[2]
    return step.step_name or last or step.kind


def _kind(step: StepDocument) -> str:
    """As hooks say it."""
    return "step" if step.kind == "http" else step.kind


def _attempts(step: StepDocument) -> str:
    return f" after {step.attempts} attempts" if step.attempts > 1 else ""


def _end(begin: str, step: StepDocument) -> str:
    return f" at {_after(begin, step.finished_at)}" if step.finished_at else ""


def _after(begin: str, moment: str) -> str:
    return f"+{timedelta(milliseconds=from_rfc3339(moment) - from_rfc3339(begin))}"
