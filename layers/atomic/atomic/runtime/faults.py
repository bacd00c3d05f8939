"""Faults on demand, for development: which of them happen to which step. `faulty_ports` makes them.

A fault is drawn from the seed, the step and the number of its attempt, so that it does not matter in which
order steps are processed: the same seed and the same keys give the same faults.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final, Literal, TypeVar, get_args

from atomic.domain.steps import Step
from atomic.protocol import keys

Key = TypeVar("Key", bound=Hashable)

_log = logging.getLogger("atomic.faults")

Fault = Literal[
    "lost-answer",
    "double-call",
    "late-answer",
    "slow",
    "503-retry-after",
    "reset",
    "kill-after-claim",
    "duplicate-wakeup",
    "stale-results",
    "always-replay",
]
Profile = Literal["calm", "flaky", "hostile"]

FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)
# The probability of each fault, for each attempt, wait or read to which it can happen.
PROFILES: Final[dict[Profile, Mapping[Fault, float]]] = {
    "calm": MappingProxyType({}),
    "flaky": MappingProxyType(
        {
            "lost-answer": 0.05,
            "double-call": 0.05,
            "late-answer": 0.02,
            "slow": 0.1,
            "503-retry-after": 0.05,
            "reset": 0.05,
            "kill-after-claim": 0.02,
            "duplicate-wakeup": 0.1,
            "stale-results": 0.1,
            "always-replay": 0.1,
        }
    ),
    "hostile": MappingProxyType(
        {
            "lost-answer": 0.2,
            "double-call": 0.25,
            "late-answer": 0.15,
            "slow": 0.1,
            "503-retry-after": 0.15,
            "reset": 0.15,
            "kill-after-claim": 0.15,
            "duplicate-wakeup": 0.5,
            "stale-results": 0.5,
            "always-replay": 0.5,
        }
    ),
}
# An attempt with one of the first three does not reach the endpoint. One of all five ends an attempt.
UNCALLED: Final[tuple[Fault, ...]] = ("kill-after-claim", "503-retry-after", "reset")
ENDING: Final[tuple[Fault, ...]] = (*UNCALLED, "lost-answer", "late-answer")
# These use one of the step's retries, as they do without this module.
COUNTED: Final[frozenset[Fault]] = frozenset({"503-retry-after", "reset", "lost-answer"})
# These lose the attempt, which ends a step that must not be called again.
_LOSING: Final[frozenset[Fault]] = frozenset({"kill-after-claim", "late-answer", "lost-answer"})
# These make a step take longer, which its deadline may not allow.
_DELAYING: Final[frozenset[Fault]] = frozenset({*COUNTED, "slow"})
# A profile ends so many attempts of a step, and so many waits for it, so that every run goes on.
_ENDING_MAX: Final = 3
_REPLAYS_MAX: Final = 10
SEED_MAX: Final = 2**32 - 1
_STEPS_MAX: Final = 100_000

# What the start asks for that is answered just now; its first new step takes it out.
_asked: ContextVar[list[frozenset[Fault]] | None] = ContextVar("asked faults", default=None)


class UnknownFault(ValueError):
    """A name that is none of a fault; the message lists those that there are."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} is not a fault; use {', '.join(FAULTS)}")


def read_faults(text: str) -> frozenset[Fault]:
    """The faults that the header `Atomic-Fault` names. Raises UnknownFault."""
    named = [part.strip().lower() for part in text.split(",") if part.strip()]
    return frozenset(map(_known, named))


def _known(name: str) -> Fault:
    """The fault of this name. Raises UnknownFault."""
    for fault in FAULTS:
        if name == fault:
            return fault
    raise UnknownFault(name)


@contextmanager
def asking(faults: frozenset[Fault]) -> Iterator[None]:
    """Meanwhile, the first step with an endpoint that this task creates is asked to have these faults."""
    token = _asked.set([faults] if faults else None)
    try:
        yield
    finally:
        _asked.reset(token)


