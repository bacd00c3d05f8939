"""Bugs to plant. Each replaces one function of the engine or of a port during a test."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from types import ModuleType
from typing import Any, Final, NamedTuple

import atomic.application.answering as answering
import atomic.application.attempts as attempts
import atomic.application.cancel as cancelling
import atomic.application.commit as applying
import atomic.application.leftovers as leftovers
import atomic.application.process_wakeup as driving
import atomic.application.rechecking as rechecking
import atomic.application.start as creation
import atomic.application.start as starting
import atomic.application.wait_set as wait_set
import atomic.application.wakeups as wakeups
import atomic.domain.endings as endings
import atomic.domain.steps as changes
import atomic.domain.transitions as transitions
import atomic.runtime.driver as embedded
from atomic.adapters.memory.wakeups import MemoryWakeupQueue
from atomic.application.child_steps import ChildPage
from atomic.application.commit import Committed
from atomic.application.destinations import Claim, Permit
from atomic.application.engine import Engine
from atomic.application.ports import StoreUnavailable, Subscription
from atomic.application.start import Created, Found, Post, StartResult
from atomic.domain.events import (
    AnswersLater,
    Cancelled,
    Claimed,
    Ended,
    Event,
    Redriven,
    ToldUnfinished,
    WaiterAdded,
    Woken,
)
from atomic.domain.interventions import redriven
from atomic.domain.outcomes import NotMade, Outcome, StepError
from atomic.domain.retry import RetryPolicy
from atomic.domain.retry import next_delay_ms as _next_delay_ms
from atomic.domain.steps import Step, StepSpec, Watch
from atomic.protocol import keys
from atomic.protocol.enums import OutcomeKind, Status
from atomic.protocol.error_kinds import ErrorKind
from simulation import application, memory
from simulation import process as processes
from simulation.network import EmbeddedWakeups, ProcessStore, SqsWakeups

Patch = tuple[ModuleType | type[Any], str, Any]

_ended, _claimed, _transition = transitions.ended, transitions._claimed, transitions.transition
_drive, _woken, _recheck = driving.process_wakeup, transitions.woken, rechecking.recheck
_effects_of, _apply, _record = transitions.effects_of, applying.commit, attempts._record
_run_effects = applying.run_effects
_create_row, _attach, _own_steps = ProcessStore.create, starting._attach, memory.own_steps
_owner_lost = transitions.owner_lost
_sends = {kind: kind.send for kind in (SqsWakeups, EmbeddedWakeups)}


def _ended_as(other: Step, step: Step, event: Ended, now_ms: int) -> Step:
    """The result of the event on the other step; the step itself if the event does not change that one."""
    after = _ended(other, event, now_ms)
    return step if after is other else after


def _end_under_any_nonce(step: Step, event: Ended, now_ms: int) -> Step:
    return _ended(step, replace(event, nonce=step.nonce or ""), now_ms)


def _end_what_has_ended(step: Step, event: Ended, now_ms: int) -> Step:
    if step.is_settled:
        step = replace(step, status=Status.RUNNING, nonce=event.nonce)
    return _ended(step, event, now_ms)


def _end_at_a_retry(step: Step, event: Ended, now_ms: int) -> Step:
    if event.outcome.kind is OutcomeKind.SUSPENDED:
        event = replace(event, outcome=replace(event.outcome, kind=OutcomeKind.RETRYABLE))
    return _ended_as(replace(step, woken=False, told=None), step, event, now_ms)


def _end_refusals_as_failures(step: Step, event: Ended, now_ms: int) -> Step:
    if event.outcome.kind is OutcomeKind.DEFERRED:
        event = replace(event, outcome=replace(event.outcome, kind=OutcomeKind.RETRYABLE))
    return _ended(step, event, now_ms)


def _end_as_if_told(step: Step, event: Ended, now_ms: int) -> Step:
    """Fault 3: a failed attempt waits for every other live step of the run."""
    return _ended_as(replace(step, told=step.told or step.id), step, event, now_ms)


def _end_with_a_retry_too_many(step: Step, event: Ended, now_ms: int) -> Step:
    spec = replace(step.spec, retry=replace(step.spec.retry, count=step.spec.retry.count + 1))
    after = _ended_as(replace(step, spec=spec), step, event, now_ms)
    return after if after is step else replace(after, spec=step.spec)


async def _replace_blindly(self: ProcessStore, step: Step, expected_version: int) -> Step | None:
    async def write() -> None:
        self._truth.overwrite(step)

    return await self._write(step, write)


async def _read_then_create(self: ProcessStore, step: Step) -> Step | None:
    existing = await self.get(step.id)
    if existing is not None:
        return existing
    return await _replace_blindly(self, step, 0)


def _send_no_watchdog(self: Any, step_id: str, at_ms: int, **known: Any) -> Awaitable[None]:
    # Longer than any policy and any timer of a scenario.
    if 15_000 < at_ms - self._process.clock.now_ms() <= 20_000:
        return MemoryWakeupQueue._ACKNOWLEDGED
    return _sends[type(self)](self, step_id, at_ms, **known)


async def _sweep_nothing(*_: object, **__: object) -> int:
    return 0


async def _insert_later(engine: Engine, post: Post, position: str) -> Created | Found:
    nonce = engine.entropy.token()
    step = transitions.begin(post.spec, position, engine.clock.now_ms(), nonce, awaited=post.awaited)
    existing = await engine.store.get(step.id)
    if existing is not None:
        return Found(existing)
    engine.spawn(_create(engine, step), step_id=step.id)
    return Created(step)


async def _create(engine: Engine, step: Step) -> None:
    await engine.store.create(step)


def _digest_of_joined(*parts: str) -> str:
    return hashlib.sha256("#".join(parts).encode()).hexdigest()[:32]


def _identity_of_joined(client_id: str, workflow_name: str, parent: str, *parts: str) -> str:
    joined = _digest_of_joined(client_id, workflow_name, *parts)
    return keys.children_prefix(parent) + joined[8:]


def _run_id_of_joined(*parts: str) -> str:
    return f"run_{_digest_of_joined(*parts)}"


def _count_down(step: Step, event: Woken, now_ms: int) -> Step:
    if step.status is Status.WAITING and len(step.waiting_for) > 1:
        return replace(step, version=step.version + 1, waiting_for=step.waiting_for[1:])
    return _woken(step, event, now_ms)


def wake_only_who_waits(step: Step, event: Woken, now_ms: int) -> Step:
    """Drop a wake-up of a handler that runs."""
    return _woken(step, event, now_ms) if step.status is Status.WAITING else step


def _always(*_: Any) -> bool:
    return True


def _never(*_: Any) -> bool:
    return False


def _lease_of_a_quarter(spec: StepSpec, deadline_at_ms: int | None, now_ms: int) -> int:
    return now_ms + spec.attempt_timeout_ms // 4


def _delay_above_the_cap(policy: RetryPolicy, retry: int, *, jitter: float, **also: Any) -> int:
    return round(_next_delay_ms(policy, retry, jitter=0.999, **also) * (1 + jitter)) + 1


def _is_written_only_if_nothing_is_there(existing: Step | None, after: Step) -> bool:
    return existing is None


async def _register_before_waiting(engine: Engine, step: Step, event: Ended) -> Committed:
    for step_id in event.outcome.waiting_for if isinstance(event, Ended) else ():
        needed = await engine.store.get(step_id)
        if needed is not None:
            await _apply(engine, needed, WaiterAdded(step.id))
    return await _record(engine, step, event)


async def _mark_before_the_waiter(
    engine: Engine, step: Step, asked_at_ms: int, attempt: int | None = None
) -> Step:
    handler = await engine.store.get(step.spec.parent or step.id)
    if handler is not None:
        await _apply(engine, handler, ToldUnfinished(step.id, asked_at_ms, attempt))
    return await _leave_no_mark(engine, step, asked_at_ms)


async def _count_what_was_not_made(engine: Engine, step: Step, not_made: NotMade) -> None:
    outcome = Outcome(kind=OutcomeKind.RETRYABLE, error=not_made.error)
    await _record(engine, step, Ended(nonce=step.nonce or "", outcome=outcome, jitter=0.5))


async def _read_before_recording(engine: Engine, step: Step, event: Ended) -> Committed:
    await engine.store.outline(step.spec.run_id)
    return await _record(engine, step, event)


async def find_no_child(engine: Engine, waiting: Step) -> AsyncIterator[Step]:
    """Find no step below a handler."""
    for step in ():
        yield step


def _is_spare_while_it_runs(step: Step, wakeup_at_ms: int | None) -> bool:
    return (
        step.status is Status.RUNNING
        and wakeup_at_ms is not None
        and wakeup_at_ms <= step.attempt_log[-1].started_at_ms
    )


async def _check_nothing(engine: Engine, waiting: Step, **_: object) -> Step:
    return waiting


async def _do_nothing(engine: Engine, step: Step) -> None:
    return


async def leave_no_waiter(engine: Engine, step: Step, asked_at_ms: int, attempt: int | None = None) -> Step:
    """Register nobody as a waiter of this step."""
    return step


async def _leave_no_mark(engine: Engine, step: Step, asked_at_ms: int, attempt: int | None = None) -> Step:
    after, _ = await _apply(engine, step, WaiterAdded(step.spec.parent or step.id))
    return after


async def wake_nobody(engine: Engine, settled: Step, *_: Any) -> list[Step]:
    """Wake no step that waits for this one."""
    return []


def _claim_whatever_it_is(step: Step, nonce: str, until_ms: int | None, now_ms: int) -> Step:
    if step.is_settled:
        step = replace(step, status=Status.PENDING, due_at_ms=now_ms)
    return _claimed(step, nonce, until_ms, now_ms)


async def _drive_whatever_it_is(
    engine: Engine, step_id: str, wakeup_at_ms: int | None = None, *, only_looks: bool = False
) -> None:
    step = await engine.store.get(step_id)
    if step is None or not step.is_settled:
        await _drive(engine, step_id, wakeup_at_ms, only_looks=only_looks)
        return
    step, claimed = await applying.commit(engine, step, Claimed(engine.entropy.token()))
    if claimed is not None and step.status is Status.RUNNING:
        await attempts.run_attempt(engine, Claim(step, Permit()))


def _claim_at_a_retry(step: Step, nonce: str, until_ms: int | None, now_ms: int) -> Step:
    after = _claimed(step, nonce, until_ms, now_ms)
    if after is step or step.status is not Status.RUNNING or after.is_settled:
        return after
    if step.retries_used >= step.spec.retry.count:
        return changes.settled(step, Status.FAILED, now_ms, error=StepError(ErrorKind.NO_ANSWER))
    return replace(after, retries_used=step.retries_used + 1)


def _redrive_regardless(step: Step, event: Event, now_ms: int) -> Step:
    if isinstance(event, Redriven):
        return redriven(step, now_ms)
    return _transition(step, event, now_ms)


async def _redrive_asked(engine: Engine, step: Step, *, takes_run: bool = True) -> Step:
    after, _ = await applying.commit(engine, step, Redriven(step.generation))
    return after


def _cancel_regardless(step: Step, event: Event, now_ms: int) -> Step:
    if isinstance(event, Cancelled) and step.status is not Status.CANCELLED:
        return transitions.cancelled(step, event, now_ms)
    return _transition(step, event, now_ms)


async def _run_before_the_claim_is_sure(engine: Engine, step: Step, event: Event) -> Committed:
    try:
        return await _apply(engine, step, event)
    except StoreUnavailable:
        if isinstance(event, Claimed):
            after = transitions.transition(step, event, engine.clock.now_ms())
            return Committed(after, transitions.NONE)
        raise


def _no_first_wakeup(before: Step, after: Step, now_ms: int) -> transitions.Effects:
    found = _effects_of(before, after, now_ms)
    return replace(found, ahead=None) if before.has_no_wakeup else found


class _Letter(NamedTuple):
    """A dead letter as an effect that follows the row."""

    reason: str


def _letter_after_the_row(before: Step, after: Step, now_ms: int) -> transitions.Effects:
    found = _effects_of(before, after, now_ms)
    if found.dead_letter is None:
        return found
    return replace(found, dead_letter=None, after=(_Letter(found.dead_letter), *found.after))  # type: ignore[arg-type]


async def _send_letters_too(engine: Engine, step: Step, found: tuple[Any, ...]) -> None:
    for effect in found:
        if isinstance(effect, _Letter):
            await engine.queue.dead_letter(step.id, effect.reason)
        else:
            await _run_effects(engine, step, (effect,))


def _lowest_id(step_id: str, watch: Watch) -> str:
    return step_id


async def _watch_nothing(engine: Engine, commit: Any, waiting: Step, origin: str) -> bool:
    return True


async def _see_no_cancel(engine: Engine, subject: object) -> bool:
    return False


async def _end_nothing(engine: Engine, step: Step) -> Step:
    return step


async def _wait_by_the_wall(engine: Engine, subscription: Subscription, step: Step, until_s: float) -> Step:
    wall, left_s = engine.clock.wall_ms, until_s - asyncio.get_running_loop().time()
    until_ms = wall() + left_s * 1000
    while not step.is_settled and subscription.is_open and (left_ms := until_ms - wall()) > 0:
        step = await subscription.next(round(left_ms) + 1) or await engine.store.get(step.id) or step
    return step


async def _replace_values(self: ProcessStore, step: Step) -> Step | None:
    existing = await _create_row(self, step)
    if existing is None or step.spec.kind != "value":
        return existing
    return await _replace_blindly(self, replace(step, version=existing.version + 1), existing.version)


async def _attach_to_what_is_posted(engine: Engine, step: Step, spec: StepSpec, caller: Any) -> StartResult:
    if spec.kind == "value":
        return StartResult(transitions.begin(spec, step.position, step.created_at_ms, None), replayed=True)
    return await _attach(engine, step, spec, caller)


async def _show_answers_of_others(engine: Engine, parent_id: str, **page: Any) -> ChildPage:
    found = await _own_steps(engine, parent_id, **page)
    done = [step for step in found.steps if step.status is Status.SUCCEEDED]
    others = [replace(step, response=done[0].response) for step in done]
    return replace(found, steps=others)


async def _show_the_live_as_done(engine: Engine, parent_id: str, **page: Any) -> ChildPage:
    found = await _own_steps(engine, parent_id, **page)
    done: Any = {"status": Status.SUCCEEDED, "response": transitions.NOTHING}
    steps = [step if step.is_settled else replace(step, **done) for step in found.steps]
    return replace(found, steps=steps)


async def _find_any_step_of_the_parent(engine: Engine, spec: StepSpec) -> Step | None:
    page = await engine.store.child_steps(spec.parent or "", after="", limit=1, max_bytes=1)
    return page.steps[0] if page.steps else None


def _lose_what_is_postponed(step: Step, now_ms: int) -> Step:
    return _owner_lost(replace(step, answer_by_ms=None), now_ms) if step.answer_by_ms else step


def _put_nothing_off(step: Step, _event: AnswersLater, _now_ms: int) -> Step:
    return step


def _as_if_repeatable(step: Step) -> Step:
    return replace(step, spec=replace(step.spec, fails_if_lost=False))


def _repeat_the_lost(step: Step, now_ms: int) -> Step:
    after = _owner_lost(repeatable := _as_if_repeatable(step), now_ms)
    return step if after is repeatable else replace(after, spec=step.spec)


def _claim_the_lost(step: Step, nonce: str, until_ms: int | None, now_ms: int) -> Step:
    after = _claimed(repeatable := _as_if_repeatable(step), nonce, until_ms, now_ms)
    return step if after is repeatable else replace(after, spec=step.spec)


def _is_running(step: Step, _attempt: int) -> bool:
    return step.status is Status.RUNNING


# These are found by handlers that remember.
PLANTED_IN_MEMORY: Final[dict[str, list[Patch]]] = {
    "the last value wins": [(ProcessStore, "create", _replace_values)],
    "a value is told as it was posted": [(starting, "_attach", _attach_to_what_is_posted)],
    "results are those of other steps": [(memory, "own_steps", _show_answers_of_others)],
    "results show a live step as done": [(memory, "own_steps", _show_the_live_as_done)],
    "a repeated post finds another step": [(starting, "posted_before", _find_any_step_of_the_parent)],
}
# These are found by endpoints that answer later.
PLANTED_IN_ANSWERS: Final[dict[str, list[Patch]]] = {
    "a restart takes over what is answered later": [(transitions, "owner_lost", _lose_what_is_postponed)],
    "a lease is not extended": [(transitions, "answers_later", _put_nothing_off)],
    "an answer of any attempt is taken": [(answering, "_is_under_way", _is_running)],
    "nobody ends what is overdue": [(driving, "end_unanswered", _do_nothing)],
}
# These are found by steps that are not to be called twice.
PLANTED_IN_LOSSES: Final[dict[str, list[Patch]]] = {
    "a restart repeats what it may not": [(transitions, "owner_lost", _repeat_the_lost)],
    "a claim repeats what it may not": [(transitions, "_claimed", _claim_the_lost)],
}
PLANTED: Final[dict[str, list[Patch]]] = {
    "no fence on a result": [(transitions, "ended", _end_under_any_nonce)],
    "a late result is accepted": [(transitions, "ended", _end_what_has_ended)],
    "a row is written without its condition": [(ProcessStore, "replace", _replace_blindly)],
    "a start reads and then writes": [(ProcessStore, "create", _read_then_create)],
    "no watchdog and no sweep": [
        (SqsWakeups, "send", _send_no_watchdog),
        (EmbeddedWakeups, "send", _send_no_watchdog),
        (processes, "sweep_client", _sweep_nothing),
        (embedded, "sweep", _sweep_nothing),
    ],
    "acknowledged before it is committed": [(creation, "_insert", _insert_later)],
    # Both users of the digest are replaced: run ids are cached, and the control must not get a planted one.
    "keys joined with #": [(keys, "run_id", _run_id_of_joined), (keys, "identity", _identity_of_joined)],
    "fan-in by a counter": [(transitions, "woken", _count_down)],
    "an early wake-up is dropped": [(driving, "_is_spare", _always)],
    "a lease shorter than the call": [(transitions, "lease_end_ms", _lease_of_a_quarter)],
    "jitter without a cap": [(endings, "next_delay_ms", _delay_above_the_cap)],
    "an own write is not recognised": [(applying, "_is_written", _is_written_only_if_nothing_is_there)],
    "a wake-up of a running handler is dropped": [(transitions, "woken", wake_only_who_waits)],
    "a waiter is registered before the waiting write": [
        (attempts, "_record", _register_before_waiting),
        (attempts, "recheck", _check_nothing),
        (driving, "recheck", _check_nothing),
    ],
    "a 504 leaves no waiter": [(starting, "register_waiter", leave_no_waiter)],
    "settling wakes nobody": [
        (applying, "wake_waiters", wake_nobody),
        (driving, "wake_waiters_again", wake_nobody),
    ],
    "a redelivery runs what has ended": [
        (transitions, "_claimed", _claim_whatever_it_is),
        (processes, "process_wakeup", _drive_whatever_it_is),
        (embedded, "process_wakeup", _drive_whatever_it_is),
    ],
    "redrive without its generation": [(applying, "transition", _redrive_regardless)],
    "a 504 leaves no mark": [(starting, "register_waiter", _leave_no_mark)],
    "a failure waits for what is live": [(transitions, "ended", _end_as_if_told)],
    "a 504 leaves its mark before its waiter": [(starting, "register_waiter", _mark_before_the_waiter)],
    "a time-out finds no step": [(rechecking, "_own", find_no_child)],
    "an attempt that was not made costs a retry": [(attempts, "_defer", _count_what_was_not_made)],
    "a refusal of Atomic's costs a retry": [(transitions, "ended", _end_refusals_as_failures)],
    "an end is recorded after a read": [(attempts, "_record", _read_before_recording)],
    "outdated wake-ups are sent again for ever": [(driving, "_is_spare", _is_spare_while_it_runs)],
    "a suspended attempt costs a retry": [(transitions, "ended", _end_at_a_retry)],
    "a lost attempt costs a retry": [(transitions, "_claimed", _claim_at_a_retry)],
    "one retry too many": [(transitions, "ended", _end_with_a_retry_too_many)],
    "cancel overwrites an end": [(applying, "transition", _cancel_regardless)],
    "an attempt is made although its claim is unsure": [
        (applying, "commit", _run_before_the_claim_is_sure),
        (driving, "commit", _run_before_the_claim_is_sure),
    ],
    "the first live step is watched, and not a random one": [(wait_set, "lot_of", _lowest_id)],
    "nobody watches another step": [(wait_set, "watch_another", _watch_nothing)],
    "a failure waits for the watched step": [(endings, "_is_over_by", _never)],
    "what is below a cancelled step goes on": [
        (cancelling, "cancel_below", _do_nothing),
        (attempts, "cancel_below", _do_nothing),
        (driving, "cancel_below", _do_nothing),
    ],
    "a wake-up overtakes its row": [(transitions, "is_soon", _never)],
    "a lost wake-up is not sent again": [
        (rechecking, "wake_if_overdue", _do_nothing),
        (wakeups, "wake_if_overdue", _do_nothing),
    ],
    "redrive leaves out the steps above": [(application, "redrive_step", _redrive_asked)],
    "no check for a cancel before a call": [
        (creation, "is_called_off", _see_no_cancel),
        (attempts, "is_step_called_off", _see_no_cancel),
        (leftovers, "end_if_left_over", _end_nothing),
    ],
    "callers wait by the wall clock": [
        (starting, "until_settled", _wait_by_the_wall),
        (creation, "until_settled", _wait_by_the_wall),
    ],
    "a handler is told of a step without a wake-up": [(applying, "effects_of", _no_first_wakeup)],
    "a post that attaches sends no wake-up": [(starting, "ensure_wakeup", _do_nothing)],
    "a dead letter follows its row": [
        (applying, "effects_of", _letter_after_the_row),
        (applying, "run_effects", _send_letters_too),
    ],
}
