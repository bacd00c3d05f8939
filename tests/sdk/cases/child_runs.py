"""Runs of their own that a workflow starts, written once for `def` and `async def`."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from atomic.sdk import (
    AsyncContext,
    Call,
    Client,
    Context,
    InvalidRequestError,
    NonRetryable,
    Retry,
    RunCycleError,
    RunDiffersError,
    RunFailedError,
    SerializationError,
    StepCancelledError,
    StepFailedError,
    TooDeepError,
)
from sdk.cases.codecs import ENCRYPTION
from sdk.durable.flows import VARIANTS, Flow, fails, failures, key_of, results, serve, start
from sdk.world import World

SLOW = Retry(count=20, back_off=0.1, jitter="none", strategy="fixed")
CHILD: Any = {"workflow_name": "child"}


def not_before(attempt: int) -> Any:
    def step(payload: Any, call: Call) -> Any:
        if call.attempt < attempt:
            raise RuntimeError("not yet")
        return payload

    return step


def runs_named(world: World, name: str) -> list[Any]:
    return world.client.runs(workflow_name=name)


def case_a_workflow_starts_a_run_and_waits_for_its_outcome(world: World) -> None:
    def flow(ctx: Any, payload: int) -> Flow:
        handle = yield ctx.start_run("/double", payload, key=f"{ctx.idempotency_key}-child", **CHILD)
        first = yield handle.result()
        second = yield ctx.run_workflow("/double", first, **CHILD)
        return [handle.run_id, second]

    serve(world, "flow", flow, wait=0.1)
    world.workflow("/double", lambda ctx, payload: ctx.step("/slow", 2 * payload, retry=SLOW))
    world.step("/slow", not_before(4))
    told = results(world, "flow", 1)
    assert [second for _, second in told] == [4, 4]
    children = runs_named(world, "child")
    assert len(children) == 4
    by_id = {child.run_id: child for child in children}
    for variant, (run_id, _) in zip(VARIANTS, told, strict=True):
        assert by_id[run_id].idempotency_key == f"{key_of('flow', variant)}-child"
        assert by_id[run_id].started_by is not None
        root = world.client.get(by_id[run_id].started_by.rpartition("-")[0])
        assert [step.kind for step in root.steps] == ["run", "run"]
        assert root.root.attempts > 1
    # Keys that nobody gave are the parent's, with an end that differs.
    assert {child.idempotency_key.rpartition("-")[0] for child in children} == {
        key_of("flow", variant) for variant in VARIANTS
    }


def case_results_may_be_asked_for_in_any_order(world: World) -> None:
    def flow(ctx: Any, payload: Any) -> Flow:
        first = yield ctx.start_run("/echo", 1, **CHILD)
        second = yield ctx.start_run("/echo", 2, **CHILD)
        yield ctx.sleep(0.2)
        return [(yield second.result()), (yield first.result()), (yield second.result())]

    serve(world, "flow", flow, wait=0.05)
    world.workflow("/echo", echo)
    assert results(world, "flow") == [[2, 1, 2]] * 2
    assert len(runs_named(world, "child")) == 4


def echo(ctx: Context, payload: Any) -> Any:
    return payload


def case_workflows_of_one_key_start_runs_of_their_own(world: World) -> None:
    def starts(ctx: Context, payload: Any) -> Any:
        return [ctx.run_workflow("/echo", ctx.step_id, name=name, **CHILD) for name in (None, "b", "b")]

    def outer(ctx: Context, payload: Any) -> Any:
        return [ctx.step("/starts", None), *ctx.gather(*[ctx.call("/starts", n) for n in range(2)])]

    world.workflow("/outer", outer)
    world.workflow("/starts", starts)
    world.workflow("/echo", echo)
    told = world.start("/outer").response
    told += [world.start("/starts", 7, key="key-1/other").response]
    ids = [step_id for each in told for step_id in each]
    assert (len(ids), len(set(ids)), len(runs_named(world, "child"))) == (12, 4, 12)


def case_a_failed_run_fails_its_call(world: World) -> None:
    def flow(ctx: Any, is_caught: bool) -> Flow:
        if not is_caught:
            yield ctx.run_workflow("/fails", 1, retry=0, **CHILD)
        handle = yield ctx.start_run("/fails", 2, retry=0, **CHILD)
        yield ctx.sleep(0.2)
        try:
            yield handle.result()
        except RunFailedError as error:
            return [error.reason, error.code, error.last_error_kind, error.run_id == handle.run_id]

    def fail(payload: int) -> None:
        raise NonRetryable(f"no {payload}")

    serve(world, "flow", flow, wait=0.05)
    world.workflow("/fails", lambda ctx, payload: ctx.step("/fail", payload))
    world.step("/fail", fail)
    for reason, *told in results(world, "flow", True):
        assert reason.startswith("no 2 (step ")
        assert told == ["run-failed", "child_failed", True]
    for variant in VARIANTS:
        with pytest.raises(StepFailedError) as failed:
            world.start(f"/{variant}/flow", False, key=variant)
        # What happened first, in the innermost step.
        assert failed.value.reason.startswith("no 1 (step ")
    assert {letter.kind for letter in world.client.dead_letters()} == {"http"}


def case_a_handle_cancels_its_run(world: World) -> None:
    def flow(ctx: Any, payload: Any) -> Flow:
        handle = yield ctx.start_run("/waits", ctx.step_id, **CHILD)
        kept = yield ctx.start_run("/waits", ctx.step_id, on_cancel="keep", **CHILD)
        yield handle.cancel()
        yield kept.cancel()
        yield ctx.sleep(0.2)
        for each in (handle, kept):
            try:
                yield each.result()
            except StepCancelledError:
                yield each.cancel()
        return [handle.run_id, kept.run_id]

    serve(world, "flow", flow, wait=0.05)
    world.workflow("/waits", lambda ctx, payload: ctx.event("never"), wait=0.05)
    for cancelled, kept in results(world, "flow"):
        assert world.client.get(cancelled).run.status == "cancelled"
        assert world.client.get(kept).run.status == "waiting"


def case_a_run_that_was_cancelled_cancels_its_call(world: World) -> None:
    def flow(ctx: Any, payload: Any) -> Flow:
        handle = yield ctx.start_run("/waits", ctx.step_id, **CHILD)
        yield ctx.step("/cancel", handle.run_id)
        try:
            yield handle.result()
        except StepCancelledError:
            return "gone on"

    serve(world, "flow", flow, wait=0.05)
    world.workflow("/waits", lambda ctx, payload: ctx.event("never"), wait=0.05)

    def cancel(run_id: str) -> None:
        world.client.cancel(run_id)

    world.step("/cancel", cancel)
    assert results(world, "flow") == ["gone on"] * 2


def case_a_detached_run_outlives_its_parent(world: World) -> None:
    def flow(ctx: Any, payload: Any) -> Flow:
        handle = yield ctx.start_run("/waits", ctx.step_id, detached=True, **CHILD)
        yield ctx.sleep(0.2)
        for method in (handle.result, handle.cancel):
            with pytest.raises(InvalidRequestError, match="is detached"):
                yield method()
        return handle.run_id

    serve(world, "flow", flow, wait=0.05)
    world.workflow("/waits", lambda ctx, payload: ctx.event("go"), wait=0.05)
    for run_id in results(world, "flow"):
        child = world.client.get(run_id)
        assert (child.run.status, child.root.started_by is not None) == ("waiting", True)
        world.client.signal("child", child.run.idempotency_key, "go", 5)
        assert world.client.wait(child.root.id).response == 5


def case_a_run_of_another_payload_is_an_error_of_the_call(world: World) -> None:
    def flow(ctx: Any, payload: Any) -> Flow:
        told = []
        for detached in (False, True):
            try:
                yield ctx.start_run("/echo", "other", key="taken", detached=detached, **CHILD)
            except RunDiffersError as error:
                told.append([error.code, error.last_error_kind, error.run_id])
        yield ctx.sleep(0.2)
        try:
            yield ctx.run_workflow("/echo", "other", key="taken", **CHILD)
        except RunDiffersError as error:
            told.append([error.code, error.last_error_kind, error.run_id])
        return [*told, (yield ctx.run_workflow("/echo", "first", key="taken", **CHILD))]

    serve(world, "flow", flow, wait=0.05)
    world.workflow("/echo", echo)
    first = world.client.start("child", world.url("/echo"), "first", key="taken")
    told = ["run-differs", "child_differs", first.run_id]
    assert results(world, "flow") == [[told, told, told, "first"]] * 2
    assert len(runs_named(world, "child")) == 1


def case_a_run_that_would_wait_for_itself_is_an_error_of_the_call(world: World) -> None:
    def flow(ctx: Any, payload: Any) -> Flow:
        try:
            yield ctx.run_workflow("flow", payload, key=ctx.idempotency_key, workflow_name="case")
        except RunCycleError as error:
            return [error.code, error.run_id == ctx.run_id]

    serve(world, "flow", flow)
    assert results(world, "flow") == [["run-cycle", True]] * 2


def case_a_workflow_starts_itself_31_times(world: World) -> None:
    def flow(ctx: Any, level: int) -> Flow:
        try:
            return (yield ctx.run_workflow("flow", level + 1, workflow_name="case", name="deeper"))
        except TooDeepError as error:
            return [level, error.code]

    serve(world, "flow", flow, wait=0.05)
    assert results(world, "flow", 0) == [[32, "too-deep"]] * 2


def case_runs_are_parts_of_batches_as_steps_are(world: World) -> None:
    def blocking(ctx: Context, payload: Any) -> Any:
        runs = [ctx.call_workflow("/slow", n, name=f"n{n}", **CHILD) for n in range(3)]
        gathered = ctx.gather(*runs)
        handles = [ctx.start_run("/slow", n, **CHILD) for n in range(3, 5)]
        batch = ctx.parallel([handle.result for handle in handles])
        name, won = ctx.race(
            {
                "run": ctx.call_workflow("/echo", "won", **CHILD),
                "late": ctx.call_workflow("/waits", 0, **CHILD),
            }
        )
        return [*gathered, *batch.results(), name, won]

    async def asynchronous(ctx: AsyncContext, payload: Any) -> Any:
        gathered = await ctx.gather(
            *[ctx.run_workflow("/slow", n, name=f"n{n}", **CHILD) for n in range(3)]
        )
        handles = await asyncio.gather(*[ctx.start_run("/slow", n, **CHILD) for n in range(3, 5)])
        batch = await ctx.parallel([handle.result() for handle in handles])
        name, won = await ctx.race(
            {
                "run": ctx.run_workflow("/echo", "won", **CHILD),
                "late": ctx.run_workflow("/waits", 0, **CHILD),
            }
        )
        return [*gathered, *batch.results(), name, won]

    world.workflow("/def/flow", blocking, wait=0.05)
    world.workflow("/async/flow", asynchronous, variant="async", wait=0.05)
    world.workflow("/slow", lambda ctx, payload: ctx.step("/later", payload, retry=SLOW), wait=0.05)
    world.workflow("/waits", lambda ctx, payload: ctx.event("never"), wait=0.05)
    world.workflow("/echo", echo)
    world.step("/later", not_before(2))
    assert results(world, "flow") == [[0, 1, 2, 3, 4, "run", "won"]] * 2
    statuses = [run.status for run in runs_named(world, "child")]
    assert {status: statuses.count(status) for status in statuses} == {"succeeded": 12, "cancelled": 2}


class Invoice(BaseModel):
    number: int
    total: Decimal


def mounted_case_a_run_has_the_types_of_its_function(world: World) -> None:
    def invoice(invoice: Invoice) -> Invoice:
        return Invoice(number=invoice.number, total=invoice.total * 2)

    def blocking(ctx: Context, number: int) -> bool:
        wanted = Invoice(number=number, total=Decimal("1.50"))
        with pytest.raises(SerializationError, match="payload of step 'invoice' does not fit"):
            ctx.run_workflow(invoice, "x")
        first = ctx.run_workflow(invoice, wanted, key="a")
        again = ctx.start_run("invoice", wanted, key="b", workflow_name="bills", result=Invoice).result()
        return first == again == Invoice(number=number, total=Decimal("3.00"))

    async def asynchronous(ctx: AsyncContext, number: int) -> bool:
        wanted = Invoice(number=number, total=Decimal("1.50"))
        with pytest.raises(InvalidRequestError, match="workflow_name"):
            await ctx.run_workflow("invoice", wanted)
        first = await (await ctx.start_run(invoice, wanted, key="c")).result()
        again = await ctx.run_workflow(invoice, wanted, key="a")
        return first == again == Invoice(number=number, total=Decimal("3.00"))

    world.workflow("/bills/def", blocking)
    world.workflow("/bills/async", asynchronous, variant="async")
    world.step("/bills/invoice", invoice)
    for variant in VARIANTS:
        assert world.start(f"/bills/{variant}", 7, key=variant).response is True
    assert {run.idempotency_key for run in runs_named(world, "invoice")} == {"a", "c"}
    assert [run.idempotency_key for run in runs_named(world, "bills")] == ["b"]


def case_a_workflow_goes_on_as_a_new_run(world: World) -> None:
    swallowed: list[int] = []

    def flow(ctx: Any, left: int) -> Flow:
        yield ctx.step("/note", left)
        if left:
            try:
                return (yield ctx.continue_as(left - 1))
            except Exception:
                swallowed.append(left)
        return [ctx.idempotency_key, ctx.run_id]

    serve(world, "flow", flow)
    noted: list[int] = []
    world.step("/note", noted.append)
    for variant in VARIANTS:
        outcome = world.start(f"/{variant}/flow", 3, key=f"2026/{variant}/11")
        key, run_id = outcome.response
        # A number at the end of the first key is the caller's own.
        assert key == f"2026/{variant}/11/4"
        assert (outcome.run_id, outcome.idempotency_key) == (run_id, key)
        assert world.client.wait(outcome.id).response == [key, run_id]
        chain = [outcome.id]
        while (before := world.client.step(chain[-1]).continued_from) is not None:
            chain.append(before)
        assert len(chain) == 4
        first = world.client.step(chain[-1])
        assert (first.status, first.response, first.continued_as) == ("succeeded", None, chain[-2])
        assert world.client.wait(first.id).id == outcome.id
        told = world.start(f"/{variant}/flow", 3, key=f"2026/{variant}/11", timeout=0)
        assert (told.id, told.continued_as) == (first.id, chain[-2])
        assert {len(world.client.get(root.rpartition("-")[0]).steps) for root in chain} == {1}
    assert (noted, swallowed) == ([3, 2, 1, 0] * 2, [])


def case_a_run_that_goes_on_settles_its_call_with_the_last_outcome(world: World) -> None:
    def flow(ctx: Any, payload: Any) -> Flow:
        handle = yield ctx.start_run("loop", 2, **CHILD)
        return [(yield handle.result()), (yield ctx.run_workflow("loop", 1, key="loop", **CHILD))]

    def loop(ctx: Any, left: int) -> Flow:
        yield ctx.sleep(0.05)
        if left:
            yield ctx.continue_as(left - 1)
        return "done"

    serve(world, "flow", flow)
    serve(world, "loop", loop)
    assert world.start("/def/flow", key="flow").response == ["done", "done"]
    assert {run.idempotency_key for run in runs_named(world, "child")} >= {"loop", "loop/2"}


def case_a_run_goes_on_without_what_is_unfinished(world: World) -> None:
    def blocking(ctx: Context, left: int) -> Any:
        if not left:
            return "done"
        with ctx.saga() as saga:
            saga.undo("/undone", left)
            return ctx.race(
                {"never": lambda: ctx.event("never"), "next": lambda: ctx.continue_as(left - 1)}
            )

    async def asynchronous(ctx: AsyncContext, left: int) -> Any:
        if not left:
            return "done"
        async with ctx.saga() as saga:
            saga.undo("/undone", left)
            other = asyncio.create_task(ctx.event("never"))
            await asyncio.sleep(0.05)
            try:
                return await ctx.continue_as(left - 1)
            finally:
                other.cancel()

    undone: list[int] = []
    world.workflow("/def/flow", blocking, wait=0.1)
    world.workflow("/async/flow", asynchronous, variant="async", wait=0.1)
    world.step("/undone", undone.append)
    assert results(world, "flow", 2) == ["done"] * 2
    assert undone == []


def case_what_cannot_go_on(world: World) -> None:
    def flow(ctx: Any, payload: Any) -> Flow:
        if payload == "key":
            with pytest.raises(InvalidRequestError, match="idempotencyKey"):
                yield ctx.continue_as(0, key="a b")
        if payload == "exists":
            yield ctx.continue_as("first", key="taken")
        if payload == "step":
            yield ctx.step("flow", "nested")
        if payload == "nested":
            yield ctx.continue_as(0)
        if payload == "itself":
            yield ctx.continue_as(0, key=ctx.idempotency_key)
        return payload

    serve(world, "flow", flow)
    world.client.start("case", world.url("/def/flow"), "first", key="taken")
    assert results(world, "flow", "key") == ["key"] * 2
    for payload, why in (
        ("exists", "`ctx.continue_as` another `key`"),
        ("step", "continue_as: this workflow is a step of another one"),
        ("itself", "a run cannot go on as itself"),
    ):
        fails(world, "flow", why, payload, key=payload)


def case_a_call_that_nothing_performs_keeps_a_run_from_going_on(world: World) -> None:
    def blocking(ctx: Context, payload: Any) -> Any:
        ctx.call_workflow("/flow", 1, **CHILD)
        ctx.continue_as(payload)

    async def asynchronous(ctx: AsyncContext, payload: Any) -> Any:
        forgotten = ctx.step("/flow", 1)
        await ctx.continue_as(payload)
        await forgotten

    world.workflow("/def/flow", blocking)
    world.workflow("/async/flow", asynchronous, variant="async")
    told = [failed.reason for failed in failures(world, start(world, "flow"))]
    assert told[0].startswith("Not called: run 'child' (child_runs.py, line ")
    assert told[1].startswith("Not awaited: step '/flow' (child_runs.py, line ")
    assert runs_named(world, "child") == []


def case_values_of_runs_are_encoded_for_the_run_that_they_belong_to(world: World) -> None:
    """The codec decrypts nothing that was encrypted for another place."""
    codec = ENCRYPTION
    address = world.client.connection

    def flow(ctx: Any, payload: int) -> Flow:
        handle = yield ctx.start_run("loop", payload, **CHILD)
        detached = yield ctx.start_run("loop", payload, detached=True, **CHILD)
        return [(yield handle.result()), (yield ctx.run_workflow("loop", 0, **CHILD)), detached.run_id]

    def loop(ctx: Any, left: int) -> Flow:
        yield ctx.sleep(0.05)
        if left:
            yield ctx.continue_as(left - 1)
        return f"{left} left"

    serve(world, "flow", flow, codec=codec)
    serve(world, "loop", loop, codec=codec)
    with Client(address.url, client_id=address.client_id, codec=codec) as client:
        for variant in VARIANTS:
            url = world.url(f"/{variant}/flow")
            *told, run_id = client.start("case", url, 2, key=variant, timeout=20).response
            assert told == ["0 left", "0 left"]
            assert client.wait(f"{run_id}-root").response == "0 left"
    stored = [world.client.step(run.id) for run in world.client.runs()]
    assert "left" not in repr([[step.payload, step.response] for step in stored])


def mounted_case_a_run_goes_on_with_what_its_function_takes(world: World) -> None:
    def rounds(ctx: Context, invoice: Invoice) -> Invoice:
        if invoice.number == 2:
            return invoice
        with pytest.raises(SerializationError, match="payload of step 'rounds' does not fit"):
            ctx.continue_as("x")
        return ctx.continue_as(Invoice(number=invoice.number + 1, total=invoice.total * 2))

    world.workflow("/bills/rounds", rounds)
    outcome = world.start("/bills/rounds", {"number": 0, "total": "1.5"})
    assert outcome.response == {"number": 2, "total": "6.0"}
