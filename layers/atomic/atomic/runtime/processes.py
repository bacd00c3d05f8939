"""Whether this process is the only one that works on its rows. Whatever depends on that stands here.

The same for both: rows are written under a condition, so that of two who do the same one loses; a run is
believed to stand as it was seen for five seconds (`application/run_cache`), and so is the number of a
client's live steps (`application/admission`).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from atomic.adapters.memory.notifier import MemoryNotifier
from atomic.adapters.system import SteadyClock, SystemClock
from atomic.application.backend import SharedCounts
from atomic.application.destinations import CountedRuns
from atomic.application.engine import Engine
from atomic.application.ports import Clock, Destinations, Notifier, StartRates
from atomic.application.rates import CountedStarts
from atomic.application.sweep import recover
from atomic.runtime.inflight import Tasks
from atomic.runtime.polling import PollingNotifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """What a process needs to get on with the others, or to do without.

    `recover` takes over at the start what earlier processes left; how many steps.
    """

    clock: Clock
    notifier: Notifier
    starts: StartRates
    destinations: Destinations
    recover: Callable[[Engine], Awaitable[int]]


def only_process(*, destination_runs: int) -> Processes:
    """It hears of every outcome, counts by itself, and what a row says is running nobody runs any more."""
    return Processes(
        clock=SteadyClock(),
        notifier=MemoryNotifier(),
        starts=CountedStarts(),
        destinations=CountedRuns(destination_runs),
        recover=recover,
    )


def one_of_several(tasks: Tasks, shared: SharedCounts) -> Processes:
    """Others settle steps, too, and run what a row says is running: that is left to its lease."""
    return Processes(
        clock=SystemClock(),
        notifier=PollingNotifier(tasks.is_busy),
        starts=shared.starts,
        destinations=shared.destinations,
        recover=_nothing,
    )


async def _nothing(_engine: Engine) -> int:
    return 0
