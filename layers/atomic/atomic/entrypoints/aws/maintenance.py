"""The maintenance function: schedules find what hints should have found, and keep what runs still need."""

from collections.abc import Mapping
from typing import Any, Final

from atomic.application.sweep import purge, sweep
from atomic.entrypoints.aws.wiring import AwsHome

_LIMIT: Final = 1_000


class MaintenanceFunction:
    """The handler. Each schedule says in `work` what it is for: `sweep` often, `purge` once a day."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.home = AwsHome(environ)
        self._works = {"sweep": self._sweep, "purge": self._purge}

    def __call__(self, event: Mapping[str, Any], _context: Any) -> dict[str, int]:
        """Do one round; how many steps it was about."""
        return self.home.run(self._works[event["work"]]())

    async def _sweep(self) -> dict[str, int]:
        """Send hints for overdue roots."""
        return {"swept": await sweep(self.home.engine, ahead_ms=0, limit=_LIMIT)}

    async def _purge(self) -> dict[str, int]:
        """Keep what long runs still need; DynamoDB itself deletes the rest."""
        return {"purged": await purge(self.home.engine)}
