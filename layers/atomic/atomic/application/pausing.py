"""Pause and resume of a run.

A pause is one write, to the root. A process that calls something for the run has its root cached, at most
five seconds old, and puts the due step to rest instead. Who puts a step to rest then reads the root;
who resumes a run writes the root and then reads its steps. One of them sees the other's write, so no step
rests in a run that goes on. If a resume is interrupted, the steps at rest look by themselves.

The runs that a run waits for are paused with it. The link rests first, and then its run is paused, if it
exists. A root that was never called looks at its link before its first call, so one sees the other.
"""

from atomic.application.batches import for_each
from atomic.application.engine import Engine
from atomic.application.flow import release_slots
from atomic.application.ports import StoreUnavailable
from atomic.application.wait_set import Commit
from atomic.domain.events import Paused, Released, Rested, Resumed
from atomic.domain.links import root_of
from atomic.domain.outlines import StepOutline
from atomic.domain.pauses import Pause
from atomic.domain.resting import may_rest
from atomic.domain.steps import Step
from atomic.protocol import keys
from atomic.protocol.enums import LIVE, SETTLED, Status


async def pause_run(engine: Engine, commit: Commit, run_id: str, event: Paused) -> Step | None:
    """Pause the run, and those that it waits for; its root as it then stands. A repeat changes nothing.

    A run that has ended is not paused.
    """
    root = await engine.store.get(keys.root_of(run_id))
    if root is None:
        return None
    before = root.pause
    try:
        root, _ = await commit(engine, root, event)
    except StoreUnavailable:
        # The run may be paused by now, so its root has to be read again before anything is called.
        engine.runs.forget(run_id)
        raise
    engine.runs.remember(root, engine.clock.now_ms())
    pause = root.pause
    if pause is None or root.status is Status.CANCELLED:
        return root
    until_ms = pause.until_ms
    is_earlier = before is not None and before.until_ms != until_ms

    async def pass_on(step_id: str) -> None:
        step = await engine.store.get(step_id)
        if step is None or step.is_settled:
            return
        if step.spec.kind == "run" and not step.spec.detached:
            await _pause_child(engine, commit, await _rest_link(engine, commit, step, until_ms), pause)
        elif is_earlier and step.rest is not None:
            # It looks for its run at the end of the pause, which is another one now.
            await commit(engine, step, Rested(until_ms))

    # Only links pass the pause on. What rests already is looked at when its rest ends otherwise.
    live = await _live(engine, run_id)
    await for_each([step.id for step in live if is_earlier or not step.calls], pass_on)
    return root


async def _rest_link(engine: Engine, commit: Commit, link: Step, until_ms: int | None) -> Step:
    link, effects = await commit(engine, link, Rested(until_ms))
    if effects is None and link.due_at_ms is not None:
        # It rests already. Who put it to rest may have failed to send the wake-up for its look.
        await engine.send_wakeup(link, link.due_at_ms)
    return link


async def resume_run(engine: Engine, commit: Commit, run_id: str) -> Step | None:
    """Let the run go on, with those that were paused with it; its root as it then stands."""
    root = await engine.store.get(keys.root_of(run_id))
    if root is None:
        return None
    try:
        root, _ = await commit(engine, root, Resumed())
    except StoreUnavailable:
        engine.runs.forget(run_id)
        raise
    engine.runs.remember(root, engine.clock.now_ms())

    async def release(step_id: str) -> None:
        step = await engine.store.get(step_id)
        if step is None or step.is_settled:
            return
        if step.rest is not None:
            step, _ = await commit(engine, step, Released())
        if step.spec.kind == "run":
            await _resume_paused_by(engine, commit, root_of(step), step.id)

    await for_each([step.id for step in await _live(engine, run_id) if step.id != root.id], release)
    if root.continued_as is not None:
        await _resume_paused_by(engine, commit, root.continued_as, root.id)
    return root


def is_to_rest(engine: Engine, due: Step) -> bool:
    """Whether a due step rests: its run is paused, as it is cached, and the step would call something."""
    return may_rest(due) and engine.runs.pause_of(due.spec.run_id, engine.clock.now_ms()) is not None


