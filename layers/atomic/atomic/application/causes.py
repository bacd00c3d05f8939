"""Why runs failed: found once, when the root fails, and kept in its row."""

from contextlib import suppress
from dataclasses import replace

from atomic.application.engine import Engine
from atomic.application.ports import StoreUnavailable
from atomic.domain.failed_runs import cause_of, innermost_failed, named_step
from atomic.domain.steps import Step
from atomic.protocol.enums import Status


async def with_cause(engine: Engine, failed: Step) -> Step:
    """The row of a step that fails; of a root, with the cause of its run.

    It reads the failed step that the root's answer names; without one, the outline of the run. If neither
    can be read, the error of the root itself is the cause: no run has to wait for that.
    """
    if not failed.is_root:
        return failed
    step = failed
    with suppress(StoreUnavailable):
        step = await _failed_step(engine, failed)
    return replace(failed, cause=cause_of(step))


async def _failed_step(engine: Engine, root: Step) -> Step:
    step_id = named_step(root)
    if step_id is None:
        step_id = innermost_failed(root, await engine.store.outline(root.spec.run_id))
    step = root if step_id == root.id else await engine.store.get(step_id)
    return step if step is not None and step.status is Status.FAILED else root
