"""What a live run waits for."""

from collections.abc import Iterable
from typing import Final

from atomic.domain.outlines import StepOutline
from atomic.domain.steps import Step
from atomic.protocol.enums import LIVE, Kind, Status, WaitsFor

_BY_KIND: Final[dict[Kind, WaitsFor]] = {"event": "event", "run": "run", "timer": "timer"}


def waits_for(root: Step, steps: Iterable[StepOutline], now_ms: int) -> frozenset[WaitsFor]:
    """All that a live run waits for, by its steps, with the root; nothing once the root has settled.

    Steps that other steps go on beside may wait as well, so this is often more than one thing.
    """
    if root.is_settled:
        return frozenset()
    found: set[WaitsFor] = set()
    if root.pause is not None and not root.pause.is_over(now_ms):
        found.add("resume")
    for step in steps:
        if step.status not in LIVE:
            continue
        if step.kind in _BY_KIND:
            found.add(_BY_KIND[step.kind])
        if step.status is Status.RETRYING:
            found.add("retry")
        if step.in_line:
            found.add("slot")
    return frozenset(found)
