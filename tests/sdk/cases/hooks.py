"""Hooks of workflows and steps, beside the cases of `sdk.durable.hooks`."""

from typing import Any

from atomic.sdk import AsyncContext, Call, Context, End, HandlerCall, Hooks, Operation, Retry
from sdk.world import World

SLOW = Retry(count=20, back_off=0.6, jitter="none", strategy="fixed")


class Recorder(Hooks):
    """Records what it is told: of which attempt, of what, how it ended."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def call_started(self, call: HandlerCall) -> None:
        self.told.append(f"{call.call.attempt} call")

    def call_ended(self, call: HandlerCall, end: End) -> None:
        self.told.append(f"{call.call.attempt} call {end.outcome}")

    def operation_ended(self, operation: Operation, end: End) -> None:
        replayed = " again" if operation.is_replayed else ""
        self.told.append(f"{operation.call.attempt} {operation.name} {end.outcome}{replayed}")


class Failing(Recorder):
    """Fails whenever it is told something."""

    def call_started(self, call: HandlerCall) -> None:
        raise LookupError("a broken hook")

    def operation_ended(self, operation: Operation, end: End) -> None:
        raise LookupError("a broken hook")


def case_hooks_see_each_call_and_what_is_replayed(world: World) -> None:
    of_workflow, of_step = {name: Recorder() for name in ("def", "async")}, Recorder()

    def blocking(ctx: Context) -> Any:
        return [ctx.step("quick", 1, name="quick"), ctx.step("slow", 2, name="slow", retry=SLOW)]

    async def asynchronous(ctx: AsyncContext) -> Any:
        return [
            await ctx.step("quick", 1, name="quick"),
            await ctx.step("slow", 2, name="slow", retry=SLOW),
        ]

    def slow(payload: int, call: Call) -> int:
        if call.attempt < 3:
            raise RuntimeError("not yet")
        return payload

    for variant, function in {"def": blocking, "async": asynchronous}.items():
        hooks = [Failing(), of_workflow[variant]]
        world.workflow(f"/{variant}", function, variant=variant, wait=0.5, hooks=hooks)
    world.step("/quick", lambda payload: payload, hooks=[of_step])
    world.step("/slow", slow)
    for variant, recorder in of_workflow.items():
        assert world.start(f"/{variant}", key=variant).response == [1, 2]
        assert recorder.told == [
            *("1 call", "1 quick succeeded", "1 slow suspended", "1 call suspended"),
            *("2 call", "2 quick succeeded again", "2 slow succeeded again", "2 call succeeded"),
        ]
    assert of_step.told == ["1 call", "1 call succeeded"] * 2
