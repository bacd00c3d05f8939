"""News of settled steps inside one process."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from atomic.domain.steps import Step


class MemoryNotifier:
    """Wakes the callers of this event loop that hang for a step."""

    def __init__(self) -> None:
        self._listeners: dict[str, set[_Ear]] = {}
        self._is_open = True

    @contextmanager
    def subscribe(self, step_id: str) -> Iterator["_Ear"]:
        """Listen for one step."""
        ear = _Ear(is_open=self._is_open)
        listeners = self._listeners.setdefault(step_id, set())
        listeners.add(ear)
        try:
            yield ear
        finally:
            listeners.discard(ear)
            if not listeners and self._listeners.get(step_id) is listeners:
                del self._listeners[step_id]

    def publish(self, step: Step) -> None:
        """Hand the settled step to everybody who listens for it."""
        for ear in self._listeners.get(step.id, ()):
            ear.hear(step)

    def close(self) -> None:
        """Let nobody hang any longer, now or later: the server is about to stop."""
        self._is_open = False
        for listeners in self._listeners.values():
            for ear in listeners:
                ear.close()


class _Ear:
    def __init__(self, *, is_open: bool) -> None:
        self.is_open = is_open
        self._news: asyncio.Future[Step | None] = asyncio.get_running_loop().create_future()

    async def next(self, timeout_ms: int) -> Step | None:
        """The settled step; None when the time is over."""
        timer = self._news.get_loop().call_later(timeout_ms / 1000, self.hear, None)
        try:
            return await self._news
        finally:
            timer.cancel()

    def hear(self, step: Step | None) -> None:
        if not self._news.done():
            self._news.set_result(step)

    def close(self) -> None:
        self.is_open = False
        self.hear(None)
