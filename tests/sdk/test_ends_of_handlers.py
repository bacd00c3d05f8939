"""The answer of a workflow's call, whatever its code does with exceptions, for `def` and `async def`."""

import asyncio
import json
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from atomic.sdk import AsyncContext, Context, NonRetryable, StepFailedError, TooManyRequestsError
from atomic.sdk._wire.answers import HandlerResponse
from sdk.scripted import FAILED, GOES_ON, MISMATCH, NOBODY, REFUSED, called, called_async, done

WAITING, REFUSES, NO_RETRY = "atomic-waiting-for", "atomic-refused", "atomic-no-retry"


def told(response: HandlerResponse) -> tuple[int, str]:
    """The status of an answer, and its headers about a further call."""
    names = [name for name in (WAITING, REFUSES, NO_RETRY) if name in response.headers]
    return response.status, " ".join(names)


def detail(response: HandlerResponse) -> str:
    return str(json.loads(response.body)["detail"])


# Each workflow calls `ctx.step("one")`, handles its exception in some way, calls `two`, and returns.
def bare(ctx: Context) -> Any:
    try:
        return ctx.step("one")
    except:  # noqa: E722 - this is under test
        return ctx.step("two")


def in_finally(ctx: Context) -> Any:
    try:
        ctx.step("one")
    finally:
        ctx.step("two")
        return "end"  # noqa: B012 - this is under test


def suppressed(ctx: Context) -> Any:
    with suppress(BaseException):
        ctx.step("one")
    return ctx.step("two")


def another_error(ctx: Context) -> Any:
    try:
        ctx.step("one")
    except BaseException:
        raise ValueError("another") from None


def side_by_side(ctx: Context) -> Any:
    with suppress(BaseException):
        ctx.gather(ctx.call("one"), ctx.call("three"))
    return ctx.step("two")


def in_a_thread(ctx: Context) -> Any:
    with ThreadPoolExecutor() as pool, suppress(BaseException):
        return pool.submit(ctx.step, "one").result()
    return ctx.step("two")


async def later_bare(ctx: AsyncContext) -> Any:
    try:
        return await ctx.step("one")
    except:  # noqa: E722 - this is under test
        return await ctx.step("two")


async def later_in_finally(ctx: AsyncContext) -> Any:
    try:
        await ctx.step("one")
    finally:
        await ctx.step("two")
        return "end"  # noqa: B012 - this is under test


async def later_gathered(ctx: AsyncContext) -> Any:
    await asyncio.gather(ctx.step("one"), ctx.step("three"), return_exceptions=True)
    return await ctx.step("two")


async def later_grouped(ctx: AsyncContext) -> Any:
    with suppress(BaseException):
        async with asyncio.TaskGroup() as group:
            group.create_task(ctx.step("one"))
            group.create_task(ctx.step("three"))
    return await ctx.step("two")


HANDLERS = [
    bare,
    in_finally,
    suppressed,
    another_error,
    side_by_side,
    in_a_thread,
    later_bare,
    later_in_finally,
    later_gathered,
    later_grouped,
]


@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.parametrize(
    ("came", "answered"),
    [
        (GOES_ON, (202, WAITING)),
        (REFUSED, (503, REFUSES)),
        (NOBODY, (503, REFUSES)),
        (MISMATCH, (500, NO_RETRY)),
    ],
    ids=["goes-on", "refused", "nobody", "mismatch"],
)
def test_nothing_after_it_counts(handler: Callable[..., Any], came: Any, answered: tuple[int, str]) -> None:
    response, posts = called(handler, {"one": came, "two": done(2), "three": done(3)})
    assert told(response) == answered
    assert "two" not in posts


@pytest.mark.parametrize("handler", HANDLERS)
def test_a_handler_can_handle_the_failure_of_a_step(handler: Callable[..., Any]) -> None:
    response, posts = called(handler, {"one": FAILED, "two": done(2), "three": done(3)})
    if handler is another_error:
        assert (told(response), detail(response)) == ((500, ""), "ValueError: another")
        return
    assert told(response) == (200, "")
    assert "two" in posts


