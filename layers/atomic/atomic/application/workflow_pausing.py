"""Keeps the due steps of a paused workflow: each looks again by itself, so no resume has to find it.

The pause is in the record of the client, which each process has cached for its attempts. So nothing is read
or written for workflows that are not paused, and a pause holds as soon as a process reads the client again.
"""

from atomic.application.commit import commit
from atomic.application.engine import Engine
from atomic.application.flow import release_slots
from atomic.domain.events import NotAdmitted
from atomic.domain.steps import Step
from atomic.domain.workflow_pauses import WorkflowPause


async def keep(engine: Engine, step: Step, pause: WorkflowPause) -> Step:
    """Let a due step look again later, without a claim: it uses no attempt and no retry. Its row then.

    It gives back its slot and its place in line, as a step at rest does.
    """
    until_ms = pause.look_at_ms(step.spec.run_id, engine.clock.now_ms())
    step, _ = await commit(engine, step, NotAdmitted(until_ms))
    if step.spec.flow:
        await release_slots(engine, step)
    return step
