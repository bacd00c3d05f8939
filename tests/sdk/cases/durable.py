"""What AWS's suite for durable execution checks of steps (1-1 to 1-20) and waits (2-1 to 2-5), by meaning.

Each workflow is written once, as a generator that yields its calls, and runs in `def` and in `async def`.
Left out: serializers (1-6), the logger of a step (1-7), at most once (1-17, 1-18).
"""

import time
from collections.abc import Callable, Generator
from datetime import datetime, timedelta
from typing import Any

from atomic.sdk import AsyncContext, Call, Context, Retry, StepFailedError
from sdk.world import World

FAST = Retry(count=3, back_off=0.02, jitter="none", strategy="fixed")
VARIANTS = ("def", "async")
Flow = Generator[Any, Any, Any]


def serve(world: World, name: str, flow: Callable[[Any, Any], Flow], **options: Any) -> None:
    """Serve a workflow in both variants, below /def and /async."""

    def blocking(ctx: Context, payload: Any) -> Any:
        return run(flow(ctx, payload))

    async def asynchronous(ctx: AsyncContext, payload: Any) -> Any:
        return await awaited(flow(ctx, payload))

    world.workflow(f"/def/{name}", blocking, **options)
    world.workflow(f"/async/{name}", asynchronous, variant="async", **options)


def run(calls: Flow) -> Any:
    """Go through a generator whose calls have their results when it yields them."""
    try:
        result = next(calls)
        while True:
            result = calls.send(result)
    except StopIteration as end:
        return end.value


async def awaited(calls: Flow) -> Any:
    """Go through a generator whose calls have to be awaited."""
    try:
        call = next(calls)
        while True:
            try:
                result = await call
            except Exception as error:
                call = calls.throw(error)
            else:
                call = calls.send(result)
    except StopIteration as end:
        return end.value


def results(world: World, name: str, payload: Any = None) -> list[Any]:
    """The responses of both variants, each in a run of its own: a key is that of a run."""
    return [world.start(f"/{variant}/{name}", payload, key=name + variant).response for variant in VARIANTS]


def case_results_of_steps_and_values(world: World) -> None:
    """1-1 to 1-5: a greeting, a name, a step that needs another, a nested result, no result."""

    def flow(ctx: Any, name: str) -> Flow:
        greeting = yield ctx.step("/greet", name, name="custom_step_name")
        value = yield ctx.run("custom_value_name", lambda: f"Hello, {name}!")
        longer = yield ctx.step("/greet", greeting)
        nested = yield ctx.run("nested", lambda: {"user": {"name": name, "tags": ["a", None]}, "count": 2})
        nothing = yield ctx.run("nothing", lambda: None)
        return [greeting, value, longer, nested, nothing, (yield ctx.step("/nothing"))]

    serve(world, "flow", flow)
    world.step("/greet", lambda name: f"Hello, {name}!")
    world.step("/nothing", lambda payload: None)
    hello, nested = "Hello, Ann!", {"user": {"name": "Ann", "tags": ["a", None]}, "count": 2}
    expected = [hello, hello, "Hello, Hello, Ann!!", nested, None, None]
    assert results(world, "flow", "Ann") == [expected] * 2
    names = {step.step_name for step in world.run_of(world.start("/def/flow", "Ann", key="flowdef")).steps}
    assert names == {"custom_step_name", "custom_value_name", "nested", "nothing", None}


def case_a_replay_skips_what_is_done(world: World) -> None:
    """1-8 to 1-10: neither a step nor a value runs again, and a failed step raises its error again."""
    ran: list[str] = []
    caught: list[str] = []

    def flow(ctx: Any, payload: Any) -> Flow:
        step = yield ctx.step("/note", "step")
        value = yield ctx.run("value", lambda: ran.append("value") or "value")  # type: ignore[func-returns-value]
        try:
            yield ctx.step("/fail", "failure", retry=0)
        except StepFailedError as error:
            caught.append(error.reason)
        yield ctx.sleep(0.4)
        return [step, value]

    def note(payload: str) -> str:
        ran.append(payload)
        return payload

    def fail(payload: str) -> None:
        ran.append(payload)
        raise ValueError("no luck")

    serve(world, "flow", flow, wait=0.1)
    world.step("/note", note)
    world.step("/fail", fail)
    assert results(world, "flow") == [["step", "value"]] * 2
    assert ran == ["step", "value", "failure"] * 2
    assert set(caught) == {"ValueError: no luck"}
    assert len(caught) >= 4


