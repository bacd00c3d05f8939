"""The calls that have lost a race are cancelled, whatever becomes of the request.

This holds in both kinds of handlers.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from atomic.protocol import problems
from atomic.sdk import AsyncContext, Context
from atomic.sdk._wire.answers import HandlerResponse
from atomic.sdk._wire.transport import HttpResponse
from sdk.scripted import GOES_ON, NOBODY, called, called_async, done, refused
from sdk.test_ends_of_handlers import REFUSES, told

MISSING = refused(problems.NOT_FOUND, "No such step.")


def plain(ctx: Context) -> Any:
    return ctx.race({"slow": ctx.call("slow"), "quick": ctx.call("quick")})


async def later(ctx: AsyncContext) -> Any:
    return await ctx.race({"slow": ctx.step("slow"), "quick": ctx.step("quick")})


def raced(
    workflow: Callable[..., Any], cancelled: Callable[[Any], HttpResponse]
) -> tuple[HandlerResponse, list[str]]:
    """Play a race that "quick" wins; `cancelled` answers the requests to cancel "slow"."""
    answers = {
        "slow": GOES_ON,
        "quick": done(1),
        "end of race": lambda document: done(document["payload"]),
        "cancel": cancelled,
    }
    if workflow is plain:
        return called(workflow, answers)
    return asyncio.run(called_async(workflow, answers))


@pytest.mark.parametrize("workflow", [plain, later])
class TestLostRaces:
    def test_a_post_that_is_under_way_is_waited_for(self, workflow: Callable[..., Any]) -> None:
        found = iter([MISSING, MISSING, done()])
        response, posts = raced(workflow, lambda _: next(found))
        assert json.loads(response.body) == ["quick", 1]
        assert posts.count("cancel") == 3

    def test_a_step_that_was_never_posted_ends_the_search(self, workflow: Callable[..., Any]) -> None:
        response, posts = raced(workflow, lambda _: MISSING)
        assert json.loads(response.body) == ["quick", 1]
        assert 1 < posts.count("cancel") < 10

    def test_without_an_answer_the_handler_tries_again_later(self, workflow: Callable[..., Any]) -> None:
        response, _ = raced(workflow, lambda _: NOBODY)
        assert told(response) == (503, REFUSES)
