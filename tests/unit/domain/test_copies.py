"""Copies of steps are those that `dataclasses.replace` makes."""

from dataclasses import fields, replace

import pytest

from atomic.domain.copies import members_of
from atomic.domain.steps import Attempt, Step, StepSpec, copied
from atomic.domain.transitions import begin
from atomic.protocol.enums import Status
from contract.builders import a_spec

SPEC = a_spec()
STEP = begin(SPEC, "root", 1_000, "nonce", awaited=True)


@pytest.mark.parametrize(
    ("source", "changes"),
    [
        (STEP, {}),
        (STEP, {"version": 7, "status": Status.FAILED, "due_at_ms": None, "attempt_log": ()}),
        (SPEC, {"parent": "parent", "tags": ("tag",)}),
        (STEP.attempt_log[0], {"ended_at_ms": 2_000}),
    ],
)
def test_a_copy_is_equal_to_that_of_the_standard_library(
    source: Step | StepSpec | Attempt, changes: dict[str, object]
) -> None:
    before = {member.name: getattr(source, member.name) for member in fields(source)}
    copy = copied(source, members_of(type(source)), **changes)
    assert copy == replace(source, **changes)  # type: ignore[arg-type]
    assert type(copy) is type(source)
    assert {member.name: getattr(source, member.name) for member in fields(source)} == before


def test_a_copy_cannot_be_changed_either() -> None:
    copy = copied(STEP, members_of(Step), version=2)
    with pytest.raises(AttributeError):
        copy.version = 3  # type: ignore[misc]


def test_a_change_of_an_unknown_member_is_refused() -> None:
    with pytest.raises(AttributeError, match="no_member"):
        copied(STEP, members_of(Step), no_member=1)