async def rest(engine: Engine, commit: Commit, step: Step, nonce: str = "") -> Step:
    """Put the step to rest if its run is paused; its row as it then stands.

    `nonce`: it was claimed for an attempt that is not made. A step at rest goes on if its run does.
    """
    run_id, now_ms = step.spec.run_id, engine.clock.now_ms()
    pause = engine.runs.pause_of(run_id, now_ms)
    if step.rest is None or pause is not None or step.rest.exhausted:
        until_ms = None if pause is None else pause.until_ms
        step, _ = await commit(engine, step, Rested(until_ms, nonce))
        if step.spec.flow:
            await release_slots(engine, step)
    run = await engine.runs.look(engine.store, run_id, now_ms)
    if step.rest is None:
        return step
    is_paused = engine.runs.pause_of(run_id, now_ms) is not None
    if step.rest.exhausted and not (is_paused and run is not None and run.status in LIVE):
        return await _pause_for(engine, commit, step)
    if not is_paused:
        step, _ = await commit(engine, step, Released())
    elif step.is_root:
        await _resume_unless_wanted(engine, commit, step)
    return step


async def _pause_for(engine: Engine, commit: Commit, step: Step) -> Step:
    """Pause the run of a step without a retry left: who put it to rest may have ended before that.

    In a run that has ended it fails, since nobody resumes such a run.
    """
    root = await pause_run(engine, commit, step.spec.run_id, Paused(by=step.id))
    if root is not None and root.is_settled:
        step, _ = await commit(engine, step, Rested(run_over=True))
    return step


async def pass_on(engine: Engine, commit: Commit, ended: Step) -> None:
    """Pause the run that goes on for a paused one, whose root has ended."""
    pause = ended.pause
    if pause is None or ended.continued_as is None or pause.is_over(engine.clock.now_ms()):
        return
    following = await engine.store.get(ended.continued_as)
    if following is not None and not following.is_settled:
        await _pause_because(engine, commit, following, ended, pause)


async def is_paused_with(engine: Engine, commit: Commit, root: Step, cause: Step) -> bool:
    """Pause the run if the step that has caused it is paused; whether it is paused then.

    The cause is a link, or the root that this run goes on for. It was read after the run's root.
    """
    pause = await _pause_of_cause(engine, root, cause)
    return pause is not None and await _pause_because(engine, commit, root, cause, pause)


async def _pause_of_cause(engine: Engine, root: Step, cause: Step) -> Pause | None:
    """The pause of a run as far as it holds for another run, whose root is given, too."""
    if cause.is_root:
        is_over = cause.pause is None or cause.pause.is_over(engine.clock.now_ms())
        # When this root has ended, its pause was passed on, and may be over for the other run.
        return None if is_over or cause.is_settled else cause.pause
    if cause.rest is None or root.spec.detached:
        return None
    await engine.runs.find(engine.store, cause.spec.run_id, engine.clock.now_ms())
    return engine.runs.pause_of(cause.spec.run_id, engine.clock.now_ms())


async def _pause_because(engine: Engine, commit: Commit, root: Step, cause: Step, pause: Pause) -> bool:
    """Pause the run of this root because of its cause, unless that has gone on meanwhile."""
    event = Paused(pause.until_ms, pause.note, cause.id)
    after = await pause_run(engine, commit, root.spec.run_id, event)
    return after is not None and not await _resume_unless_wanted(engine, commit, after)


async def _resume_unless_wanted(engine: Engine, commit: Commit, root: Step) -> bool:
    """Resume a run that was paused because of another one, if that one goes on; whether it was resumed.

    Who resumes the other run writes it, and then reads this root. Here it is the other way round.
    """
    if root.pause is None or not root.pause.by or keys.run_of(root.pause.by) == root.spec.run_id:
        return False
    cause = await engine.store.get(root.pause.by)
    if cause is not None and (cause.pause if cause.is_root else cause.rest) is not None:
        return False
    await resume_run(engine, commit, root.spec.run_id)
    return True


async def _pause_child(engine: Engine, commit: Commit, link: Step, pause: Pause) -> None:
    root = await engine.store.get(root_of(link))
    while root is not None and root.continued_as is not None:
        root = await engine.store.get(root.continued_as)
    if root is not None and not root.is_settled and root.spec.started_by == link.id:
        await _pause_because(engine, commit, root, link, pause)


async def _resume_paused_by(engine: Engine, commit: Commit, root_id: str, cause_id: str) -> None:
    root = await engine.store.get(root_id)
    if root is not None and root.pause is not None and root.pause.by == cause_id:
        await resume_run(engine, commit, root.spec.run_id)


async def _live(engine: Engine, run_id: str) -> list[StepOutline]:
    return [step for step in await engine.store.outline(run_id) if step.status not in SETTLED]
