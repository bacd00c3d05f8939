"""What is under way in a server in virtual time. As long as anything is, time stands still.

These are attempts, steps that are due now, and requests that may change something. A request that only
waits for a step is not under way. If a handler waits, its attempt is; so its wait ends as soon as nothing
of the step that it waits for is under way, and the handler can be suspended.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, cast

from atomic.adapters.memory.wakeups import MemoryNotifier, MemorySubscription, MemoryWakeupQueue
from atomic.application.ports import Clock, StepStore, Subscription
from atomic.domain.steps import Step
from atomic.protocol import keys
from atomic.runtime.driver import HORIZON_MS
from atomic.runtime.inflight import Tasks

_PARENTS_MAX: Final = 10_000


@dataclass(slots=True, eq=False)
class Request:
    """A request that is being answered; `waits` while it does nothing but wait for a step."""

    name: str
    waits: bool = False


_CURRENT: Final[ContextVar[Request | None]] = ContextVar("request", default=None)


class Changes:
    """Counts the changes of what is under way, and wakes those who wait for the next one."""

    def __init__(self) -> None:
        self.count = 0
        self._waiting: list[asyncio.Future[None]] = []

    def note(self) -> None:
        """Something has changed."""
        self.count += 1
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def after(self, seen: int) -> None:
        """Wait until the count is no longer `seen`."""
        if self.count == seen:
            future = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future


class Activity:
    """The parts of an engine that know what is under way: its tasks, its queue, its notifier."""

    def __init__(self, clock: Clock, changes: Changes) -> None:
        self._clock = clock
        self._changes = changes
        self.tasks = _Tasks(changes)
        self.queue = MemoryWakeupQueue(clock, horizon_ms=HORIZON_MS)
        self.notifier = _Notifier(self)
        self._requests: dict[Request, None] = {}
        self.callers = 0
        self._handlers: dict[_Subscription, None] = {}
        self._parents: dict[str, tuple[str, ...]] = {}

    @property
    def in_flight(self) -> int:
        """How many attempts, due steps and requests are under way."""
        return len(self.steps) + len(self.requests)

    @property
    def steps(self) -> list[str]:
        """The steps with an attempt under way, and those that are due now."""
        return [*self.tasks.step_ids, *self.queue.due_ids()]

    @property
    def requests(self) -> list[str]:
        """The requests that are answered just now and do not only wait."""
        return [request.name for request in self._requests if not request.waits]

    @contextmanager
    def request(self, name: str) -> Iterator[None]:
        """A request is answered meanwhile that may change something."""
        request = Request(name)
        token = _CURRENT.set(request)
        self._requests[request] = None
        self._changes.note()
        try:
            yield
        finally:
            _CURRENT.reset(token)
            del self._requests[request]
            self._changes.note()

    @contextmanager
    def waiting(self, subscription: "_Subscription") -> Iterator[None]:
        """The current request only waits meanwhile."""
        # One that only reads is not counted in any case.
        request = _CURRENT.get() or Request("")
        request.waits = True
        self.callers += 1
        if request.name and keys.position_of(subscription.step_id) != keys.ROOT:
            self._handlers[subscription] = None
        self._changes.note()
        try:
            yield
        finally:
            request.waits = False
            self.callers -= 1
            self._handlers.pop(subscription, None)
            self._changes.note()

    async def release_handlers(self, store: StepStore) -> None:
        """End the waits of handlers for steps of which nothing is under way. May raise StoreUnavailable."""
        while self._handlers:
            seen = self._changes.count
            busy = await self._with_those_above(store, self.steps)
            attempts = set(self.tasks.step_ids)
            idle = [
                subscription
                for subscription in list(self._handlers)
                if subscription.step_id not in busy
                and not attempts.isdisjoint(await self._with_those_above(store, [subscription.step_id]))
            ]
            if seen == self._changes.count:
                for subscription in idle:
                    subscription.end()
                return

    async def _with_those_above(self, store: StepStore, step_ids: Iterable[str]) -> set[str]:
        """These steps, and all that wait for them: their handlers, and the links to their runs."""
        found: set[str] = set()
        left = list(step_ids)
        while left:
            step_id = left.pop()
            if step_id not in found:
                found.add(step_id)
                left += await self._above(store, step_id)
        return found

    async def _above(self, store: StepStore, step_id: str) -> tuple[str, ...]:
        if step_id in self._parents:
            return self._parents[step_id]
        step = await store.get(step_id)
        if step is None:
            return ()
        if step.is_root:
            causes = (step.spec.started_by, step.spec.continued_from)
            return (*filter(None, causes), *step.waiters)
        if len(self._parents) >= _PARENTS_MAX:
            self._parents.clear()
        # A step never changes its parent.
        self._parents[step_id] = (step.spec.parent or keys.root_of(step.spec.run_id),)
        return self._parents[step_id]


class _Tasks(Tasks):
    def __init__(self, changes: Changes) -> None:
        super().__init__()
        self._changes = changes

    def spawn(self, work: Coroutine[Any, Any, None], *, step_id: str) -> None:
        super().spawn(work, step_id=step_id)
        self._changes.note()

    def _ended(self, run_id: str, task: asyncio.Task[None]) -> None:
        super()._ended(run_id, task)
        self._changes.note()


class _Notifier(MemoryNotifier):
    def __init__(self, activity: Activity) -> None:
        super().__init__()
        self._activity = activity

    @contextmanager
    def subscribe(self, step_id: str) -> Iterator[Subscription]:
        with super().subscribe(step_id) as subscription:
            yield _Subscription(cast("MemorySubscription", subscription), step_id, self._activity)


class _Subscription:
    def __init__(self, subscription: MemorySubscription, step_id: str, activity: Activity) -> None:
        self.step_id = step_id
        self.end = subscription.close
        self._subscription = subscription
        self._activity = activity

    @property
    def is_open(self) -> bool:
        return self._subscription.is_open

    async def next(self, timeout_ms: int) -> Step | None:
        with self._activity.waiting(self):
            return await self._subscription.next(timeout_ms)
