"""What a log line may contain: fields on a list and our own texts. Everything else is left out.

Names, keys, URLs, payloads and answers belong to the clients, and exceptions may quote them. A line has the
ids of run and step, by which the client finds the rest.
"""

import copy
import logging
import re
import traceback
from typing import Final, TextIO

from atomic.application.ports import StoreUnavailable

FIELDS: Final = frozenset(
    {
        "action", "attempt", "attemptsLeft", "clientId", "dataDir", "dev", "dueAtMs", "errorKind",
        "exception", "fault", "frames", "keyId", "leftOut", "limit", "messageId", "method", "outcome",
        "profile", "recovered", "restsMs", "runId", "seed", "status", "stepId", "stepStatus", "steps",
        "storeError", "underWay", "url", "dashboard", "waiting",
    }
)  # fmt: skip
_OWN: Final = "atomic"
_BLANK: Final = re.compile(r"%(?:\(\w+\))?[-#0 +]*(?:\*|\d+)?(?:\.(?:\*|\d+))?[a-zA-Z]")
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class AllowedLines(logging.StreamHandler[TextIO]):
    """Writes the allowed parts of each record. Other handlers of the process get the whole record."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream)
        self.addFilter(OnlyAllowed())

    def handle(self, record: logging.LogRecord) -> bool:
        """Write a copy of the record, since filters change their record."""
        return super().handle(copy.copy(record))


class OnlyAllowed(logging.Filter):
    """Removes from a record what is not on the list."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Remove what is not allowed. Every record passes."""
        is_ours = record.name.partition(".")[0] == _OWN
        # A library's field may have a name on the list (such as `url`) with another meaning.
        for name in vars(record).keys() - _STANDARD - (FIELDS if is_ours else frozenset()):
            delattr(record, name)
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            record.exception = type(error).__name__
            record.frames = _frames(error)
            if isinstance(error, StoreUnavailable) and error.kind is not None:
                record.storeError = error.kind
        # The text of an exception may quote what a client sent.
        record.exc_info = record.exc_text = record.stack_info = None
        if not is_ours:
            # A library's text: only the template, without its arguments.
            words = str(record.msg).partition("\n")[0]
            record.msg = _BLANK.sub("…", words).replace("%%", "%") if record.args else words
            record.args = ()
        return True


def _frames(error: BaseException) -> list[str]:
    return [
        f"{frame.filename}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
