"""From when a stack on AWS makes calls: none before a moment, and then the runs go on one after the other.

Its processes count no calls together. So the id of a run alone decides when the run goes on, and each
process comes to the same moment without asking anybody.
"""

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from atomic.domain.steps import StepSpec
from atomic.protocol import keys

# Within this time after the moment all runs go on. In each tenth of it, twice as many as in the one before.
SLOWLY: Final = timedelta(minutes=10)
_DOUBLINGS: Final = 10
# A step that is kept looks again after so long, since the moment may be changed. A message of SQS has a
# delay of 15 minutes at most.
_LOOK_AFTER: Final = timedelta(minutes=10)
_LOOKS_WITHIN: Final = timedelta(minutes=4)
_MS: Final = timedelta(milliseconds=1)


class CallsFrom:
    """Implements `call_limit.CallLimit`. `from_ms`: the moment; None while the stack is paused."""

    def __init__(self, now_ms: Callable[[], int], from_ms: int | None) -> None:
        self._clock = now_ms
        self._from_ms = from_ms

    def per_s(self) -> int | None:
        """0 before the moment; None afterwards, because the calls are not counted."""
        return 0 if self._from_ms is None or self._clock() < self._from_ms else None

    def take(self, spec: StepSpec, /) -> bool:
        """Whether the run of the step goes on."""
        moment_ms = self._goes_on_ms(spec.run_id)
        return moment_ms is not None and moment_ms <= self._clock()

    def defer_until_ms(self, spec: StepSpec, /, now_ms: int) -> int | None:
        """When its run goes on, or when it looks again; None when its run goes on."""
        look_ms = now_ms + (_LOOK_AFTER + keys.share(spec.run_id) * _LOOKS_WITHIN) // _MS
        moment_ms = self._goes_on_ms(spec.run_id)
        if moment_ms is None:
            return look_ms
        return None if moment_ms <= now_ms else min(moment_ms, look_ms)

    def _goes_on_ms(self, run_id: str) -> int | None:
        """Runs that go on until a time after the moment: 2^(10 x) - 1, where x is its part of `SLOWLY`."""
        if self._from_ms is None or self._clock() >= self._from_ms + SLOWLY // _MS:
            return self._from_ms
        part = math.log2(1 + keys.share(run_id) * (2**_DOUBLINGS - 1)) / _DOUBLINGS
        return self._from_ms + math.ceil(part * SLOWLY / _MS)
