"""Which lines of a workflow are logged, where its branches and attempts overlap."""

import asyncio
import functools
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from atomic.sdk import AsyncContext, Context, Hooks, Operation
from atomic.sdk._calls.results import fingerprint
from atomic.sdk._endpoints.endpoint import Endpoint
from sdk.cases.logs import logged
from sdk.in_process import DAY, InProcess, in_process
from sdk.scripted import GOES_ON, Script, ScriptedAsyncClient, answer, called, called_async, done, request

FINISHED = "2026-01-01T00:00:00.000Z"


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    with logged() as found:
        yield found


def played(handler: Any, **steps: float) -> None:
    """Run a workflow whose steps take these times, in seconds."""

    async def play(app: InProcess) -> None:
        for name, seconds in steps.items():
            app.step(name, seconds)
        app.workflow(handler)
        await app.start()

    in_process(play)


def lines(records: list[logging.LogRecord]) -> list[str]:
    return [record.getMessage() for record in records]


def test_branches_that_go_on_at_different_times(records: list[logging.LogRecord]) -> None:
    async def main(ctx: AsyncContext) -> None:
        async def branch(name: str) -> None:
            ctx.logger.info("%s begins", name)
            for number in range(3):
                await ctx.step(name)
                ctx.logger.info("%s %s", name, number)
                await ctx.sleep(DAY * (1 + len(name)))
            await ctx.step("end", name)

        await asyncio.gather(branch("a"), branch("bc"))
        ctx.logger.info("end")

    played(main, a=0, bc=5, end=0)
    expected = [f"{name} {what}" for name in ("a", "bc") for what in ("begins", 0, 1, 2)]
    assert sorted(lines(records)) == sorted([*expected, "end"])


def test_no_line_is_lost_at_the_end_of_a_branch(records: list[logging.LogRecord]) -> None:
    async def main(ctx: AsyncContext) -> None:
        async def branch(name: str) -> None:
            await ctx.step(name)
            ctx.logger.info(name)

        await asyncio.gather(branch("quick"), branch("slow"))
        await ctx.sleep(DAY)

    played(main, quick=0, slow=5)
    # Nothing tells the second attempt that the first one had this line.
    assert lines(records) in (["quick", "quick", "slow"], ["quick", "slow"])


def page(*steps: dict[str, Any]) -> Any:
    found = [{"id": "other", "kind": "http", "status": "succeeded", **step} for step in steps]
    return answer(200, parent="run_1-root", steps=found, next=None)


OTHER = {"fingerprint": "f", "finishedAt": FINISHED, "response": 1}
both = pytest.mark.parametrize("variant", ["def", "async"])


def call(variant: str, flow: Any, answers: Any, **options: Any) -> None:
    def blocking(ctx: Context) -> None:
        for _ in flow(ctx):
            pass

    async def asynchronous(ctx: AsyncContext) -> None:
        for made in flow(ctx):
            await made

    if variant == "def":
        called(blocking, answers, **options)
    else:
        asyncio.run(called_async(asynchronous, answers, **options))


@both
def test_a_first_attempt_that_never_came_leaves_all_lines_to_the_second(
    variant: str, records: list[logging.LogRecord]
) -> None:
    def flow(ctx: Any) -> Iterator[Any]:
        ctx.logger.info("begin")
        yield ctx.step("pay")
        ctx.logger.info("paid")

    call(variant, flow, {"results": page(), "pay": done()}, attempt=2, token="t")
    assert lines(records) == ["begin", "paid"]


@both
def test_code_that_lost_a_step_logs_after_its_first_new_call(
    variant: str, records: list[logging.LogRecord]
) -> None:
    def flow(ctx: Any) -> Iterator[Any]:
        ctx.logger.info("begin")
        yield ctx.step("pay")
        ctx.logger.info("paid")
        yield ctx.run("n", lambda: ctx.logger.info("drawn"))

    answers = {"results": page(OTHER), "pay": done(), "n": done(), "result": page()}
    call(variant, flow, answers, attempt=2, token="t")
    assert lines(records) == ["paid", "drawn"]


@both
def test_nothing_is_logged_after_a_suspension(variant: str, records: list[logging.LogRecord]) -> None:
    async def asynchronous(ctx: AsyncContext) -> None:
        try:
            await ctx.step("pay")
        finally:
            ctx.logger.info("released")

    def blocking(ctx: Context) -> None:
        try:
            ctx.step("pay")
        finally:
            ctx.logger.info("released")

    if variant == "def":
        assert called(blocking, {"pay": GOES_ON})[0].status == 202
    else:
        assert asyncio.run(called_async(asynchronous, {"pay": GOES_ON}))[0].status == 202
    assert lines(records) == []


def test_a_branch_in_a_thread_loses_no_line(records: list[logging.LogRecord]) -> None:
    ids: list[str] = []

    class Ids(Hooks):
        def operation_started(self, operation: Operation) -> None:
            ids.append(operation.step_id)

    def main(ctx: Context) -> None:
        def branch() -> None:
            ctx.step("pay")
            ctx.logger.info("paid")

        ctx.gather(branch)

    called(main, {"pay": GOES_ON}, hooks=[Ids()])
    # The first attempt also posted a step of another branch, which has not begun in this one.
    paid = {**OTHER, "id": ids[0], "fingerprint": fingerprint(None)}
    _, posted = called(main, {"results": page(OTHER, paid)}, attempt=2, token="t")
    assert (lines(records), posted) == (["paid"], ["results"])


def test_a_plain_wrapper_of_an_async_handler_logs(records: list[logging.LogRecord]) -> None:
    async def main(ctx: AsyncContext) -> None:
        ctx.logger.info("begin")
        await ctx.step("pay")

    @functools.wraps(main)
    def wrapped(ctx: AsyncContext) -> Any:
        ctx.logger.info("wrapper")
        return main(ctx)

    for attempt, answers in ((1, {"pay": GOES_ON}), (2, {"results": page(OTHER), "pay": GOES_ON})):
        client: Any = ScriptedAsyncClient(patience=0)
        client.script = Script(answers)
        endpoint = Endpoint(wrapped, is_workflow=True, options={"client": client, "wait": 0.05})
        response = asyncio.run(endpoint.answer_async(request(attempt=attempt, token="t")))
        assert response.status == 202
    assert lines(records) == ["wrapper", "begin"]


def test_a_level_that_is_off_costs_no_request(records: list[logging.LogRecord]) -> None:
    def main(ctx: Context) -> None:
        ctx.logger.debug("begin")

    assert called(main, {"results": page(OTHER)}, attempt=2, token="t")[1] == []
    assert lines(records) == []
