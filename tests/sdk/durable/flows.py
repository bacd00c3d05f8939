"""Workflows that are written once, as generators that yield their calls, and run in both kinds of handlers.

A workflow `name` is served at /def/name and at /async/name, so "other" is the workflow `other` of the same
kind. Its run has the workflow name "case" and the key of `key_of`.
"""

import time
from collections.abc import Callable, Generator
from typing import Any

from atomic.sdk import AsyncContext, Context, RunDocument, StepFailedError, StepOutcome
from sdk.world import World

VARIANTS = ("def", "async")
Flow = Generator[Any, Any, Any]


def serve(world: World, name: str, flow: Callable[[Any, Any], Flow], **options: Any) -> None:
    """Serve a workflow in both variants."""

    def blocking(ctx: Context, payload: Any) -> Any:
        return run(flow(ctx, payload))

    async def asynchronous(ctx: AsyncContext, payload: Any) -> Any:
        return await awaited(flow(ctx, payload))

    options = {"wait": 0.05, **options}
    world.workflow(f"/def/{name}", blocking, **options)
    world.workflow(f"/async/{name}", asynchronous, variant="async", **options)


def branch(ctx: Any, flow: Flow) -> Any:
    """Calls as a branch of a batch: a coroutine in `async def`, a function in `def`."""
    return awaited(flow) if isinstance(ctx, AsyncContext) else lambda: run(flow)


def call(ctx: Any, *given: Any, **options: Any) -> Any:
    """One call of a step as an item of a batch."""
    return (ctx.step if isinstance(ctx, AsyncContext) else ctx.call)(*given, **options)


def noting(
    payloads: list[Any], work: Callable[[Any], Any] = lambda payload: payload
) -> Callable[[Any], Any]:
    """A step that notes the payload of each call, and then works; without `work` it returns the payload."""

    def step(payload: Any) -> Any:
        payloads.append(payload)
        return work(payload)

    return step


def run(flow: Flow) -> Any:
    """Go through a generator whose calls have their results when it yields them."""
    try:
        result = next(flow)
        while True:
            result = flow.send(result)
    except StopIteration as end:
        return end.value


async def awaited(flow: Flow) -> Any:
    """Go through a generator, and await the calls that it yields."""
    try:
        made = next(flow)
        while True:
            try:
                result = await made
            except Exception as error:
                made = flow.throw(error)
            else:
                made = flow.send(result)
    except StopIteration as end:
        return end.value


def key_of(name: str, variant: str) -> str:
    """The key of the run of a workflow in a variant: a key is that of a run."""
    return f"{name}/{variant}"


def start(world: World, name: str, payload: Any = None, *, key: str = "") -> list[StepOutcome]:
    """Start both variants of a workflow, each in a run of its own, and wait for neither."""
    keys = {variant: key_of(key or name, variant) for variant in VARIANTS}
    return [
        world.start(f"/{variant}/{name}", payload, key=keys[variant], timeout=0) for variant in VARIANTS
    ]


def ends(world: World, started: list[StepOutcome]) -> list[Any]:
    """The responses of runs, or the error of the first one that failed."""
    return [world.client.wait(outcome.id, timeout=20).response for outcome in started]


def results(world: World, name: str, payload: Any = None) -> list[Any]:
    """The responses of both variants, side by side."""
    return ends(world, start(world, name, payload))


def failures(world: World, started: list[StepOutcome]) -> list[StepFailedError]:
    """The errors of runs, which all fail."""
    return [failure for outcome in started if (failure := _failure(world, outcome))]


def _failure(world: World, outcome: StepOutcome) -> StepFailedError:
    try:
        found = world.client.wait(outcome.id, timeout=20).response
    except StepFailedError as failed:
        return failed
    raise AssertionError(f"It succeeded: {found!r}")


def fails(world: World, name: str, why: str, payload: Any = None, *, key: str = "") -> None:
    """Assert that both variants fail, and that their errors have this text."""
    reasons = [str(failed) for failed in failures(world, start(world, name, payload, key=key))]
    assert [why in reason for reason in reasons] == [True] * 2, reasons


def runs(world: World, started: list[StepOutcome]) -> list[RunDocument]:
    """Read runs with all of their steps."""
    return [world.run_of(outcome) for outcome in started]


def until(read: Callable[[], Any]) -> Any:
    """What is read as soon as there is something."""
    end_s = time.monotonic() + 10
    while not (found := read()):
        assert time.monotonic() < end_s
        time.sleep(0.02)
    return found
