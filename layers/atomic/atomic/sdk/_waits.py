"""How long a handler waits for its steps when `hang` says nothing, by what it keeps from others meanwhile.

Its steps call the same application. A handler that waits in a thread of few, or in an environment of
Lambda, may keep from its steps what they need to begin. So the wait is short there, and there is none
while it is seldom enough. The handler suspends itself then, and is called again when a step is done.
"""

from collections.abc import Mapping
from typing import Any, Final

from atomic.protocol.defaults import STEP_WAIT_MS

# On an event loop, or in a thread that was made for this call: nobody else needs it.
OWN_S: Final = STEP_WAIT_MS / 1000
# In one of a server's few threads.
THREAD_S: Final = 0.25
# In the only thread: no step of this process can begin before the handler has ended.
ONLY_THREAD_S: Final = 0.0
# An environment of Lambda costs as much for a second as being called again does (docs/workers.md).
ENVIRONMENT_S: Final = 1.0

# A function goes without waiting while fewer than a quarter of its waits are long enough, and tries again.
_WORTH_IT: Final = 0.25
_WEIGHT: Final = 0.125
_TRY_EVERY: Final = 16


def wsgi_wait_s(environ: Mapping[str, Any]) -> float:
    """The longest wait under a WSGI server, which says whether it has several threads.

    Other processes (`wsgi.multiprocess`) change nothing: each of them may hold a handler, too.
    """
    return THREAD_S if environ.get("wsgi.multithread") else ONLY_THREAD_S


class Waits:
    """What the waits of one function have come to, in this process.

    Where steps wait for the threads that handlers hold, every wait runs out: with four threads and 64
    callers, handlers that do not wait get seven times as many runs done. First calls alone tell, since
    every step was before them. Threads may share it: what one of them overwrites is not missed.
    """

    def __init__(self) -> None:
        # The share of waits that were long enough; each new one counts for an eighth.
        self._share = 1.0
        self._passed_over = 0

    def next_s(self, longest_s: float, *, is_first: bool) -> float:
        """How long the next call waits: as long as may be, or not at all."""
        if self._share >= _WORTH_IT:
            return longest_s
        self._passed_over += is_first
        return longest_s if is_first and self._passed_over % _TRY_EVERY == 0 else 0.0

    def saw(self, wait_s: float, elapsed_s: float, *, suspended: bool) -> None:
        """A first call ended after so long. One that suspended itself sooner waited for nothing."""
        if wait_s > 0 and (elapsed_s >= wait_s or not suspended):
            self._share += (float(not suspended) - self._share) * _WEIGHT
