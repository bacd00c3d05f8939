"""Runs a batch of an `async def` handler.

The posts of the batch are not tasks of the handler. There may be thousands of posts, and all tasks of the
handler are examined at each change. The branches of the batch are tasks of the handler.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

from atomic.sdk._api import Outcome
from atomic.sdk._batch_progress import Ask
from atomic.sdk._batch_run import TOLD_S, BatchCall, BatchRun, Branch
from atomic.sdk._batches import Batch
from atomic.sdk._branches import Branches
from atomic.sdk._context import StepCall
from atomic.sdk._identity import untracked
from atomic.sdk.errors import Suspended

# The largest number of simultaneous posts of a batch.
_POSTS_MAX: Final = 64


class AsyncBatchRun(BatchRun):
    """A batch in one call of its handler. `ask` posts a step; `enter` runs a branch in its scope."""

    def __init__(
        self,
        batch: BatchCall,
        open_steps: Mapping[str, object],
        branches: Branches,
        ask: Callable[[StepCall[Any]], Awaitable[Outcome]],
        enter: Callable[[Branch], Awaitable[Any]],
        *,
        is_replay: bool,
    ) -> None:
        super().__init__(batch, open_steps, _POSTS_MAX, is_replay=is_replay)
        self._branches = branches
        self._post = ask
        self._enter = enter
        self._tasks: set[asyncio.Task[Any]] = set()
        self._posts: set[asyncio.Task[Any]] = set()
        self._failure: BaseException | None = None
        self._has_moved = False
        self._move: asyncio.Future[None] | None = None

    async def run(self, left_s: Callable[[], float], record: Callable[[Any], Awaitable[Any]]) -> Batch[Any]:
        """Run the batch to its end. `record` posts this end, and returns the end that was recorded first.

        While the batch has to wait, this does not return, and the handler may be suspended.
        """
        try:
            while True:
                self._start(left_s())
                if self._failure is not None:
                    raise self._failure
                if self.progress.may_end:
                    await self._hear_of_others()
                    self.progress.end()
                if not self.progress.is_over:
                    await self._rest()
                elif self.progress.needs_record:
                    self.progress.adopt(await record(self._end()))
                else:
                    return self._finished()
        finally:
            await self._stop()

    def _run_branch(self, index: int, branch: Branch) -> None:
        self.progress.runs(index)
        # The task factory of the loop makes this task a task of the handler.
        task = asyncio.get_running_loop().create_task(_awaited(self._enter(branch)))
        self._tasks.add(task)
        task.add_done_callback(partial(self._branch_ended, index, branch))

    def _branch_ended(self, index: int, branch: Branch, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            self.progress.ended(index, result=task.result(), ended_at=branch.ended_at)
        elif isinstance(error, Exception):
            self.progress.ended(index, error=error, ended_at=branch.ended_at)
        else:
            self._failure = self._failure or error
        self._wake()

    def _ask(self, ask: Ask, step_call: StepCall[Any]) -> None:
        loop, post = asyncio.get_running_loop(), self._branches.post()
        task = untracked(lambda: loop.create_task(self._answer(step_call)))
        self._posts.add(task)
        task.add_done_callback(partial(self._answered, ask, step_call, post))

    async def _answer(self, step_call: StepCall[Any]) -> Outcome | Suspended | Exception:
        try:
            return await self._post(step_call)
        except (Suspended, Exception) as raised:
            return raised

    def _answered(self, ask: Ask, step_call: StepCall[Any], post: int, task: asyncio.Task[Any]) -> None:
        self._posts.discard(task)
        self._branches.answered(post)
        if not task.cancelled():
            self._take(ask, step_call, task.result())
        self._wake()

    def _suspend(self, cause: Exception) -> None:
        self._branches.suspend(cause)

    def _wake(self) -> None:
        self._has_moved = True
        if self._move is not None and not self._move.done():
            self._move.set_result(None)

    async def _rest(self) -> None:
        """Wait until an item has an answer."""
        if not self._has_moved:
            self._move = asyncio.get_running_loop().create_future()
            is_parked = self.progress.has_unfinished and not self._posts
            with self._branches.within(self._move, self.progress.cause, is_parked=is_parked):
                await self._move
        self._has_moved = False

    async def _hear_of_others(self) -> None:
        """In a replay, wait briefly for other items that may have ended earlier."""
        others = [*self._posts, *self._tasks]
        if self._is_ordered and others:
            self._is_ordered = False
            await asyncio.wait(others, timeout=TOLD_S)

    async def _stop(self) -> None:
        """Cancel the posts and branches that have not ended with the batch."""
        left = [*self._posts, *self._tasks]
        for task in left:
            task.cancel()
        if self._posts:
            await asyncio.wait(self._posts)
        self._branches.leave(asyncio.current_task())


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work
