"""How many runs of a client have attempts under way to one destination, and whose turn it is beyond that.

A destination that accepts calls and never answers them would otherwise hold every socket of this process.
Runs are counted, not attempts: a run that is inside takes no further place for its own steps, so a workflow
never waits for the place that it holds itself. Nobody waits here: who gets no place is told when to come
again, and its step keeps its retries.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from atomic.domain.steps import StepSpec
from atomic.protocol.urls import parse_url

_TURN_FIRST_MS: Final = 1_000
# However many wait for a destination, so many a second look whether there is a place: 200.
_TURN_EVERY_MS: Final = 5


@dataclass(slots=True)
class _Crowd:
    """The runs inside, each with its attempts under way; when the next one without a place may come."""

    attempts: dict[str, int] = field(default_factory=dict)
    next_turn_ms: int = 0


class Destinations:
    """Counts the attempts of this process. A step that calls nothing always has a place and takes none."""

    def __init__(self) -> None:
        self._crowds: dict[tuple[str, str], _Crowd] = {}

    def enter(self, spec: StepSpec, most: int) -> bool:
        """Take a place for an attempt; False when as many runs as may be are inside, and this is none."""
        if not spec.url:
            return True
        crowd = self._crowds.setdefault((spec.client_id, _origin(spec.url)), _Crowd())
        under_way = crowd.attempts.get(spec.run_id, 0)
        if not under_way and len(crowd.attempts) >= most:
            return False
        crowd.attempts[spec.run_id] = under_way + 1
        return True

    def leave(self, spec: StepSpec) -> None:
        """Give the place back."""
        key = (spec.client_id, _origin(spec.url)) if spec.url else None
        if key is None or key not in self._crowds:
            return
        attempts = self._crowds[key].attempts
        left = attempts.pop(spec.run_id, 1) - 1
        if left:
            attempts[spec.run_id] = left
        elif not attempts:
            del self._crowds[key]

    def turn_ms(self, spec: StepSpec, now_ms: int) -> int:
        """The moment at which a step that got no place may try again: one after the other."""
        crowd = self._crowds.setdefault((spec.client_id, _origin(spec.url)), _Crowd())
        turn_ms = max(crowd.next_turn_ms, now_ms + _TURN_FIRST_MS)
        crowd.next_turn_ms = turn_ms + _TURN_EVERY_MS
        return turn_ms


@lru_cache(maxsize=4096)
def _origin(url: str) -> str:
    try:
        scheme, host, port, *_ = parse_url(url)
    except ValueError:
        # Its attempt ends before it calls anybody.
        return url
    return f"{scheme}://{host}:{port}"
