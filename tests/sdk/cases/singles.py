"""Runs that share a key, started by clients and by workflows."""

import threading
from typing import Any

import pytest

from atomic.sdk import AsyncContext, BusyError, Debounce, Singleton
from sdk.world import World


def case_a_start_attaches_to_the_run_of_its_key_or_is_refused(world: World) -> None:
    gate = threading.Event()

    def slow(payload: Any) -> Any:
        gate.wait(10)
        return payload

    world.step("/slow", slow)
    first = world.start("/slow", 1, key="k-1", timeout=0, singleton=Singleton("sync"))
    with pytest.raises(BusyError) as busy:
        world.start("/slow", 2, key="k-2", singleton=Singleton("sync", on_busy="skip"))
    assert busy.value.problem["runId"] == first.run_id
    other = world.start("/slow", 3, key="k-3", timeout=0, singleton=Singleton("sync"))
    assert other.id == first.id
    assert other.attached_to is not None
    assert other.attached_to.idempotency_key == "k-1"
    gate.set()
    assert world.client.wait(other.id).response == 1


def case_a_workflow_starts_a_burst(world: World) -> None:
    burst = Debounce("doc", quiet=0.2)

    async def parent(ctx: AsyncContext, payload: Any) -> Any:
        first = await ctx.start_run("child", 1, workflow_name="child", debounce=burst)
        second = await ctx.start_run("child", 2, workflow_name="child", debounce=burst)
        return [await first.result(), await second.result()]

    world.workflow("/parent", parent, variant="async")
    world.step("/child", lambda payload: payload)
    assert world.start("/parent").response == [2, 2]
