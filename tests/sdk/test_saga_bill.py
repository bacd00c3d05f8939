"""What a saga posts. `tests/unit/aws/test_bill.py` counts the price of each post on AWS."""

from collections import Counter
from typing import Any

from atomic.sdk import AsyncContext, StepFailedError
from sdk.in_process import InProcess, in_process

Posts = Counter[tuple[str, str]]


def posts_of(workflow: Any, *, fails: bool) -> Posts:
    """How often the workflow has posted which kind of step, with its name or the end of its URL."""

    async def play(app: InProcess) -> Posts:
        app.step("book")
        app.step("charge", error="declined" if fails else "")
        app.step("cancel")
        app.workflow(workflow)
        await app.start()
        return Counter(
            (post.get("kind", "http"), post.get("stepName") or post["stepInvokeUrl"].rpartition("/")[2])
            for post in app.client.posts
            if not post.get("stepInvokeUrl", "").endswith("/main")
        )

    return in_process(play)


async def plain(ctx: AsyncContext) -> Any:
    return [await ctx.step("book", 1), await ctx.step("charge", 2)]


async def in_a_saga(ctx: AsyncContext) -> Any:
    try:
        async with ctx.saga() as saga:
            booked = await saga.step("book", 1, undo="cancel")
            return [booked, await saga.step("charge", 2, undo="cancel")]
    except StepFailedError:
        return "undone"


def test_a_saga_posts_nothing_of_its_own() -> None:
    posts = posts_of(in_a_saga, fails=False)
    assert posts == posts_of(plain, fails=False)
    assert posts == Counter({("http", "book"): 1, ("http", "charge"): 1})


def test_an_undone_saga_posts_a_value_and_a_step_for_each_undo() -> None:
    posts = posts_of(in_a_saga, fails=True)
    undone = {("value", "undo of saga"): 1, ("http", "undo charge"): 1, ("http", "undo book"): 1}
    assert posts == Counter({("http", "book"): 1, ("http", "charge"): 1} | undone)
