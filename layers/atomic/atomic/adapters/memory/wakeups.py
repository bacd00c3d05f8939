"""What one process tells itself: which steps are due, by timers, and to its callers which have settled."""

import asyncio
import heapq
from collections import OrderedDict, deque
from collections.abc import Awaitable, Generator, Iterator
from contextlib import contextmanager

from atomic.application.ports import Clock, Subscription
from atomic.domain.steps import Step


class _Acknowledged:
    """An awaitable that is done, since nothing is sent."""

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


class MemoryWakeupQueue:
    """Holds wake-ups until they are due; they are gone when the process ends.

    With `horizon_ms`, wake-ups further away are dropped at once: a store that is swept at least that often
    finds their steps again, and memory does not grow with the number of sleeping steps.

    Due steps are received in turns by client, so that the backlog of one does not delay the others.
    """

    _ACKNOWLEDGED = _Acknowledged()

    def __init__(self, clock: Clock, *, horizon_ms: int | None = None) -> None:
        self._clock = clock
        self._horizon_ms = horizon_ms
        self._heap: list[tuple[int, str, str]] = []
        self._at: dict[str, int] = {}
        self._due: OrderedDict[str, deque[str]] = OrderedDict()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._at)

    def send(
        self,
        step_id: str,
        at_ms: int,
        *,
        client_id: str,
        attempt_ms: int | None,  # noqa: ARG002 - attempts of every length have their own tasks here
        is_watchdog: bool = False,  # noqa: ARG002 - a timer costs nothing
    ) -> Awaitable[None]:
        """Keep the wake-up, unless there is an earlier one for the step."""
        too_far = self._horizon_ms is not None and at_ms > self._clock.now_ms() + self._horizon_ms
        known = self._at.get(step_id)
        if not too_far and (known is None or at_ms < known):
            self._at[step_id] = at_ms
            heapq.heappush(self._heap, (at_ms, step_id, client_id))
            self._changed.set()
        return self._ACKNOWLEDGED

    def dead_letter(self, step_id: str, reason: str) -> Awaitable[None]:
        """Do nothing: the row says that the step failed, and queries of the store find it."""
        del step_id, reason
        return self._ACKNOWLEDGED

    def due_ids(self) -> list[str]:
        """The steps that are due now."""
        now_ms = self._clock.now_ms()
        return [step_id for step_id, at_ms in self._at.items() if at_ms <= now_ms]

    def clock_moved(self) -> None:
        """Look at once at what is due."""
        self._changed.set()

    async def receive(self) -> str:
        """The id of the next step that is due; waits for it."""
        while True:
            self._changed.clear()
            now_ms = self._clock.now_ms()
            while self._heap and self._heap[0][0] <= now_ms:
                at_ms, step_id, client_id = heapq.heappop(self._heap)
                if self._at.get(step_id) == at_ms:
                    self._due.setdefault(client_id, deque()).append(step_id)
            while self._due:
                step_id = self._next_in_turn()
                # A wake-up for an earlier time may have arrived while this one was queued. One of them
                # is enough.
                if self._at.pop(step_id, None) is not None:
                    return step_id
            await self._sleep(self._pause_s(self._heap[0][0] - now_ms) if self._heap else None)

    def _next_in_turn(self) -> str:
        client_id, line = self._due.popitem(last=False)
        step_id = line.popleft()
        if line:
            self._due[client_id] = line
        return step_id

    def _pause_s(self, wait_ms: int) -> float:
        """How long to sleep. The clock may have been set back, and be corrected during the sleep."""
        return (wait_ms if self._horizon_ms is None else min(wait_ms, self._horizon_ms)) / 1000

    async def _sleep(self, delay_s: float | None) -> None:
        if delay_s is None:
            await self._changed.wait()
            return
        timer = asyncio.get_running_loop().call_later(delay_s, self._changed.set)
        try:
            await self._changed.wait()
        finally:
            timer.cancel()


class MemoryNotifier:
    """Wakes the callers of this event loop that wait for a step."""

    def __init__(self) -> None:
        # In order of arrival, so that runs in virtual time are repeatable.
        self._listeners: dict[str, dict[MemorySubscription, None]] = {}
        self._is_open = True

    @contextmanager
    def subscribe(self, step_id: str) -> Iterator[Subscription]:
        """Listen for one step."""
        subscription = MemorySubscription(is_open=self._is_open)
        listeners = self._listeners.setdefault(step_id, {})
        listeners[subscription] = None
        try:
            yield subscription
        finally:
            del listeners[subscription]
            if not listeners and self._listeners.get(step_id) is listeners:
                del self._listeners[step_id]

    def publish(self, step: Step) -> None:
        """Hand the settled step to all its subscriptions."""
        for subscription in self._listeners.get(step.id, ()):
            subscription.deliver(step)

    def close(self) -> None:
        """End all waits, present and future, since the server is about to stop."""
        self._is_open = False
        for listeners in self._listeners.values():
            for subscription in listeners:
                subscription.close()


class MemorySubscription:
    """One caller's wait."""

    def __init__(self, *, is_open: bool) -> None:
        self.is_open = is_open
        self._settled: Step | None = None
        self._waiting: asyncio.Future[None] | None = None

    async def next(self, timeout_ms: int) -> Step | None:
        """The settled step; None after the time-out."""
        if self._settled is None and self.is_open:
            loop = asyncio.get_running_loop()
            self._waiting = loop.create_future()
            timer = loop.call_later(timeout_ms / 1000, self._wake)
            try:
                await self._waiting
            finally:
                timer.cancel()
        return self._settled

    def deliver(self, step: Step) -> None:
        """The step has settled."""
        self._settled = step
        self._wake()

    def close(self) -> None:
        """End the wait."""
        self.is_open = False
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
