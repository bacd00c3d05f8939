"""Links: steps that start a run and take over its outcome."""

from dataclasses import replace
from typing import Any

import pytest

from atomic.domain import events
from atomic.domain.events import (
    Cancelled,
    CancelRequested,
    Ended,
    LinkDue,
    LinkEnded,
    OwnerLost,
    Redriven,
    WaiterAdded,
)
from atomic.domain.links import (
    ended_by,
    is_called_off,
    is_same_run,
    must_cancel_run,
    recheck_at_ms,
    root_spec,
    run_exists,
)
from atomic.domain.outcomes import CANCELLED, STEP_CANCELLED, Outcome, StepError, StoredBody
from atomic.domain.steps import Step
from atomic.domain.transitions import SendWakeup, begin, effects_of, transition
from atomic.protocol import keys
from atomic.protocol.enums import OutcomeKind, Status
from atomic.protocol.error_kinds import ErrorKind
from contract.builders import a_spec

NOW = 1_000_000
MINUTE, DAY = 60_000, 24 * 3_600_000
LINK = a_spec(key="k-1")
BROKEN = StepError(ErrorKind.ENDPOINT_ANSWERED, "500", "out of stock")


def a_link(**members: Any) -> Step:
    """A new link."""
    members = {"child_name": "invoice", "child_key": "inv-7", "depth": 3, **members}
    spec = replace(LINK, kind="run", parent=keys.root_of(LINK.run_id), **members)
    return begin(spec, "1" * 32, NOW, "n1")


def a_root(link: Step, outcome: Outcome | None = None) -> Step:
    """The root that the link starts; settled by this outcome."""
    root = begin(root_spec(link, NOW), keys.ROOT, NOW, "n1")
    return root if outcome is None else transition(root, Ended(nonce="n1", outcome=outcome, jitter=0), NOW)


@pytest.mark.parametrize(("later_ms", "left_ms"), [(-5, 500), (0, 500), (200, 300), (900, 0)])
def test_the_delay_of_a_run_begins_with_its_link(later_ms: int, left_ms: int) -> None:
    """Its start may be refused at first; and the clock of another process may be behind."""
    root = begin(root_spec(a_link(delay_ms=500), NOW + later_ms), keys.ROOT, NOW + later_ms, None)
    assert root.due_at_ms == NOW + later_ms + left_ms


def test_a_new_link_waits_for_its_root_and_is_due_in_a_minute() -> None:
    link = a_link(deadline_ms=5, delay_ms=0)
    assert (link.status, link.due_at_ms, link.attempt_count) == (Status.WAITING, NOW + MINUTE, 0)
    assert link.waiting_for == (link.spec.child_root,)
    assert link.deadline_at_ms is None


def test_the_root_is_as_if_it_had_been_started_from_outside_and_names_its_link() -> None:
    link = a_link(deadline_ms=5, keeps_child=True)
    root = a_root(link)
    plain = keys.identity(LINK.client_id, "invoice", "", LINK.url, "", "inv-7")
    assert (root.id, root.spec.identity, root.spec.parent) == (link.spec.child_root, plain, None)
    assert (root.spec.started_by, root.spec.depth, root.waiters) == (link.id, 3, (link.id,))
    assert (root.deadline_at_ms, root.spec.kind, root.status) == (NOW + 5, "http", Status.RUNNING)
    assert (root.spec.child_name, root.spec.child_key, root.spec.keeps_child) == ("", "", False)
    assert is_same_run(root, root_spec(link, NOW))
    assert not is_same_run(root, root_spec(a_link(fingerprint="another"), NOW))
    assert not is_same_run(root, root_spec(a_link(url="https://app.example/other"), NOW))


def test_a_detached_root_wakes_nobody() -> None:
    link = a_link(detached=True)
    assert a_root(link).waiters == ()
    ended = transition(link, run_exists(link), NOW)
    run_id = keys.run_of(link.spec.child_root)
    assert ended.response == StoredBody(
        f'{{"id":"{run_id}-root","runId":"{run_id}"}}'.encode(), "json", "application/json"
    )


def test_the_outcome_is_taken_over() -> None:
    link, response = a_link(), StoredBody(b"7", "json")
    done = a_root(link, Outcome(kind=OutcomeKind.SUCCEEDED, status=201, response=response))
    link = transition(link, ended_by(link, done), NOW + 1)
    assert (link.status, link.response, link.response_status) == (Status.SUCCEEDED, response, 201)
    assert (link.error, link.waiting_for, link.due_at_ms) == (None, (), None)

    link, outcome = a_link(), Outcome(kind=OutcomeKind.PERMANENT, status=500, error=BROKEN)
    failed = transition(link, ended_by(link, a_root(link, outcome)), NOW)
    run_id = keys.run_of(link.spec.child_root)
    assert failed.error == StepError(ErrorKind.CHILD_FAILED, run_id, last=BROKEN)
    assert not failed.is_dead_letter
    assert str(failed.error) == f"the run {run_id} failed; last: the endpoint answered 500: out of stock"

    cancelled = transition(a_root(link), Cancelled(), NOW)
    link = transition(link, ended_by(link, cancelled), NOW)
    assert (link.status, link.error) == (Status.CANCELLED, StepError(ErrorKind.CHILD_CANCELLED, run_id))


