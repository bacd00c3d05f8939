"""The oracle: a program does the same through Atomic as in plain Python, whatever faults occur."""

from dataclasses import dataclass
from typing import Final

from atomic.runtime.faults import Faults
from programs.generator import program_of
from programs.language import Program
from programs.outcome import Outcome
from programs.plain import NotPlayed, run_plainly
from programs.player import Player, Stuck
from programs.schedule import Schedule
from programs.workers import workers
from simulation.interleave import LawBroken
from simulation.loop import simulation_loop

# How often a failed program is run to make it smaller.
_SHRINK_PLAYS_MAX: Final = 400
_LOOP: Final = simulation_loop()


class Unequal(LawBroken):
    """A program behaved differently through Atomic."""


@dataclass(frozen=True, slots=True)
class Played:
    """A program, its outcome as plain Python, and its run through Atomic."""

    program: Program
    plain: Outcome
    schedule: Schedule
    differences: list[str]
    story: list[str]

    def report(self) -> str:
        """All information about a failure, as text."""
        dice = f"a handler waits {self.schedule.wait_s} s for its steps; {dict(self.schedule.happened)}"
        return "\n".join(
            [
                *self.differences,
                "",
                self.program.source,
                f"main({self.program.payload}), as plain Python: {self.plain.end}",
                f"effects: {dict(self.plain.done.effects)}",
                f"timers and events: {dict(self.plain.done.waits)}",
                "",
                dice,
                *self.story,
            ]
        )


def check(seed: int) -> Played | None:
    """Run the program of a seed; None if the program is unsuitable. Raises Unequal."""
    try:
        played = play(program_of(seed), seed)
    except NotPlayed:
        return None
    if played.differences:
        raise Unequal(f"seed {seed}: {played.report()}")
    return played


def check_cancelled(seed: int) -> Played | None:
    """Cancel the run of a program gracefully. Raises Unequal unless its workflows undo what they did."""
    try:
        played = play(program_of(seed, undoes=True), seed, cancels=True)
    except NotPlayed:
        return None
    if played.differences:
        raise Unequal(f"seed {seed}, cancelled: {played.report()}")
    return played


def check_under(faults: Faults, seed: int) -> Played | None:
    """Run the program of a seed while Atomic makes faults. Raises Unequal."""
    try:
        played = play(program_of(seed), seed, calm=True, faults=faults)
    except NotPlayed:
        return None
    if played.differences:
        raise Unequal(f"seed {seed}, under faults: {played.report()}")
    return played


def play(
    program: Program,
    seed: int,
    *,
    calm: bool = False,
    cancels: bool = False,
    faults: Faults | None = None,
) -> Played:
    """Run the program both ways. If the run is cancelled, it may end otherwise. Raises NotPlayed."""
    plain, waits_s = run_plainly(program)
    dice = Schedule(seed, calm=calm)
    players: list[Player] = []

    async def through_atomic() -> Outcome:
        players.append(Player(program, dice, workers(), seed=seed, cancels=cancels, faults=faults))
        return await players[0].play(waits_s)

    try:
        found = _LOOP.play(through_atomic())
        is_cancelled = players[0].journal.cancelled_s is not None
        differences = [] if is_cancelled else plain.differences(found)
    except Stuck as stuck:
        differences = str(stuck).splitlines()
    return Played(program, plain, dice, differences, players[0].journal.story)


def smallest(seed: int, *, cancels: bool = False) -> Played:
    """The program of a failed seed, made as small as possible; without faults if it still fails."""
    failed = play(program_of(seed, undoes=cancels), seed, cancels=cancels)
    assert failed.differences, f"seed {seed} does not fail"
    calm = _failed(failed.program, seed, calm=True, cancels=cancels)
    failed, left = calm or failed, _SHRINK_PLAYS_MAX
    candidates = failed.program.smaller()
    while left > 0 and (smaller := next(candidates, None)) is not None:
        left -= 1
        again = _failed(smaller, seed, calm=calm is not None, cancels=cancels)
        if again is not None:
            failed, candidates = again, again.program.smaller()
    return failed


def _failed(program: Program, seed: int, *, calm: bool, cancels: bool) -> Played | None:
    try:
        played = play(program, seed, calm=calm, cancels=cancels)
    except NotPlayed:
        return None
    return played if played.differences else None