class Faults:
    """Decides which faults happen, and counts them in `made`. It outlives the engine that it is around."""

    def __init__(self, profile: Profile = "calm", seed: int = 0) -> None:
        self._first = (profile, seed)
        self.made: Counter[Fault] = Counter()
        self.reset()

    def reset(self) -> None:
        """Begin anew, as at the start."""
        self.follow(self._first[0], self._first[1])

    def follow(self, profile: Profile, seed: int | None = None) -> None:
        """From now on, make the faults of a profile, drawn from a seed; without one, from the same."""
        self._begin(profile, PROFILES[profile], seed)

    def make(self, probabilities: Mapping[Fault, float], seed: int | None = None) -> None:
        """From now on, make each of these faults with its probability."""
        self._begin(None, probabilities, seed)

    def _begin(
        self, profile: Profile | None, probabilities: Mapping[Fault, float], seed: int | None
    ) -> None:
        self.profile = profile
        self.probabilities = {name: probabilities.get(name, 0.0) for name in FAULTS}
        self.seed: int = self._first[1] if seed is None else seed
        self.made.clear()
        self._asked_of: dict[str, set[Fault]] = {}
        # How often an attempt of a step was ended by a fault, and how often the others could happen to it.
        self._occasions: Counter[tuple[str, str]] = Counter()
        # The retries of each step that faults have used.
        self._owed: Counter[str] = Counter()
        self._is_calm = not any(self.probabilities.values())

    @property
    def is_idle(self) -> bool:
        """Whether no fault can happen."""
        return self._is_calm and not self._asked_of

    def note_created(self, step: Step) -> None:
        """A step is new. If its start asks for faults, they are its own; those of a link are its run's."""
        asked = _asked.get()
        if asked and step.spec.kind == "http":
            if len(self._asked_of) >= _STEPS_MAX:
                del self._asked_of[next(iter(self._asked_of))]
            self._asked_of[step.id] = set(asked.pop())

    def of_attempt(self, step: Step) -> frozenset[Fault]:
        """What happens to the attempt that was claimed: one that ends it at most, and the others."""
        if step.cancelling:
            return frozenset()
        ending = self._ending(step)
        others: tuple[Fault, ...] = ("duplicate-wakeup",)
        if ending not in UNCALLED:
            others = (*others, "slow", "double-call")
        happens = [name for name in others if self._strikes(name, step)]
        if ending is not None:
            happens.append(ending)
        for name in happens:
            self._note(name, step.id, attempt=step.attempt_count)
            self._asked_of.get(step.id, set()).discard(name)
        if ending is not None:
            self._count(self._occasions, ("ended", step.id))
        if ending in COUNTED:
            self._count(self._owed, step.id)
        return frozenset(happens)

    def _ending(self, step: Step) -> Fault | None:
        """The fault that ends the attempt: one asked for, or the one drawn with the smallest number."""
        struck = [name for name in ENDING if self._strikes(name, step)]
        asked = self._asked_of.get(step.id, set())

        def order(name: Fault) -> float:
            return -1.0 if name in asked else self.fraction(name, step.id, step.attempt_count)

        return min(struck, key=order, default=None)

    def fraction(self, name: Fault, step_id: str, number: int) -> float:
        """A number in [0, 1) for a fault, a step and the number of its attempt or of another occasion."""
        drawn = hashlib.blake2b(f"{self.seed} {name} {step_id} {number}".encode(), digest_size=8)
        return int.from_bytes(drawn.digest()) / 2**64

    def makes_stale(self, parent_id: str) -> bool:
        """Whether a handler that reads the results of its steps now gets them as they were before."""
        return self._happens_to_handler("stale-results", parent_id)

    def ends_wait(self, step_id: str) -> bool:
        """Whether the wait of a handler for this step ends at once, so that the handler is replayed."""
        is_root = step_id == keys.root_of(keys.run_of(step_id))
        if is_root or self._occasions["always-replay", step_id] >= _REPLAYS_MAX:
            return False
        return self._happens_to_handler("always-replay", step_id)

    def gives_back(self, step: Step) -> bool:
        """Whether a failure that would use up the step's retries need not count.

        A fault has used a retry that the endpoint would have without it. Each is given back once.
        """
        if step.retries_used < step.spec.retry.count or not self._owed[step.id]:
            return False
        self._owed[step.id] -= 1
        return True

    def _strikes(self, name: Fault, step: Step) -> bool:
        if not _can(name, step):
            return False
        if name in self._asked_of.get(step.id, ()):
            return True
        if name in ENDING and self._occasions["ended", step.id] >= _ENDING_MAX:
            return False
        is_late = step.deadline_at_ms is not None and name in _DELAYING
        return not is_late and self._is_drawn(name, step.id, step.attempt_count)

    def _happens_to_handler(self, name: Fault, step_id: str) -> bool:
        """The same for the faults that no attempt has; the step is the handler's or the handler."""
        if self.is_idle:
            return False
        number = self._occasions[name, step_id]
        self._count(self._occasions, (name, step_id))
        root_id = keys.root_of(keys.run_of(step_id))
        if name not in self._asked_of.get(root_id, ()) and not self._is_drawn(name, step_id, number):
            return False
        self._note(name, step_id)
        if name == "stale-results":
            self._asked_of.get(root_id, set()).discard(name)
        return True

    def _is_drawn(self, name: Fault, step_id: str, number: int) -> bool:
        return self.fraction(name, step_id, number) < self.probabilities[name]

    def _note(self, name: Fault, step_id: str, **more: int) -> None:
        self.made[name] += 1
        _log.info("fault", extra={"fault": name, "stepId": step_id, "seed": self.seed, **more})

    @staticmethod
    def _count(counter: Counter[Key], key: Key) -> None:
        """Count once more. Of a server that runs for weeks, the oldest are forgotten."""
        if key not in counter and len(counter) >= _STEPS_MAX:
            del counter[next(iter(counter))]
        counter[key] += 1


def _can(name: Fault, step: Step) -> bool:
    """Whether the fault can happen to the step's attempt without an end of the step."""
    spec = step.spec
    if name in COUNTED and step.retries_used >= spec.retry.count:
        return False
    if name == "503-retry-after" and not spec.retry.retries(503):
        return False
    return not (spec.fails_if_lost and (name in _LOSING or name == "double-call"))