def case_steps_are_retried_by_their_policy(world: World) -> None:
    """1-11 to 1-14, 1-19, 1-20: success at last, exhaustion, own pauses, none at all, a caught failure."""
    calls: list[tuple[str, int]] = []

    def flow(ctx: Any, payload: Any) -> Flow:
        done = yield ctx.step("/third", "a", retry=FAST)
        grown = Retry(count=5, back_off=0.02, factor=3, jitter="none")
        own = yield ctx.step("/third", "b", retry=grown, key="own")
        reasons = []
        for number, retry in enumerate((FAST, 0)):
            try:
                yield ctx.step("/never", "c", retry=retry, key=number)
            except StepFailedError as error:
                reasons.append([error.attempts, error.reason])
        return [done, own, reasons, (yield ctx.step("/third", "fallback", retry=FAST, key="last"))]

    def third(payload: str, call: Call) -> str:
        calls.append((payload, call.attempt))
        if call.attempt < 3:
            raise ConnectionError("not yet")
        return payload

    def never(payload: str) -> None:
        raise ValueError("never")

    serve(world, "flow", flow, wait=2)
    world.step("/third", third)
    world.step("/never", never)
    told = [[4, "ValueError: never"], [1, "ValueError: never"]]
    assert results(world, "flow") == [["a", "b", told, "fallback"]] * 2
    assert sorted(calls) == sorted(
        [(name, attempt + 1) for name in ("a", "b", "fallback") for attempt in range(3)] * 2
    )


def case_values_are_retried_by_the_type_of_their_error(world: World) -> None:
    """1-15, 1-16: an error of this type is retried, and no other one."""

    class TransientError(Exception):
        pass

    def flow(ctx: Any, payload: Any) -> Flow:
        errors: list[Exception] = [TransientError("once")]

        def unreliable() -> str:
            if errors:
                raise errors.pop()
            return "done"

        quick = {"count": 3, "back_off": 0.001}
        done = yield ctx.run("retried", unreliable, retry=Retry(**quick, on=TransientError))
        errors.append(TransientError("for good"))
        try:
            yield ctx.run("not retried", unreliable, retry=Retry(**quick, never=TransientError))
        except TransientError as error:
            return [done, str(error)]

    serve(world, "flow", flow, wait=2)
    assert results(world, "flow") == [["done", "for good"]] * 2


def case_waits(world: World) -> None:
    """2-1 to 2-5: a wait, names, one after the other, units, an hour."""

    def flow(ctx: Any, payload: Any) -> Flow:
        yield ctx.sleep(0.3)
        yield ctx.sleep(0.3, name="wait-1")
        yield ctx.sleep(timedelta(seconds=0.2), name="wait-2")
        return "awake"

    def long(ctx: Any, duration: str) -> Flow:
        yield ctx.sleep(timedelta(minutes=1) if duration == "minute" else timedelta(hours=1), name=duration)

    serve(world, "flow", flow, wait=0.05)
    serve(world, "long", long, wait=0.05)
    assert results(world, "flow") == ["awake"] * 2
    outcome = world.start("/def/flow", key="flowdef")
    assert [step.step_name for step in world.run_of(outcome).steps] == ["sleep", "wait-1", "wait-2"]
    assert outcome.attempts == 4
    for variant in VARIANTS:
        for duration, seconds in (("minute", 60), ("hour", 3600)):
            started = world.start(f"/{variant}/long", duration, key=duration + variant, timeout=0)
            timer = until(lambda run=started: world.run_of(run).steps)[0]
            assert (timer.step_name, timer.kind, timer.status) == (duration, "timer", "pending")
            lasts = datetime.fromisoformat(timer.due_at or "") - datetime.fromisoformat(timer.created_at)
            assert round(lasts.total_seconds()) == seconds


def until(read: Callable[[], Any]) -> Any:
    """What is read as soon as there is something."""
    end_s = time.monotonic() + 10
    while not (found := read()):
        assert time.monotonic() < end_s
        time.sleep(0.02)
    return found
