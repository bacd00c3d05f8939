"""Posted answers: the endpoint has postponed its answer, or its work is done before it answers.

A program that has the token of an attempt may end this attempt. The rules are those of a direct answer.
"""

from atomic.application.attempts import clear_after_late, event_of, note_late, outcome_of
from atomic.application.commit import commit
from atomic.application.engine import Engine
from atomic.application.graceful_cancel import finish_cancel
from atomic.application.pausing import pass_on
from atomic.application.rechecking import recheck
from atomic.application.refusals import AttemptOver
from atomic.application.wakeups import ensure_waiters_are_told, wake_waiters_again
from atomic.domain.clients.client import Client
from atomic.domain.events import AnswerOverdue
from atomic.domain.outcomes import EndpointResponse, Outcome
from atomic.domain.steps import Attempt, Step
from atomic.protocol.enums import OutcomeKind, Status


async def post_answer(
    engine: Engine, client: Client, step: Step, attempt: int, answer: EndpointResponse
) -> Step:
    """End the attempt of this number with an answer. Posting the same answer again is not an error.

    Raises AttemptOver when this attempt is not the one that is under way. Its answer is noted at most.
    """
    outcome = await outcome_of(engine, step, answer)
    if _is_under_way(step, attempt):
        if outcome.answer_within_ms is None:
            succeeds = outcome.kind is OutcomeKind.SUCCEEDED
            await ensure_waiters_are_told(engine, step, succeeds=succeeds)
        engine.admission.meter.watch(client)
        after, effects = await commit(engine, step, event_of(engine, step, outcome))
        # If an answer is postponed once more, its new end may be the old one: the step's deadline. Then the
        # row does not change.
        if effects is not None or (outcome.answer_within_ms is not None and _is_under_way(after, attempt)):
            return await _go_on(engine, after, outcome)
        step = after
    made = step.attempt(attempt)
    if made is not None and _is_same(step, made, outcome):
        await wake_waiters_again(engine, step)
        return step
    step = await note_late(engine, step, attempt, outcome)
    await clear_after_late(engine, step, outcome)
    raise AttemptOver(step, attempt)


async def _go_on(engine: Engine, after: Step, outcome: Outcome) -> Step:
    """Do what follows when the answer is in the row."""
    try:
        if after.status is Status.CANCELLED or after.continued_as is not None:
            await finish_cancel(engine, after)
            await pass_on(engine, commit, after)
        elif after.status is Status.WAITING and outcome.waiting_for:
            after = await recheck(engine, after)
    finally:
        if after.answer_by_ms is None:
            engine.telemetry.attempt_ended(after, after.attempt_log[-1])
    await engine.admission.meter.flush(engine.store, after.spec, engine.clock.now_ms())
    return after


async def end_unanswered(engine: Engine, due: Step) -> Step:
    """End the attempt of a step that is due, whose answer was postponed and has not come; the row."""
    event = AnswerOverdue(due.answer_by_ms or 0, engine.entropy.fraction())
    after, effects = await commit(engine, due, event)
    if effects is not None:
        engine.telemetry.attempt_ended(after, after.attempt_log[-1])
    return after


def _is_under_way(step: Step, attempt: int) -> bool:
    return step.status is Status.RUNNING and step.attempt_count == attempt


def _is_same(step: Step, made: Attempt, outcome: Outcome) -> bool:
    """Whether the attempt ended with this answer, as far as the row shows it."""
    if (made.outcome, made.status, made.error) != (outcome.kind, outcome.status, outcome.error):
        return False
    is_last = step.is_settled and made is step.attempt_log[-1]
    return not is_last or step.response == outcome.response
