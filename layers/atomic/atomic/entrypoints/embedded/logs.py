"""JSON logs: one object a line, on standard error. Payloads, answers and keys are never logged."""

import logging
import sys

from pythonjsonlogger.json import JsonFormatter

from atomic.entrypoints.log_policy import OnlyAllowed


def configure_logs(level: str) -> None:
    """Send every log record of the process to standard error as JSON."""
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
