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


def case_a_loop_takes_messages_in_their_order(world: World) -> None:
    def talk(ctx: Context) -> list[Any]:
        return [
            *ctx.events("reply", result=int, deadline=0.3),
            ctx.event("reply", deadline=0.05, default="nobody"),
        ]

    world.workflow("/talk", talk, wait=0.1)
    told = [world.client.signal("case", "key-1", "reply", 7, next=True) for _ in range(3)]
    assert [event.name for event in told] == ["reply", "reply#2", "reply#3"]
    assert world.start("/talk").response == [7, 7, 7, "nobody"]


def case_an_async_loop_goes_on_after_a_suspension(world: World) -> None:
    async def talk(ctx: AsyncContext) -> list[Any]:
        said = []
        async for text in ctx.events("reply"):
            said.append(text)
            await ctx.sleep(0.05)
            if text == "bye":
                break
        return said

    world.workflow("/talk", talk, variant="async", wait=0.05)
    assert world.start("/talk", timeout=0).status != "succeeded"
    for number, text in enumerate(("a", "b", "b", "bye")):
        for was in ({"open", "early"}, {"done"}):
            assert world.client.signal("case", "key-1", "reply", text, next=True, id=number).was in was
    assert world.start("/talk").response == ["a", "b", "b", "bye"]
