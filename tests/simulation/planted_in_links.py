"""Bugs to plant in child runs. Each replaces one function of the engine during a test."""

from dataclasses import replace
from typing import Any, Final

import atomic.application.attempts as attempts
import atomic.application.cancel as cancelling
import atomic.application.child_runs as child_runs
import atomic.application.commit as applying
import atomic.application.start as starting
import atomic.domain.interventions as interventions
import atomic.domain.transitions as transitions
from atomic.application.engine import Engine
from atomic.domain.events import LinkEnded
from atomic.domain.links import ended_by
from atomic.domain.outcomes import StepError
from atomic.domain.steps import Step, StepSpec
from atomic.protocol.enums import Status
from simulation.planted import Patch

_begin, _begin_link = transitions.begin, transitions.begin_link


async def _tell_nobody(engine: Engine, commit: Any, link: Step, settled: Step) -> None:
    return None


async def _leave_the_link(engine: Engine, commit: Any, link: Step, root: Step) -> Step:
    return link


async def _take_over_any_end(engine: Engine, commit: Any, link: Step, settled: Step) -> None:
    await commit(engine, link, ended_by(link, settled))


def _spare_the_run(step: Step, error: StepError | None) -> bool:
    return False


async def _end_the_link_alone(engine: Engine, link: Step) -> Step:
    after, _ = await applying.commit(engine, link, LinkEnded(link.generation, Status.CANCELLED))
    return after


async def _want_every_root(engine: Engine, root: Step, caused_by: str) -> bool:
    return False


def _begin_without_the_link(spec: StepSpec, *args: Any, **kwargs: Any) -> Step:
    return replace(_begin(spec, *args, **kwargs), waiters=())


def _never_due(spec: StepSpec, position: str, now_ms: int, *, awaited: bool) -> Step:
    return replace(_begin_link(spec, position, now_ms, awaited=awaited), due_at_ms=None)


PLANTED_IN_LINKS: Final[dict[str, list[Patch]]] = {
    "no link is told of the end of its run": [
        (applying, "on_root_settled", _tell_nobody),
        (child_runs, "follow", _leave_the_link),
    ],
    "a link does not follow a run that goes on": [(applying, "on_root_settled", _take_over_any_end)],
    "a cancel spares the run of a link": [(interventions, "must_cancel_run", _spare_the_run)],
    "a link that is called off ends without its run": [
        (cancelling, "end_called_off", _end_the_link_alone),
        (child_runs, "end_called_off", _end_the_link_alone),
    ],
    "a root does not ask its link before its first call": [(attempts, "_is_unwanted", _want_every_root)],
    "a new root does not know its link": [(starting, "begin", _begin_without_the_link)],
    "a new link has no wake-up": [(transitions, "begin_link", _never_due)],
}
