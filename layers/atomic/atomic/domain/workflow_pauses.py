"""The pauses of workflows: what a client keeps of them, and when a step that is kept looks again."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from atomic.protocol import keys

# The record of a client has all of them, and each due step of the client looks among them.
WORKFLOW_PAUSES_MAX: Final = 50
# A kept step looks again after as long as its workflow has been paused, within these bounds and a share
# more. A message of SQS has a delay of 15 minutes at most.
_LOOK_FIRST_MS: Final = 5_000
_LOOK_MAX_MS: Final = 600_000
_SHARE_MORE: Final = 0.4


class TooManyWorkflowPauses(ValueError):
    """The client has paused as many workflows as it may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowPause:
    """No run of the workflow is called from `since_ms` to `until_ms`; None until it is resumed."""

    workflow_name: str
    since_ms: int
    until_ms: int | None = None
    note: str = ""

    def is_over(self, now_ms: int) -> bool:
        """Whether the pause has ended by itself."""
        return self.until_ms is not None and self.until_ms <= now_ms

    def look_at_ms(self, run_id: str, now_ms: int) -> int:
        """When a kept step of this run looks again. Runs look, and so go on, one after the other."""
        after_ms = min(max(now_ms - self.since_ms, _LOOK_FIRST_MS), _LOOK_MAX_MS)
        at_ms = now_ms + after_ms if self.until_ms is None else min(now_ms + after_ms, self.until_ms)
        return at_ms + round(after_ms * _SHARE_MORE * keys.share(run_id))


def in_force(pauses: Iterable[WorkflowPause], now_ms: int) -> tuple[WorkflowPause, ...]:
    """Those that are not over."""
    return tuple(pause for pause in pauses if not pause.is_over(now_ms))


def pause_of(pauses: Iterable[WorkflowPause], name: str, now_ms: int) -> WorkflowPause | None:
    """The pause of the workflow of this name, unless it is over."""
    return next((pause for pause in in_force(pauses, now_ms) if pause.workflow_name == name), None)


def with_pause(pauses: Iterable[WorkflowPause], pause: WorkflowPause) -> tuple[WorkflowPause, ...]:
    """The pauses in force by their names, and this one. What it gives replaces that of an earlier one.

    Raises TooManyWorkflowPauses.
    """
    held = in_force(pauses, pause.since_ms)
    before = pause_of(held, pause.workflow_name, pause.since_ms)
    others = [other for other in held if other is not before]
    if len(others) >= WORKFLOW_PAUSES_MAX:
        raise TooManyWorkflowPauses
    if before is not None:
        until_ms = before.until_ms if pause.until_ms is None else pause.until_ms
        pause = replace(before, until_ms=until_ms, note=pause.note or before.note)
    return tuple(sorted([*others, pause], key=lambda each: each.workflow_name))


def without_pause(pauses: Iterable[WorkflowPause], name: str) -> tuple[WorkflowPause, ...]:
    """The pauses without that of this workflow."""
    return tuple(pause for pause in pauses if pause.workflow_name != name)


def load_workflow_pauses(records: Iterable[Mapping[str, Any]]) -> tuple[WorkflowPause, ...]:
    """The pauses of records, which have the members of a pause."""
    return tuple(WorkflowPause(**record) for record in records)
