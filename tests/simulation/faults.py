"""The faults. Each seed draws a rate for each (none, low or high); after a while the faults end."""

import random
from collections import Counter
from typing import Final

# The name of each fault, and its low and high rate per occasion.
RATES: Final[dict[str, tuple[float, float]]] = {
    "store refuses": (0.02, 0.12),
    "reply lost": (0.02, 0.12),
    "written twice": (0.03, 0.2),
    "store slow": (0.02, 0.1),
    "send refused": (0.02, 0.1),
    "send unsure": (0.02, 0.1),
    "wake-up lost": (0.02, 0.15),
    "wake-up twice": (0.05, 0.3),
    "wake-up late": (0.05, 0.2),
    "wake-up early": (0.05, 0.2),
    "crash": (0.004, 0.02),
    "endpoint fails": (0.1, 0.4),
    "endpoint waits": (0.03, 0.15),
    "answer lost": (0.03, 0.15),
    "frozen": (0.03, 0.15),
    "retry after": (0.05, 0.3),
    "forbids retry": (0.01, 0.1),
    "caller goes away": (0.05, 0.3),
    "posts twice": (0.1, 0.5),
    "other payload": (0.1, 0.5),
    "handler fails": (0.1, 0.4),
    "no room": (0.05, 0.3),
}
# These rely on the watchdog for a wake-up or an attempt, so the laws about promptness do not apply with
# them.
ROUGH: Final = frozenset(
    {
        "store refuses",
        "reply lost",
        "store slow",
        "send refused",
        "send unsure",
        "wake-up lost",
        "wake-up late",
    }
    | {"crash", "frozen", "cut off", "skew", "answer lost"}
)
_ENDS_S: Final = (5.0, 15.0, 40.0, 90.0)


class Faults:
    """Decides when faults happen, and counts them. `calm` seeds have no rough faults."""

    def __init__(
        self,
        chance: random.Random,
        *,
        scale: float = 1.0,
        calm: bool = False,
        without: frozenset[str] = frozenset(),
    ) -> None:
        self.calm = calm
        self.happened: Counter[str] = Counter()
        self.ends_s = chance.choice(_ENDS_S)
        self._draw = chance.random
        self._rates: dict[str, float] = {}
        for name, (low, high) in RATES.items():
            rate = chance.choice((0.0, low, high)) * scale
            if rate and name not in without and not (calm and name in ROUGH):
                self._rates[name] = rate

    def strike(self, name: str, now_s: float) -> bool:
        """Whether this fault happens now."""
        rate = self._rates.get(name)
        if rate is None or now_s > self.ends_s or self._draw() >= rate:
            return False
        self.happened[name] += 1
        return True

    def note(self, name: str) -> None:
        """Count a fault that was planned in advance."""
        self.happened[name] += 1

    @property
    def rough(self) -> bool:
        """Whether a fault happened that only a watchdog repairs."""
        return not ROUGH.isdisjoint(self.happened)


class NoFaults(Faults):
    """No faults at all."""

    def __init__(self) -> None:
        super().__init__(random.Random(0), scale=0.0)
        self.ends_s = 0.0
