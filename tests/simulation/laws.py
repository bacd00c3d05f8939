"""The laws that must hold for every seed. Each law yields a line for each violation."""

import math
from collections import Counter
from collections.abc import Iterator
from typing import Final

from atomic.domain.outcomes import timed_out
from atomic.domain.steps import LEASE_MARGIN_MS, Attempt, Step
from atomic.protocol import keys
from atomic.protocol.enums import OutcomeKind, Status
from atomic.protocol.error_kinds import ErrorKind
from atomic.testing.virtual_time import EPOCH_MS
from simulation import answers, due, hooking, link_laws, overload, pausing, undoing, workflow_pausing
from simulation.observations import Write, lost_attempts, told
from simulation.scenario import EVENT_RESULT
from simulation.wait_laws import is_wait_for_several, over_at_s, waits
from simulation.world import World

# The maximum lateness of a wake-up or retry without rough faults.
PROMPT_S: Final = 5.0
# The same after the faults: a slow answer of the store, a restart and a sweep may still be in progress.
TAKEN_S: Final = 10.0
# How long the store may take for the operations that record an outcome.
RECORDED_S: Final = 8.0
# A post of an attempt within this time before the next one may be attributed to the next one.
_CLOCKS_APART_S: Final = 1.0
WALK_S: Final = 10.0


def broken(world: World) -> list[str]:
    """All violations in this world."""
    lines = [
        *world.truth.wrong,
        *world.observed.wrong,
        *world.sqs.wrong,
        *_ends(world),
        *_same_answers(world),
    ]
    for step in world.truth.rows.values():
        lines += _calls(world, step)
        lines += _paid(world, step)
        lines += _cause(world, step)
        if step.spec.fails_if_lost:
            lines += _not_repeated(world, step)
        if step.is_settled:
            lines += _outcome(world, step)
    lines += _delays(world)
    lines += waits(world)
    lines += answers.laws(world)
    lines += link_laws.laws(world)
    lines += undoing.laws(world)
    lines += due.laws(world)
    lines += overload.laws(world)
    lines += pausing.laws(world)
    lines += hooking.laws(world)
    workflow_pausing.count(world)
    lines += _attempts(world)
    if not world.faults.rough:
        lines += _prompt(world)
    if world.scenario.on_aws:
        lines += _letters(world)
    else:
        lines += _taken_in_time(world)
    return lines


def _ends(world: World) -> Iterator[str]:
    """Nothing acknowledged is lost; everything has settled 15 minutes after the faults."""
    for step_id in world.observed.acknowledged - world.truth.rows.keys():
        yield f"{step_id} was acknowledged and is gone"
    for step_id in world.live():
        step = world.truth.rows[step_id]
        if world.is_orphan(step_id) and _may_be_forgotten(world, step):
            continue
        yield f"{step_id} {step.spec.url} is still {step.status}, due {step.due_at_ms}"
    if world.unfinished:
        yield f"{world.unfinished} callers never got an answer"


def _letters(world: World) -> Iterator[str]:
    """There is a dead letter for every time that a step failed."""
    times = {(w.step.id, w.step.generation) for w in world.truth.history if w.step.is_dead_letter}
    for step_id, number in Counter(step_id for step_id, _ in times).items():
        if world.observed.letters[step_id] < number:
            yield f"{step_id} failed {number} times, with {world.observed.letters[step_id]} dead letters"


def _cause(world: World, step: Step) -> Iterator[str]:
    """The root of a failed run has the cause, which is a step of its run. No other row has one."""
    if (step.cause is not None) is not (step.is_root and step.status is Status.FAILED):
        yield f"{step.id} is {step.status} with the cause {step.cause}"
    elif step.cause is not None and keys.run_of(step.cause.step_id) != step.spec.run_id:
        yield f"{step.id} failed because of {step.cause.step_id}, which is not of its run"


