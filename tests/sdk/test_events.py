"""Events of a workflow: which one a call waits for, and its deadline."""

import asyncio
from typing import Any

import pytest

from atomic.sdk import AsyncContext, EventTimeoutError, StepFailedError
from atomic.testing import EndpointCall, EndpointReply
from sdk.in_process import DAY, InProcess, in_process


def played(handler: Any, **options: Any) -> tuple[Any, InProcess]:
    """Run a workflow; return its response.

    Its step `ask` completes an event; the payload is id and answer.
    """

    async def play(app: InProcess) -> tuple[Any, InProcess]:
        async def ask(call: EndpointCall) -> EndpointReply:
            event_id, answer = call.payload
            await app.client.complete(event_id, answer)
            return EndpointReply(json="asked")

        app.serve("ask", ask)
        app.step("note")
        app.workflow(handler, **options)
        return await app.start(), app

    return in_process(play)


def test_an_opened_event_is_the_one_that_is_waited_for() -> None:
    async def main(ctx: AsyncContext) -> Any:
        event_id = await ctx.open_event("approval")
        await ctx.sleep(DAY)
        await ctx.step("ask", [event_id, "yes"])
        await ctx.sleep(DAY)
        return await ctx.event("approval")

    assert played(main)[0] == "yes"


def test_events_of_a_loop_are_numbered() -> None:
    async def main(ctx: AsyncContext) -> Any:
        found = []
        for answer in ("a", "b", "c"):
            await ctx.step("ask", [await ctx.open_event("reply"), answer])
            found.append(await ctx.event("reply"))
            await ctx.sleep(DAY)
        return found

    assert played(main)[0] == ["a", "b", "c"]


def test_events_without_an_opening_are_numbered_too() -> None:
    async def main(ctx: AsyncContext) -> Any:
        found = []
        for _ in range(3):
            try:
                await ctx.event("reply", deadline=60)
            except EventTimeoutError as error:
                found.append(error.step_id)
        return len(set(found))

    response, app = played(main)
    assert response == 3
    assert len(app.answers) == 4


def test_several_are_opened_and_then_waited_for_in_order() -> None:
    async def main(ctx: AsyncContext) -> Any:
        ids = [await ctx.open_event("vote") for _ in range(3)]
        await asyncio.gather(*[ctx.step("ask", [event_id, at]) for at, event_id in enumerate(ids)])
        return [await ctx.event("vote") for _ in ids]

    assert played(main)[0] == [0, 1, 2]


@pytest.mark.parametrize("where", ["above", "below", "beside"])
def test_an_event_may_be_opened_in_another_task(where: str) -> None:
    async def opens(ctx: AsyncContext) -> None:
        await ctx.step("ask", [await ctx.open_event("vote"), where])

    async def waits(ctx: AsyncContext) -> Any:
        if where == "beside":
            await ctx.sleep(DAY)
        return await ctx.event("vote")

    async def main(ctx: AsyncContext) -> Any:
        if where == "above":
            await opens(ctx)
            [found] = await asyncio.gather(waits(ctx))
        elif where == "below":
            await asyncio.gather(opens(ctx))
            found = await waits(ctx)
        else:
            _, found = await asyncio.gather(opens(ctx), waits(ctx))
        return found

    assert played(main)[0] == where


class TestDeadlines:
    @pytest.mark.parametrize("where", ["open", "event", "both"])
    def test_an_event_that_is_not_completed_is_an_error_of_the_workflow(self, where: str) -> None:
        async def main(ctx: AsyncContext) -> Any:
            opened = 60 if where in {"open", "both"} else None
            event_id = await ctx.open_event("approval", deadline=opened)
            await ctx.step("note", event_id)
            try:
                await ctx.event("approval", deadline=60 if where in {"event", "both"} else None)
            except EventTimeoutError as error:
                await ctx.step("note", "nobody")
                await ctx.sleep(DAY)
                # In a much later call, `open_event` returns the same id and raises nothing.
                return error.step_id == event_id
            return "never"

        response, app = played(main)
        assert response is True
        assert app.effects[-1] == (pytest.approx(60, abs=0.1), "note nobody")

    def test_it_can_be_handled_like_any_failure(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            try:
                await ctx.event("approval", deadline=60)
            except StepFailedError as error:
                return error.detail

        assert played(main)[0] == "The event was not completed within 60000 ms."

    def test_it_counts_from_the_wait_when_it_was_given_there(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            await ctx.open_event("approval")
            await ctx.sleep(DAY)
            try:
                await ctx.event("approval", deadline=60)
            except EventTimeoutError:
                return await ctx.step("note", "nobody")

        _, app = played(main)
        assert app.effects == [(pytest.approx(DAY + 60, abs=0.1), "note nobody")]

    def test_it_counts_from_the_opening_when_it_was_given_there(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            await ctx.open_event("approval", deadline=60)
            await ctx.sleep(DAY)
            try:
                await ctx.event("approval")
            except EventTimeoutError:
                return await ctx.step("note", "nobody")

        _, app = played(main)
        assert app.effects == [(pytest.approx(DAY, abs=0.1), "note nobody")]


def test_a_key_is_its_step_s_and_its_branch_s_own() -> None:
    """Two batches with the same keys share no steps and no events."""

    async def batch(ctx: AsyncContext, items: list[str]) -> list[Any]:
        return [await ctx.step("note", item, key=str(number)) for number, item in enumerate(items)]

    async def main(ctx: AsyncContext) -> Any:
        first = await batch(ctx, ["a", "b"])
        await ctx.sleep(DAY)
        second = await batch(ctx, ["c", "d"])
        side = await asyncio.gather(batch(ctx, ["e", "f"]), batch(ctx, ["g", "h"]))
        return [first, second, *side]

    response, app = played(main)
    assert response == [["a", "b"], ["c", "d"], ["e", "f"], ["g", "h"]]
    assert len(app.effects) == 8
