"""The main figures of each recorded run of all benchmarks, a line of JSON each: history.jsonl.

    python benchmarks/history.py [--last 2]      (`make bench-history`)

Prints the last lines beside each other, and the change from the last but one to the last. Rates and times
depend on the machine and on other work there. So each line has the figures of the floor (`bare`) from the
same minutes, and what can be compared with the floor is shown as a multiple of it, too.
"""

import argparse
import sys
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

HISTORY: Final = Path(__file__).parent / "history.jsonl"
Unit = Literal["runs/s", "steps/s", "ms", "s", "CPU s/1000 runs", "CPU ms", "MiB"]
# Of these, more is better; of all others, less.
RATES: Final = frozenset({"runs/s", "steps/s"})
# What the floor was measured for: `workflow/atomic/64/rate` is compared with `workflow/bare/64/rate`.
_FLOOR: Final = "bare"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Figure(_Strict):
    """One number that was measured."""

    value: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    unit: Unit


class Machine(_Strict):
    """Where it was measured."""

    cores: Annotated[int, Field(ge=1)]
    cpu: Annotated[str, Field(min_length=1)]
    python: Annotated[str, Field(pattern=r"^3\.\d+\.\d+$")]


class Line(_Strict):
    """One run of all benchmarks. `load` is the machine's load average of a minute, before and after."""

    date: AwareDatetime
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{12}(-dirty)?$")]
    machine: Machine
    load: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]]
    took_s: Annotated[float, Field(ge=0)]
    figures: Annotated[
        dict[Annotated[str, Field(pattern=r"^[\w.-]+(/[\w.-]+)+$")], Figure], Field(min_length=1)
    ]

    def value(self, name: str) -> float:
        """A figure by its name. Raises KeyError with what there is instead."""
        if name not in self.figures:
            raise KeyError(
                f"{name}: the line of {self.date:%Y-%m-%d} has {', '.join(sorted(self.figures))}"
            )
        return self.figures[name].value

    def sizes(self, part: str) -> list[int]:
        """The numbers for which a part was measured, as in `workflow/atomic/64/rate`, from the least."""
        names = (name.split("/") for name in self.figures)
        return sorted(
            {int(number) for name in names if name[0] == part for number in name[1:] if number.isdigit()}
        )

    def times_the_floor(self, name: str) -> float | None:
        """The figure as a multiple of the floor's, where the floor has one that is not 0."""
        part, system, *rest = name.split("/")
        floor = self.figures.get("/".join((part, _FLOOR, *rest)))
        if system == _FLOOR or floor is None or floor.value == 0:
            return None
        return self.figures[name].value / floor.value


def read(history: Path = HISTORY) -> list[Line]:
    """All lines, from the oldest. Raises ValueError naming the line that is not well formed."""
    lines = []
    for number, text in enumerate(history.read_text().splitlines(), 1):
        try:
            lines.append(Line.model_validate_json(text))
        except ValidationError as error:
            raise ValueError(f"{history.name}, line {number}: {error}") from error
        if len(lines) > 1 and lines[-1].date <= lines[-2].date:
            raise ValueError(f"{history.name}, line {number}: it is not later than the line before")
    return lines


def append(line: Line, history: Path = HISTORY) -> None:
    """Add a line at the end."""
    with history.open("a") as file:
        file.write(line.model_dump_json() + "\n")


def compared(lines: list[Line]) -> str:
    """Lines beside each other: each figure, and the change from the last but one to the last."""
    heads = [
        f"{line.date:%Y-%m-%d %H:%M}  {line.commit}  {line.machine.cores} x {line.machine.cpu}, "
        f"Python {line.machine.python}, load {line.load[0]:.1f} to {line.load[1]:.1f}"
        for line in lines
    ]
    if len({line.machine for line in lines}) > 1:
        heads.append("These are different machines: compare only what is a multiple of the floor (x).")
    width = max(len(name) for name in lines[-1].figures) + 2
    rows = [_row(name, figure, lines, width) for name, figure in lines[-1].figures.items()]
    return "\n".join([*heads, "", *rows])


def _row(name: str, figure: Figure, lines: list[Line], width: int) -> str:
    cells = [_cell(line, name) for line in lines]
    before = lines[-2].figures.get(name) if len(lines) > 1 else None
    return (
        f"{name:{width}}{''.join(f'{cell:>20}' for cell in cells)}  {figure.unit}{_change(before, figure)}"
    )


def _cell(line: Line, name: str) -> str:
    if name not in line.figures:
        return "-"
    times = line.times_the_floor(name)
    return f"{line.value(name):.5g}" + ("" if times is None else f" (x{times:.2f})")


def _change(before: Figure | None, after: Figure) -> str:
    if before is None or before.value == 0:
        return ""
    percent = 100 * (after.value / before.value - 1)
    is_better = (percent > 0) == (after.unit in RATES)
    said = "" if abs(percent) < 10 else " better" if is_better else " WORSE"
    return f"  {percent:+.0f} %{said}"


def main() -> None:
    """Print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--last", type=int, default=2)
    lines = read()[-arguments.parse_args().last :]
    if not lines:
        sys.exit("no run is recorded yet: `make bench` records one")
    print(compared(lines))


if __name__ == "__main__":
    main()