def _may_be_forgotten(world: World, step: Step) -> bool:
    """Whether a step on AWS may be lost, because its run has ended and no caller waits for it.

    It may if no caller knows of it; if SQS lost its only wake-up, against its promise; or if it is an event
    without a deadline, which DynamoDB deletes (time to live).
    """
    if step.spec.kind == "event" and step.due_at_ms is None:
        return True
    return step.id not in world.observed.acknowledged or world.faults.happened["wake-up lost"] > 0


def _same_answers(world: World) -> Iterator[str]:
    """Every caller that asks for an outcome gets the recorded one."""
    recorded = {told(write.step) for write in world.truth.history if write.step.is_settled}
    for answer in world.observed.told:
        if answer not in recorded:
            yield f"told {answer}, which was never recorded"


def _calls(world: World, step: Step) -> Iterator[str]:
    """The number of attempts is within the policy; lost attempts come on top (decision 0005)."""
    calls = {number: n for (step_id, number), n in world.observed.calls.items() if step_id == step.id}
    for number, times in calls.items():
        if times > 1:
            yield f"{step.id}: attempt {number} was made {times} times"
    if step.spec.retry.count >= 1000 or _has_steps(world, step):
        return
    allowed = step.generation * (1 + step.spec.retry.count)
    lost = lost_attempts(world.truth.history, step.id)
    if len(calls) > allowed + lost:
        yield f"{step.id}: {len(calls)} calls, {allowed} allowed and {lost} lost"


def _paid(world: World, step: Step) -> Iterator[str]:
    """Only the endpoint's own failures use retries.

    With wrong clocks it may be unclear which attempt was told.
    """
    if world.faults.happened["skew"]:
        return
    paid = sum(
        write.before is not None and write.step.retries_used > write.before.retries_used
        for write in world.truth.history
        if write.step.id == step.id
    )
    failures = world.observed.own_failures[step.id]
    if paid > failures:
        yield f"{step.id}: paid {paid} retries for {failures} failures of its own"


def _attempts(world: World) -> Iterator[str]:
    """The recorded outcome of each attempt is what really happened."""
    for write in world.truth.history:
        before, step = write.before, write.step
        if (
            before is None
            or before.status is not Status.RUNNING
            or step.attempt_count < before.attempt_count
        ):
            continue
        ended = next((a for a in step.attempt_log if a.number == before.attempt_count and a.outcome), None)
        if ended is None or before.attempt_log[-1].outcome is not None or step.status is Status.CANCELLED:
            continue
        if ended.outcome is OutcomeKind.NO_ANSWER:
            yield from _lost(world, write, before)
        elif (step.id, ended.number) not in world.observed.made:
            yield f"{step.id}: attempt {ended.number} is {ended.outcome} and was never made"
        elif (
            (step.id, ended.number) in world.observed.failed_alone
            and not timed_out(ended.error)
            and step.status not in {Status.RETRYING, Status.FAILED}
            and not world.faults.happened["skew"]
            and not _is_beside_another(world, write, ended)
        ):
            yield f"{step.id}: attempt {ended.number} failed by itself, and the step is {step.status}"


def _is_beside_another(world: World, write: Write, attempt: Attempt) -> bool:
    """Whether another attempt was told of a step, which Atomic cannot distinguish from this one."""
    since_s = (attempt.started_at_ms - EPOCH_MS) / 1000 - _CLOCKS_APART_S
    hung = world.observed.waited_s[write.step.id]
    return any(number != attempt.number and since_s <= at_s <= write.at_s for number, at_s in hung)


