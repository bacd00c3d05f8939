"""Failed runs: which step is the cause, and what a dismissal and a redrive change."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from atomic.domain.causes import Dismissal
from atomic.domain.events import DismissalUndone, Dismissed, Redriven
from atomic.domain.failed_runs import cause_of, innermost_failed, named_step
from atomic.domain.outcomes import StepError, StoredBody
from atomic.domain.outlines import StepOutline, outline_of
from atomic.domain.steps import Step
from atomic.domain.transitions import NONE, effects_of, transition
from atomic.protocol.enums import Status
from atomic.protocol.error_kinds import ErrorKind
from atomic.protocol.problems import STEP_FAILED
from contract.builders import a_child, a_root, a_spec

ROOT = replace(a_root(status=Status.FAILED, at_ms=9_000), response_status=500)
DEAD = replace(ROOT, cause=cause_of(ROOT))


def child(name: str, at_ms: int, *, parent: str = "", status: Status = Status.FAILED) -> Step:
    return a_child(name, at_ms=at_ms, status=status, parent=parent)


def innermost(*steps: Step) -> str:
    return innermost_failed(ROOT, map(outline_of, (ROOT, *steps)))


def test_a_run_without_failed_steps_failed_by_its_root() -> None:
    assert innermost() == ROOT.id
    assert (
        innermost(child("a", 1, status=Status.SUCCEEDED), child("b", 2, status=Status.PENDING)) == ROOT.id
    )


def test_of_two_failed_steps_the_handler_ended_because_of_the_later_one() -> None:
    handled, last = child("handled", 2_000), child("last", 3_000)
    assert innermost(last, handled) == last.id


def test_what_failed_after_the_handler_had_ended_is_not_the_cause() -> None:
    cause, after = child("cause", 3_000), child("after", 9_001)
    assert innermost(cause, after) == cause.id


def test_the_cause_is_the_innermost_step_all_of_whose_ancestors_failed() -> None:
    nested = child("nested", 5_000)
    inner = child("inner", 4_000, parent=nested.id)
    handler = child("handler", 6_000, status=Status.SUCCEEDED)
    handled = child("handled", 4_500, parent=handler.id)
    assert innermost(nested, inner, handler, handled) == inner.id


def test_odd_parents_do_no_harm() -> None:
    """The caller names the parent: it may not exist, or be a descendant."""
    lost = child("lost", 2_000, parent="run_" + "0" * 32 + "-" + "1" * 32)
    own = replace(outline_of(child("own", 3_000)), parent="")
    loop = replace(outline_of(child("loop", 3_000)), parent=ROOT.id)
    circle = StepOutline(ROOT.id, loop.id, Status.FAILED, 1_000, 1)
    assert innermost(lost) == ROOT.id
    assert innermost_failed(ROOT, [own]) == ROOT.id
    assert innermost_failed(ROOT, [loop, circle]) == loop.id


def answered(problem: Any) -> Step:
    return replace(ROOT, response=StoredBody(orjson.dumps(problem), "json"))


def test_the_answer_of_the_root_names_the_step() -> None:
    step, other = child("pay", 1_000), a_child("pay", a_spec(key="other"))
    failed = {"type": STEP_FAILED.uri, "id": step.id}
    assert named_step(answered(failed)) == step.id
    assert named_step(answered({"type": STEP_FAILED.uri, "id": "x", "response": failed})) == step.id
    for problem in (
        {"id": step.id},
        failed | {"id": other.id},
        failed | {"id": 7},
        failed | {"id": "x"},
        [],
        7,
    ):
        assert named_step(answered(problem)) is None, problem
    assert named_step(ROOT) is None
    assert named_step(replace(ROOT, response=StoredBody(b"no", "text"))) is None


def test_the_cause_of_a_step_is_what_its_row_says() -> None:
    error = StepError(ErrorKind.ENDPOINT_ANSWERED, "402", "order 17 has no funds", "Declined")
    cause = cause_of(replace(child("pay", 1), error=error, response_status=402))
    assert (cause.workflow_name, cause.step_name) == ("createUser", "pay")
    assert (cause.error_kind, cause.error_type, cause.response_status) == (error.kind, "Declined", 402)
    assert cause.text == "the endpoint answered 402: order # has no funds"
    assert cause_of(child("pay", 1)).text == ""
    unnamed = replace(child("", 1), spec=a_spec(parent=ROOT.id))
    assert (cause_of(unnamed).step_name, cause_of(ROOT).step_name) == ("/steps", "")


def test_a_failed_run_is_dismissed_and_taken_back() -> None:
    once = transition(DEAD, Dismissed("known"), 10_000)
    assert once.dismissal == Dismissal(at_ms=10_000, note="known")
    assert effects_of(DEAD, once, 10_000) == NONE
    # A second one changes the note only.
    assert transition(once, Dismissed(), 20_000) is once
    assert transition(once, Dismissed("other"), 20_000).dismissal == Dismissal(at_ms=10_000, note="other")
    back = transition(once, DismissalUndone(), 20_000)
    assert back == replace(DEAD, version=once.version + 1)
    assert transition(back, DismissalUndone(), 20_000) is back


@pytest.mark.parametrize("event", [Dismissed("known"), DismissalUndone()])
def test_only_a_failed_run_can_be_dismissed(event: Dismissed | DismissalUndone) -> None:
    for step in (a_root(), a_root(status=Status.SUCCEEDED), child("pay", 1_000)):
        assert transition(step, event, 10_000) is step


def test_a_redrive_clears_both() -> None:
    dismissed = transition(DEAD, Dismissed("known"), 10_000)
    again = transition(dismissed, Redriven(1), 20_000)
    assert (again.status, again.cause, again.dismissal) == (Status.PENDING, None, None)


def test_a_run_that_failed_before_causes_were_kept_gets_that_of_its_root() -> None:
    assert transition(ROOT, Dismissed(), 10_000).cause == cause_of(ROOT)
