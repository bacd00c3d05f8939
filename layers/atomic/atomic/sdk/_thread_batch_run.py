"""Runs a batch of a `def` handler. Its posts and its branches run in threads."""

import queue
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final

from atomic.sdk._api import Outcome
from atomic.sdk._batch_progress import Ask
from atomic.sdk._batch_run import TOLD_S, BatchCall, BatchRun, Branch
from atomic.sdk._batches import Batch
from atomic.sdk._context import StepCall
from atomic.sdk.errors import Suspended

_THREADS_MAX: Final = 32


class ThreadBatchRun(BatchRun):
    """A batch in one call of its handler. `ask` posts a step; `enter` runs a branch in its scope."""

    def __init__(
        self,
        batch: BatchCall,
        open_steps: Mapping[str, object],
        ask: Callable[[StepCall[Any]], Outcome],
        enter: Callable[[Branch], Any],
        *,
        is_replay: bool,
    ) -> None:
        super().__init__(batch, open_steps, _THREADS_MAX, is_replay=is_replay)
        self._post = ask
        self._enter = enter
        self._pool = ThreadPoolExecutor(min(batch.count, _THREADS_MAX), "atomic-batch")
        # The threads put their reports here, and the thread of the handler takes them.
        self._reports: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._under_way = 0
        self._branches: list[Branch] = []

    def run(self, left_s: Callable[[], float], record: Callable[[Any], Any]) -> Batch[Any]:
        """Run the batch to its end. `record` posts this end, and returns the end that was recorded first.

        Raises Suspended when the batch has to wait.
        """
        try:
            while True:
                self._start(left_s())
                if self.progress.may_end:
                    self._hear_of_others()
                    self.progress.end()
                if self.progress.is_over:
                    if not self.progress.needs_record:
                        return self._finished()
                    self.progress.adopt(record(self._end()))
                elif self._under_way:
                    self._hear(self._reports.get())
                else:
                    raise Suspended(self.progress.cause)
        finally:
            # Threads that still run end by themselves, and their reports are not read.
            for branch in self._branches:
                branch.is_left = True
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _hear(self, report: Callable[[], None]) -> None:
        self._under_way -= 1
        report()

    def _hear_of_others(self) -> None:
        """In a replay, wait briefly for other items that may have ended earlier."""
        until_s = time.monotonic() + TOLD_S
        while self._is_ordered and self._under_way and (left_s := until_s - time.monotonic()) > 0:
            with suppress(queue.Empty):
                self._hear(self._reports.get(timeout=left_s))
        self._is_ordered = False

    def _run_branch(self, index: int, branch: Branch) -> None:
        self._branches.append(branch)

        def run() -> Callable[[], None]:
            try:
                result = self._enter(branch)
            except Suspended as signal:
                cause = signal.cause
                return lambda: self._take_unfinished(Ask(index, is_brief=False), cause)
            except Exception as error:
                failed = error
                return lambda: self.progress.ended(index, error=failed, ended_at=branch.ended_at)
            return lambda: self.progress.ended(index, result=result, ended_at=branch.ended_at)

        self._submit(run)

    def _ask(self, ask: Ask, step_call: StepCall[Any]) -> None:
        def post() -> Callable[[], None]:
            try:
                answer: Outcome | Suspended | Exception = self._post(step_call)
            except (Suspended, Exception) as raised:
                answer = raised
            return lambda: self._take(ask, step_call, answer)

        self._submit(post)

    def _submit(self, work: Callable[[], Callable[[], None]]) -> None:
        def report() -> None:
            try:
                self._reports.put(work())
            except BaseException as raised:
                failure = raised
                self._reports.put(lambda: _raise(failure))

        self._under_way += 1
        self._pool.submit(report)

    def _suspend(self, cause: Exception) -> None:
        raise Suspended(cause)


def _raise(error: BaseException) -> None:
    raise error