def _lost(world: World, write: Write, before: Step) -> Iterator[str]:
    """A received outcome is recorded, or at least no other attempt begins before the lease ends."""
    lease_s = (overload.lease_ends_ms(world, before) - EPOCH_MS) / 1000
    if world.faults.happened["skew"]:
        return
    # The embedded runtime takes over the attempts of a dead process.
    is_taken_over = write.step.status is Status.PENDING or _is_lost(write.step)
    if write.at_s < lease_s - 0.01 and (world.scenario.on_aws or not is_taken_over):
        yield f"{before.id}: attempt {before.attempt_count} was lost before its lease was over"
    at_s, process = world.observed.received.get((before.id, before.attempt_count), (lease_s, None))
    if process is None or lease_s - at_s < LEASE_MARGIN_MS / 1000 - RECORDED_S:
        return
    was_there = process.died_s is None or process.died_s > at_s + RECORDED_S
    troubles = [t for t in world.observed.troubled_s[before.id] if at_s <= t <= lease_s]
    if was_there and not troubles:
        yield f"{before.id}: the answer to attempt {before.attempt_count} was received and not recorded"


def _outcome(world: World, step: Step) -> Iterator[str]:
    if step.status is Status.SUCCEEDED and step.spec.kind in {"event", "value"}:
        posted = {EVENT_RESULT} if step.spec.kind == "event" else world.observed.values[step.id]
        if step.response is None or step.response.text not in posted:
            yield f"{step.id}: not a result that was posted"
    elif step.status is Status.SUCCEEDED and step.spec.kind == "http" and step.continued_as is None:
        text = world.truth.text(step)
        given = world.observed.given[step.id].get(text)
        if given is None:
            yield f"{step.id}: recorded {text!r}, which the endpoint never said"
        elif given != step.attempt_log[-1].number:
            yield f"{step.id}: attempt {step.attempt_log[-1].number} recorded the answer of {given}"
    elif step.is_dead_letter and not (
        world.observed.refused[step.id] or _is_lost(step) or due.has_missed_start(step)
    ):
        failures = world.observed.own_failures[step.id]
        if failures <= step.spec.retry.count:
            yield f"{step.id} failed after {failures} failures of its own: {step.error}"


def _is_lost(step: Step) -> bool:
    """Whether it failed because an attempt was lost that is not to be repeated."""
    is_lost = step.error is not None and step.error.kind is ErrorKind.LOST
    return step.status is Status.FAILED and step.spec.fails_if_lost and is_lost


def _not_repeated(world: World, step: Step) -> Iterator[str]:
    """A step that is not to be called twice fails with its lost attempt, and only then."""
    for write in world.truth.history:
        if write.step.id != step.id or write.before is None or write.before.status is not Status.RUNNING:
            continue
        number = write.before.attempt_count
        # An attempt that was not made is no attempt.
        last = next((made for made in write.step.attempt_log if made.number == number), None)
        was_lost = last is not None and last.error is not None and last.error.kind is ErrorKind.LOST
        if was_lost != _is_lost(write.step):
            yield f"{step.id}: attempt {number} was lost, and the step is {write.step.status}"


def _delays(world: World) -> Iterator[str]:
    """No delay is longer than the policy and the endpoint's Retry-After allow."""
    for write in world.truth.history:
        step, before = write.step, write.before
        if before is None or before.status is not Status.RUNNING or step.status is not Status.RETRYING:
            continue
        if step.retries_used == before.retries_used:
            # Caused by Atomic, and no retry.
            continue
        longest = max(_planned_ms(step), _asked_for_ms(world, step))
        ended_ms = step.attempt_log[-1].ended_at_ms or 0
        if (step.due_at_ms or 0) - ended_ms > longest:
            yield f"{step.id}: retry {step.retries_used} waits {(step.due_at_ms or 0) - ended_ms} ms"


def _planned_ms(step: Step) -> float:
    policy, retry = step.spec.retry, step.retries_used
    grown = {"fixed": 1.0, "linear": float(retry), "exponential": policy.factor ** min(retry - 1, 60)}
    # For a strategy that this law does not know, only the maximum can be checked.
    planned = policy.back_off_ms * grown.get(policy.strategy, math.inf) if policy.back_off_ms else 0
    return min(planned, policy.max_back_off_ms)


