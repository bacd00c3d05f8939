"""How often a handler is called that waits for many steps, and how many requests that makes in all."""

import asyncio
import random
from typing import Any

import pytest

from atomic.sdk import AsyncContext
from atomic.testing import EndpointCall, EndpointReply
from sdk.in_process import InProcess, in_process

SUSPENDED = 202


def played(handler: Any, **options: Any) -> tuple[Any, InProcess, int]:
    """The response, the application, and the number of all requests of the handler."""
    requests = 0

    async def play(app: InProcess) -> tuple[Any, InProcess]:
        send = app.client._send

        async def counted(request: Any) -> Any:
            nonlocal requests
            requests += "/main" not in request.body.decode()
            return await send(request)

        app.client._send = counted  # type: ignore[method-assign]
        durations = random.Random(7)

        async def work(call: EndpointCall) -> EndpointReply:
            await asyncio.sleep(durations.uniform(5, 19))
            if call.payload < 0:
                return EndpointReply(status=500, headers={"Atomic-No-Retry": "true"})
            return EndpointReply(json=call.payload)

        app.serve("work", work)
        app.workflow(handler, **{"wait": 0.1, **options})
        return await app.start(), app

    return (*in_process(play), requests)


def calls_of(app: InProcess) -> list[int]:
    return [status for status, _ in app.answers]


@pytest.mark.parametrize("count", [160, 1000])
def test_a_map_is_woken_when_all_is_done(count: int) -> None:
    async def main(ctx: AsyncContext) -> Any:
        return sum((await ctx.map(range(count), "work")).results())

    response, app, requests = played(main)
    assert response == sum(range(count))
    assert calls_of(app) == [SUSPENDED, 200]
    # Each item is posted once, those that were asked for briefly not again; one page of results is read.
    assert requests <= count + 70


def test_a_gather_of_few_names_them() -> None:
    count = 20

    async def main(ctx: AsyncContext) -> Any:
        return sum(await ctx.gather(*[ctx.step("work", number) for number in range(count)]))

    response, app, requests = played(main)
    assert response == sum(range(count))
    assert calls_of(app) == [SUSPENDED, 200]
    assert requests <= count + 5


def test_a_gather_is_woken_by_the_first_failure() -> None:
    async def main(ctx: AsyncContext) -> Any:
        found = "all"
        try:
            await ctx.gather(*[ctx.step("work", number) for number in (1, 2, -3, 4, 5)])
        except Exception as error:
            found = type(error).__name__
        return found

    response, app, _ = played(main)
    assert response == "StepFailedError"
    assert calls_of(app) == [SUSPENDED, 200]


def test_tolerated_failures_wake_once_each() -> None:
    async def main(ctx: AsyncContext) -> Any:
        batch = await ctx.map([1, -2, 3, -4, 5, 6, 7, 8], "work", tolerated_failures=2)
        return [batch.ended_by, len(batch.failed)]

    response, app, _ = played(main)
    assert response == ["all_completed", 2]
    assert len(app.answers) <= 4


def test_another_wait_beside_a_batch_wakes_on_any() -> None:
    async def main(ctx: AsyncContext) -> Any:
        async def beside() -> None:
            await ctx.sleep(2)
            await ctx.step("work", 100)

        await asyncio.gather(ctx.map(range(5), "work"), beside())

    _, app, _ = played(main)
    assert len(app.answers) > 2


def test_an_open_event_keeps_nobody_waiting() -> None:
    """`*` would wait for the event as well, so the steps are named, forty at a time."""

    async def main(ctx: AsyncContext) -> Any:
        await ctx.open_event("never")
        return len(await ctx.map(range(100), "work"))

    response, app, _ = played(main)
    assert response == 100
    assert len(app.answers) <= 4
