"""What a change owes to hooks, and what a delivery says."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest

from atomic.domain.events import Cancelled, Paid, Paused, Redriven, Rested, Resumed, Superseded
from atomic.domain.hooks import (
    HOOKS_MAX,
    Hook,
    RunHook,
    Told,
    TooManyHooks,
    UnknownHook,
    with_hook,
    without_hook,
)
from atomic.domain.outcomes import Outcome, StepError
from atomic.domain.owing import DeliveryLimits, delivery, event_of, opened, with_owed
from atomic.domain.retry import RetryPolicy
from atomic.domain.steps import Step
from atomic.domain.transitions import SendWakeup, begin, effects_of, transition, with_paying
from atomic.protocol import keys
from atomic.protocol.enums import HOOK_EVENTS, HookEvent, OutcomeKind, Status
from atomic.protocol.error_kinds import ErrorKind
from atomic.protocol.wire import to_rfc3339
from contract.builders import a_child, a_root, a_spec
from unit.strategies import ended

NOW: Final = 1_000_000
PAGER: Final = Hook(name="pager", url="https://app.example/pager", on=HOOK_EVENTS)
LIMITS: Final = DeliveryLimits(
    attempt_timeout_ms=20_000, retention_ms=9_000, public_url="https://atomic.test"
)


def begun(position: str = keys.ROOT, **members: Any) -> Step:
    """A step whose first attempt is under way."""
    return begin(a_spec(retry=RetryPolicy(count=0), **members), position, NOW, "1" * 32)


def with_end(step: Step, kind: OutcomeKind, **more: Any) -> Step:
    return ended(step, Outcome(kind=kind, **more), NOW + 50)


FAILS: Final = StepError(ErrorKind.ENDPOINT_ANSWERED, "500")
CASES: Final[list[tuple[HookEvent | None, Step, Callable[[Step], Step]]]] = [
    ("run.succeeded", begun(), lambda step: with_end(step, OutcomeKind.SUCCEEDED, status=200)),
    ("run.failed", begun(), lambda step: with_end(step, OutcomeKind.PERMANENT, error=FAILS)),
    ("run.cancelled", begun(), lambda step: transition(step, Cancelled(), NOW)),
    ("run.paused", begun(), lambda step: transition(step, Paused(), NOW)),
    ("step.failed", begun("9" * 32), lambda step: with_end(step, OutcomeKind.PERMANENT, error=FAILS)),
    (None, begun("9" * 32), lambda step: with_end(step, OutcomeKind.SUCCEEDED, status=200)),
    (None, begun("9" * 32), lambda step: transition(step, Cancelled(), NOW)),
    (None, begun("9" * 32), lambda step: transition(step, Rested(), NOW)),
    (None, begun(hook="pager"), lambda step: with_end(step, OutcomeKind.SUCCEEDED, status=200)),
    (None, a_root(), lambda step: transition(step, Superseded("run_1-root"), NOW)),
    (None, a_root(status=Status.SUCCEEDED), lambda step: replace(step, version=2)),
]


@pytest.mark.parametrize(("event", "before", "change"), CASES)
def test_what_a_change_means_to_hooks(
    event: HookEvent | None, before: Step, change: Callable[[Step], Step]
) -> None:
    after = change(before)
    assert event_of(before, after) == event
    owed = with_owed(before, after, [PAGER]).owes
    assert [each.event for each in owed] == ([] if event is None else [event])
    # Only then is it asked which hooks the client has.
    if event is not None:
        assert effects_of(before, after, NOW).concerns_hooks


def test_an_event_step_that_expires_is_no_dead_letter() -> None:
    event = replace(a_child("mail"), spec=replace(a_child("mail").spec, kind="event"))
    assert event_of(event, replace(event, status=Status.FAILED)) is None


def test_a_run_that_goes_on_as_another_one_has_not_ended() -> None:
    before = begun()
    after = replace(with_end(before, OutcomeKind.SUCCEEDED), continued_as="run_1-root")
    assert event_of(before, after) is None


def test_a_pause_within_a_pause_is_none_and_one_after_it_is_another() -> None:
    first = transition(a_root(), Paused(), NOW)
    again = transition(first, Paused(note="still"), NOW + 1)
    assert event_of(first, again) is None
    resumed = transition(again, Resumed(), NOW + 2)
    second = transition(resumed, Paused(), NOW + 3)
    assert event_of(resumed, second) == "run.paused"
    told = [
        with_owed(before, after, [PAGER]).owes[0]
        for before, after in ((a_root(), first), (resumed, second))
    ]
    keys_of = {delivery(second, owed, owed.told[0], LIMITS).idempotency_key for owed in told}
    assert len(keys_of) == 2


def test_a_hook_says_what_it_wants() -> None:
    before = begun()
    after = with_end(before, OutcomeKind.SUCCEEDED)
    hooks = [
        replace(PAGER, name="a", on=("run.failed",)),
        replace(PAGER, name="b", workflow_name="another"),
        replace(PAGER, name="c", workflow_name="createUser", on=("run.failed", "run.succeeded")),
    ]
    [owed] = with_owed(before, after, hooks).owes
    assert owed.told == (Told("c", PAGER.url),)
    assert with_owed(before, after, hooks[:2]) is after


def test_a_run_has_hooks_of_its_own() -> None:
    own = (RunHook("run.succeeded", "https://app.example/done"), RunHook("run.paused", PAGER.url))
    before = begun(hooks=own)
    after = with_end(before, OutcomeKind.SUCCEEDED)
    [owed] = with_owed(before, after, [PAGER]).owes
    assert owed.told == (Told("@start", "https://app.example/done"), Told("pager", PAGER.url))
    assert with_owed(before, with_end(before, OutcomeKind.PERMANENT, error=FAILS), []).owes == ()
    told = delivery(after, owed, owed.told[0], LIMITS)
    assert (told.workflow_name, told.hook, told.hooks) == ("hook/@start", "@start", ())
    assert before.spec.below_root().hooks == ()


def test_an_event_that_is_opened_is_told_by_when_and_where_its_result_is_posted() -> None:
    spec = a_spec(kind="event", step_name="approval", deadline_ms=9_000, heartbeat_ms=2_000)
    event = begin(spec, "9" * 32, NOW, None)
    row = opened(event, [PAGER, replace(PAGER, name="mail", on=("run.failed",))])
    [owed] = row.owes
    assert (owed.event, owed.told, row.version) == ("event.opened", (Told("pager", PAGER.url),), 1)
    assert (row.found_due_ms, opened(event, [])) == (NOW, event)
    message = json.loads(bytes(delivery(row, owed, owed.told[0], LIMITS).payload))
    # The heartbeat is missed first.
    assert message["deadlineAt"] == to_rfc3339(NOW + 2_000)
    assert message["resultUrl"] == f"https://atomic.test/acme/steps/{event.id}/result"
    assert (message["stepName"], message["status"]) == ("approval", "pending")
    unknown = replace(LIMITS, public_url="")
    message = json.loads(
        bytes(delivery(row, replace(owed, deadline_at_ms=None), owed.told[0], unknown).payload)
    )
    assert (message["deadlineAt"], message["resultUrl"]) == (None, None)


def test_what_is_owed_is_found_as_due_until_it_is_paid() -> None:
    before = begun()
    after = with_owed(before, with_end(before, OutcomeKind.SUCCEEDED), [PAGER])
    assert (after.due_at_ms, after.found_due_ms, after.version) == (None, NOW + 50, 2)
    paid = transition(after, Paid(after.owes), NOW)
    assert (paid.owes, paid.found_due_ms, paid.version) == ((), None, 3)
    assert transition(paid, Paid(after.owes), NOW) is paid


def test_a_redrive_goes_on_owing_and_its_end_is_another() -> None:
    first = with_owed(begun(), with_end(begun(), OutcomeKind.PERMANENT, error=FAILS), [PAGER])
    redriven = transition(first, Redriven(1), NOW)
    assert redriven.owes == first.owes
    second = with_owed(redriven, transition(redriven, Cancelled(), NOW), [PAGER])
    assert [(owed.event, owed.generation) for owed in second.owes] == [
        ("run.failed", 1),
        ("run.cancelled", 2),
    ]
    # A payment of what was read before leaves the later one.
    assert transition(second, Paid(first.owes), NOW).owes == second.owes[1:]


def test_a_step_at_rest_pays_too() -> None:
    paused = transition(a_root(at_ms=NOW), Paused(), NOW)
    resting = transition(with_owed(a_root(at_ms=NOW), paused, [PAGER]), Rested(), NOW)
    assert resting.rest is not None
    paid = transition(resting, Paid(resting.owes), NOW)
    assert paid == replace(resting, owes=(), version=resting.version + 1)


def test_a_process_looks_at_once_at_what_is_owed() -> None:
    before = begun()
    found = effects_of(before, with_end(before, OutcomeKind.SUCCEEDED), NOW)
    paying = with_paying(found, NOW)
    assert paying.after == (*found.after, SendWakeup(NOW))
    assert paying.if_unsure == (*found.if_unsure, SendWakeup(NOW))


def test_a_delivery_is_thin_and_has_a_key_of_its_own() -> None:
    before = begun()
    after = with_owed(before, with_end(before, OutcomeKind.PERMANENT, status=500, error=FAILS), [PAGER])
    [owed] = after.owes
    spec = delivery(after, owed, owed.told[0], LIMITS)
    assert spec.idempotency_key == f"{after.id}:1:run.failed@{after.finished_at_ms}:pager"
    assert (spec.workflow_name, spec.hook, spec.url) == ("hook/pager", "pager", PAGER.url)
    assert spec.run_id == keys.run_id("acme", "hook/pager", spec.idempotency_key)
    assert json.loads(bytes(spec.payload)) == {
        "event": "run.failed",
        "hook": "pager",
        "at": "1970-01-01T00:16:40.050Z",
        "runId": after.spec.run_id,
        "stepId": after.id,
        "workflowName": "createUser",
        "stepName": None,
        "idempotencyKey": "key-1",
        "status": "failed",
        "generation": 1,
        "error": {"kind": "endpoint_answered", "responseStatus": 500},
        "url": f"https://atomic.test/acme/runs/{after.spec.run_id}",
    }
    nowhere = delivery(after, owed, owed.told[0], replace(LIMITS, public_url=""))
    assert json.loads(bytes(nowhere.payload))["url"] is None


def test_a_delivery_of_the_longest_names_is_within_20_kilobytes() -> None:
    root = begun(workflow_name="🙂" * 255, key="k" * 255, client_id="c" * 64, step_name="🙂" * 255)
    after = with_owed(
        root, with_end(root, OutcomeKind.PERMANENT, error=FAILS), [replace(PAGER, name="n" * 64)]
    )
    spec = delivery(after, after.owes[0], after.owes[0].told[0], LIMITS)
    assert len(spec.payload) < 20_000
    assert keys.is_idempotency_key(spec.idempotency_key)


def test_hooks_are_kept_by_name_and_bounded() -> None:
    hooks = ()
    for number in reversed(range(HOOKS_MAX)):
        hooks = with_hook(hooks, replace(PAGER, name=f"h{number}"))
    assert [hook.name for hook in hooks] == [f"h{number}" for number in range(HOOKS_MAX)]
    changed = with_hook(hooks, replace(PAGER, name="h3", on=("run.failed",)))
    assert [hook.on for hook in changed].count(("run.failed",)) == 1
    with pytest.raises(TooManyHooks):
        with_hook(hooks, PAGER)
    assert len(without_hook(hooks, "h3")) == HOOKS_MAX - 1
    with pytest.raises(UnknownHook):
        without_hook(hooks, "pager")