def test_a_refusal_is_passed_on() -> None:
    response, _ = called(bare, {"one": REFUSED})
    assert "Too many starts." in detail(response)
    response, _ = called(later_bare, {"one": MISMATCH})
    assert "the same payloads in each replay" in detail(response)


def test_a_refusal_says_when_to_come_again() -> None:
    later = replace(REFUSED, headers={"retry-after": "7"})
    for handler in (bare, later_bare):
        assert called(handler, {"one": later})[0].headers["retry-after"] == "7"
        assert "retry-after" not in called(handler, {"one": NOBODY})[0].headers


def test_a_handler_cannot_make_a_refusal_its_outcome() -> None:
    def main(ctx: Context) -> Any:
        try:
            return ctx.step("one")
        except TooManyRequestsError:
            return "refused"

    assert told(called(main, {"one": REFUSED})[0]) == (503, REFUSES)


def test_one_refusal_among_others_is_called_again_soon() -> None:
    """The refused step does not exist yet, so waiting for the other one alone might take for ever."""

    async def later(ctx: AsyncContext) -> Any:
        await asyncio.gather(ctx.step("one"), ctx.step("two"))

    def plain(ctx: Context) -> Any:
        ctx.gather(ctx.call("one"), ctx.call("two"))

    for handler in (later, plain):
        assert told(called(handler, {"one": GOES_ON, "two": REFUSED})[0]) == (503, REFUSES)
        assert told(called(handler, {"one": REFUSED, "two": MISMATCH})[0]) == (500, NO_RETRY)


def test_an_event_that_cannot_be_opened_refuses_the_handler() -> None:
    def plain(ctx: Context) -> Any:
        with suppress(Exception):
            return ctx.open_event("approval")

    async def later(ctx: AsyncContext) -> Any:
        with suppress(Exception):
            return await ctx.open_event("approval")

    for handler in (plain, later):
        assert told(called(handler, {"approval": REFUSED})[0]) == (503, REFUSES)


def test_an_event_that_has_expired_was_opened() -> None:
    def plain(ctx: Context) -> Any:
        return ctx.open_event("approval", deadline=5)

    async def later(ctx: AsyncContext) -> Any:
        return await ctx.open_event("approval", deadline=5)

    for handler in (plain, later):
        assert called(handler, {"approval": FAILED})[0].body == b'"run_1-x"'


def test_side_by_side_all_end_before_one_is_raised() -> None:
    """Otherwise a replay might see the failures in another order, and raise another one."""

    def main(ctx: Context) -> Any:
        try:
            ctx.parallel([ctx.call("one"), ctx.call("two")]).results()
        except StepFailedError as error:
            return error.detail

    first = FAILED
    assert told(called(main, {"one": GOES_ON, "two": first})[0]) == (202, WAITING)
    response, _ = called(main, {"one": first, "two": done()})
    assert response.body == b'"No luck."'


def test_what_is_described_is_called_or_the_workflow_fails() -> None:
    def forgotten(ctx: Context) -> Any:
        ctx.gather(ctx.call("one"))
        ctx.call("two")
        return "end"

    response, posted = called(forgotten, {"one": done(), "two": done()})
    assert (told(response), posted) == ((500, NO_RETRY), ["one"])
    assert detail(response).startswith("Not called: step 'two' (test_ends_of_handlers.py, line ")
    # A replay reaches the call later.
    assert told(called(forgotten, {"one": GOES_ON, "two": done()})[0]) == (202, WAITING)


@pytest.mark.parametrize(
    "give",
    [lambda ctx: [ctx.call("one")], lambda ctx: iter([ctx.call("one")]), lambda ctx: ctx.step("one")],
)
def test_gather_takes_calls_alone(give: Callable[[Context], Any]) -> None:
    def main(ctx: Context) -> Any:
        with suppress(Exception):
            return ctx.gather(give(ctx))

    response, _ = called(main, {"one": done()})
    assert told(response) == (500, NO_RETRY)
    assert detail(response).startswith("gather takes what `ctx.call` gives, or functions, not a ")


