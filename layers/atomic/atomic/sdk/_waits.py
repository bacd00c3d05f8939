"""How long a handler waits for its steps when `hang` says nothing, by what it keeps from others meanwhile.

Its steps call the same application. A handler that waits on the last free thread waits for a step that
cannot begin, so the wait is short where threads are few, and nothing where there is one. The handler then
suspends itself, which frees what it ran on, and is called again when a step is done.
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


def wsgi_wait_s(environ: Mapping[str, Any]) -> float:
    """The wait under a WSGI server, which says whether it calls the application from several threads.

    Other processes (`wsgi.multiprocess`) change nothing: each of them may hold a handler, too.
    """
    return THREAD_S if environ.get("wsgi.multithread") else ONLY_THREAD_S
