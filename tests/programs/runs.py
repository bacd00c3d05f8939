"""Generates runs that workflows start: waited for, shared, left alone, and cancelled in lost races."""

from programs.language import Block, Function, Line, Statement
from programs.outcome import LASTING
from programs.plain_batches import LOSER
from programs.script import LASTS_S
from programs.simple import Known, Simple


def lasting(*, is_async: bool) -> Function:
    """A workflow that lasts longer than a race. Whether its step is called depends on what starts it."""
    wait = "await " if is_async else ""
    slept = Line(f"{wait}ctx.sleep({LASTS_S}, name='{LASTING}')")
    return Function(LASTING, is_async, (slept, Line(f"return {wait}ctx.step(maybe, n)")))


class Runs(Simple):
    """Writes the statements of runs."""

    # Whether a run of LASTING is started.
    starts_lasting = False

    def _run(self, depth: int) -> list[Statement]:
        kinds = [self._lost_run]
        if self._known:
            kinds += [self._waited, self._handle, self._runs_side_by_side, self._detached] * 2
        return self._chance.choice(kinds)()

    def _waited(self) -> list[Statement]:
        return [self._append(f"{self._await}ctx.run_workflow({self._started()})")]

    def _handle(self) -> list[Statement]:
        run = self._new("run")
        return [
            Line(f"{run} = {self._await}ctx.start_run({self._started()})"),
            *self._one_step(0),
            self._append(f"{self._await}{run}.result()"),
        ]

    def _runs_side_by_side(self) -> list[Statement]:
        """Each fails or not. Some are the same run."""
        ctx = "ctx.run_workflow" if self.is_async else "ctx.call_workflow"
        calls = [f"{ctx}({self._run_of(self._chance.choice(self._known))})" for _ in range(2)]
        gathered = f"{self._await}ctx.gather({', '.join(calls)}, return_exceptions=True)"
        return [self._append(f"[shown(v) for v in {gathered}]")]

    def _detached(self) -> list[Statement]:
        """Nobody is told how it ends."""
        started = self._run_of(self._chance.choice(self._known))
        return [Line(f"{self._await}ctx.start_run({started}, detached=True)")]

    def _lost_run(self) -> list[Statement]:
        """It is cancelled together with the call that loses a race, if that call has started it."""
        self.starts_lasting = True
        how = self._chance.choice(("", "", ", on_cancel='keep'", "shared"))
        before: list[Statement] = []
        if how == "shared":
            # A key of this place: the run may have ended when another place asks for it.
            how = f", key=f'{{ctx.step_id}}-{self._new('k')}{self._marks()}'"
            before = [Line(f"{self._await}ctx.start_run({LASTING}, 1{how}, detached=True)")]
        lambdas = "" if self.is_async else "lambda: "
        lost = f"{lambdas}ctx.run_workflow({LASTING}, 1{how}, name='{LOSER}')"
        won = f"{lambdas}ctx.sleep({self._chance.choice((0.02, 1, 45))})"
        raced = f"{self._await}ctx.race({{'winner': {won}, '{LOSER} 0': {lost}}})"
        return [*before, self._append(raced)]

    def _started(self) -> str:
        called = self._chance.choice(self._known)
        if called.may_fail:
            self._fails("step")
        return self._run_of(called)

    def _run_of(self, called: Known) -> str:
        """A workflow, its payload, and sometimes a key, by which other calls find the same run."""
        if self._chance.random() < 0.4:
            number = self._chance.randint(0, 2)
            return f"{called.name}, {number}, key='shared-{number}'"
        return f"{called.name}, {self._number()}"

    def _going_on(self) -> list[Statement]:
        """The end of a workflow that goes on as another run."""
        return [Block((("if n > 0:", (Line(f"return {self._await}ctx.continue_as(n - 1)"),)),))]
