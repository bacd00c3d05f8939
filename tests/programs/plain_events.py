"""Events as plain Python. The result of an event depends on its name and number alone: see `script`."""

from collections import Counter, defaultdict, deque
from typing import Any, Final

from atomic.sdk import EventRejectedError, EventTimeoutError
from programs.outcome import Done
from programs.script import ASKED, LONGEST_S, REJECTED, answer_of, is_answered

NO_DEFAULT: Final[Any] = object()
# What an event of a loop returns when the deadline of the loop is over.
END: Final[Any] = object()


class Events:
    """The events of one program. An `owner` is a handler, or a branch of one: it numbers its own events."""

    def __init__(self) -> None:
        self.done = Done()
        self.waited_s = 0.0
        self.refused = ""
        # How many answers steps were asked for, and no event has waited for yet.
        self.asked = 0
        self._numbers: Counter[tuple[object, str]] = Counter()
        # Opened, and not waited for yet.
        self._opened: defaultdict[tuple[object, str], deque[int]] = defaultdict(deque)

    def open(self, owner: object, name: str) -> str:
        """Open the next event of a name; its id."""
        self._opened[owner, name].append(self._next(owner, name))
        self.done.waits[f"event {name}"] += 1
        return name

    def take(self, owner: object, name: str) -> tuple[int, bool]:
        """The number of the event that a call waits for, and whether it was opened before."""
        opened = self._opened[owner, name]
        return (opened.popleft(), True) if opened else (self._next(owner, name), False)

    def wait(self, name: str, taken: tuple[int, bool], deadline: float | None, default: Any) -> Any:
        """Wait for an event that was taken."""
        number, was_opened = taken
        if not was_opened:
            self.done.waits[f"event {name}"] += 1
        self.asked -= name == ASKED
        if self.asked < 0:
            self.refused = "an event that nobody is asked to answer"
        self.waited_s += LONGEST_S if deadline is None else min(deadline, LONGEST_S)
        if name in REJECTED:
            raise EventRejectedError(REJECTED[name])
        if is_answered(name):
            return answer_of(name, number)
        if default is NO_DEFAULT:
            raise EventTimeoutError("the deadline is over")
        return default

    def _next(self, owner: object, name: str) -> int:
        self._numbers[owner, name] += 1
        return self._numbers[owner, name]
