"""A handler that is told of a cancel is called several times, and its code may have changed before."""

import time
from typing import Any

from atomic.sdk import NonRetryable, RunCancelledError
from sdk.cases.cancels import begun, cancelled, has, served, until
from sdk.cases.sagas import book
from sdk.durable.flows import VARIANTS, Flow, serve
from sdk.world import World


def case_a_call_of_a_saga_that_is_not_made_is_told_in_each_replay(world: World) -> None:
    """The undo takes longer than the handler waits, so the handler is called again while it undoes."""

    def slowly(payload: str) -> None:
        time.sleep(0.4)
        entries.append(payload)

    def flow(ctx: Any, saga: Any) -> Flow:
        yield saga.step("/slowly", "charge", undo="/slowly", undo_payload="refund")
        yield saga.step("/write", "parcel", undo="/write", undo_payload="no parcel")

    entries = book(world)
    world.step("/slowly", slowly)
    served(world, "pay", flow)
    for variant in VARIANTS:
        run_id = begun(world, f"/{variant}/pay", has("http", "running"))
        assert cancelled(world, run_id).run.status == "cancelled"
        assert entries == ["charge", "no parcel", "refund"]
        entries.clear()


def case_a_version_in_front_of_what_was_done_is_passed(world: World) -> None:
    """The code was changed while the run waited. To raise there would skip all that undoes anything."""

    def flow(ctx: Any, payload: Any) -> Flow:
        if is_new:
            assert (yield ctx.version("greets", 1)) == 0
        try:
            yield ctx.step("/write", "room")
            yield ctx.sleep(3600)
        except RunCancelledError:
            yield ctx.step("/write", "no room")
            raise

    is_new: list[bool] = []
    entries = book(world)
    serve(world, "w", flow)
    for variant in VARIANTS:
        is_new.clear()
        run_id = begun(world, f"/{variant}/w", has("timer"))
        is_new.append(True)
        assert cancelled(world, run_id).run.status == "cancelled"
        assert entries == ["room", "no room"]
        entries.clear()


def case_an_undo_that_failed_is_redriven(world: World) -> None:
    def undo(payload: str) -> None:
        if is_broken:
            raise NonRetryable("not built yet")
        entries.append(payload)

    def flow(ctx: Any, saga: Any) -> Flow:
        yield saga.step("/write", "order", undo="/write", undo_payload="no order")
        yield saga.step("/write", "room", undo="/undo", undo_payload="no room")
        yield ctx.event("go")

    is_broken: list[bool] = []
    entries = book(world)
    world.step("/undo", undo)
    served(world, "w", flow)
    for variant in VARIANTS:
        is_broken.append(True)
        run_id = begun(world, f"/{variant}/w", has("event"))
        found = cancelled(world, run_id)
        assert (found.run.status, entries) == ("failed", ["order", "room", "no order"])
        is_broken.clear()
        [dead] = [step for step in found.steps if step.status == "failed"]
        world.client.redrive(dead.id)
        until(world, run_id, lambda run: run.run.status == "cancelled")
        assert entries == ["order", "room", "no order", "no room"]
        entries.clear()
