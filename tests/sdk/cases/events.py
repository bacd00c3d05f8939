"""Events that workflows wait for, and those who tell them."""

import time
from typing import Any

from atomic.sdk import AsyncContext, Context, HeartbeatMissedError, NotAnOpenEventError
from sdk.world import World


def case_an_event_expires_when_nobody_is_heard(world: World) -> None:
    def report(ctx: Context) -> Any:
        try:
            return ctx.event("report", heartbeat=0.1)
        except HeartbeatMissedError:
            return ctx.event("report", heartbeat=0.1, default="nobody")

    world.workflow("/report", report, wait=0.2)
    assert world.start("/report").response == "nobody"


def case_an_event_lives_while_somebody_is_heard(world: World) -> None:
    async def report(ctx: AsyncContext) -> Any:
        await ctx.step("begin", await ctx.open_event("report", heartbeat=1))
        return await ctx.event("report")

    def begin(event_id: str) -> None:
        for _ in range(4):
            time.sleep(0.4)
            assert world.client.heartbeat("case", "key-1", "report").was == "open"
            assert world.client.heartbeat_step(event_id).status == "pending"
        world.client.complete(event_id, "done")
        try:
            world.client.heartbeat_step(event_id)
        except NotAnOpenEventError:
            return
        raise AssertionError("a settled event took a heartbeat")

    world.workflow("/report", report, variant="async", wait=0.2)
    world.step("/begin", begin)
    assert world.start("/report").response == "done"
