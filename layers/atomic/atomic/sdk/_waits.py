"""How long a handler waits for its steps without an option `wait`: less where it holds what steps need.

Its steps call the same application. A handler that waits in a thread of few, or in an environment of
Lambda, may keep from its steps what they need to begin. So it waits for a short time there, or not at all:
it suspends itself, and is called again when a step is done.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from atomic.protocol.defaults import STEP_WAIT_MS

# On an event loop, or in a thread that was made for this call, which no other call needs.
OWN_S: Final = STEP_WAIT_MS / 1000
# In a thread of a WSGI server.
THREAD_S: Final = 0.25
# For a second, an environment of Lambda costs as much as being called again does (docs/workers.md).
ENVIRONMENT_S: Final = 1.0

_KEPT_FREE_MAX: Final = 8


class Threads:
    """The threads by which a WSGI server calls the endpoints of this process.

    Their number is unknown, but it is at least the number that were busy at a time. Half of them are kept
    free for steps, eight at most, which is what one interpreter can use. A handler beyond that does not
    wait: with four threads and 64 callers all others would wait for steps that wait for a thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy = self._most_busy = self._waiting = 0

    @contextmanager
    def serving(self, environ: Mapping[str, Any], *, is_workflow: bool) -> Iterator[float]:
        """A call is served while the context lasts; how long its handler may wait, in seconds.

        In a server with one thread no handler waits: no step of this process can begin before the handler
        has ended. Other processes (`wsgi.multiprocess`) change nothing, for each of them may hold a
        handler, too.
        """
        with self._lock:
            self._busy += 1
            self._most_busy = max(self._most_busy, self._busy)
            kept_free = min(_KEPT_FREE_MAX, (self._most_busy + 1) // 2)
            may_wait = (
                is_workflow
                and bool(environ.get("wsgi.multithread"))
                and self._waiting < max(1, self._most_busy - kept_free)
            )
            self._waiting += may_wait
        try:
            yield THREAD_S if may_wait else 0.0
        finally:
            with self._lock:
                self._busy -= 1
                self._waiting -= may_wait


THREADS: Final = Threads()
