"""Tells callers that their step has settled, on runtimes where any process may settle it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from atomic.adapters.memory.wakeups import MemoryNotifier
from atomic.application.ports import Subscription
from atomic.domain.steps import Step
from atomic.protocol import keys

_GAP_FIRST_MS: Final = 25
_GAP_MAX_MS: Final = 1_000


class PollingNotifier:
    """Tells a waiting caller when to read the store, at growing intervals.

    While this process makes the attempt itself, it is told of the end, and no read is needed.
    """

    def __init__(self, is_busy: Callable[[str], bool]) -> None:
        self._local = MemoryNotifier()
        self._is_busy = is_busy

    @contextmanager
    def subscribe(self, step_id: str) -> Iterator["_PollingSubscription"]:
        """Listen for one step."""
        run_id = keys.run_of(step_id)
        with self._local.subscribe(step_id) as subscription:
            yield _PollingSubscription(subscription, lambda: self._is_busy(run_id))

    def publish(self, step: Step) -> None:
        """Tell the caller of this process."""
        self._local.publish(step)

    def close(self) -> None:
        """End all waits, now and later."""
        self._local.close()


class _PollingSubscription:
    def __init__(self, subscription: Subscription, is_busy: Callable[[], bool]) -> None:
        self._subscription = subscription
        self._is_busy = is_busy
        self._gap_ms = _GAP_FIRST_MS

    @property
    def is_open(self) -> bool:
        """Whether the caller may wait."""
        return self._subscription.is_open

    async def next(self, timeout_ms: int) -> Step | None:
        """The settled step, or None when the caller should read the store."""
        left_ms = timeout_ms
        while True:
            gap_ms = min(self._gap_ms, left_ms)
            settled = await self._subscription.next(gap_ms)
            left_ms -= gap_ms
            if settled is not None or left_ms <= 0 or not self.is_open:
                return settled
            if not self._is_busy():
                self._gap_ms = min(2 * self._gap_ms, _GAP_MAX_MS)
                return None
