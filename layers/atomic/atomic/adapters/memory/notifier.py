"""Notifications of settled steps inside one process."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from atomic.domain.steps import Step


class MemoryNotifier:
    """Wakes the callers of this event loop that wait for a step."""

    def __init__(self) -> None:
        # In order of arrival, so that runs in virtual time are repeatable.
        self._listeners: dict[str, dict[_Subscription, None]] = {}
        self._is_open = True

    @contextmanager
    def subscribe(self, step_id: str) -> Iterator["_Subscription"]:
        """Listen for one step."""
        subscription = _Subscription(is_open=self._is_open)
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


class _Subscription:
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
        self._settled = step
        self._wake()

    def close(self) -> None:
        self.is_open = False
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