def test_ctrl_c_is_let_through() -> None:
    def main(ctx: Context) -> Any:
        try:
            ctx.step("one")
        finally:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        called(main, {"one": GOES_ON})


class TestThreads:
    def test_a_waiting_thread_lets_the_others_go_on(self) -> None:
        def main(ctx: Context) -> Any:
            with ThreadPoolExecutor() as pool:
                waits = pool.submit(ctx.sleep, 1000)
                for number in range(3):
                    ctx.step("one", key=str(number))
                waits.result()

        response, posts = called(main, {"sleep": GOES_ON, "one": done()}, wait=1)
        assert told(response) == (202, WAITING)
        assert posts.count("one") == 3

    def test_what_is_left_of_them_after_the_end_is_told(self) -> None:
        gate, raised = threading.Event(), []

        def straggle(ctx: Context) -> None:
            gate.wait(5)
            try:
                ctx.step("one")
            except RuntimeError as error:
                raised.append(str(error))

        threads = []

        def main(ctx: Context) -> str:
            threads.append(threading.Thread(target=straggle, args=(ctx,)))
            threads[0].start()
            return "end"

        response, posts = called(main, {"one": done()})
        gate.set()
        threads[0].join(5)
        assert (response.status, posts) == (200, [])
        assert "The workflow ended before this call" in raised[0]


def test_a_task_that_goes_on_after_the_end_is_told() -> None:
    gate, tasks = asyncio.Event(), []

    async def straggle(ctx: AsyncContext) -> None:
        await gate.wait()
        await ctx.step("one")

    async def main(ctx: AsyncContext) -> str:
        tasks.append(asyncio.create_task(straggle(ctx)))
        return "end"

    async def scenario() -> None:
        response, posts = await called_async(main, {"one": done()})
        gate.set()
        with pytest.raises(RuntimeError, match="The workflow ended before this call"):
            await tasks[0]
        assert (response.status, posts) == (200, [])

    asyncio.run(scenario())


def test_a_handler_that_does_not_stop_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atomic.sdk.context.LOOP_PAUSE_S", 0.0)

    def main(ctx: Context) -> Any:
        for _ in range(150):
            with suppress(BaseException):
                ctx.step("one")

    with caplog.at_level(logging.ERROR):
        response, posts = called(main, {"one": GOES_ON})
    assert (response.status, posts) == (202, ["one"])
    assert [record.getMessage() for record in caplog.records] == [
        "workflow 'w' of run run_1 calls steps again and again after its end: let BaseException pass"
    ]


