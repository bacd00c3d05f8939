"""A crash at any single await loses nothing. `make crash-pairs` tests all pairs."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

import atomic.application.commit as committing
import atomic.application.graceful_cancel as graceful_cancel
import atomic.application.leftovers as leftovers
import atomic.application.process_wakeup as process_wakeup
import atomic.application.start as starting
import atomic.application.sweep as sweeping
import atomic.domain.transitions as transitions
from atomic.application.blobs import stored_apart
from atomic.application.engine import Engine
from atomic.application.ports import Blobs, StoreUnavailable
from atomic.domain.blobs import Blob, Text
from atomic.domain.events import Cancelled, CancelRequested
from atomic.domain.graceful_cancel import cancel_requested
from atomic.domain.steps import Step
from atomic.domain.transitions import transition
from atomic.protocol.enums import Status
from simulation.crash_points import WORKLOADS, crash, points_of, singles
from simulation.interleave import LawBroken


@pytest.mark.parametrize(("name", "runtime"), WORKLOADS)
def test_a_crash_at_every_await(name: str, runtime: str) -> None:
    for crashes in singles(name, runtime):
        crash(name, runtime, crashes)


@pytest.mark.parametrize(("name", "runtime"), WORKLOADS)
def test_the_points_are_reached(name: str, runtime: str) -> None:
    assert points_of(name, runtime) >= (4 if name == "single" else 10)
    assert crash(name, runtime, ((2, "before"),)).faults.happened["crash"] == 1


async def _name_unstored(store: Blobs, step: Step) -> Step:
    """The texts are stored after the row that names them."""

    def named(text: Text) -> Text:
        return replace(text, step_id=step.id, place="table") if isinstance(text, Blob) else text

    asyncio.get_running_loop().create_task(_store_soon(store, step))
    step = replace(step, spec=replace(step.spec, payload=named(step.spec.payload)))
    response = step.response
    return (
        step if response is None else replace(step, response=replace(response, text=named(response.text)))
    )


async def _store_soon(store: Blobs, step: Step) -> None:
    await asyncio.sleep(0.05)
    with suppress(StoreUnavailable):
        await stored_apart(store, step)


@pytest.mark.parametrize("module", [starting, committing])
def test_a_row_that_is_written_before_its_text_is_found(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "stored_apart", _name_unstored)

    with pytest.raises(LawBroken, match="names a text that is not stored"):
        _crash_everywhere("large")


async def _keep_names_of_others(store: Blobs, step: Step) -> Step:
    """A text of another step is not stored anew."""
    if step.response is not None and isinstance(step.response.text, Blob) and step.response.text.step_id:
        text = replace(step.response.text, step_id=step.id)
        return replace(step, response=replace(step.response, text=text))
    return await stored_apart(store, step)


def test_an_outcome_whose_text_stays_with_the_child_run_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committing, "stored_apart", _keep_names_of_others)

    with pytest.raises(LawBroken, match="names a text that is not stored"):
        _crash_everywhere("large child run")


async def _end_nothing(engine: Engine, step: Step) -> Step:
    return step


def test_a_cancel_that_is_cut_off_and_left_alone_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (leftovers, sweeping):
        monkeypatch.setattr(module, "end_if_left_over", _end_nothing)

    with pytest.raises(LawBroken, match="is still"):
        _crash_everywhere("cancel what waits")


def _broken_off(step: Step, event: CancelRequested, now_ms: int) -> Step:
    """Running attempts end as cancelled at once, as by a hard cancel."""
    if step.status is Status.RUNNING and not event.is_handler:
        return transition(step, Cancelled(), now_ms)
    return cancel_requested(step, event, now_ms)


async def _request_nothing(engine: Engine, handler: Step) -> None:
    pass


async def _never_over(engine: Engine, due: Step, now_ms: int) -> bool:
    return False


@pytest.mark.parametrize(
    ("name", "owner", "function", "planted", "law"),
    [
        ("graceful", transitions, "cancel_requested", _broken_off, "after its undo began"),
        ("graceful", graceful_cancel, "request_cancel_below", _request_nothing, "was cancelled hard"),
        ("graceful for too long", process_wakeup, "go_on_cancelling", _never_over, "is still waiting"),
    ],
)
def test_a_bug_of_the_graceful_cancel_is_found(
    name: str, owner: Any, function: str, planted: Any, law: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, function, planted)

    with pytest.raises(LawBroken, match=law):
        _crash_everywhere(name)


def _crash_everywhere(name: str) -> None:
    for crashes in singles(name, "embedded"):
        crash(name, "embedded", crashes)
