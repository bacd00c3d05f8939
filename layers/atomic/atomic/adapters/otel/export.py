"""Sends spans in a thread of its own, which no request and no attempt waits for."""

import logging
import threading
from collections import Counter, deque
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

_log: Final = logging.getLogger("atomic.traces")

# So many spans wait to be sent. Of further ones, none is kept.
QUEUE_MAX: Final = 8192
BATCH_MAX: Final = 512
EVERY_S: Final = 1.0
# How long the end of a server waits until the last spans are sent.
FLUSH_S: Final = 5.0


class SpanExport(SpanProcessor):
    """Takes the spans that have ended, and sends them in batches.

    `counts` says what became of them: "exported", "failed" (the collector did not take them) or "dropped"
    (too many were waiting).
    """

    def __init__(self, exporter: SpanExporter, every_s: float = EVERY_S) -> None:
        self._exporter = exporter
        self._every_s = every_s
        self._waiting: deque[ReadableSpan] = deque()
        self._wanted = threading.Event()
        self._is_ending = False
        self._takes = True
        self._under_way = 0
        self.counts = Counter(exported=0, failed=0, dropped=0)
        self._thread = threading.Thread(target=self._run, name="atomic-traces", daemon=True)
        self._thread.start()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """OpenTelemetry: a span has begun."""

    def on_end(self, span: ReadableSpan) -> None:
        """OpenTelemetry: a span has ended. Called by the event loop alone."""
        if len(self._waiting) >= QUEUE_MAX:
            self.counts["dropped"] += 1
            return
        self._waiting.append(span)
        if len(self._waiting) >= BATCH_MAX:
            self._wanted.set()

    def shutdown(self) -> None:
        """OpenTelemetry: send what is waiting, for some seconds at most. It blocks."""
        self._is_ending = True
        self._wanted.set()
        self._thread.join(FLUSH_S)
        # If the thread is still sending a batch, this ends the repeats.
        self._exporter.shutdown()
        counts, left = self.counts, self._under_way + len(self._waiting)
        if counts["failed"] or counts["dropped"] or left:
            _log.warning(
                "not all spans were exported: %d failed, %d were dropped, %d were left",
                counts["failed"],
                counts["dropped"],
                left,
            )

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """OpenTelemetry: nothing is held back here for longer than a second."""
        del timeout_millis
        return True

    def _run(self) -> None:
        is_last = False
        while not is_last:
            self._wanted.wait(self._every_s)
            self._wanted.clear()
            # Asked before the queue: what is in it when the server ends is sent, too.
            is_last = self._is_ending
            while self._waiting:
                self._send([self._waiting.popleft() for _ in range(min(BATCH_MAX, len(self._waiting)))])

    def _send(self, batch: list[ReadableSpan]) -> None:
        self._under_way = len(batch)
        try:
            is_taken = self._exporter.export(batch) is SpanExportResult.SUCCESS
        except Exception:
            # A batch that cannot be encoded must not end the thread.
            is_taken = False
        self._under_way = 0
        self.counts["exported" if is_taken else "failed"] += len(batch)
        if is_taken is not self._takes:
            self._takes = is_taken
            if is_taken:
                _log.info("the collector takes spans again")
            else:
                _log.warning("the collector takes no spans; the server goes on without them")
