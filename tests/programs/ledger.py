"""The effects of steps, counted once for each URL and key, as by `atomic.sdk.idempotent`.

So it shows if two steps send the same key to the same endpoint: the second effect is missing, and its step
gets the answer of the first.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from atomic.sdk import Call

T = TypeVar("T")


class Effect(NamedTuple):
    """What a step did. `asks` is the event whose answer the step requested: an id, or a callback URL."""

    step: str
    step_id: str
    key: str
    shown: Any
    answer: Any
    asks: str

    @property
    def name(self) -> str:
        """The name by which effects are compared."""
        return f"{self.step}({self.shown})"


class Ledger:
    """The ledger of one process. `made` holds the effects that it was told of, and its own."""

    def __init__(self) -> None:
        self.made: dict[tuple[str, str], Effect] = {}
        self.subscription: list[Effect] = []

    def once(self, call: Call, shown: Any, effect: Callable[[], T], asks: str) -> T:
        """Run the effect unless it was made under this key before."""
        step = call.url.rpartition("/")[2]
        found = self.made.get((step, call.idempotency_key))
        if found is None:
            found = Effect(
                step=step,
                step_id=call.step_id,
                key=call.idempotency_key,
                shown=shown,
                answer=effect(),
                asks=asks,
            )
            self.made[found.step, found.key] = found
            self.subscription.append(found)
        answer: T = found.answer
        return answer


_ledgers: list[Ledger] = []


def keep(ledger: Ledger) -> None:
    """Make this the ledger of the process."""
    _ledgers[:] = [ledger]


def once(call: Call, shown: Any, effect: Callable[[], T], *, asks: str = "") -> T:
    """Run a step's effect once; return the answer of the effect under the call's key."""
    return _ledgers[0].once(call, shown, effect, asks)
