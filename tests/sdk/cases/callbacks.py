"""Callbacks of workflows: a step hands out the URL, and a third party posts to it without any key."""

from dataclasses import dataclass
from typing import Any

import requests

from atomic.sdk import AsyncContext, Context, EventRejectedError, NonRetryable, StepFailedError
from sdk.world import World


@dataclass
class Charge:
    """What a payment provider is asked for."""

    amount: int
    callback_url: str


@dataclass
class Paid:
    """What the provider tells."""

    amount: int


def provider(charge: dict[str, Any]) -> str:
    """A payment provider that is quick: it calls back before it answers."""
    posted = requests.post(charge["callback_url"], json={"amount": charge["amount"]}, timeout=10)
    return f"{posted.status_code} {posted.json()['status']}"


def case_a_def_handler_is_called_back(world: World) -> None:
    urls = []

    def hand_out(url: str) -> None:
        urls.append(url)
        assert requests.get(url, timeout=10).status_code == 200
        requests.post(url, data={"who": "ada", "tag": ["a", "b"]}, timeout=10)

    def main(ctx: Context) -> Any:
        return ctx.callback("form", submit="hand-out", deadline=60)

    world.workflow("/main", main, wait=0.2)
    world.step("/hand-out", hand_out)
    assert world.start("/main").response == {"who": "ada", "tag": ["a", "b"]}
    assert len(urls) == 1


def case_an_async_handler_is_called_back(world: World) -> None:
    async def main(ctx: AsyncContext) -> Any:
        paid = await ctx.callback(
            "payment", submit=lambda url: ctx.step("provider", Charge(42, url)), result=Paid
        )
        return [paid.amount, ctx.attempt]

    world.workflow("/main", main, variant="async", wait=0.2)
    world.step("/provider", provider)
    amount, _ = world.start("/main").response
    assert amount == 42


def case_a_callback_may_be_late_or_a_refusal(world: World) -> None:
    def main(ctx: Context) -> Any:
        late = ctx.callback("late", submit="ignore", deadline=0.2, default="nobody came")
        try:
            ctx.callback("refused", submit="refuse")
        except EventRejectedError as error:
            return [late, error.response]

    world.workflow("/main", main, wait=0.2)
    world.step("/ignore", lambda url: None)
    world.step(
        "/refuse", lambda url: requests.post(f"{url}/reject", json={"detail": "no"}, timeout=10).text
    )
    assert world.start("/main").response == ["nobody came", {"detail": "no"}]


def case_a_step_that_cannot_hand_it_out_fails_the_callback(world: World) -> None:
    def main(ctx: Context) -> Any:
        try:
            ctx.callback("payment", submit="broken", deadline=3600)
        except StepFailedError as error:
            return error.reason

    def broken(url: str) -> None:
        raise NonRetryable("no provider")

    world.workflow("/main", main, wait=0.2)
    world.step("/broken", broken)
    assert "no provider" in world.start("/main").response


def hand_over(url: str) -> str:
    """A third party that calls back at once."""
    return requests.post(url, json={"amount": 7}, timeout=10).text


def mounted_case_a_callback_is_handed_out_by_a_function(world: World) -> None:
    def main(ctx: Context) -> Any:
        return ctx.callback("payment", submit=hand_over, result=Paid).amount

    async def main_async(ctx: AsyncContext) -> Any:
        return (await ctx.callback("payment", submit=hand_over, result=Paid)).amount

    world.workflow("/main", main, wait=0.2)
    world.workflow("/main-async", main_async, variant="async", wait=0.2)
    world.step("/hand-over", hand_over)
    assert [world.start(path, key=path).response for path in ("/main", "/main-async")] == [7, 7]
