"""What this process remembers of runs, so that the steps of a run need no look at its root.

Forgetting costs a round trip, nothing else: every decision that matters is made by a conditional write.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

_RUNS_MAX: Final = 10_000
# Another process may have cancelled the run meanwhile; a look at the root every few seconds costs next to
# nothing. Far shorter than any retention, so that a run is never remembered longer than its root is kept.
_FRESH_MS: Final = 5_000


@dataclass(slots=True)
class KnownRun:
    """A run whose root exists."""

    client_id: str
    workflow_name: str
    root_identity: str
    root_url: str
    seen_at_ms: int
    cancelled: bool = False


class RunMemory:
    """The runs that this process saw last."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, KnownRun] = OrderedDict()

    def get(self, run_id: str, now_ms: int) -> KnownRun | None:
        """The run, unless it was not seen lately."""
        known = self._runs.get(run_id)
        return known if known and now_ms - known.seen_at_ms < _FRESH_MS else None

    def saw(self, run_id: str, known: KnownRun) -> None:
        """Remember that the run's root exists."""
        self._runs[run_id] = known
        self._runs.move_to_end(run_id)
        if len(self._runs) > _RUNS_MAX:
            self._runs.popitem(last=False)

    def cancelled(self, run_id: str) -> None:
        """Remember that the run takes no more steps."""
        if run_id in self._runs:
            self._runs[run_id].cancelled = True
