"""The oracle works: it finds each planted fault within 500 programs."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pytest

from atomic.application import attempts, cancel
from atomic.application.commit import commit
from atomic.application.engine import Engine
from atomic.application.messages import send_message
from atomic.application.results import Completed, signal
from atomic.domain import event_steps, interventions
from atomic.domain.event_steps import early
from atomic.domain.events import LimitsGiven, ResultPosted, ToldUnfinished, WaiterAdded
from atomic.domain.links import root_of
from atomic.domain.outcomes import EndpointResponse, StepError, classify
from atomic.domain.steps import Step, StepSpec
from atomic.entrypoints.http_api import events as http_events
from atomic.protocol import keys
from atomic.protocol.enums import OutcomeKind
from programs.generator import program_of
from programs.oracle import Played, Unequal, check, check_cancelled
from programs.planted import CANCELS, SDK, SHARED, Patch
from programs.workers import planted
from simulation.planting import plant

FOUND_WITHIN: Final = 500
PAGE: Final = Path(__file__).parents[2] / "docs" / "reliability.md"
# Faults that the engine once had.
_end_attempt, _end_called_off = attempts.end_attempt, cancel.end_called_off


async def _end_beside_what_is_live(engine: Engine, step: Step, answer: EndpointResponse) -> None:
    """A failed attempt waits for everything live under its step, even if it was not told of it."""
    outcome = classify(answer, step.spec.retry, engine.clock.now_ms())
    if outcome.kind is OutcomeKind.RETRYABLE:
        for child in await engine.store.run(step.spec.run_id, after=None, limit=1000):
            if child.spec.parent == step.id and not child.is_settled:
                await commit(engine, child, WaiterAdded(step.id))
                await commit(engine, step, ToldUnfinished(child.id, engine.clock.now_ms()))
    await _end_attempt(engine, step, answer)


def _keep_its_limits(step: Step, _given: LimitsGiven, _now_ms: int) -> Step:
    return step


async def _send_again(
    engine: Engine, first: StepSpec, posted: ResultPosted, _id: str | None, handler: Step | None = None
) -> Completed:
    return await send_message(engine, first, posted, None, handler)


async def _forget_what_came_early(
    engine: Engine, spec: StepSpec, posted: ResultPosted, handler: Step | None = None
) -> Completed:
    found = await engine.store.get(keys.step_id(spec.run_id, spec.identity))
    if found is None:
        return Completed(early(spec, posted, engine.clock.now_ms()), "early")
    return await signal(engine, spec, posted, handler)


async def _cancel_any_run(engine: Engine, link: Step) -> Step:
    root = await engine.store.get(root_of(link))
    if root is not None:
        await cancel.cancel_run(engine, root.spec.run_id)
    return await _end_called_off(engine, link)


def _leave_runs(_link: Step, _error: StepError | None) -> bool:
    return False


ENGINE: Final[Mapping[str, tuple[Patch, ...]]] = {
    **SHARED,
    "a failed attempt waits for whatever is live": ((attempts, "end_attempt", _end_beside_what_is_live),),
    "an opened event takes no deadline": ((event_steps, "limited", _keep_its_limits),),
    "a cancel reaches a run that another call has started": ((cancel, "end_called_off", _cancel_any_run),),
    "a cancel leaves the runs below": ((interventions, "must_cancel_run", _leave_runs),),
    "a message that is sent again is another one": ((http_events, "send_message", _send_again),),
    "a result that comes early is forgotten": ((http_events, "signal", _forget_what_came_early),),
}

# Programs without this text cannot find the fault, and are not played.
NEEDS: Final[Mapping[str, str]] = {"tasks of tasks are numbered as they come": "async def leaf"}


@pytest.mark.parametrize("fault", {**SDK, **ENGINE, **CANCELS})
def test_a_planted_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plays = check_cancelled if fault in CANCELS else check
    with monkeypatch.context() as patching, planted(fault):
        for patch in ENGINE.get(fault, ()):
            plant(patching, *patch)
        seed, failure = _first_found(plays, NEEDS.get(fault, ""))
    print(f"{fault}: seed {seed}: {failure.splitlines()[0]}")
    # What is planted fits the code that it is planted in.
    assert not re.search(r"(Type|Attribute|Name)Error: ", failure)

    # The control: without the fault, the seed passes.
    plays(seed)


def test_the_page_lists_all_of_them() -> None:
    page = PAGE.read_text()
    listed = page[page.index("| fault | ") : page.index("campaign cancelled")]
    assert re.findall(r"^\| (.*) \| \d+ \|$", listed, re.MULTILINE) == list({**SDK, **ENGINE, **CANCELS})


def _first_found(plays: Callable[[int], Played | None], needs: str) -> tuple[int, str]:
    for seed in range(FOUND_WITHIN):
        if needs not in program_of(seed).source:
            continue
        try:
            plays(seed)
        except Unequal as failure:
            return seed, str(failure)
    pytest.fail(f"{FOUND_WITHIN} programs did not find it")
