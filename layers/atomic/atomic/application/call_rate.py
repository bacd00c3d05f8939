"""How many calls a second a server begins: none while it is paused, and after that more and more.

A paused server takes and keeps everything. When it goes on, all that has come due meanwhile is due at once,
and would be the next overload for the endpoints. So the rate begins low and doubles, until it is as high as
the rate at which a server begins due steps anyway. From then on there is no limit.
"""

import math
from collections.abc import Callable
from typing import Final

from atomic.domain.steps import StepSpec

DOUBLES_EVERY_MS: Final = 10_000
# At the usual settings, a driver begins so many due steps a second.
ENDS_PER_S: Final = 500
# Calls that were not made in one second may be made in the next one.
_BURST_MS: Final = 1_000
# So many steps a second look whether the server goes on, each after this time or later.
_LOOKS_PER_S: Final = 50
_LOOK_AFTER_MS: Final = 5_000
_AGAIN_AFTER_MS: Final = 250


class CallRate:
    """Implements `call_limit.CallLimit` for one process, whatever the step.

    `tell`: told once, when there is no limit any more.
    """

    def __init__(
        self,
        now_ms: Callable[[], int],
        first_per_s: int,
        *,
        is_paused: bool,
        tell: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin with nothing if the server is paused, otherwise with `first_per_s`."""
        self._clock = now_ms
        self._seen_ms = now_ms()
        self._first_per_s = first_per_s
        self._tell = tell
        self._began_ms = None if is_paused else self._seen_ms
        self._is_over = False
        # Up to when the calls that were made have used the rate up.
        self._used_until_ms = float(self._seen_ms)
        self._next_look_ms = 0.0

    def per_s(self) -> int | None:
        """How many calls may begin within a second now; None without a limit."""
        if self._is_over:
            return None
        if self._began_ms is None:
            return 0
        age_ms = self._now_ms() - self._began_ms
        doublings = min(age_ms / DOUBLES_EVERY_MS, math.log2(ENDS_PER_S))
        rate = int(self._first_per_s * 2**doublings)
        if rate < ENDS_PER_S:
            return rate
        self._is_over = True
        self._tell()
        return None

    def take(self, _: StepSpec, /) -> bool:
        """Whether a call may begin now."""
        per_s = self.per_s()
        if not per_s:
            return per_s is None
        now_ms = self._now_ms()
        begins_ms = max(self._used_until_ms, now_ms - _BURST_MS)
        if begins_ms > now_ms:
            return False
        self._used_until_ms = begins_ms + 1000 / per_s
        return True

    def defer_until_ms(self, _: StepSpec, /, now_ms: int) -> int | None:
        """When a step that may not be called asks again: one after the other. None without a limit."""
        per_s = self.per_s()
        if per_s is None:
            return None
        each_ms = 1000 / (per_s or _LOOKS_PER_S)
        first_ms = now_ms + (_AGAIN_AFTER_MS if per_s else _LOOK_AFTER_MS)
        at_ms = max(self._next_look_ms, first_ms)
        self._next_look_ms = at_ms + each_ms
        return math.ceil(at_ms)

    def _now_ms(self) -> int:
        now_ms = self._clock()
        if now_ms < self._seen_ms:
            # The clock was set back. The time that has passed is unknown, so the rate begins again.
            self._began_ms = None if self._began_ms is None else now_ms
            self._used_until_ms, self._next_look_ms = float(now_ms), 0.0
        self._seen_ms = now_ms
        return now_ms
