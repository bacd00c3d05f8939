"""The random schedule of a program's run: durations and faults."""

import random
from collections import Counter
from collections.abc import Mapping
from typing import Final

from atomic.domain.steps import Step

SERVED: Final = "is served"
# The faults of a call of an endpoint, each with a low and a high probability.
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
# Atomic treats these as failures of the endpoint, so the retry policy decides when it is called again.
CRASHES: Final = frozenset({REFUSED, DIES, FAILS, UNHEARD})
# The faults of a request to Atomic.
WELL: Final = "well"
LOST, DEAF, DOUBLED, LATE = ("is lost", "its answer is lost", "comes twice", "is late")
_WAYS: Final = {LOST: (0.01, 0.06), DEAF: (0.01, 0.06), DOUBLED: (0.02, 0.1), LATE: (0.03, 0.2)}
# The faults of an answer with results. They cost nobody an attempt, so they are not limited.
AS_IT_IS: Final = "as it is"
NONE, FAILS_TO_READ, CUT, LOSSY, OLD, MALFORMED, MARKED = (
    "is refused",
    "is unavailable",
    "is cut off",
    "has lost some",
    "is old",
    "is malformed",
    "has other fingerprints",
)
_READINGS: Final = (NONE, FAILS_TO_READ, CUT, LOSSY, LOSSY, OLD, OLD, MALFORMED, MARKED)
# Retries are limited, so the faults that use one are limited as well: they must not change the outcome.
_PAID_MAX: Final = 2
_STRIKES_MAX: Final = 8
_WAITS_S: Final = (0.0, 0.0, 0.0, 0.03, 1.0, 15.0)
_DURATIONS_S: Final = (0.0, 0.0, 0.0, 0.004, 0.06, 0.7, 6.0)


class Schedule:
    """The random choices of one run. A `calm` schedule has suspensions and delays, but no faults."""

    def __init__(self, seed: int, *, calm: bool = False) -> None:
        self._chance = random.Random(f"schedule {seed}")
        self.wait_s = self._chance.choice(_WAITS_S)
        self.happened: Counter[str] = Counter()
        self._is_calm = self._chance.random() < 0.2 or calm
        self._faulty_readings = self._chance.choice((0.0, 0.1, 0.5, 0.9))
        self._fates = {fate: self._chance.choice((0.0, *rates)) for fate, rates in _FATES.items()}
        self._ways = {way: self._chance.choice((0.0, *rates)) for way, rates in _WAYS.items()}

    def fate(self, step: Step) -> str:
        """The fault of a call of a step."""
        return self._strike(self._fates, step) or SERVED

    def way(self, step: Step) -> str:
        """The fault of a request of a step's handler."""
        return self._strike(self._ways, step) or WELL

    def reading(self) -> str:
        """The fault of an answer with results."""
        if self._is_calm or self._chance.random() >= self._faulty_readings:
            return AS_IT_IS
        return self._chance.choice(_READINGS)

    def lost(self) -> bool:
        """Whether an entry of results is hit by the fault of its answer."""
        return self._chance.random() < 0.5

    def duration_s(self) -> float:
        """How long a step takes."""
        return self._chance.choice(_DURATIONS_S)

    def latency_s(self) -> float:
        """How long a request takes."""
        return self._chance.choice((0.0, 0.0, 0.002, 0.02)) * self._chance.random()

    def below(self, number: int) -> int:
        """A random number below the limit, for any other choice."""
        return self._chance.randrange(number)

    def _strike(self, rates: Mapping[str, float], step: Step) -> str | None:
        # The last retries get no faults, so that the step itself decides its outcome.
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
