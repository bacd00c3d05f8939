"""The one writer: group commit.

All operations that wait at a moment run in one transaction and share one fsync. The statements run on the
event loop's thread, since they take microseconds and rarely need the disk. The COMMIT, which waits for the
disk (and copies the log when it has grown), runs in the writer's own thread. Running the statements there,
too, was measured: it competes with a busy loop for the interpreter and costs a quarter more CPU.

No result is returned before the commit that makes it durable.
"""

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import apsw

from atomic.application.ports import StoreUnavailable

T = TypeVar("T")
# A transaction blocks the loop for some 20 us an operation.
_BATCH_MAX: Final = 256
_BUSY_TIMEOUT_MS: Final = 5_000
# After these errors it is unknown what is on the disk; only a restart can read it.
_FATAL: Final = (apsw.IOError, apsw.CorruptError, apsw.NotADBError)

_Work = tuple[Callable[..., Any], tuple[Any, ...], "asyncio.Future[Any]"]
_Then = Callable[[Exception | None], None]


class Writer:
    """Takes over the writing connection. Create and use it on the running event loop.

    `on_fatal` is called once, on the loop, when the file can no longer be trusted; all writes fail then.
    """

    def __init__(self, connection: apsw.Connection, *, on_fatal: Callable[[str], None]) -> None:
        self._connection = connection
        self._on_fatal = on_fatal
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Work] = deque()
        self._batch: list[_Work] = []
        self._outcomes: list[tuple[Any, Exception | None]] = []
        self._busy = False
        self._refusal: str | None = None
        self._fatal = False
        self._log_is_to_be_emptied = False
        self._idle: asyncio.Future[None] | None = None
        self._jobs: queue.SimpleQueue[tuple[Callable[[], object], _Then] | None] = queue.SimpleQueue()
        # The loop must not wait while another process has the file locked; the thread may.
        connection.set_busy_timeout(0)
        self._thread = threading.Thread(target=self._work, name="atomic-sqlite-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[..., T], *arguments: Any) -> "asyncio.Future[T]":
        """Call `work(*arguments)` within the next transaction: its result, once that is durable.

        `work` executes statements on the writing connection. It may raise only before its first write. Its
        own exceptions go to its caller alone; those of SQLite fail the whole transaction with
        StoreUnavailable.
        """
        if self._refusal is not None:
            raise StoreUnavailable(self._refusal)
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.append((work, arguments, future))
        if not self._busy:
            self._busy = True
            # Other tasks that are ready in this round of the loop share the commit.
            self._loop.call_soon(self._begin)
        return future

    def failed(self, error: Exception) -> StoreUnavailable:
        """What to raise for an error of SQLite. One that means a broken file ends the service."""
        failure = StoreUnavailable.of(error)
        if isinstance(error, _FATAL) or not isinstance(error, apsw.Error):
            self.give_up(str(failure))
        return failure

    def give_up(self, message: str) -> None:
        """Refuse everything from now on; the message says why the file can no longer be trusted."""
        if not self._fatal:
            self._fatal = True
            self._refusal = message
            self._loop.call_soon(self._on_fatal, message)

    def empty_log(self) -> None:
        """Copy the log into the database after this transaction, and truncate it.

        For the work of a transaction that erases something. While a reader is busy, it is done after the
        next transaction.
        """
        self._log_is_to_be_emptied = True

    async def close(self) -> None:
        """Finish the waiting writes, refuse new ones, end the thread."""
        if self._refusal is None:
            self._refusal = "the store is closed"
        if self._busy:
            self._idle = self._loop.create_future()
            await self._idle
        self._jobs.put(None)
        self._thread.join()

    def _begin(self) -> None:
        if not self._waiting:
            self._busy = False
            if self._idle is not None:
                self._idle.set_result(None)
            return
        size = min(len(self._waiting), _BATCH_MAX)
        self._batch = [self._waiting.popleft() for _ in range(size)]
        if self._fatal:
            self._end(StoreUnavailable(str(self._refusal)))
            return
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except apsw.BusyError:
            self._jobs.put((self._begin_patiently, self._execute))
        except apsw.Error as error:
            self._abandon(error)
        else:
            self._execute(None)

    def _execute(self, error: Exception | None) -> None:
        if error is not None:
            self._abandon(error)
            return
        try:
            self._outcomes = [_outcome(work, arguments) for work, arguments, _ in self._batch]
        except apsw.Error as caught:
            self._abandon(caught)
        else:
            self._jobs.put((self._commit, self._committed))

    def _committed(self, error: Exception | None) -> None:
        if error is None:
            self._end(None)
        else:
            self._abandon(error)

    def _abandon(self, error: Exception) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except apsw.Error as worse:
            error = worse
        self._end(self.failed(error))

    def _end(self, failure: StoreUnavailable | None) -> None:
        outcomes = self._outcomes if failure is None else [(None, failure)] * len(self._batch)
        for (_, _, future), (result, error) in zip(self._batch, outcomes, strict=True):
            if future.done():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
        # After the tasks that were just woken, so that their next writes share the next commit.
        self._loop.call_soon(self._begin)

    def _begin_patiently(self) -> None:
        self._connection.set_busy_timeout(_BUSY_TIMEOUT_MS)
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        finally:
            self._connection.set_busy_timeout(0)

    def _commit(self) -> None:
        self._connection.execute("COMMIT")
        if self._log_is_to_be_emptied:
            # Whatever this raises, the transaction is durable.
            with suppress(apsw.BusyError):
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
                self._log_is_to_be_emptied = False

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            work, then = job
            error: Exception | None = None
            try:
                work()
            except Exception as caught:
                error = caught
            try:
                self._loop.call_soon_threadsafe(then, error)
            except RuntimeError:  # the loop was closed without closing the store
                return


def _outcome(work: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, Exception | None]:
    try:
        return work(*arguments), None
    except apsw.Error:
        raise
    except Exception as error:
        return None, error
