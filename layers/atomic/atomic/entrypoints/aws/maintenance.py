"""The maintenance function: a schedule finds what hints should have found."""

from collections.abc import Mapping
from typing import Any, Final

from atomic.application.sweep import purge, sweep
from atomic.entrypoints.aws.wiring import AwsHome

_LIMIT: Final = 1_000


class MaintenanceFunction:
    """The handler: sends hints for overdue roots, keeps what long runs still need, and says how many."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.home = AwsHome(environ)

    def __call__(self, _event: dict[str, Any], _context: Any) -> dict[str, int]:
        """Do one round."""
        return self.home.run(self._round())

    async def _round(self) -> dict[str, int]:
        swept = await sweep(self.home.engine, ahead_ms=0, limit=_LIMIT)
        return {"swept": swept, "purged": await purge(self.home.engine)}
