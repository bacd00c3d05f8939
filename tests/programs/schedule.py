"""What happens to a program on its way: how long things take, and what goes wrong."""

import random
from collections import Counter
from collections.abc import Mapping
from typing import Final

from atomic.domain.steps import Step

SERVED: Final = "is served"
# What becomes of a call of an endpoint, and how often: a little, and much.
REFUSED, DIES, FAILS, UNHEARD, WAITS, GOES_ON, TWICE = (
    "is refused",
    "dies in between",
    "is answered by a proxy: 502",
    "its answer is lost",
    "waits in between",
    "goes on unheard",
    "comes twice",
)
_FATES: Final = {
    REFUSED: (0.02, 0.1),
    DIES: (0.05, 0.3),
    FAILS: (0.02, 0.1),
    UNHEARD: (0.03, 0.2),
    WAITS: (0.01, 0.05),
    GOES_ON: (0.02, 0.1),
    TWICE: (0.02, 0.1),
}
# After these the endpoint has failed as far as Atomic can tell: its policy says when it is called again.
CRASHES: Final = frozenset({REFUSED, DIES, FAILS, UNHEARD})
# How a request gets through to Atomic.
WELL: Final = "well"
LOST, DEAF, DOUBLED, LATE = ("is lost", "its answer is lost", "comes twice", "is late")
_WAYS: Final = {LOST: (0.01, 0.06), DEAF: (0.01, 0.06), DOUBLED: (0.02, 0.1), LATE: (0.03, 0.2)}
# Retries are finite, so what a step has to pay for is too: how a program ends must not depend on it.
_PAID_MAX: Final = 2
_STRIKES_MAX: Final = 8
_WAITS_S: Final = (0.0, 0.0, 0.0, 0.03, 1.0, 15.0)
_DURATIONS_S: Final = (0.0, 0.0, 0.0, 0.004, 0.06, 0.7, 6.0)


class Schedule:
    """The dice of one play. A `calm` one has suspensions and time, and nothing goes wrong."""

    def __init__(self, seed: int, *, calm: bool = False) -> None:
        self._chance = random.Random(f"schedule {seed}")
        self.wait_s = self._chance.choice(_WAITS_S)
        self.happened: Counter[str] = Counter()
        self._is_calm = self._chance.random() < 0.2 or calm
        self._fates = {fate: self._chance.choice((0.0, *rates)) for fate, rates in _FATES.items()}
        self._ways = {way: self._chance.choice((0.0, *rates)) for way, rates in _WAYS.items()}

    def fate(self, step: Step) -> str:
        """What becomes of a call of a step."""
        return self._strike(self._fates, step) or SERVED

    def way(self, step: Step) -> str:
        """How a request of a step's handler gets through."""
        return self._strike(self._ways, step) or WELL

    def duration_s(self) -> float:
        """How long a step works."""
        return self._chance.choice(_DURATIONS_S)

    def latency_s(self) -> float:
        """How long a request is under way."""
        return self._chance.choice((0.0, 0.0, 0.002, 0.02)) * self._chance.random()

    def below(self, number: int) -> int:
        """Any other choice."""
        return self._chance.randrange(number)

    def _strike(self, rates: Mapping[str, float], step: Step) -> str | None:
        # The last retries are left to the step itself, and so is how it ends.
        may_pay = step.retries_used < min(_PAID_MAX, step.spec.retry.count - 1)
        if self._is_calm or not may_pay or self.happened.total() >= _STRIKES_MAX:
            return None
        drawn = self._chance.random()
        for name, rate in rates.items():
            drawn -= rate
            if drawn < 0:
                self.happened[name] += 1
                return name
        return None
