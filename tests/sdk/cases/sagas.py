"""Sagas: each is written once, as a generator, and runs in `with` and in `async with`."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from atomic.sdk import (
    AsyncContext,
    Call,
    Context,
    NonRetryable,
    RetryAfter,
    SagaFailedError,
    StepFailedError,
)
from sdk.durable.flows import VARIANTS, Flow, awaited, run
from sdk.world import World

Block = Callable[[Any, Any], Flow]
# What a handler returns when its saga has raised this error.
Told = Callable[[Exception], Any]


def told(error: Exception) -> Any:
    """The class of an error, that of its cause, and how many undos failed."""
    return [type(error).__name__, type(error.__cause__).__name__, len(getattr(error, "errors", ()))]


def serve(world: World, name: str, block: Block, *, saga: Any = None, wait: float = 0.05) -> None:
    """Serve the block as a saga in both variants. What it raises is returned, unless it is a RetryAfter."""
    options = saga or {}

    def blocking(ctx: Context, payload: Any) -> Any:
        try:
            with ctx.saga(**options) as opened:
                return run(block(ctx, opened))
        except (StepFailedError, SagaFailedError, ConnectionError) as error:
            return told(error)

    async def asynchronous(ctx: AsyncContext, payload: Any) -> Any:
        try:
            async with ctx.saga(**options) as opened:
                return await awaited(block(ctx, opened))
        except (StepFailedError, SagaFailedError, ConnectionError) as error:
            return told(error)

    world.workflow(f"/def/{name}", blocking, wait=wait)
    world.workflow(f"/async/{name}", asynchronous, variant="async", wait=wait)


def results(world: World, name: str) -> list[Any]:
    """The responses of both variants, one after the other: the book has the entries in this order."""
    return [world.start(f"/{variant}/{name}", key=name + variant).response for variant in VARIANTS]


def book(world: World) -> list[str]:
    """Serve steps below both variants that write into a book; returns this book."""
    entries: list[str] = []

    def write(payload: str, call: Call) -> str:
        entries.append(payload)
        return payload

    def slow(payload: str) -> str:
        time.sleep(0.2)
        entries.append(payload)
        return payload

    def fail(payload: str) -> None:
        entries.append(payload)
        raise NonRetryable("no luck")

    for path, function in {"/write": write, "/slow": slow, "/fail": fail}.items():
        world.step(path, function)
    return entries


def case_a_saga_without_an_error_undoes_nothing(world: World) -> None:
    def block(ctx: Any, saga: Any) -> Flow:
        room = yield saga.step("/write", "room", undo="/write", undo_payload="no room")
        flight = yield saga.step("/slow", "flight", undo="/write", undo_payload="no flight")
        number = yield saga.run("number", lambda: 7, undo="/write")
        return [room, flight, number]

    entries = book(world)
    serve(world, "trip", block)
    assert results(world, "trip") == [["room", "flight", 7]] * 2
    assert entries == ["room", "flight"] * 2
    for variant in VARIANTS:
        steps = world.run_of(world.start(f"/{variant}/trip", key=f"trip{variant}")).steps
        assert sorted(step.kind for step in steps) == ["http", "http", "value"]


def case_undos_run_in_reverse_order(world: World) -> None:
    """Also that of the call that failed. The handler is called again in the middle of its undos."""

    def block(ctx: Any, saga: Any) -> Flow:
        yield saga.step("/slow", "room", undo="/slow", name="book")
        yield saga.run("number", lambda: 7, undo="/slow", undo_payload="no number")
        saga.undo("/slow", "by hand", name="own")
        saga.undo(lambda: ctx.step("/slow", "own call"))
        yield saga.step("/fail", "flight", undo="/slow", undo_payload="no flight")
        raise AssertionError("never reached")

    entries = book(world)
    serve(world, "trip", block)
    assert results(world, "trip") == [["StepFailedError", "NoneType", 0]] * 2
    once = ["room", "flight", "no flight", "own call", "by hand", "no number", "room"]
    assert entries == once * 2
    for variant in VARIANTS:
        found = world.run_of(world.start(f"/{variant}/trip", key=f"trip{variant}"))
        names = {step.step_name for step in found.steps}
        assert names >= {"book", "undo book", "own", "undo number", "undo /fail", "undo of saga"}
        assert found.root.attempts > 3
        [undo] = [step for step in found.steps if step.step_name == "undo book"]
        assert undo.retry is not None
        assert undo.retry.count == 1000


def case_undos_by_hand_belong_to_their_sagas(world: World) -> None:
    """The sagas of a handler, one after the other and side by side, note the same step by hand."""

    def blocking(ctx: Context, payload: Any) -> Any:
        def saga(number: int) -> None:
            with ctx.saga() as opened:
                opened.undo("/write", f"undo {number}")
                ctx.step("/fail", f"fail {number}")

        batches = [ctx.parallel([lambda: saga(0)]), ctx.parallel([lambda: saga(1), lambda: saga(2)])]
        return [len(batch.failed) for batch in batches]

    async def asynchronous(ctx: AsyncContext, payload: Any) -> Any:
        async def saga(number: int) -> None:
            async with ctx.saga() as opened:
                opened.undo("/write", f"undo {number}")
                await ctx.step("/fail", f"fail {number}")

        batches = [await ctx.parallel([saga(0)]), await ctx.parallel([saga(1), saga(2)])]
        return [len(batch.failed) for batch in batches]

    entries = book(world)
    world.workflow("/def/trip", blocking, wait=0.05)
    world.workflow("/async/trip", asynchronous, variant="async", wait=0.05)
    assert results(world, "trip") == [[1, 2]] * 2
    once = [f"{what} {number}" for what in ("fail", "undo") for number in range(3)]
    assert Counter(entries) == Counter(once * 2)


def case_an_undone_saga_stays_undone(world: World) -> None:
    """The block raises in one attempt only, which ends in the middle of its undos."""
    raised: list[str] = []

    def block(ctx: Any, saga: Any) -> Flow:
        yield saga.step("/write", "room", undo="/slow", undo_payload="no room")
        if ctx.workflow_name + ctx.run_id not in raised:
            raised.append(ctx.workflow_name + ctx.run_id)
            raise ConnectionError("once")
        yield saga.step("/write", "flight", undo="/write", undo_payload="no flight")
        return "done"

    entries = book(world)
    serve(world, "trip", block)
    assert results(world, "trip") == [["SagaFailedError", "NoneType", 0]] * 2
    assert entries == ["room", "no room"] * 2


def case_undos_that_fail_are_collected(world: World) -> None:
    def block(ctx: Any, saga: Any) -> Flow:
        yield saga.step("/write", "a", undo="/write", undo_payload="no a")
        yield saga.step("/write", "b", undo="/fail", undo_payload="no b")
        yield saga.step("/write", "c", undo="/write", undo_payload="no c")
        saga.undo(lambda: 1 // 0)
        yield saga.step("/fail", "d", undo="/write", undo_payload="no d")

    entries = book(world)
    serve(world, "trip", block, saga={"name": "trip", "retry": 3})
    assert results(world, "trip") == [["SagaFailedError", "StepFailedError", 2]] * 2
    assert entries == ["a", "b", "c", "d", "no d", "no c", "no b", "no a"] * 2


def case_an_undo_waits_for_its_call(world: World) -> None:
    """A call that the block does not wait for ends before its undo begins."""

    def block(ctx: Any, saga: Any) -> Flow:
        slow = saga.step("/slow", "slow", undo="/write", undo_payload="no slow")
        yield ctx.gather(slow, saga.step("/fail", "fail", undo="/write", undo_payload="no fail"))

    async def trip(ctx: AsyncContext, payload: Any) -> Any:
        try:
            async with ctx.saga() as saga:
                await awaited(block(ctx, saga))
        except StepFailedError as error:
            return told(error)

    entries = book(world)
    world.workflow("/trip", trip, variant="async", wait=0.05)
    assert world.start("/trip").response == ["StepFailedError", "NoneType", 0]
    assert Counter(entries) == Counter(["fail", "no fail", "slow", "no slow"])
    assert entries.index("slow") < entries.index("no slow")


def case_a_branch_that_may_be_left_calls_no_saga(world: World) -> None:
    """What it calls would not be undone by a replay. All other branches may call one."""

    def blocking(ctx: Context, name: str) -> Any:
        with ctx.saga() as saga:
            calls = [
                lambda: saga.step("/slow", "a", undo="/write", undo_payload="no a"),
                lambda: saga.step("/fail", "b", undo="/write", undo_payload="no b"),
            ]
            return ctx.gather(*calls) if name == "gather" else ctx.parallel(calls).results()

    async def asynchronous(ctx: AsyncContext, name: str) -> Any:
        async with ctx.saga() as saga:

            async def first() -> Any:
                return await saga.step("/slow", "a", undo="/write", undo_payload="no a")

            async def second() -> Any:
                return await saga.step("/fail", "b", undo="/write", undo_payload="no b")

            if name == "gather":
                return await ctx.gather(first(), second())
            return (await ctx.parallel([first(), second()])).results()

    entries = book(world)
    world.workflow("/def/trip", blocking, wait=0.05)
    world.workflow("/async/trip", asynchronous, variant="async", wait=0.05)
    for variant in VARIANTS:
        with pytest.raises(StepFailedError, match="might not be undone"):
            world.start(f"/{variant}/trip", "gather", key=f"gather{variant}")
        entries.clear()
        with pytest.raises(StepFailedError, match="no luck"):
            world.start(f"/{variant}/trip", "parallel", key=f"parallel{variant}")
        assert entries[-2:] in (["no b", "no a"], ["no a", "no b"])
        assert sorted(entries) == ["a", "b", "no a", "no b"]
        entries.clear()


def case_a_cancelled_task_is_undone(world: World) -> None:
    """A TaskGroup cancels the task of a saga. Both of its undos take longer than a call of the handler."""

    async def book_trip(ctx: AsyncContext) -> None:
        async with ctx.saga() as saga:
            await saga.step("/write", "room", undo="/slow", undo_payload="no room")
            await saga.step("/slow", "flight", undo="/slow", undo_payload="no flight")
            await ctx.sleep(60)

    async def fail(ctx: AsyncContext) -> None:
        await ctx.sleep(0.3)
        await ctx.step("/fail", "car")

    async def trip(ctx: AsyncContext, payload: Any) -> Any:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(book_trip(ctx))
                tasks.create_task(fail(ctx))
        except* StepFailedError:
            pass

    entries = book(world)
    world.workflow("/trip", trip, variant="async", wait=0.05)
    world.start("/trip")
    assert Counter(entries) == Counter(["room", "flight", "car", "no flight", "no room"])
    assert entries.index("flight") < entries.index("no flight") < entries.index("no room")


def case_a_redriven_call_is_undone_again(world: World) -> None:
    """Its run stays undone. So each effect of a redrive has one more undo, and nothing new is called."""
    is_broken = {"def": True, "async": True}

    def flaky(payload: str) -> str:
        entries.append(f"charge {payload}")
        if is_broken[payload]:
            raise NonRetryable("no luck")
        return payload

    def block(ctx: Any, saga: Any) -> Flow:
        variant = ctx.idempotency_key.removeprefix("trip")
        yield saga.step("/write", f"book {variant}", undo="/write", undo_payload=f"cancel {variant}")
        yield saga.step("/flaky", variant, undo="/write", undo_payload=f"refund {variant}")
        yield saga.step("/write", f"ship {variant}", undo="/write", undo_payload=f"recall {variant}")

    def blocking(ctx: Context, payload: Any) -> Any:
        with ctx.saga() as saga:
            return run(block(ctx, saga))

    async def asynchronous(ctx: AsyncContext, payload: Any) -> Any:
        async with ctx.saga() as saga:
            return await awaited(block(ctx, saga))

    entries = book(world)
    world.step("/flaky", flaky)
    world.workflow("/def/trip", blocking, wait=0.05)
    world.workflow("/async/trip", asynchronous, variant="async", wait=0.05)
    for variant in VARIANTS:
        with pytest.raises(StepFailedError, match="no luck") as failed:
            world.start(f"/{variant}/trip", key=f"trip{variant}")
        assert Counter(entries) == Counter(
            f"{name} {variant}" for name in ("book", "charge", "refund", "cancel")
        )
        is_broken[variant] = False
        root_id = str(failed.value.step_id)
        world.client.redrive(root_id)
        with pytest.raises(StepFailedError, match="saga was undone"):
            world.start(f"/{variant}/trip", key=f"trip{variant}")
        twice = Counter([f"charge {variant}", f"refund {variant}"] * 2)
        assert Counter(entries) == twice + Counter([f"book {variant}", f"cancel {variant}"])
        entries.clear()


def case_retry_after_undoes_nothing(world: World) -> None:
    def block(ctx: Any, saga: Any) -> Flow:
        room = yield saga.step("/write", "room", undo="/write", undo_payload="no room")
        if ctx.attempt == 1:
            raise RetryAfter(0.05)
        return room

    entries = book(world)
    serve(world, "trip", block)
    for variant in VARIANTS:
        outcome = world.start(f"/{variant}/trip", key=variant, retry=1)
        assert outcome.response == "room"
    assert entries == ["room"] * 2


def case_a_retry_after_of_a_task_undoes_nothing(world: World) -> None:
    """It comes in a group, and asks for another call of the handler as it does alone."""

    async def wait_for_it(ctx: AsyncContext) -> None:
        if ctx.attempt == 1:
            raise RetryAfter(0.05)

    async def trip(ctx: AsyncContext, payload: Any) -> Any:
        async with ctx.saga() as saga:
            room = await saga.step("/write", "room", undo="/write", undo_payload="no room")
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(wait_for_it(ctx))
        return room

    entries = book(world)
    world.workflow("/trip", trip, variant="async")
    assert world.start("/trip", retry=1).response == "room"
    assert entries == ["room"]


def case_the_function_of_a_value_notes_no_undo(world: World) -> None:
    """A replay does not run it, so the undo would be lost."""

    def block(ctx: Any, saga: Any) -> Flow:
        yield ctx.run("hold", lambda: saga.undo("/write", "release"))

    book(world)
    serve(world, "trip", block)
    for variant in VARIANTS:
        with pytest.raises(StepFailedError, match="value 'hold' notes an undo"):
            world.start(f"/{variant}/trip", key=variant)


def case_wrong_undos_are_refused_before_their_call(world: World) -> None:
    def unserved(payload: str) -> None:
        raise AssertionError("never called")

    def block(ctx: Any, saga: Any) -> Flow:
        wrong = ctx.saga(retry=5000)
        attempts: list[Callable[[], Any]] = [
            lambda: saga.step("/write", "room", undo=unserved),
            lambda: saga.step("/write", "room", undo="/write", undo_payload=object()),
            lambda: wrong.step("/write", "room", undo="/write"),
            lambda: saga.undo("/write", "room", retries=3),
        ]
        said = []
        for attempt in attempts:
            try:
                attempt()
            except ValueError as error:
                said.append(str(error).partition(":")[0])
        yield ctx.sleep(0)
        return said

    entries = book(world)
    serve(world, "trip", block)
    [blocking, asynchronous] = results(world, "trip")
    assert blocking == asynchronous
    assert blocking[0] == "undo"
    assert "/write" in blocking[1]
    assert [text.split()[0] for text in blocking[2:]] == ["retry", "retries"], blocking
    assert entries == []


def case_a_call_after_the_end_of_its_saga_is_refused(world: World) -> None:
    def blocking(ctx: Context, payload: Any) -> Any:
        with ctx.saga() as saga:
            pass
        return saga.step("/write", "room", undo="/write")

    entries = book(world)
    world.workflow("/trip", blocking)
    with pytest.raises(StepFailedError, match="ended before this call"):
        world.start("/trip")
    assert entries == []
