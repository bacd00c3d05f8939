"""Roots that hold the place of a run which must not begin any more."""

from dataclasses import replace

from atomic.domain.outcomes import CANCELLED, NOTHING
from atomic.domain.steps import Step, StepSpec, settled
from atomic.domain.transitions import begin
from atomic.protocol import keys
from atomic.protocol.enums import Status


def never_begun(spec: StepSpec, now_ms: int) -> Step:
    """The root of this run, cancelled before its first attempt. Nothing gets its payload."""
    root = begin(replace(spec, payload=NOTHING.text), keys.ROOT, now_ms, None)
    return replace(settled(root, Status.CANCELLED, now_ms, error=CANCELLED), version=root.version)


def is_never_begun(root: Step) -> bool:
    """Whether this root was cancelled before its first attempt."""
    return root.status is Status.CANCELLED and root.attempt_count == 0
