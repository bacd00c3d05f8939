"""The outcome of a program, however it is run: how it ended, and what it did."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from atomic.sdk._wire.values import jsonable
from programs.ledger import Effect
from programs.library import reason

# Whether `maybe` is called depends on timing, since it runs beside a failing step; what `hide` is given is
# chance.
UNSURE: Final = frozenset(
    {"hide", "maybe", "perhaps", "refuse", "broken", "perhaps_book", "perhaps_unbook"}
)
# A workflow that outlasts races, and its timer. Whether it ends depends on what started it.
LASTING: Final = "lasting"
# The saga that is the whole of a workflow. All of its calls are `book`, which `unbook` undoes.
OWN: Final = "own"
# So begins the name of a saga whose calls are made in any order.
ANY_ORDER: Final = "any "


@dataclass(slots=True)
class Done:
    """What a program did: effects, and by kind and name timers, events, values and steps with names.

    `undone` are the undos of each saga, in order.
    """

    effects: Counter[str] = field(default_factory=Counter)
    waits: Counter[str] = field(default_factory=Counter)
    undone: Counter[tuple[str, ...]] = field(default_factory=Counter)

    def count(self, effects: Iterable[Effect], handler_of: Callable[[Effect], object]) -> None:
        """Count the effects of steps, which are given in order, and the handlers that called the steps."""
        sagas: defaultdict[object, list[str]] = defaultdict(list)
        for effect in effects:
            if effect.step not in UNSURE:
                self.effects[effect.name] += 1
            if effect.step == "unbook" and not effect.shown[0].startswith(ANY_ORDER):
                sagas[handler_of(effect), effect.shown[0]].append(effect.name)
        self.undone.update(map(tuple, sagas.values()))


@dataclass(slots=True)
class Outcome:
    """How a program ended. `end` is the value as JSON, or the reason of the failure."""

    end: str
    done: Done

    def differences(self, other: "Outcome") -> list[str]:
        """The differences to another outcome, as text."""
        lines = []
        if self.end != other.end:
            lines.append(f"it ended otherwise: {other.end} instead of {self.end}")
        for what, own, others in (
            ("effects", self.done.effects, other.done.effects),
            ("timers and events", self.done.waits, other.done.waits),
            ("undos in order", self.done.undone, other.done.undone),
        ):
            if own != others:
                lines.append(f"{what}: too many {dict(others - own)}, missing {dict(own - others)}")
        return lines


def ended_with(value: Any) -> str:
    """The `end` of a result."""
    return f"returned {json.dumps(jsonable(value), sort_keys=True)}"


def failed_by(why: str) -> str:
    """The `end` of a failure."""
    return f"failed: {why}"


def failed(error: BaseException) -> str:
    """The `end` of an exception."""
    return failed_by(reason(error))
