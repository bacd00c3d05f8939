"""Limits how many runs of a client may have attempts at one destination, and paces deferred steps.

A destination that accepts calls and never answers them would otherwise hold every socket of this process.
Runs are counted, not attempts: a run that has a permit needs no further one for its own steps, so a
workflow never waits for its own permit. `enter` never blocks: a step that gets no permit is deferred until
`defer_until_ms`, and uses no retry.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Final, Protocol, Self

from atomic.domain.outcomes import EndpointResponse
from atomic.domain.steps import Step, StepSpec
from atomic.protocol.urls import parse_url

RUNS_MAX: Final = 1000
# However many steps are deferred at a destination, 200 of them per second try again.
TRY_EVERY_MS: Final = 5
_TRY_AFTER_MS: Final = 1_000
_DESTINATIONS_MAX: Final = 10_000

# Client id and origin: the same origin of two clients is two destinations.
Destination = tuple[str, str]


class Observer(Protocol):
    """Is told how an attempt ends, in order to learn how many its origin bears."""

    def begins(self, step_id: str) -> None:
        """The attempt is of this step."""
        ...

    def ended(self, answer: EndpointResponse, wall_ms: Callable[[], int]) -> None:
        """The attempt ended so."""
        ...

    def leave(self) -> None:
        """The attempt is over, or was not made. Further calls do nothing."""
        ...


class Permit:
    """Permission for one attempt at its destination, as an asynchronous context manager.

    It is released once, at the end of the block. After `pass_on`, the other permit's block releases it.
    """

    __slots__ = ("_release", "observer")

    def __init__(
        self, release: Callable[[], Awaitable[None]] | None = None, observer: Observer | None = None
    ) -> None:
        """`release` gives the permit back and does not raise; None when there is nothing to give back."""
        self._release = release
        self.observer = observer

    def pass_on(self) -> "Permit":
        """A permit for another block; this one holds nothing any more."""
        passed = Permit(self._release, self.observer)
        self._release = self.observer = None
        return passed

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        release, observer = self._release, self.observer
        self._release = self.observer = None
        if observer is not None:
            observer.leave()
        if release is not None:
            await release()


@dataclass(frozen=True, slots=True)
class Claim:
    """A step whose next attempt this process makes: the row is claimed, and the permit is held."""

    step: Step
    permit: Permit


def destination_of(spec: StepSpec) -> Destination | None:
    """The destination of the step's attempts; None for a step that calls nothing."""
    return (spec.client_id, origin_of(spec.url)) if spec.url else None


class Pacer:
    """Paces the deferred steps of a destination: each may try again after a time, one after the other."""

    def __init__(self, every_ms: int = TRY_EVERY_MS, after_ms: int = _TRY_AFTER_MS) -> None:
        self._every_ms = every_ms
        self._after_ms = after_ms
        self._next_ms: dict[Destination | None, int] = {}

    def defer_until_ms(self, destination: Destination | None, now_ms: int) -> int:
        """The time at which a step that is deferred now may try again."""
        if len(self._next_ms) >= _DESTINATIONS_MAX:
            self._next_ms = {to: next_ms for to, next_ms in self._next_ms.items() if next_ms > now_ms}
        until_ms = max(self._next_ms.get(destination, 0), now_ms + self._after_ms)
        self._next_ms[destination] = until_ms + self._every_ms
        return until_ms


class CountedRuns:
    """Implements `ports.Destinations` for a runtime of one process: it counts its own attempts."""

    def __init__(self, most: int = RUNS_MAX) -> None:
        self._most = most
        self._inside: dict[Destination, Counter[str]] = {}
        self._pacer = Pacer()

    async def enter(self, spec: StepSpec) -> Permit | None:
        """A permit for an attempt; None when the maximum of other runs have permits."""
        destination = destination_of(spec)
        if destination is None:
            return Permit()
        attempts = self._inside.setdefault(destination, Counter())
        if spec.run_id not in attempts and len(attempts) >= self._most:
            return None
        attempts[spec.run_id] += 1
        return Permit(partial(self._leave, destination, spec.run_id))

    async def _leave(self, destination: Destination, run_id: str) -> None:
        attempts = self._inside[destination]
        attempts[run_id] -= 1
        if not attempts[run_id]:
            del attempts[run_id]
        if not attempts:
            del self._inside[destination]

    def defer_until_ms(self, spec: StepSpec, now_ms: int) -> int:
        """The time at which a step that got no permit may try again."""
        return self._pacer.defer_until_ms(destination_of(spec), now_ms)


@lru_cache(maxsize=4096)
def origin_of(url: str) -> str:
    """The scheme, host and port of a URL; the URL itself if it cannot be called."""
    try:
        scheme, host, port, *_ = parse_url(url)
    except ValueError:
        # Such an attempt ends without a call.
        return url
    return f"{scheme}://{host}:{port}"