def test_a_link_whose_run_is_cancelled_with_its_own_says_so() -> None:
    asked = transition(a_link(), CancelRequested(NOW + 60_000, is_handler=False), NOW)
    assert (asked.status, asked.cancel_by_ms, asked.due_at_ms) == (
        Status.WAITING,
        NOW + 60_000,
        a_link().due_at_ms,
    )
    cancelled = transition(a_root(asked), Cancelled(), NOW)
    assert transition(asked, ended_by(asked, cancelled), NOW).error == CANCELLED
    response = StoredBody(b"7", "json")
    done = a_root(asked, Outcome(kind=OutcomeKind.SUCCEEDED, status=200, response=response))
    assert transition(asked, ended_by(asked, done), NOW).response == response


def test_of_runs_within_runs_the_innermost_error_is_kept() -> None:
    middle = StepError(ErrorKind.CHILD_FAILED, "run_middle", last=BROKEN)
    link, outcome = a_link(), Outcome(kind=OutcomeKind.PERMANENT, error=middle)
    error = transition(link, ended_by(link, a_root(link, outcome)), NOW).error
    assert error is not None
    assert error.last == BROKEN


def test_an_outcome_of_an_earlier_generation_changes_nothing() -> None:
    link = a_link()
    event = LinkEnded(1, Status.FAILED, BROKEN)
    failed = transition(link, event, NOW)
    redriven = transition(failed, Redriven(1), NOW + 5)
    assert (redriven.status, redriven.due_at_ms, redriven.generation) == (Status.WAITING, NOW + 5, 2)
    assert (redriven.waiting_for, redriven.error) == ((link.spec.child_root,), None)
    assert transition(redriven, event, NOW + 6) is redriven
    assert transition(failed, LinkEnded(1, Status.SUCCEEDED), NOW + 6) is failed


@pytest.mark.parametrize("error", [CANCELLED, STEP_CANCELLED])
def test_a_cancel_is_recorded_before_the_run_is_cancelled(error: StepError) -> None:
    link = a_link()
    called_off = transition(link, Cancelled(error), NOW + 1)
    assert (called_off.status, called_off.error, called_off.due_at_ms) == (Status.WAITING, error, NOW + 1)
    assert is_called_off(called_off)
    assert SendWakeup(NOW + 1) in effects_of(link, called_off, NOW + 1).after
    for again in (Cancelled(error), LinkDue(NOW + DAY)):
        assert transition(called_off, again, NOW + 2) is called_off
    ended = transition(called_off, LinkEnded(1, Status.SUCCEEDED, None, StoredBody(b"1", "json")), NOW + 2)
    assert (ended.status, ended.error, ended.response) == (Status.CANCELLED, error, None)
    assert is_called_off(ended)


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({"keeps_child": True}, CANCELLED),
        ({"detached": True}, STEP_CANCELLED),
        ({}, StepError(ErrorKind.RUN_ENDED)),
        ({}, StepError(ErrorKind.RUN_GONE)),
    ],
)
def test_a_link_whose_run_goes_on_ends_at_once(members: dict[str, bool], error: StepError) -> None:
    ended = transition(a_link(**members), Cancelled(error), NOW)
    assert (ended.status, ended.error) == (Status.CANCELLED, error)
    assert not is_called_off(ended)


def test_other_steps_have_no_run_to_cancel() -> None:
    assert not must_cancel_run(begin(LINK, keys.ROOT, NOW, "n1"), CANCELLED)


def test_the_longer_a_link_waits_the_less_often_it_is_rechecked() -> None:
    link = a_link()
    waits = [recheck_at_ms(link, NOW + age) - NOW - age for age in (0, MINUTE, 5 * MINUTE, 30 * DAY)]
    assert waits == [MINUTE, MINUTE, 5 * MINUTE, DAY]
    assert recheck_at_ms(link, NOW - DAY) == NOW - DAY + MINUTE


def test_a_recheck_says_why_the_run_is_not_started_yet() -> None:
    refused = StepError(ErrorKind.START_REFUSED, "too many")
    deferred = transition(a_link(), LinkDue(NOW + 5, refused), NOW)
    assert (deferred.due_at_ms, deferred.error, deferred.status) == (NOW + 5, refused, Status.WAITING)
    assert not is_called_off(deferred)
    assert transition(deferred, LinkDue(NOW + 5, refused), NOW) is deferred
    assert transition(deferred, LinkDue(NOW + 9), NOW).error is None


def test_a_restart_of_the_server_rechecks_a_link() -> None:
    assert transition(a_link(), OwnerLost(), NOW + 7).due_at_ms == NOW + 7


@pytest.mark.parametrize("event", [LinkEnded(1, Status.SUCCEEDED), LinkDue(NOW + 1)])
def test_these_events_are_for_links_alone(event: events.Event) -> None:
    root = a_root(a_link())
    assert transition(root, event, NOW) is root


def test_a_redriven_root_still_has_the_links_that_wait_for_it() -> None:
    link = a_link()
    root = transition(a_root(link), WaiterAdded(keys.step_id(root_spec(link, NOW).run_id, "2" * 32)), NOW)
    outcome = Outcome(kind=OutcomeKind.PERMANENT, error=BROKEN)
    failed = transition(root, Ended(nonce="n1", outcome=outcome, jitter=0), NOW)
    assert transition(failed, Redriven(1), NOW).waiters == (link.id,)
