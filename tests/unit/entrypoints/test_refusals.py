"""Every refusal of a use case is mapped to a problem of the API."""

import pytest

from atomic.application import refusals
from atomic.application.refusals import (
    IsRoot,
    NotAnOpenEvent,
    NotFound,
    NotRedrivableStep,
    RunCancelled,
    StepCancelled,
)
from atomic.entrypoints.http_api.refusals import MAPPED, problem_of
from atomic.protocol import problems
from atomic.protocol.enums import Status


def test_every_refusal_is_mapped() -> None:
    made = {
        kind
        for kind in vars(refusals).values()
        if isinstance(kind, type) and issubclass(kind, refusals.Refusal) and kind is not refusals.Refusal
    }
    # The text about a mismatch depends on the caller's key, so `mismatch` makes it.
    assert made == {*MAPPED, refusals.PayloadMismatch}


@pytest.mark.parametrize(
    ("refusal", "name", "detail"),
    [
        (NotFound("acme"), "not-found", "This client has nothing with this id or at this path."),
        (RunCancelled(), "cancelled", "The run was cancelled and takes no more steps."),
        (NotRedrivableStep("handled"), "not-redrivable", "An ancestor went on without it"),
        (NotRedrivableStep("cancelled"), "not-redrivable", "Its run or a step above it was cancelled"),
        (StepCancelled(), "step-cancelled", "The step whose handler posts this was cancelled"),
        (IsRoot("run_1"), "is-root", "The step is a workflow: cancel its run (POST …/runs/run_1/cancel)."),
        (NotAnOpenEvent("timer", Status.PENDING), "not-an-open-event", "The step is of kind 'timer'"),
        (NotAnOpenEvent("event", Status.FAILED), "not-an-open-event", "The event step is failed already"),
    ],
)
def test_each_is_put_into_words(
    refusal: NotFound | RunCancelled | StepCancelled | IsRoot | NotRedrivableStep | NotAnOpenEvent,
    name: str,
    detail: str,
) -> None:
    problem = problem_of(refusal)
    assert problem.type.name == name
    assert problem.detail.startswith(detail)


def test_a_refusal_does_not_reveal_the_owner() -> None:
    assert problem_of(NotFound("acme")).document() == problems.not_found().document()


def test_why_a_dead_letter_stays_is_a_member() -> None:
    assert problem_of(NotRedrivableStep("handled")).members == {"notRedrivableReason": "handled"}
