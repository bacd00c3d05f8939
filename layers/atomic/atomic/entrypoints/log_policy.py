"""What may stand in a log line: named fields and our own words. Everything else is left out.

Names, keys, URLs, payloads and answers are the clients' own, and exceptions quote them; a line names run
and step, by which their owner finds the rest.
"""

import copy
import logging
import re
import traceback
from typing import Final, TextIO

from atomic.application.ports import StoreUnavailable

FIELDS: Final = frozenset(
    {
        "attempt", "attemptsLeft", "clientId", "dataDir", "dev", "dueAtMs", "errorKind", "exception",
        "frames", "keyId", "leftOut", "messageId", "method", "outcome", "recovered", "runId", "status",
        "stepId", "stepStatus", "steps", "storeError", "url", "dashboard",
    }
)  # fmt: skip
_OWN: Final = "atomic"
_BLANK: Final = re.compile(r"%(?:\(\w+\))?[-#0 +]*(?:\*|\d+)?(?:\.(?:\*|\d+))?[a-zA-Z]")
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class AllowedLines(logging.StreamHandler[TextIO]):
    """Writes of each record what is allowed; other handlers of the process get the record as it was."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream)
        self.addFilter(OnlyAllowed())

    def handle(self, record: logging.LogRecord) -> bool:
        """Write a copy, since filters change what they are given."""
        return super().handle(copy.copy(record))


class OnlyAllowed(logging.Filter):
    """Takes from a record what is not on the list."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Every record passes, with less in it."""
        is_ours = record.name.partition(".")[0] == _OWN
        # What a library means by a name on the list (a `url`) is another thing.
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
            # Words of a library: the template, without what it was filled with.
            words = str(record.msg).partition("\n")[0]
            record.msg = _BLANK.sub("…", words).replace("%%", "%") if record.args else words
            record.args = ()
        return True


def _frames(error: BaseException) -> list[str]:
    return [
        f"{frame.filename}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
