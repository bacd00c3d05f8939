"""News of settled steps where any environment may settle them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from atomic.adapters.memory.notifier import MemoryNotifier
from atomic.application.ports import Subscription
from atomic.domain.steps import Step
from atomic.protocol import keys

_GAP_FIRST_MS: Final = 25
_GAP_MAX_MS: Final = 1_000


class PollingNotifier:
    """Tells a waiting caller when it is worth asking the table, at growing gaps.

    While the attempt is made in this very environment, its end will be heard here, and a read would be
    paid for in vain.
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
        """Tell the caller of this environment."""
        self._local.publish(step)


class _PollingSubscription:
    is_open = True

    def __init__(self, subscription: Subscription, is_busy: Callable[[], bool]) -> None:
        self._subscription = subscription
        self._is_busy = is_busy
        self._gap_ms = _GAP_FIRST_MS

    async def next(self, timeout_ms: int) -> Step | None:
        left_ms = timeout_ms
        while True:
            gap_ms = min(self._gap_ms, left_ms)
            settled = await self._subscription.next(gap_ms)
            left_ms -= gap_ms
            if settled is not None or left_ms <= 0:
                return settled
            if not self._is_busy():
                self._gap_ms = min(2 * self._gap_ms, _GAP_MAX_MS)
                return None
