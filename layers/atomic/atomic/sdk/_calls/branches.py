"""The branches of an `async def` handler: its tasks, and how to find out when none of them can go on.

A call of the context that has no outcome yet parks its task: the task stops, and nothing is raised in it.
The other tasks continue. When none of them can, or the time for waiting is over, the whole handler is
suspended.

In a replay, answers are delivered in the order in which the steps ended. So a handler that acts on this
order acts in the same way again.
"""

import asyncio
import heapq
from collections.abc import Callable, Coroutine, Iterator, Set
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, Final, NamedTuple, NoReturn

from atomic.sdk._calls.identity import in_new_branch, task_maker, watch
from atomic.sdk._calls.tasks import (
    Future,
    Task,
    awaited,
    failure_of,
    gathered_with,
    gathers,
    is_made_by_gather,
    is_ready,
    waits_for_peer,
)

# How long the handler may await something other than its steps after the time for waiting is over.
_OWN_WORK_S: Final = 2.0
# A server answers within this time for a step that has ended. A step without an answer is still live.
_TOLD_S: Final = 0.1
# A result passes from task to task by callbacks, and each of them takes a turn of the loop.
_TURNS: Final = 3
_RESTLESS_TURNS: Final = 100
_UNWIND_S: Final = 1.0


class _Answer(NamedTuple):
    """An answer to a post. Answers are sorted by when the step ended, then by the order of the posts.

    `hidden` is the task that ends with this answer, if only a `gather` knows the task.
    """

    ended_at: str
    post: int
    was_replayed: bool
    turn: Future
    hidden: Task | None

    def deliver(self) -> None:
        """Let the task that waits for its turn go on."""
        if not self.turn.done():
            self.turn.set_result(None)


