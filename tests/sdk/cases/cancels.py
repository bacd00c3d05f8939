"""A graceful cancel of a run: its handlers are told, undo what they did, and nothing else goes on."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from atomic.sdk import (
    AsyncContext,
    Call,
    CancelledError,
    Context,
    Retry,
    RetryAfter,
    RunCancelledError,
    RunDocument,
    RunSummary,
    StepFailedError,
)
from sdk.cases.sagas import book
from sdk.durable.flows import VARIANTS, Flow, awaited, run
from sdk.world import World

WAITS_S = 20


def begun(world: World, path: str, when: Callable[[RunDocument], bool], **options: Any) -> str:
    """The id of a run of this workflow, as soon as it is so far."""
    started = world.start(path, key=path.strip("/"), timeout=0, **options)
    until(world, started.run_id, when)
    return started.run_id


def until(world: World, run_id: str, when: Callable[[RunDocument], bool]) -> RunDocument:
    """The run, as soon as it is so far."""
    end_s = time.monotonic() + WAITS_S
    while not when(found := world.client.get(run_id)):
        assert time.monotonic() < end_s, found
        time.sleep(0.02)
    return found


def cancelled(world: World, run_id: str, within: float = 10) -> RunDocument:
    """The run after a graceful cancel, which is over."""
    told: RunSummary = world.client.cancel(run_id, graceful=True, within=within)
    assert told.cancel_by is not None or told.status in {"cancelled", "succeeded"}
    return until(world, run_id, lambda run: run.run.status in {"cancelled", "succeeded", "failed"})


def has(kind: str, status: str = "pending") -> Callable[[RunDocument], bool]:
    return lambda run: any((step.kind, step.status) == (kind, status) for step in run.steps)


def served(world: World, name: str, flow: Callable[[Any, Any], Flow]) -> None:
    """Serve a flow that gets the context and a saga, in both variants."""

    def blocking(ctx: Context, payload: Any) -> Any:
        with ctx.saga() as saga:
            return run(flow(ctx, saga))

    async def asynchronous(ctx: AsyncContext, payload: Any) -> Any:
        async with ctx.saga() as saga:
            return await awaited(flow(ctx, saga))

    world.workflow(f"/def/{name}", blocking, wait=0.05)
    world.workflow(f"/async/{name}", asynchronous, variant="async", wait=0.05)


def case_a_saga_that_sleeps_is_undone(world: World) -> None:
    def flow(ctx: Any, saga: Any) -> Flow:
        yield saga.step("/write", "room", undo="/slow", undo_payload="no room")
        yield ctx.sleep(3600)
        yield saga.step("/write", "flight", undo="/write", undo_payload="no flight")

    entries = book(world)
    served(world, "trip", flow)
    for variant in VARIANTS:
        run_id = begun(world, f"/{variant}/trip", has("timer"))
        found = cancelled(world, run_id)
        assert (found.run.status, found.run.error_kind, found.root.response_status) == (
            "cancelled",
            "cancelled",
            409,
        )
        assert entries == ["room", "no room"]
        assert [step.status for step in found.steps if step.kind == "timer"] == ["cancelled"]
        with pytest.raises(CancelledError):
            world.start(f"/{variant}/trip", key=f"{variant}/trip")
        entries.clear()


def case_an_event_that_was_opened_is_open_to_a_replay(world: World) -> None:
    """The cancel has ended it. Only the call that waits for it is told, so what comes before is undone."""

    def flow(ctx: Any, saga: Any) -> Flow:
        event = yield ctx.open_event("approval")
        yield saga.step("/write", f"ask {event.url}", undo="/write", undo_payload="ask no more")
        yield ctx.event("approval")

    entries = book(world)
    served(world, "asked", flow)
    for variant in VARIANTS:
        run_id = begun(world, f"/{variant}/asked", has("http", "succeeded"))
        assert cancelled(world, run_id).run.status == "cancelled"
        assert [entry.split("/")[0] for entry in entries] == ["ask http:", "ask no more"]
        entries.clear()


def case_an_undo_under_way_is_made_again(world: World) -> None:
    """The cancel ends the undo of a saga whose block has raised before, as it ends any other step."""
    is_open = {"def": False, "async": False}
    tried: list[str] = []

    def undo(variant: str) -> None:
        tried.append(variant)
        if not is_open[variant]:
            raise RetryAfter(3600)
        entries.append(f"undone {variant}")

    def flow(ctx: Any, saga: Any) -> Flow:
        variant = ctx.idempotency_key.split("/")[0]
        yield saga.step("/write", "room", undo="/undo", undo_payload=variant)
        yield saga.step("/fail", "flight", undo="/write", undo_payload="no flight")

    entries = book(world)
    world.step("/undo", undo)
    served(world, "booked", flow)
    for variant in VARIANTS:
        run_id = begun(world, f"/{variant}/booked", lambda _, variant=variant: variant in tried)
        is_open[variant] = True
        cancelled(world, run_id)
        assert entries == ["room", "flight", "no flight", f"undone {variant}"]
        entries.clear()


def case_an_effect_under_way_ends_before_its_undo(world: World) -> None:
    def slowly(payload: str) -> None:
        time.sleep(0.4)
        entries.append(payload)

    def flow(ctx: Any, saga: Any) -> Flow:
        yield saga.step("/slowly", "charge", undo="/write", undo_payload="refund")
        yield ctx.step("/write", "not called")

    entries = book(world)
    world.step("/slowly", slowly)
    served(world, "pay", flow)
    for variant in VARIANTS:
        run_id = begun(world, f"/{variant}/pay", has("http", "running"))
        assert cancelled(world, run_id).run.status == "cancelled"
        assert entries == ["charge", "refund"]
        entries.clear()


def case_a_retry_is_not_waited_for(world: World) -> None:
    def broken(payload: str) -> None:
        entries.append(payload)
        raise ConnectionError("again in an hour")

    def flow(ctx: Any, saga: Any) -> Flow:
        yield saga.step("/broken", "charge", undo="/write", undo_payload="refund", retry=5)

    entries = book(world)
    world.step("/broken", broken)
    served(world, "pay", flow)
    for variant in VARIANTS:
        run_id = begun(world, f"/{variant}/pay", has("http", "retrying"))
        found = cancelled(world, run_id)
        assert found.run.status == "cancelled"
        assert entries[-1] == "refund"
        assert entries.count("refund") == 1
        entries.clear()


def case_a_handler_may_catch_the_cancel(world: World) -> None:
    """It is raised once; what the handler calls then is made as usual. It may even finish."""
    seen: list[str] = []

    def flow(ctx: Any, payload: Any) -> Flow:
        try:
            yield ctx.step("/write", "begun")
            yield ctx.event("go")
            yield ctx.step("/write", "never")
        except RunCancelledError as error:
            seen.append(str(error))
            assert ctx.cancelled
            yield ctx.step("/slow", "cleaned")
            yield ctx.sleep(0.05)
            return (yield ctx.run("value", lambda: "done all the same"))

    def blocking(ctx: Context, payload: Any) -> Any:
        return run(flow(ctx, payload))

    async def asynchronous(ctx: AsyncContext, payload: Any) -> Any:
        return await awaited(flow(ctx, payload))

    entries = book(world)
    world.workflow("/def/w", blocking, wait=0.05)
    world.workflow("/async/w", asynchronous, variant="async", wait=0.05)
    for variant in VARIANTS:
        run_id = begun(world, f"/{variant}/w", has("event"))
        found = cancelled(world, run_id)
        assert (found.run.status, found.root.response) == ("succeeded", "done all the same")
        assert entries == ["begun", "cleaned"]
        assert {said.partition(".")[0] for said in seen} == {"event 'go' was cancelled"}
        entries.clear()


async def _gathered(ctx: AsyncContext, how: str) -> None:
    async def branch(name: str) -> None:
        try:
            await ctx.step("/write", f"{name} 1")
            if name == "a":
                await ctx.sleep(3600)
            await ctx.step("/write", f"{name} 2")
            await ctx.sleep(3600)
        except RunCancelledError:
            await ctx.step("/write", f"no {name}")
            raise

    if how == "asyncio":
        await asyncio.gather(branch("a"), branch("b"), return_exceptions=True)
    else:
        await ctx.parallel([branch("a"), branch("b")])
    await ctx.step("/write", "after the end")


def _parallel(ctx: Context, payload: Any) -> None:
    def branch(name: str) -> None:
        try:
            ctx.step("/write", f"{name} 1")
            ctx.sleep(3600)
        except RunCancelledError:
            ctx.step("/write", f"no {name}")
            raise

    ctx.parallel([lambda: branch("a"), lambda: branch("b")])
    ctx.step("/write", "after the end")


def case_each_branch_is_told_once(world: World) -> None:
    """A batch raises when all of its branches have ended; `asyncio.gather` may catch what they raise."""
    entries = book(world)
    world.workflow("/async", _gathered, variant="async", wait=0.05)
    world.workflow("/def", _parallel, wait=0.05)
    for path, how in (("/async", "asyncio"), ("/async", "batch"), ("/def", "threads")):
        run_id = world.start(path, how, key=how, timeout=0).run_id
        until(world, run_id, lambda run: sum(step.kind == "timer" for step in run.steps) == 2)
        catches = how == "asyncio"
        assert cancelled(world, run_id).run.status == ("succeeded" if catches else "cancelled")
        undone = [entry for entry in entries if entry.startswith("no ")]
        assert sorted(undone) == ["no a", "no b"]
        assert ("after the end" in entries) is catches
        entries.clear()


def case_a_nested_workflow_undoes_its_own(world: World) -> None:
    def inner(ctx: Any, saga: Any) -> Flow:
        yield saga.step("/write", "room", undo="/slow", undo_payload="no room")
        yield ctx.sleep(3600)

    def outer(ctx: Any, saga: Any) -> Flow:
        yield saga.step("/write", "order", undo="/write", undo_payload="no order")
        variant = ctx.idempotency_key.partition("/")[0]
        yield ctx.step(f"/{variant}/inner")

    entries = book(world)
    served(world, "inner", inner)
    served(world, "outer", outer)
    for variant in VARIANTS:
        run_id = begun(world, f"/{variant}/outer", has("timer"))
        found = cancelled(world, run_id)
        assert found.run.status == "cancelled"
        assert entries == ["order", "room", "no room", "no order"]
        [nested] = [step for step in found.steps if (step.step_invoke_url or "").endswith("inner")]
        assert nested.status == "cancelled"
        entries.clear()


def case_the_time_for_undos_is_bounded(world: World) -> None:
    """When it is over, the rest is cancelled hard. So is all of it by a second cancel at any time."""

    def flow(ctx: Any, saga: Any) -> Flow:
        yield saga.step("/write", "room", undo="/never", undo_payload="no room")
        yield ctx.sleep(3600)

    def never(payload: str) -> None:
        raise ConnectionError("down")

    entries = book(world)
    world.step("/never", never)
    served(world, "trip", flow)
    first, second = (begun(world, f"/{variant}/trip", has("timer")) for variant in VARIANTS)
    assert cancelled(world, first, within=1).run.status == "cancelled"
    world.client.cancel(second, graceful=True, within=3600)
    until(world, second, lambda run: any(step.attempts > 1 for step in run.steps))
    assert world.client.cancel(second).status == "cancelled"
    found = until(world, second, lambda run: all(step.status != "retrying" for step in run.steps))
    assert [step.status for step in found.steps if step.step_name == "undo /write"] == ["cancelled"]
    assert entries == ["room", "room"]


def case_a_run_that_was_never_called_ends_at_once(world: World) -> None:
    def workflow(ctx: Context, payload: Any, call: Call) -> None:
        raise AssertionError("never called")

    world.workflow("/w", workflow)
    run_id = world.start("/w", delay=3600, timeout=0).run_id
    assert world.client.cancel(run_id, graceful=True).status == "cancelled"


def case_what_has_ended_stays_as_it_is(world: World) -> None:
    def workflow(ctx: Context, payload: Any) -> str:
        if payload == "fail":
            raise ValueError("no luck")
        return "done"

    world.workflow("/w", workflow)
    done = world.start("/w")
    assert world.client.cancel(done.run_id, graceful=True).status == "succeeded"
    with pytest.raises(StepFailedError) as failed:
        world.start("/w", "fail", key="fails")
    run_id = str(failed.value.step_id).removesuffix("-root")
    assert world.client.cancel(run_id, graceful=True).status == "failed"


def case_a_run_of_its_own_undoes_its_own(world: World) -> None:
    def inner(ctx: Any, saga: Any) -> Flow:
        yield saga.step("/write", "room", undo="/slow", undo_payload="no room")
        yield ctx.sleep(3600)

    def outer(ctx: Any, saga: Any) -> Flow:
        yield saga.step("/write", "order", undo="/write", undo_payload="no order")
        handle = yield ctx.start_run("inner", workflow_name="inner")
        yield handle.result()

    entries = book(world)
    served(world, "inner", inner)
    served(world, "outer", outer)
    for variant in VARIANTS:
        run_id = begun(world, f"/{variant}/outer", has("run", "waiting"))
        end_s = time.monotonic() + WAITS_S
        while "room" not in entries:
            assert time.monotonic() < end_s
            time.sleep(0.02)
        assert cancelled(world, run_id).run.status == "cancelled"
        assert entries == ["order", "room", "no room", "no order"]
        entries.clear()
    assert {run.status for run in world.client.runs(workflow_name="inner")} == {"cancelled"}


def case_a_loop_does_not_go_on(world: World) -> None:
    def slowly(payload: str) -> None:
        time.sleep(0.4)
        entries.append(payload)

    def flow(ctx: Any, saga: Any) -> Flow:
        yield saga.step("/slowly", "charge", undo="/write", undo_payload="refund")
        yield ctx.continue_as()

    entries = book(world)
    world.step("/slowly", slowly)
    served(world, "loop", flow)
    for variant in VARIANTS:
        run_id = begun(world, f"/{variant}/loop", has("http", "running"))
        assert cancelled(world, run_id).run.status == "cancelled"
        assert entries == ["charge", "refund"]
        entries.clear()
    assert len(world.client.runs()) == 2


def case_a_step_is_not_called_again(world: World) -> None:
    def charge(payload: Any) -> None:
        entries.append("charge")
        raise ConnectionError("again in an hour")

    entries: list[str] = []
    world.step("/charge", charge)
    run_id = world.start("/charge", timeout=0, retry=Retry(count=5, back_off=3600, jitter="none")).run_id
    until(world, run_id, lambda run: run.root.status == "retrying")
    assert cancelled(world, run_id).run.status == "cancelled"
    assert entries == ["charge"]
