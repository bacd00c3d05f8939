"""What is under way in a server in virtual time. As long as anything is, time stands still.

These are attempts, steps that are due now, and requests that may change something. A request that only
waits for a step is not under way. If a handler waits, its attempt is; so its wait ends as soon as nothing
of the step that it waits for is under way, and the handler can be suspended.
"""

import asyncio
from collections.abc import Coroutine, Iterator
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

_LINES_MAX: Final = 10_000


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
        self._lines: dict[str, tuple[str, ...]] = {}

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
            busy = {above for step_id in self.steps for above in await self._line(store, step_id)}
            attempts = set(self.tasks.step_ids)
            idle = [
                subscription
                for subscription in list(self._handlers)
                if subscription.step_id not in busy
                and not attempts.isdisjoint(await self._line(store, subscription.step_id))
            ]
            if seen == self._changes.count:
                for subscription in idle:
                    subscription.end()
                return

    async def _line(self, store: StepStore, step_id: str) -> tuple[str, ...]:
        """A step and those above it, also beyond its run. They never change."""
        if step_id not in self._lines:
            if len(self._lines) >= _LINES_MAX:
                self._lines.clear()
            line: list[str] = []
            above: str | None = step_id
            while above is not None and above not in line:
                line.append(above)
                step = await store.get(above)
                above = None if step is None else _above(step)
            self._lines[step_id] = tuple(line)
        return self._lines[step_id]


def _above(step: Step) -> str | None:
    """What waits for a step: its handler; for a root the link that has started it."""
    spec = step.spec
    if step.is_root:
        return spec.started_by or spec.continued_from
    return spec.parent or keys.root_of(spec.run_id)


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
