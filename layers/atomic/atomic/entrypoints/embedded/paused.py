"""A server that is paused, and the one that goes on after it.

A file in the data directory says that the server was paused, so that the next one begins slowly. It is
deleted when there is no limit any more: a server that ends before begins slowly again.
"""

import logging
from functools import partial
from pathlib import Path
from typing import Final

from atomic.application.call_rate import CallRate
from atomic.application.ports import Clock
from atomic.entrypoints.embedded.settings import ServerSettings

_log = logging.getLogger("atomic.server")

PAUSED_FILE: Final = "paused"


def kept_call_rate(settings: ServerSettings, clock: Clock) -> CallRate | None:
    """The limit of calls with which a server starts; None if it was not paused before."""
    file = settings.data_dir / PAUSED_FILE
    if settings.paused:
        file.touch()
        _log.warning("paused: everything is kept, and nothing is called; start without --paused to go on")
    elif file.exists():
        _log.warning("going on after a pause", extra={"callsPerSecond": settings.calls_per_s_first})
    else:
        return None
    return CallRate(
        clock.now_ms,
        settings.calls_per_s_first,
        is_paused=settings.paused,
        tell=partial(_without_limit, file),
    )


def _without_limit(file: Path) -> None:
    file.unlink(missing_ok=True)
    _log.info("calls have no limit any more")
