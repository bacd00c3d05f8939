"""Bugs to plant in pauses of workflows. Each replaces one function."""

from typing import Any, Final

import atomic.application.process_wakeup as driving
import atomic.application.start as starting
from atomic.application.commit import commit
from atomic.application.engine import Engine
from atomic.domain.events import NotAdmitted
from atomic.domain.steps import Step, StepSpec
from atomic.domain.workflow_pauses import WorkflowPause
from simulation.planted import Patch

_A_DAY_MS: Final = 24 * 3_600_000


async def _forget(engine: Engine, spec: StepSpec) -> None:
    return None


async def _keep_until_somebody_looks(engine: Engine, step: Step, pause: WorkflowPause) -> Step:
    after, _ = await commit(engine, step, NotAdmitted(engine.clock.now_ms() + _A_DAY_MS))
    return after


async def _keep_without_a_wakeup(engine: Engine, step: Step, pause: WorkflowPause) -> Any:
    return None


PLANTED_IN_WORKFLOW_PAUSES: Final[dict[str, list[Patch]]] = {
    "a paused workflow is called": [
        (driving, "workflow_pause", _forget),
        (starting, "workflow_pause", _forget),
    ],
    "a kept step waits for a resume to find it": [(driving, "keep", _keep_until_somebody_looks)],
    "a kept step has no wake-up": [(driving, "keep", _keep_without_a_wakeup)],
}
