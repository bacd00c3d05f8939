"""The maintenance function: it finds what wake-ups missed, and keeps what runs still need."""

from collections.abc import Mapping
from typing import Any, Final

from atomic.application.sweep import purge, sweep
from atomic.entrypoints.aws.wiring import AwsRuntime

_LIMIT: Final = 1_000


class MaintenanceFunction:
    """The handler. Each schedule says in `work` what it is for: `sweep` often, `purge` once a day."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.runtime = AwsRuntime(environ)
        self._works = {"sweep": self._sweep, "purge": self._purge}

    def __call__(self, event: Mapping[str, Any], _context: Any) -> dict[str, int]:
        """Do one round; how many steps it was about."""
        return self.runtime.run(self._works[event["work"]]())

    async def _sweep(self) -> dict[str, int]:
        """Send wake-ups for overdue roots."""
        return {"swept": await sweep(self.runtime.engine, ahead_ms=0, limit=_LIMIT)}

    async def _purge(self) -> dict[str, int]:
        """Keep what long runs still need; DynamoDB itself deletes the rest."""
        return {"purged": await purge(self.runtime.engine)}
