"""Everything that depends on whether this process is the only one that works on its rows.

Two things are the same either way. Each write is conditional, so one of two processes that do the same
loses. A run (`application/engine`) and the number of a client's live steps (`application/admission`)
are cached for some seconds.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from atomic.adapters.memory.wakeups import MemoryNotifier
from atomic.adapters.system import SteadyClock, SystemClock
from atomic.application.backend import SharedCounts
from atomic.application.destinations import CountedRuns
from atomic.application.engine import Engine
from atomic.application.ports import Clock, Destinations, Notifier, StartRates
from atomic.application.rates import CountedStarts
from atomic.application.server_store import ServerStore
from atomic.application.sweep import recover
from atomic.runtime.inflight import Tasks
from atomic.runtime.polling import PollingNotifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """The parts of a server that differ between one process and several on the same store.

    `recover` takes over, at the start, the steps that earlier processes left; it returns their number.
    """

    clock: Clock
    notifier: Notifier
    starts: StartRates
    destinations: Destinations
    recover: Callable[[Engine, ServerStore], Awaitable[int]]


def only_process(*, destination_runs: int) -> Processes:
    """For the only process: it sees every outcome, counts alone, and takes over every running step."""
    return Processes(
        clock=SteadyClock(),
        notifier=MemoryNotifier(),
        starts=CountedStarts(),
        destinations=CountedRuns(destination_runs),
        recover=recover,
    )


def one_of_several(tasks: Tasks, shared: SharedCounts) -> Processes:
    """For one of several: others settle steps, too, and a running step is theirs until its lease ends."""
    return Processes(
        clock=SystemClock(),
        notifier=PollingNotifier(tasks.is_busy),
        starts=shared.starts,
        destinations=shared.destinations,
        recover=_nothing,
    )


async def _nothing(_engine: Engine, _store: ServerStore) -> int:
    return 0