class TestNotAwaited:
    """A step that is not awaited is never called.

    Without an error, the workflow would succeed without it.
    """

    def test_a_forgotten_await(self) -> None:
        async def main(ctx: AsyncContext) -> str:
            ctx.step("one")  # type: ignore[unused-coroutine]
            await ctx.step("two")
            return "end"

        response, posts = called(main, {"two": done()})
        assert (told(response), posts) == ((500, NO_RETRY), ["two"])
        assert "step 'one' (test_ends_of_handlers.py, line " in detail(response)
        assert "Write `await` before the call." in detail(response)

    @pytest.mark.parametrize("kind", ["step", "sleep", "event", "open_event"])
    def test_what_is_returned_instead(self, kind: str) -> None:
        async def main(ctx: AsyncContext) -> Any:
            return [getattr(ctx, kind)(1 if kind == "sleep" else "one")]

        response, posts = called(main, {})
        assert (told(response), posts) == ((500, NO_RETRY), [])
        assert {"step": "step 'one' (", "sleep": "sleep ("}.get(kind, "event 'one' (") in detail(response)

    def test_a_task_that_never_began(self) -> None:
        async def main(ctx: AsyncContext) -> None:
            asyncio.create_task(ctx.step("one"))  # noqa: RUF006 - this is under test

        assert told(called(main, {"one": done()})[0]) == (500, NO_RETRY)

    def test_what_can_never_be_awaited_ends_the_workflow_before_it_waits(self) -> None:
        async def main(ctx: AsyncContext) -> None:
            ctx.step("one")  # type: ignore[unused-coroutine]
            await ctx.sleep(86_400)

        assert told(called(main, {"sleep": GOES_ON})[0]) == (500, NO_RETRY)

    def test_what_is_awaited_later_is_awaited(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            first, second = ctx.step("one"), ctx.step("two")
            await ctx.sleep(86_400)
            return [await second, await first]

        answers = {"one": done(1), "two": done(2)}
        assert told(called(main, {**answers, "sleep": GOES_ON})[0]) == (202, WAITING)
        assert called(main, {**answers, "sleep": done()})[0].body == b"[2,1]"

    def test_an_error_of_the_handler_s_own_comes_first(self) -> None:
        async def main(ctx: AsyncContext) -> None:
            ctx.step("one")  # type: ignore[unused-coroutine]
            raise NonRetryable("no")

        assert detail(called(main, {})[0]) == "no"

    def test_a_call_is_awaited_once(self) -> None:
        async def main(ctx: AsyncContext) -> None:
            call = ctx.step("one")
            await call
            await call

        assert "cannot reuse already awaited coroutine" in detail(called(main, {"one": done()})[0])


class TestDeadlines:
    @pytest.mark.parametrize(("opened", "waited"), [(None, None), (None, 5), (5, None), (5, 5)])
    def test_an_event_has_one_deadline(self, opened: float | None, waited: float | None) -> None:
        deadlines = []

        def note(document: dict[str, Any]) -> Any:
            deadlines.append(document.get("deadline"))
            return done("yes")

        def main(ctx: Context) -> Any:
            ctx.open_event("approval", deadline=opened)
            return ctx.event("approval", deadline=waited)

        assert told(called(main, {"approval": note})[0]) == (200, "")
        assert deadlines == [opened and 5000, (opened or waited) and 5000]

    def test_two_are_refused(self) -> None:
        def main(ctx: Context) -> Any:
            ctx.open_event("approval", deadline=5)
            with suppress(Exception):
                return ctx.event("approval", deadline=7)

        response, posts = called(main, {"approval": done("yes")})
        assert (told(response), posts) == ((500, NO_RETRY), ["approval"])
        assert "a deadline of 5000 ms" in detail(response)


def caught_in_a_branch(ctx: Context) -> Any:
    def branch() -> Any:
        try:
            return ctx.step("one")
        except:  # noqa: E722 - this is under test
            return ctx.step("two")

    return ctx.parallel([branch]).results()


def another_error_in_a_branch(ctx: Context) -> Any:
    def branch() -> Any:
        try:
            ctx.gather(ctx.call("one"))
        finally:
            raise ValueError("another")

    return ctx.parallel([lambda: ctx.parallel([branch]).items]).succeeded[0].result


@pytest.mark.parametrize("workflow", [caught_in_a_branch, another_error_in_a_branch])
def test_a_branch_that_waits_has_no_outcome(workflow: Callable[[Context], Any]) -> None:
    response, posts = called(workflow, {"one": GOES_ON, "two": done()})
    assert told(response) == (202, WAITING)
    assert posts == ["one"]


def test_an_end_of_a_batch_that_cannot_be_read_is_no_error_of_the_workflow() -> None:
    def workflow(ctx: Context) -> Any:
        with suppress(Exception):
            ctx.map([1, 2], "one", concurrency=1, min_successful=1)
        return ctx.step("two")

    answers = {"results": NOBODY, "result": NOBODY}
    response, posts = called(workflow, answers, attempt=2, token="t")
    assert told(response) == (503, REFUSES)
    assert set(posts) == {"results", "result"}
