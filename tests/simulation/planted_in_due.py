"""Bugs to plant in times of starts, and in steps that are made due. Each replaces one function."""

from dataclasses import replace
from typing import Final

import atomic.application.commit as applying
import atomic.application.making_due as making_due
import atomic.domain.start_times as start_times
import atomic.domain.steps as steps
import atomic.domain.transitions as transitions
from atomic.application.engine import Engine
from atomic.domain.events import MadeDue
from atomic.domain.steps import Step, StepSpec
from atomic.domain.transitions import NONE, Effects
from atomic.protocol.enums import Status
from simulation.planted import Patch

_effects_of, _made_due, _waits = (
    transitions.effects_of,
    transitions.made_due,
    start_times.waits_for_a_moment,
)


def _no_wakeup_of_its_own(before: Step, after: Step, now_ms: int) -> Effects:
    is_moved = after.made_due_ms != before.made_due_ms and not after.is_settled
    return NONE if is_moved else _effects_of(before, after, now_ms)


def _wake_nobody(before: Step, after: Step, now_ms: int) -> Effects:
    found = _effects_of(before, after, now_ms)
    is_skipped = after.spec.kind == "timer" and before.due_at_ms is not None and before.due_at_ms > now_ms
    if not (is_skipped and after.status is Status.SUCCEEDED):
        return found
    return replace(found, after=tuple(each for each in found.after if each != "wake waiters"))


async def _tell_nobody(engine: Engine, step: Step, *, succeeds: bool) -> None:
    return None


def _also_under_way(step: Step) -> bool:
    return _waits(step) or step.status is Status.RUNNING


def _count_it(step: Step, event: MadeDue, now_ms: int) -> Step:
    after = _made_due(step, event, now_ms)
    return after if after is step else replace(after, retries_used=after.retries_used + 1)


def _forget_start_by(step: Step) -> int | None:
    return None


def _hold_it_against_all(step: Step) -> int | None:
    return step.spec.start_by_ms


def _start_at_once(spec: StepSpec, now_ms: int) -> int:
    return now_ms


PLANTED_IN_DUE: Final[dict[str, list[Patch]]] = {
    "a step that is made due has no wake-up of its own": [(applying, "effects_of", _no_wakeup_of_its_own)],
    "a sleep that is skipped wakes nobody": [
        (applying, "effects_of", _wake_nobody),
        (making_due, "ensure_waiters_are_told", _tell_nobody),
    ],
    "an attempt under way is made due": [
        (start_times, "waits_for_a_moment", _also_under_way),
        (making_due, "waits_for_a_moment", _also_under_way),
    ],
    "a step that is made due uses a retry": [(transitions, "made_due", _count_it)],
    "a start comes however late it is": [(steps, "begin_by_ms", _forget_start_by)],
    "a retry has to come by the time of its start": [
        (steps, "begin_by_ms", _hold_it_against_all),
    ],
    "a start comes before its time": [
        (steps, "starts_ms", _start_at_once),
    ],
}
