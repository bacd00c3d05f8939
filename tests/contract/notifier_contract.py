"""What every `Notifier` must do for the callers of its own process. Inherit and define `notifier`."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from atomic.application.ports import Notifier, Subscription
from atomic.domain.steps import Step
from contract.builders import a_root, a_spec, settled

DONE = settled(a_root(), 2_000)
OTHER = settled(a_root(a_spec(key="other")), 2_000)


def on_notifier(test: Callable[[Any, Notifier], Awaitable[None]]) -> Callable[[Any], None]:
    """Run the test on a fresh notifier."""

    def run(self: "NotifierContract") -> None:
        async def body() -> None:
            await asyncio.wait_for(test(self, self.notifier()), 60)

        asyncio.run(body())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


async def delivered(subscription: Subscription, timeout_ms: int = 10_000) -> Step | None:
    """What a waiting caller gets if each read of the store that the notifier suggests finds nothing."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + timeout_ms / 1000
    while subscription.is_open and (left_ms := round(1000 * (end_s - loop.time()))) > 0:
        step = await subscription.next(left_ms)
        if step is not None:
            return step
    return None


class NotifierContract:
    """Inherit and define `notifier`."""

    def notifier(self) -> Notifier:
        raise NotImplementedError

    @on_notifier
    async def test_every_caller_that_waits_for_a_step_gets_it(self, notifier: Notifier) -> None:
        with notifier.subscribe(DONE.id) as one, notifier.subscribe(DONE.id) as two:
            waiting = [asyncio.create_task(delivered(each)) for each in (one, two)]
            await asyncio.sleep(0.01)
            notifier.publish(DONE)
            assert await asyncio.gather(*waiting) == [DONE, DONE]

    @on_notifier
    async def test_what_is_published_between_subscribing_and_waiting_is_delivered(
        self, notifier: Notifier
    ) -> None:
        with notifier.subscribe(DONE.id) as subscription:
            notifier.publish(DONE)
            assert await delivered(subscription) == DONE
            assert await delivered(subscription) == DONE

    @on_notifier
    async def test_another_step_is_not_delivered(self, notifier: Notifier) -> None:
        with notifier.subscribe(DONE.id) as subscription:
            notifier.publish(OTHER)
            assert await delivered(subscription, 30) is None
            assert subscription.is_open

    @on_notifier
    async def test_nothing_is_delivered_after_the_timeout(self, notifier: Notifier) -> None:
        loop = asyncio.get_running_loop()
        with notifier.subscribe(DONE.id) as subscription:
            began_s = loop.time()
            assert await delivered(subscription, 40) is None
            assert loop.time() - began_s >= 0.03

    @on_notifier
    async def test_a_late_subscriber_gets_nothing_published_before(self, notifier: Notifier) -> None:
        notifier.publish(DONE)
        with notifier.subscribe(DONE.id) as subscription:
            assert await delivered(subscription, 10) is None

    @on_notifier
    async def test_closing_ends_present_and_later_waits(self, notifier: Notifier) -> None:
        with notifier.subscribe(DONE.id) as subscription:
            waiting = asyncio.create_task(delivered(subscription, 30_000))
            await asyncio.sleep(0.01)
            notifier.close()
            assert await asyncio.wait_for(waiting, 5) is None
            assert not subscription.is_open
        with notifier.subscribe(OTHER.id) as late:
            assert not late.is_open
            assert await asyncio.wait_for(late.next(30_000), 5) is None
