"""What comes of a program, however it is run: its end, and what it did."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from atomic.sdk._values import jsonable
from programs.ledger import Effect
from programs.library import reason

# Beside something that fails: whether it is called is a matter of chance.
_UNSURE: Final = frozenset({"maybe"})


@dataclass(slots=True)
class Done:
    """What a program did: effects, and timers and events by kind and name."""

    effects: Counter[str] = field(default_factory=Counter)
    waits: Counter[str] = field(default_factory=Counter)

    def count(self, effects: list[Effect]) -> None:
        """Count what steps did."""
        self.effects.update(effect.name for effect in effects if effect.step not in _UNSURE)


@dataclass(slots=True)
class Outcome:
    """`end` is the value as JSON, or the reason of the failure."""

    end: str
    done: Done

    def differences(self, other: "Outcome") -> list[str]:
        """What another outcome does not share, in words."""
        lines = []
        if self.end != other.end:
            lines.append(f"it ended otherwise: {other.end} instead of {self.end}")
        for what, own, others in (
            ("effects", self.done.effects, other.done.effects),
            ("timers and events", self.done.waits, other.done.waits),
        ):
            if own != others:
                lines.append(f"{what}: too many {dict(others - own)}, missing {dict(own - others)}")
        return lines


def ended_with(value: Any) -> str:
    """A result."""
    return f"returned {json.dumps(jsonable(value), sort_keys=True)}"


def failed_by(why: str) -> str:
    """A failure."""
    return f"failed: {why}"


def failed(error: BaseException) -> str:
    """What was raised."""
    return failed_by(reason(error))
