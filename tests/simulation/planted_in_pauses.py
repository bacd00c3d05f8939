"""Bugs to plant in pauses of runs. Each replaces one function."""

from dataclasses import replace
from typing import Any, Final

import atomic.application.attempts as attempts
import atomic.application.process_wakeup as driving
import atomic.domain.resting as resting
from atomic.application.engine import Engine
from atomic.domain.events import Rested
from atomic.domain.steps import Step
from simulation.planted import Patch

_rested = resting.rested


def _keep_resting(step: Step, now_ms: int) -> Step:
    return step


def _forget(engine: Engine, step: Step) -> bool:
    return False


async def _rest_without_a_look(engine: Engine, commit: Any, step: Step, nonce: str = "") -> Step:
    pause = engine.runs.pause_of(step.spec.run_id, engine.clock.now_ms())
    after, _ = await commit(engine, step, Rested(None if pause is None else pause.until_ms, nonce))
    return after


def _rest_at_a_retry(step: Step, event: Rested, now_ms: int) -> Step:
    after = _rested(step, event, now_ms)
    return after if after.rest is None else replace(after, retries_used=step.retries_used + 1)


PLANTED_IN_PAUSES: Final[dict[str, list[Patch]]] = {
    "a resume leaves what rests at rest": [(resting, "released", _keep_resting)],
    "a paused run is called": [(attempts, "_is_paused", _forget), (driving, "is_to_rest", _forget)],
    "a claim does not see a pause": [(attempts, "_is_paused", _forget)],
    "a rest that a resume did not see is not looked at": [
        (attempts, "rest", _rest_without_a_look),
        (driving, "rest", _rest_without_a_look),
    ],
    "a rest uses a retry": [(resting, "rested", _rest_at_a_retry)],
}
