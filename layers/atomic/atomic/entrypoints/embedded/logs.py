"""Logs on standard error, as JSON or as text for people. Payloads, answers and keys are never logged."""

import json
import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Literal

from pythonjsonlogger.json import JsonFormatter

from atomic.entrypoints.log_policy import AllowedLines

_log = logging.getLogger("atomic.server")

_LINES_MAX: Final = 10
_WINDOW_S: Final = 10.0
# Only callers with a key cause these lines, which are the history of steps and of changes to clients.
_HISTORY: Final = ("stepId", "clientId", "keyId")


class NoFlood(logging.Filter):
    """Passes ten lines in ten seconds from one line of code; the next line counts those left out.

    Anyone who can reach the port can cause log lines, for example by malformed requests. This must not fill
    the disk.
    """

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic_s = monotonic_s
        self._origins: dict[tuple[str, int], _Origin] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record passes."""
        if any(hasattr(record, name) for name in _HISTORY):
            return True
        now_s = self._monotonic_s()
        origin = self._origins.setdefault((record.pathname, record.lineno), _Origin(now_s))
        if now_s >= origin.began_s + _WINDOW_S:
            origin.began_s, origin.passed = now_s, 0
        if origin.passed == _LINES_MAX:
            origin.left_out += 1
            return False
        origin.passed += 1
        if origin.left_out:
            record.leftOut, origin.left_out = origin.left_out, 0
        return True


class _Origin:
    """The recent log lines from one line of code."""

    def __init__(self, began_s: float) -> None:
        self.began_s = began_s
        self.passed = 0
        self.left_out = 0


class ForPeople(JsonFormatter):
    """The same fields as text: time of day, level, message, and the others as `name=value`."""

    def serialize_log_record(self, log_data: dict[str, Any]) -> str:
        """The line; the frames of an error follow, each on a line of its own."""
        fields = dict(log_data)
        time_of_day = fields.pop("time").astimezone().strftime("%H:%M:%S")
        level, message, frames = fields.pop("level"), fields.pop("message"), fields.pop("frames", [])
        del fields["logger"]
        words = [time_of_day, f"{level:<8}", message if message.isprintable() else json.dumps(message)]
        words += [f"{name}={_one_word(value)}" for name, value in fields.items() if value is not None]
        return "\n    ".join([" ".join(words), *frames])


def _one_word(value: object) -> str:
    """The value as JSON, without quotes where the end of a text is clear."""
    is_clear = isinstance(value, str) and value.isprintable() and value and " " not in value
    return str(value) if is_clear else json.dumps(value)


def line_format(*, is_text: bool) -> JsonFormatter:
    """How records are written: as text for people, or as JSON."""
    return (ForPeople if is_text else JsonFormatter)(
        "{levelname}{name}{message}",
        style="{",
        rename_fields={"levelname": "level", "name": "logger"},
        timestamp="time",
    )


def configure_logs(level: str, form: Literal["auto", "json", "text"] = "auto") -> None:
    """Write every log record of the process to standard error, and every uncaught error as one.

    `auto` is text on a terminal, else JSON.
    """
    handler = AllowedLines(sys.stderr)
    handler.setFormatter(line_format(is_text=form == "text" or (form == "auto" and sys.stderr.isatty())))
    handler.addFilter(NoFlood())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # It says that the process has started and ended, which our own lines say better.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    # Python's own hooks would write the texts of exceptions, which may quote what a client sent.
    sys.excepthook = lambda _kind, error, _trace: _log.critical("uncaught error", exc_info=error)
    threading.excepthook = lambda thrown: _log.critical("a thread crashed", exc_info=thrown.exc_value)
    sys.unraisablehook = lambda thrown: _log.error("an error was ignored", exc_info=thrown.exc_value)