def _prompt(world: World) -> Iterator[str]:
    """Without rough faults no watchdog is needed: no attempt is lost, and no step is late."""
    settled_at_s = {w.step.id: w.at_s for w in world.truth.history if w.step.is_settled}
    for step in world.truth.rows.values():
        writes = [write for write in world.truth.history if write.step.id == step.id]
        if lost_attempts(writes, step.id):
            yield f"{step.id}: an attempt was lost although nobody died"
        ends_s = [write.at_s for write in writes[1:]] + [world.quiet_s or 0.0]
        for write, until_s in zip(writes, ends_s, strict=True):
            if is_wait_for_several(step := write.step):
                over_s = over_at_s(world, write, until_s, settled_at_s)
                if over_s is not None and until_s - max(over_s, write.at_s) > PROMPT_S:
                    yield f"{step.id} still waited {until_s - over_s:.1f} s after its wait was over"
            else:
                yield from _stood_still(write, until_s, settled_at_s)


def _taken_in_time(world: World) -> Iterator[str]:
    """The embedded runtime sweeps all rows each second: due steps are processed after the faults."""
    open_writes: dict[str, Write] = {}
    for write in [*world.truth.history, None]:
        over = [open_writes.pop(write.step.id, None)] if write else list(open_writes.values())
        until_s = write.at_s if write else world.quiet_s or 0.0
        for before in over:
            if before is None or before.step.due_at_ms is None:
                continue
            due_s = _due_s(world, before, before.step.due_at_ms)
            if until_s - due_s > TAKEN_S:
                yield f"{before.step.id} was {until_s - due_s:.1f} s overdue as {before.step.status}"
        if write:
            open_writes[write.step.id] = write


def _due_s(world: World, write: Write, due_at_ms: int) -> float:
    """When a row must be processed: when it is due, and not before the faults are over.

    A row written by a fast clock is due at the time that it would have by a right clock; a scan of all live
    steps corrects that.
    """
    step, earliest_s = write.step, max(write.at_s, world.faults.ends_s)
    due_s = max((due_at_ms - EPOCH_MS) / 1000, earliest_s)
    if step.due_at_ms == step.made_due_ms or step.rest is not None:
        # An operator has named this moment, or the step looks then whether its run goes on.
        return due_s
    if step.attempt_log and step.attempt_log[-1].outcome is OutcomeKind.DEFERRED:
        # Refused posts lengthen the delay beyond the policy, up to a minute.
        return due_s
    may_be_put_off = world.scenario.adapts or world.scenario.pauses_workflows
    if may_be_put_off and overload.waits_for_permit(world, step):
        # It is looked at now and then.
        return due_s
    if step.status is Status.RETRYING:
        waits_ms = max(_planned_ms(step), _asked_for_ms(world, step))
    elif step.attempt_count == 0 and step.spec.kind == "timer":
        waits_ms = step.spec.delay_ms
    else:
        return due_s
    return min(due_s, max(write.at_s + waits_ms / 1000, earliest_s) + WALK_S)


def _asked_for_ms(world: World, step: Step) -> int:
    return world.observed.retry_after_ms.get(step.id, 0)


def _stood_still(write: Write, until_s: float, settled_at_s: dict[str, float]) -> Iterator[str]:
    step, since_s = write.step, None
    if step.rest is not None:
        # `pausing.laws` looks at these.
        return
    if step.status in {Status.PENDING, Status.RETRYING} and step.due_at_ms is not None:
        since_s = max(write.at_s, write.at_s + (step.due_at_ms - _now_ms(write)) / 1000)
    if step.status is Status.WAITING:
        settled = [settled_at_s[other] for other in step.waiting_for if other in settled_at_s]
        since_s = max(write.at_s, min(settled)) if settled else None
    if since_s is not None and until_s - since_s > PROMPT_S:
        yield f"{step.id} stood still as {step.status} for {until_s - since_s:.1f} s"


def _now_ms(write: Write) -> int:
    return EPOCH_MS + round(write.at_s * 1000)


def _has_steps(world: World, step: Step) -> bool:
    return step.is_root or any(other.spec.parent == step.id for other in world.truth.rows.values())
