"""A share of 2,000 random programs does the same through Atomic as in plain Python.

A share of 300 is cancelled gracefully.
"""

from collections import Counter
from typing import Final

import pytest

from atomic.runtime.faults import FAULTS, Faults
from programs.generator import program_of
from programs.oracle import check, check_cancelled, check_under
from programs.plain import NotPlayed, run_plainly
from programs.regressions import FOUND
from shares import slices

PROGRAMS: Final = 2_000
CANCELLED: Final = 300
SLICE: Final = 100
UNDER_FAULTS: Final = 40
# The constructs of programs, as written in the source, and in how many of 100 programs each occurs at
# least.
WRITTEN: Final = {
    "\ndef main": 25,
    "\nasync def main": 35,
    "inner(ctx": 60,
    "ctx.step(inner": 15,
    "n - 1": 8,
    "for i": 10,
    "while ": 4,
    "if (": 10,
    "ctx.parallel(": 10,
    "asyncio.gather(": 25,
    "return_exceptions=True": 15,
    "asyncio.as_completed([ctx": 8,
    "asyncio.as_completed([branch": 3,
    "asyncio.TaskGroup()": 5,
    "except* ": 0.5,
    "asyncio.wait(": 2,
    "async def branch": 15,
    "ctx.sleep(": 20,
    "ctx.open_event(": 15,
    "ctx.event('now'": 3,
    "ctx.event('soon'": 3,
    "ctx.event('late'": 3,
    "ctx.event('never'": 3,
    "ctx.event('missed'": 2,
    "ctx.event('asked'": 3,
    "ctx.event('vote'": 5,
    "ctx.event('mail'": 5,
    "in ctx.events('mail')": 2,
    "in ctx.events('never'": 1,
    "gather(ctx.event(": 2,
    "except EventRejectedError": 2,
    "default='nobody'": 5,
    "ctx.callback('paid'": 5,
    "ctx.callback('denied'": 2,
    "ctx.callback('lost'": 3,
    "submit=lambda url": 4,
    "with ctx.saga(": 15,
    "ctx.saga('trip'": 5,
    ".step(book, ": 10,
    "undo=unbook": 10,
    "undo=lambda": 5,
    "undo=inner": 1,
    "undo=refuse": 2,
    "undo=shaky": 4,
    ".undo(unbook": 2,
    ".undo(lambda": 2,
    ".step(perhaps_book": 2,
    "lambda: saga": 1,
    "booking": 1,
    "held_up(ctx)": 1,
    "ctx.run_workflow(inner": 5,
    "ctx.call_workflow(": 1,
    "ctx.start_run(inner": 5,
    "key='shared-": 3,
    "detached=True": 5,
    ".result())": 3,
    "ctx.run_workflow(lasting": 3,
    "on_cancel='keep'": 1,
    "ctx.continue_as(": 5,
    "undone(error)": 10,
    "f'any ": 5,
    "key='same'": 1,
    "ctx.run(": 10,
    "answer_async(": 1,
    "ctx.run('words'": 1,
    "ctx.step(hide": 4,
    "ctx.version(": 1,
    "ctx.map(": 25,
    "ctx.gather(": 20,
    "ctx.race(": 20,
    "ctx.until(": 20,
    "concurrency=": 25,
    "min_successful=": 9,
    "tolerated_failures=": 7,
    "key=str": 7,
    "told(": 25,
    "enough(": 10,
    "met(": 3,
    "one_of(": 8,
    "'winner': ": 15,
    "lambda: twice(": 3,
    "twice_async(": 5,
    "lambda: branch": 5,
    "until(count,": 5,
    "until(counted": 5,
    "until(never": 5,
    "newest())": 1,
    "name='named": 15,
    "name='nap": 4,
    "at most": 15,
    "except StepFailedError": 15,
    "except Exception": 4,
    "except BaseException": 4,
    "except:": 6,
    "finally:": 17,
    "return [out, 'finally']": 2,
    "return [out, 'early']": 10,
    "raise ": 5,
    "held(": 3,
    "held_async(": 5,
    "key=f": 10,
    "ctx.step(shout": 3,
    "retry=1": 10,
}


@pytest.mark.parametrize("first", slices(PROGRAMS, SLICE))
def test_programs_do_what_python_does(first: int) -> None:
    played = [check(seed) for seed in range(first, first + SLICE)]
    assert sum(one is not None for one in played) > 0.8 * SLICE


@pytest.mark.parametrize("first", slices(CANCELLED, SLICE))
def test_programs_that_are_cancelled_undo_what_they_did(first: int) -> None:
    played = [check_cancelled(seed) for seed in range(first, first + SLICE)]
    stories = ["\n".join(one.story) for one in played if one is not None]
    assert sum("the run is cancelled: 200" in story for story in stories) > 0.5 * SLICE


def test_programs_do_the_same_under_faults_on_demand() -> None:
    made: Counter[str] = Counter()
    for seed in range(UNDER_FAULTS):
        faults = Faults("hostile", seed)
        check_under(faults, seed)
        made += Counter({str(name): number for name, number in faults.made.items()})
    assert set(made) == set(FAULTS)


@pytest.mark.parametrize("seed", FOUND)
def test_seeds_that_once_failed_pass(seed: int) -> None:
    assert check(seed) is not None


def test_every_construct_occurs() -> None:
    sources = [program_of(seed).source for seed in range(PROGRAMS)]
    seldom = {
        text: found
        for text, least in WRITTEN.items()
        if (found := sum(text in source for source in sources) * 100 / PROGRAMS) < least
    }
    assert seldom == {}


def test_programs_end_in_every_way() -> None:
    ends: Counter[str] = Counter()
    for seed in range(PROGRAMS):
        try:
            outcome, _ = run_plainly(program_of(seed))
        except NotPlayed:
            continue
        ends[outcome.end.partition(":")[0].partition(" ")[0]] += 1
        ends["effects"] += outcome.done.effects.total() > 3
    assert ends["returned"] > PROGRAMS / 2
    assert ends["failed"] > PROGRAMS / 8
    assert ends["effects"] > PROGRAMS / 2


def test_a_seed_gives_the_same_run_again() -> None:
    assert [seed for seed in range(20) if _story(seed) != _story(seed)] == []


def _story(seed: int) -> list[str]:
    played = check(seed)
    return played.story if played else []
