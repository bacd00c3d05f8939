"""Runs of batches in threads and as tasks: how many go on at a time, and what is left when one breaks."""

import asyncio
import threading
from typing import Any

import pytest

from atomic.sdk import AsyncContext, Context
from sdk.scripted import Answers, called, called_async, done

BRANCHES = 40


class Stop(BaseException):
    """What a branch raises that is no error."""


def meeting_of(count: int) -> Answers:
    """Posts that are answered when all of them are under way."""
    barrier = threading.Barrier(count, timeout=5)

    def meet(document: dict[str, Any]) -> Any:
        barrier.wait()
        return done(document["payload"])

    return {"slow": meet}


def test_branches_in_threads_take_no_place_of_posts() -> None:
    """All branches are under way together, and so are calls of steps, which have threads of their own."""

    def main(ctx: Context) -> Any:
        branches = [lambda number=number: ctx.step("slow", number) for number in range(BRANCHES)]
        calls = [ctx.call("slow", -number) for number in range(8)]
        return ctx.parallel([*branches, *calls]).counts["succeeded"]

    answer, posts = called(main, meeting_of(BRANCHES + 8), wait=10)
    assert (answer.status, answer.body) == (200, b"48")
    assert len(posts) == 48


def test_branches_and_steps_share_the_concurrency() -> None:
    """A branch counts as unfinished, so the next call starts when it has ended."""
    at_a_time: list[int] = []
    lock, under_way = threading.Lock(), 0

    def work(document: dict[str, Any]) -> Any:
        nonlocal under_way
        with lock:
            under_way += 1
            at_a_time.append(under_way)
        threading.Event().wait(0.005)
        with lock:
            under_way -= 1
        return done()

    def main(ctx: Context) -> Any:
        calls = [lambda: ctx.step("work"), ctx.call("work")]
        more = [lambda number=number: ctx.step("work", number) for number in range(10)]
        return len(ctx.parallel([*calls, *more], concurrency=3).succeeded)

    answer, _ = called(main, {"work": work}, wait=10)
    assert answer.body == b"12"
    assert max(at_a_time) <= 3


@pytest.mark.parametrize("is_async", [False, True])
def test_a_batch_that_breaks_is_not_waited_for(is_async: bool) -> None:
    """The handler goes on, and what it waits for then has nothing to do with the batch."""
    left: list[int] = []

    def raise_() -> None:
        raise Stop

    def plain(ctx: Context) -> Any:
        with pytest.raises(Stop):
            ctx.parallel([raise_])
        left.append(len(ctx._runs))

    async def later(ctx: AsyncContext) -> Any:
        async def broken() -> None:
            raise_()

        with pytest.raises(Stop):
            await ctx.parallel([broken()])
        left.append(len(ctx._runs))

    answer, _ = asyncio.run(called_async(later, {})) if is_async else called(plain, {})
    assert (answer.status, left) == (200, [0])


def test_a_value_of_a_branch_ends_when_it_was_stored() -> None:
    """What a branch recorded last tells when it ended, as its last step does."""
    ends: list[str] = []

    def main(ctx: Context) -> Any:
        def branch() -> Any:
            value = ctx.run("value", lambda: 1)
            found = ctx._branch()
            assert found is not None
            ends.append(found.ended_at)
            return value

        return ctx.gather(branch)

    assert called(main, {"value": done(1)})[0].status == 200
    assert ends == ["2026-01-01T00:00:00.000Z"]
