"""The maintenance function: finds overdue steps, and extends the retention of rows that runs still need."""

from collections.abc import Mapping
from typing import Any, Final

from atomic.application.sweep import purge, sweep
from atomic.entrypoints.aws.wiring import AwsRuntime

_LIMIT: Final = 1_000


class MaintenanceFunction:
    """The Lambda handler. `work` of the schedule's event says what to do: `sweep` often, `purge` daily."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.runtime = AwsRuntime(environ)
        self._works = {"sweep": self._sweep, "purge": self._purge}

    def __call__(self, event: Mapping[str, Any], _context: Any) -> dict[str, int]:
        """Do one round; the number of steps."""
        return self.runtime.run(self._works[event["work"]]())

    async def _sweep(self) -> dict[str, int]:
        """Send wake-ups for overdue roots."""
        return {"swept": await sweep(self.runtime.engine, ahead_ms=0, limit=_LIMIT)}

    async def _purge(self) -> dict[str, int]:
        """Extend the retention of rows that long runs still need; DynamoDB deletes the others."""
        return {"purged": await purge(self.runtime.engine)}
