"""When time alone does something to a step, so that a clock that jumps must stop there."""

from dataclasses import replace
from typing import Any

import pytest

from atomic.domain.links import LINK_RECHECK_MS, begin_link
from atomic.domain.outcomes import StepError
from atomic.domain.rechecks import acts_at_ms
from atomic.domain.steps import Attempt, Step
from atomic.protocol.enums import OutcomeKind, Status
from atomic.protocol.error_kinds import ErrorKind
from contract.builders import a_root, a_spec

SUSPENDED = Attempt(
    number=1, generation=1, started_at_ms=1, ended_at_ms=2, outcome=OutcomeKind.SUSPENDED, status=202
)
TIMED_OUT = replace(SUSPENDED, status=None, error=StepError(ErrorKind.TIMED_OUT))


def waiting(**members: Any) -> Step:
    made = {"status": Status.WAITING, "due_at_ms": 9_000, "attempt_log": (SUSPENDED,), **members}
    return replace(a_root(), **made)


def link(**members: Any) -> Step:
    spec = replace(a_spec(), kind="run", child_name="child", child_key="c")
    return replace(begin_link(spec, "0" * 32, 1_000, awaited=True), **members)


@pytest.mark.parametrize(
    ("step", "at_ms"),
    [
        (replace(a_root(), status=Status.RETRYING, due_at_ms=7_000), 7_000),
        (replace(a_root(), status=Status.PENDING, due_at_ms=None), None),
        (waiting(), None),
        (waiting(deadline_at_ms=50_000), 50_000),
        (waiting(cancel_by_ms=40_000, deadline_at_ms=50_000), 40_000),
        (waiting(cancelling="recall"), 9_000),
        # It may have died before it had posted everything, so it is called again when it is due.
        (waiting(attempt_log=(TIMED_OUT,)), 9_000),
        (waiting(attempt_log=(replace(SUSPENDED, status=502),)), 9_000),
        # Its run may not exist yet.
        (link(), 1_000 + LINK_RECHECK_MS),
        (link(due_at_ms=99_000), None),
        (link(due_at_ms=99_000, error=StepError(ErrorKind.START_REFUSED)), 99_000),
        (link(due_at_ms=99_000, error=StepError(ErrorKind.CANCELLED)), 99_000),
    ],
)
def test_when_something_happens(step: Step, at_ms: int | None) -> None:
    assert acts_at_ms(step) == at_ms
