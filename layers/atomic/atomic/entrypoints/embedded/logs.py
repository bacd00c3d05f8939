"""JSON logs: one object a line, on standard error. Payloads, answers and keys are never logged."""

import logging
import sys
import threading

from pythonjsonlogger.json import JsonFormatter

from atomic.entrypoints.log_policy import OnlyAllowed

_log = logging.getLogger("atomic.server")


def configure_logs(level: str) -> None:
    """Send every log record of the process to standard error as JSON, and what nobody caught as one."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(
            "{levelname}{name}{message}",
            style="{",
            rename_fields={"levelname": "level", "name": "logger"},
            timestamp="time",
        )
    )
    handler.addFilter(OnlyAllowed())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Python's own hooks would write the texts of exceptions, which may quote what a client sent.
    sys.excepthook = lambda _kind, error, _trace: _log.critical("nobody caught an error", exc_info=error)
    threading.excepthook = lambda thrown: _log.critical("a thread broke off", exc_info=thrown.exc_value)
    sys.unraisablehook = lambda thrown: _log.error("an error was ignored", exc_info=thrown.exc_value)
