"""Limits that steps share, as options of starts, steps, batches and runs."""

import threading
import time
from typing import Any

from atomic.sdk import AsyncContext, Context, Flow
from sdk.world import World


class Busy:
    """A step that knows how many of its calls were under way at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = self.most = 0

    def __call__(self, payload: Any) -> Any:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(0.02)
        with self._lock:
            self._now -= 1
        return payload


def case_a_batch_makes_no_more_calls_at_a_time_than_its_key_allows(world: World) -> None:
    busy = Busy()

    async def order(ctx: AsyncContext, payload: Any) -> Any:
        batch = await ctx.map(list(range(6)), "charge", flow=Flow("bank", concurrency=2))
        return batch.results()

    world.workflow("/order", order, variant="async")
    world.step("/charge", busy)
    assert world.start("/order").response == list(range(6))
    assert busy.most <= 2


def case_a_start_and_its_steps_name_their_keys(world: World) -> None:
    def order(ctx: Context, payload: Any) -> Any:
        inside = Flow("orders", concurrency=1)
        return [ctx.step("charge", 1, flow=inside), ctx.step("charge", 2, flow=[inside, Flow("bank")])]

    world.workflow("/order", order)
    world.step("/charge", lambda payload: payload)
    outcome = world.start("/order", flow=Flow("orders", concurrency=1, scope="run", fair="ada"))
    assert outcome.response == [1, 2]
    run = world.run_of(outcome)
    assert run.root.flow is not None
    assert [(entry.key, entry.scope, entry.fair) for entry in run.root.flow] == [("orders", "run", "ada")]
    keys = {step.response: [entry.key for entry in step.flow or ()] for step in run.steps}
    assert keys == {1: ["orders"], 2: ["orders", "bank"]}
