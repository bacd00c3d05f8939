"""Roots that give way to another run, and those that do not."""

from dataclasses import replace

import pytest

from atomic.domain import events
from atomic.domain.outcomes import Outcome
from atomic.domain.pointers import Debounce
from atomic.domain.steps import Step
from atomic.domain.superseding import is_heard, successor
from atomic.domain.transitions import begin, transition
from atomic.protocol import keys
from atomic.protocol.enums import OutcomeKind, Status
from atomic.protocol.error_kinds import ErrorKind
from contract.builders import a_child, a_root, a_spec
from unit.strategies import ended

NEWER = keys.root_of(keys.run_id("acme", "createUser", "newer"))


def claimed() -> Step:
    """A root whose first attempt was claimed with its row."""
    return begin(a_spec(), keys.ROOT, 1_000, "9" * 32)


def test_a_root_that_has_not_begun_gives_way() -> None:
    after = transition(a_root(), events.Superseded(NEWER), 2_000)
    assert (after.status, after.continued_as, after.finished_at_ms) == (Status.CANCELLED, NEWER, 2_000)
    assert after.error is not None
    assert (after.error.kind, after.error.detail) == (ErrorKind.SUPERSEDED, keys.run_of(NEWER))
    assert successor(after) == NEWER
    assert successor(a_root(status=Status.CANCELLED)) is None


def test_an_attempt_that_was_claimed_and_not_made_is_closed() -> None:
    root = claimed()
    assert transition(root, events.Superseded(NEWER), 2_000) is root
    assert transition(root, events.Superseded(NEWER, root.version + 1), 2_000) is root
    after = transition(root, events.Superseded(NEWER, root.version), 2_000)
    assert (after.status, after.attempt_log[0].outcome) == (Status.CANCELLED, OutcomeKind.NO_ANSWER)


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.FAILED, Status.CANCELLED])
def test_what_has_ended_stays(status: Status) -> None:
    root = a_root(status=status)
    assert transition(root, events.Superseded(NEWER, root.version), 2_000) is root


def test_a_step_below_a_root_stays() -> None:
    step = a_child("leaf")
    assert transition(step, events.Superseded(NEWER), 2_000) is step


def test_a_lost_attempt_was_not_heard_of() -> None:
    root = claimed()
    assert not is_heard(root)
    lost = transition(root, events.OwnerLost(), 2_000)
    assert not is_heard(lost)
    retried = ended(root, Outcome(kind=OutcomeKind.RETRYABLE, status=500), 2_000)
    assert is_heard(retried)
    # An operator asks for it once more, so it has to have its key once more.
    failed = ended(root, Outcome(kind=OutcomeKind.PERMANENT, status=400), 2_000)
    assert not is_heard(transition(failed, events.Redriven(1), 3_000))


def test_a_burst_ends_at_the_latest_after_its_longest_time() -> None:
    asked = Debounce("doc", 5_000, 12_000)
    assert asked.due_ms(1_000, 1_000) == 6_000
    assert asked.due_ms(1_000, 7_000) == 12_000
    assert asked.due_ms(1_000, 9_000) == 13_000
    # A start of another `max` may come after the end.
    assert asked.due_ms(1_000, 20_000) == 20_000
    assert replace(asked, max_ms=None).due_ms(1_000, 20_000) == 25_000
