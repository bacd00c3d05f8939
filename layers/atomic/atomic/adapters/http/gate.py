"""Circuit breaker: limits concurrent dials per client and origin, and backs off after repeated failures.

Open connections are not limited: a workflow holds its connection while it waits for its steps, which a
limit would starve.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from atomic.adapters.http.connection import Origin
from atomic.domain.outcomes import NotMade, StepError
from atomic.protocol.error_kinds import ErrorKind

DIALS_MAX: Final = 64
FAILURES_MAX: Final = 32
_PAUSE_FIRST_S: Final = 0.5
_PAUSE_MAX_S: Final = 10.0
_ORIGINS_MAX: Final = 10_000


class Unreachable(Exception):
    """No connection could be opened; the message says why."""

    def __init__(self, why: str, kind: ErrorKind = ErrorKind.NETWORK) -> None:
        super().__init__(why)
        self.kind = kind


class NotDialled(Exception):
    """Atomic itself did not try to connect, so the origin is not to blame.

    `again_s`: in how many seconds one may be tried.
    """

    def __init__(self, kind: ErrorKind, why: str, again_s: float = 0.0) -> None:
        super().__init__(why)
        self.not_made = NotMade(StepError(kind, why), round(again_s * 1000))


@dataclass(slots=True)
class _Origin:
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(DIALS_MAX))
    failures: int = 0
    last_failure: str = ""
    pause_s: float = _PAUSE_FIRST_S
    closed_until_s: float = 0.0
    # Since when an attempt has been probing whether the origin answers again.
    tried_since_s: float | None = None


class DialGate:
    """Lets a client open `DIALS_MAX` connections to an origin at a time.

    After `failures_max` failures in a row it admits one dial after a pause, which doubles from 0.5 s to
    10 s, and defers the others. The first connection that opens resets it.
    Each client has its own count: attempts with a time-out of 1 ms fail at any origin, and must not affect
    other clients.
    """

    def __init__(self, failures_max: int = FAILURES_MAX) -> None:
        self._failures_max = failures_max
        self._origins: dict[tuple[str, Origin], _Origin] = {}

    @asynccontextmanager
    async def passing(self, client_id: str, origin: Origin) -> AsyncIterator[None]:
        """Open a connection within this context; raises NotDialled while the gate is closed."""
        key = (client_id, origin)
        state = self._state(key)
        async with state.slots:
            self._pass(state)
            try:
                yield
            except NotDialled:
                raise
            except BaseException as failure:
                # A cancellation means that the attempt timed out.
                state.failures += 1
                state.last_failure = str(failure) or "no connection within the time"
                raise
            finally:
                state.tried_since_s = None
        self._origins.pop(key, None)

    def _state(self, key: tuple[str, Origin]) -> _Origin:
        if len(self._origins) >= _ORIGINS_MAX:
            del self._origins[next(iter(self._origins))]
        return self._origins.setdefault(key, _Origin())

    def _pass(self, state: _Origin) -> None:
        if state.failures < self._failures_max:
            return
        now_s = asyncio.get_running_loop().time()
        if now_s < state.closed_until_s:
            again_s = state.closed_until_s - now_s
            if state.tried_since_s is not None:
                # A probe is running; wait as long again as it has taken so far.
                again_s = min(again_s, now_s - state.tried_since_s)
            why = f"{state.last_failure} ({state.failures} times in a row)"
            raise NotDialled(ErrorKind.CIRCUIT_OPEN, why, again_s)
        # This dial is the probe; others are refused until its result is known, or for the pause.
        state.tried_since_s = now_s
        state.closed_until_s = now_s + state.pause_s
        state.pause_s = min(2 * state.pause_s, _PAUSE_MAX_S)
