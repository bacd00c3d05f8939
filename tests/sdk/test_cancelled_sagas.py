"""Sagas of a handler that is told of a cancel, and whose blocks end before their calls."""

import asyncio
from typing import Any

from atomic.sdk import AsyncContext, RunCancelledError
from sdk.in_process import DAY, InProcess, in_process


def cancelled(workflow: Any, *, results_late: float = 0.0, posts_late: float = 0.0) -> list[str]:
    """The effects of a run that is cancelled gracefully after 10 s.

    A question for one result, and a post of `book`, take so many seconds.
    """

    async def play(app: InProcess) -> list[str]:
        app.client.late["result"], app.client.posts_late["book"] = results_late, posts_late
        app.step("book")
        app.step("unbook")
        app.workflow(workflow)
        started = await app.client.start("w", "https://app.test/main", key="k", timeout=0)
        await asyncio.sleep(10)
        await app.client.cancel(started.run_id, graceful=True)
        await asyncio.sleep(DAY)
        assert (await app.client.step(started.id)).status == "cancelled"
        return app.done

    return in_process(play)


async def left() -> None:
    raise RunCancelledError("The block ends.")


def test_undos_do_not_post_a_call_that_the_cancel_has_stopped() -> None:
    """The call still asks whether an earlier attempt has posted it."""

    async def workflow(ctx: AsyncContext) -> None:
        async with ctx.saga() as saga:
            await saga.step("book", "room", undo="unbook")
            if ctx.cancelled:
                await asyncio.gather(saga.step("book", "flight", undo="unbook"), left())
            await ctx.sleep(DAY)

    assert cancelled(workflow, results_late=5.0) == ["book room", "unbook room"]


def test_what_is_called_after_the_cancel_was_told_is_undone() -> None:
    """Such a call is posted as usual, so its undo waits for it."""

    async def workflow(ctx: AsyncContext) -> None:
        try:
            await ctx.sleep(DAY)
        finally:
            async with ctx.saga() as saga:
                await asyncio.gather(saga.step("book", "mail", undo="unbook"), left())

    assert cancelled(workflow, posts_late=0.5) == ["book mail", "unbook mail"]