class Branches:
    """The branches of one call of a handler, which may wait for its steps until `until_s` (loop time)."""

    def __init__(self, until_s: float, fetched: Set[str] = frozenset(), *, is_replay: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._until_s = until_s
        # The steps that have ended, but whose outcomes have not arrived yet.
        self._fetched = fetched
        self._is_replay = is_replay
        self._main: Task | None = None
        self._tasks: set[Task] = set()
        # The tasks that are not in a call which waits for its turn or is parked. They are few, even when a
        # replay has a thousand tasks.
        self._moving: set[Task] = set()
        self._failed: list[Task] = []
        self._made_by_gather: set[Task] = set()
        # Tasks that have called the context, and those that are in such a call.
        self._callers: set[Task] = set()
        self._inside: set[Task] = set()
        # The posts that are under way, and when each was sent.
        self._posts: dict[int, float] = {}
        self._posted = 0
        self._answers: list[_Answer] = []
        self._inner: set[Future] = set()
        self._parked: dict[Future, Exception | None] = {}
        self._moved_s = 0.0
        self._has_moved = False
        self._move: Future | None = None
        self._restless = 0
        self.is_suspended = False
        self.cause: Exception | None = None

    async def run(self, handler: Coroutine[Any, Any, Any]) -> Task:
        """Run a handler in a task of its own, until it has ended or is suspended."""
        watch(self._loop)
        context = copy_context()
        context.run(task_maker.set, self._make)
        self._main = self._loop.create_task(handler, context=context)
        self._take(self._main)
        self._main.add_done_callback(self._wake)
        while not (self._main.done() or self.is_suspended):
            await self._rest(await self._advance())
        return self._main

    def suspend(self, cause: Exception | None) -> None:
        """Suspend the handler, even if other branches could go on."""
        self.is_suspended, self.cause = True, cause
        self._wake()

    async def unwind(self) -> None:
        """Cancel the remaining tasks, and give them some time to release their resources.

        If the handler has not ended, this cancels all tasks that have called the context. Otherwise it
        cancels the tasks that are in such a call.
        """
        is_cut_off = self._main is not None and not self._main.done()
        left = set(self._callers if is_cut_off else self._inside)
        if self._main is not None and is_cut_off:
            left.add(self._main)
        for task in left:
            task.add_done_callback(take_notice)
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=_UNWIND_S)
        if is_cut_off:
            # Otherwise asyncio logs that their exceptions were never retrieved.
            for task in self._failed:
                take_notice(task)
        self._main = None
        self._failed.clear()

    def call(self) -> "BranchCall":
        """A call of the context by the running task, which posts now."""
        task = asyncio.current_task()
        assert task is not None, "asyncio runs coroutines in tasks"
        self._take(task)
        self._callers.add(task)
        self._posted += 1
        return BranchCall(self, task, self._posted)

    def post(self) -> int:
        """A post that is sent now, by a call of the running task that sends several posts."""
        call = self.call()
        call.sent()
        return call.post

    def begin(self, task: Task, post: int) -> None:
        """Note that a post is sent."""
        self._inside.add(task)
        self._posts[post] = self._loop.time()

    def answered(self, post: int) -> None:
        """Note that a post is answered, or that its call has ended."""
        if self._posts.pop(post, None) is not None:
            self._moved_s = self._loop.time()
            if self._parked or self._answers:
                self._wake()

    def leave(self, task: Task | None) -> None:
        """Note that a call of the context is over."""
        self._inside.discard(task)

    @contextmanager
    def within(self, future: Future, cause: Exception | None, *, is_parked: bool) -> Iterator[None]:
        """Wrap a wait for a future that only other calls, or tasks, of the handler can set.

        `is_parked`: nothing can set it, because the call waits for a live step, or because of `cause`.
        """
        self._inner.add(future)
        if is_parked:
            self._parked[future] = cause
            self._wake()
        try:
            yield
        finally:
            self._inner.discard(future)
            if self._parked.pop(future, self) is not self:
                self._wake()

    @property
    def has_order(self) -> bool:
        """Whether answers must be delivered in order: in a replay, when there is more than one task."""
        return self._is_replay and len(self._tasks) > 1

    async def turn(self, post: int, ended_at: str, *, was_replayed: bool, ends_task: bool = False) -> None:
        """Wait until the answer may be delivered.

        `was_replayed`: the step had ended before the post. `ends_task`: the running task only returns the
        answer.
        """
        task = asyncio.current_task()
        hidden = task if ends_task and task in self._made_by_gather else None
        answer = _Answer(ended_at, post, was_replayed, self._loop.create_future(), hidden)
        heapq.heappush(self._answers, answer)
        self._wake()
        await self._standing(answer.turn)

    async def park(self, cause: Exception | None = None) -> NoReturn:
        """Stop the running task. `cause` is the error that stopped it; None for a live step."""
        future: asyncio.Future[NoReturn] = self._loop.create_future()
        with self.within(future, cause, is_parked=True):
            await self._standing(future)
        raise AssertionError("nothing ends it but its task's cancellation")

    async def _standing(self, future: Future) -> None:
        """Wait for a future that only this object, or a cancellation, completes."""
        task = asyncio.current_task()
        assert task is not None, "asyncio runs coroutines in tasks"
        self._moving.discard(task)
        try:
            await future
        finally:
            self._moving.add(task)

    def _make(self, make: Callable[[], Task]) -> Task:
        task = in_new_branch(make)
        if self._is_replay and is_made_by_gather():
            self._made_by_gather.add(task)
        self._take(task)
        return task

    def _take(self, task: Task) -> None:
        if task not in self._tasks and not task.done():
            self._tasks.add(task)
            self._moving.add(task)
            task.add_done_callback(self._lose)

    def _lose(self, task: Task) -> None:
        self._tasks.discard(task)
        self._moving.discard(task)
        self._callers.discard(task)
        self._made_by_gather.discard(task)
        if self._main is not None and failure_of(task) is not None:
            self._failed.append(task)

    def _wake(self, _: Future | None = None) -> None:
        self._has_moved = True
        if self._move is not None and not self._move.done():
            self._move.set_result(None)

    async def _rest(self, seconds: float | None) -> None:
        """Wait for the next change, at most so many seconds."""
        if self._has_moved:
            return
        self._move = self._loop.create_future()
        timer = None if seconds is None else self._loop.call_later(seconds, self._wake)
        try:
            await self._move
        finally:
            if timer is not None:
                timer.cancel()

    async def _advance(self) -> float | None:
        """Do what can be done now. Returns after how many seconds, at most, to check again."""
        self._has_moved = False
        if not (self._parked or self._answers):
            return None
        is_calm = await self._is_calm()
        self._restless = 0 if is_calm else self._restless + 1
        if 0 < self._restless < _RESTLESS_TURNS or not self._tasks:
            return 0.0
        if self._answers:
            return self._hand_over()
        return None if self._posts else self._look_for_an_end()

    async def _is_calm(self) -> bool:
        """Whether all tasks wait for something that has not happened yet."""
        turns = _TURNS + max(map(gathers, self._moving), default=0)
        for _ in range(turns):
            if any(map(is_ready, self._moving)):
                return False
            await asyncio.sleep(0)
        return not self._has_moved

    def _hand_over(self) -> float | None:
        first = self._answers[0]
        if first.was_replayed and self._posts:
            if self._fetched:
                return None
            # The answer of a step that ended earlier may be about to arrive.
            told_s = max(self._posts.values()) + _TOLD_S
            if (left_s := told_s - self._loop.time()) > 0:
                return left_s
        heapq.heappop(self._answers)
        first.deliver()
        if not self._posts:
            self._hand_over_beside(first)
        return 0.0

    def _hand_over_beside(self, answer: _Answer) -> None:
        """Deliver the next answers that belong to the same `gather`, without a turn of the loop in between.

        The handler notices only the last of these answers, because its `gather` waits until then.
        """
        parts = self._gathered_with(answer.hidden)
        while self._answers and self._answers[0].hidden in parts:
            heapq.heappop(self._answers).deliver()

    def _gathered_with(self, task: Task | None) -> frozenset[Task]:
        if task is None:
            return frozenset()
        found = (gathered_with(task, waiting) for waiting in self._moving)
        return next(filter(None, found), frozenset())

    def _look_for_an_end(self) -> float | None:
        left_s = max(map(self._patience_until_s, self._tasks)) - self._loop.time()
        if left_s > 0:
            # No callback tells when a task that was always ready stops being ready.
            return min(left_s, _TOLD_S) if self._restless else left_s
        causes = [cause for cause in self._parked.values() if cause is not None]
        self.suspend(causes[0] if causes else None)
        return None

    def _patience_until_s(self, task: Task) -> float:
        """Until when to wait for work of the task other than its steps; 0 when there is none."""
        outside = [future for future in awaited(task) if not self._is_own(future)]
        for future in outside:
            future.remove_done_callback(self._wake)
            future.add_done_callback(self._wake)
        if outside and waits_for_peer(task):
            return self._until_s
        is_busy = outside or is_ready(task)
        return max(self._until_s, self._moved_s + _OWN_WORK_S) if is_busy else 0.0

    def _is_own(self, future: Future) -> bool:
        return future.done() or future in self._inner or future in self._tasks


class BranchCall:
    """A call of the context: from the moment its post goes out until the handler has its outcome."""

    __slots__ = ("_branches", "_maker", "_task", "post")

    def __init__(self, branches: Branches, task: Task, post: int) -> None:
        self._branches = branches
        self._task = task
        self.post = post

    @property
    def coroutine(self) -> object:
        """What the task runs that makes the call."""
        return self._task.get_coro()

    def __enter__(self) -> "BranchCall":
        # Tasks that the client makes for the post do not belong to the handler.
        self._maker = task_maker.get()
        task_maker.set(None)
        self.sent()
        return self

    def sent(self) -> None:
        """Note that the post is sent."""
        self._branches.begin(self._task, self.post)

    def answered(self) -> None:
        """Note that the post is answered. The call now waits for its turn, or is parked."""
        task_maker.set(self._maker)
        self._branches.answered(self.post)

    def __exit__(self, *_: object) -> None:
        self.answered()
        self._branches.leave(self._task)


def take_notice(task: Task) -> None:
    """Read what a task raised, so that asyncio does not log that the exception was never retrieved."""
    if not task.cancelled():
        task.exception()
