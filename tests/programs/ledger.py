"""The effects of steps, counted as `atomic.sdk.idempotent` counts them: once for each URL and key.

Two steps that send one key to one endpoint therefore show: the second effect is missing, and its step gets
the answer of the first.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from atomic.sdk import Call

T = TypeVar("T")


class Effect(NamedTuple):
    """What a step did. `asks` is the id of an event that somebody was asked to answer."""

    step: str
    key: str
    shown: Any
    answer: Any
    asks: str

    @property
    def name(self) -> str:
        """What it is compared by."""
        return f"{self.step}({self.shown})"


class Ledger:
    """Of one process; `made` holds what it was told, and what happened here."""

    def __init__(self) -> None:
        self.made: dict[tuple[str, str], Effect] = {}
        self.subscription: list[Effect] = []

    def once(self, call: Call, shown: Any, effect: Callable[[], T], asks: str) -> T:
        """Run the effect unless it was made under this key before."""
        step = call.url.rpartition("/")[2]
        found = self.made.get((step, call.idempotency_key))
        if found is None:
            found = Effect(step=step, key=call.idempotency_key, shown=shown, answer=effect(), asks=asks)
            self.made[found.step, found.key] = found
            self.subscription.append(found)
        answer: T = found.answer
        return answer


_ledgers: list[Ledger] = []


def keep(ledger: Ledger) -> None:
    """The ledger of this process from now on."""
    _ledgers[:] = [ledger]


def once(call: Call, shown: Any, effect: Callable[[], T], *, asks: str = "") -> T:
    """What a step does; the answer of the effect that was made under the call's key."""
    return _ledgers[0].once(call, shown, effect, asks)
