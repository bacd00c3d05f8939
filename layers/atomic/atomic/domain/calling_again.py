"""A step that is to be called once more, whatever it was waiting for."""

from typing import Any

from atomic.domain.steps import Step, changed
from atomic.protocol.enums import Status


def called_again(step: Step, now_ms: int, **also: Any) -> Step:
    """The step, to be called once more now, whatever it was waiting for."""
    return changed(
        step,
        status=Status.PENDING,
        due_at_ms=now_ms,
        dated_at_ms=now_ms,
        waiting_for=(),
        wake=None,
        failed_meanwhile=False,
        rechecks=0,
        **also,
    )
