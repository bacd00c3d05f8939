"""Dead letters that nobody waits for any more."""

from collections.abc import Sequence
from typing import Literal

from atomic.domain.steps import Status, Step

Over = Literal["caught", "cancelled"]


def over(letter: Step, above: Sequence[Step]) -> Over | None:
    """Why calling this dead letter again would be in vain, given the steps above it, the nearest first.

    `caught`: the handler that was told of its failure went on without it and succeeded. A step that
    gave up only after the handler had succeeded was never told of, and stays redrivable.
    `cancelled`: so is its run.
    """
    if any(step.status is Status.CANCELLED for step in above):
        return "cancelled"
    below = letter
    for step in above:
        if step.status is not Status.FAILED:
            has_caught = step.status is Status.SUCCEEDED and _ended_at_ms(step) >= _ended_at_ms(below)
            return "caught" if has_caught else None
        below = step
    return None


def _ended_at_ms(step: Step) -> int:
    return step.finished_at_ms or 0
