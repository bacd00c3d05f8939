"""Callbacks in virtual time: what is posted, and what each call of the handler gets."""

import asyncio
import hashlib
import hmac
from typing import Any

import pytest

from atomic.sdk import AsyncContext, EventId, InvalidRequestError, StepFailedError
from atomic.testing import ApiReply, EndpointCall, EndpointReply
from sdk.in_process import DAY, InProcess, in_process


async def post(app: InProcess, url: str, body: bytes, **headers: str) -> ApiReply:
    """Post to a callback URL, as a third party does."""
    path = url.removeprefix("http://atomic.test")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await app.client.atomic.request(
        "POST", path, body=body, headers={"Content-Type": "application/json", **named}
    )


def played(handler: Any, *, after_s: float = DAY) -> tuple[Any, InProcess, list[Any]]:
    """Run a workflow whose step `ask` hands out a URL, to which somebody posts a day later."""

    async def play(app: InProcess) -> tuple[Any, InProcess, list[Any]]:
        handed: list[Any] = []
        later: list[asyncio.Task[Any]] = []

        async def answer(url: str) -> None:
            await asyncio.sleep(after_s)
            signature = hmac.digest(b"secret", b'{"n":  1}', hashlib.sha256).hex()
            await post(app, url, b'{"n":  1}', X_Signature=signature)

        async def ask(call: EndpointCall) -> EndpointReply:
            handed.append(call.payload)
            url = call.payload if isinstance(call.payload, str) else call.payload["url"]
            later.append(asyncio.ensure_future(answer(url)))
            return EndpointReply(json="asked")

        app.serve("ask", ask)
        app.step("note")
        app.workflow(handler)
        return await app.start(), app, handed

    return in_process(play)


def test_nothing_is_posted_twice() -> None:
    async def main(ctx: AsyncContext) -> Any:
        told = await ctx.callback("payment", submit="ask")
        await ctx.sleep(DAY)
        return [told, ctx.attempt > 2]

    result, app, handed = played(main)

    assert result == [{"n": 1}, True]
    posts = [post.get("kind", "http") for post in app.client.posts if "parent" in post]
    # The event is opened, and waited for once in the same call of the handler.
    assert posts == ["event", "http", "event", "timer"]
    assert len(handed) == 1


def test_an_opened_event_has_its_url_in_each_call_of_the_handler() -> None:
    seen = set()

    async def main(ctx: AsyncContext) -> Any:
        opened = await ctx.open_event("payment")
        assert isinstance(opened, EventId)
        seen.add(opened.url)
        await ctx.step("ask", {"url": opened.url, "id": opened})
        await ctx.sleep(DAY / 2)
        seen.add(opened.url)
        return [await ctx.event("payment"), opened]

    (result, event_id), _, [payload] = played(main)

    assert (result, payload["id"], {payload["url"]}) == ({"n": 1}, event_id, seen)
    assert payload["url"].startswith("http://atomic.test/callbacks/")


def test_callbacks_of_one_name_and_beside_each_other_are_told_apart() -> None:
    async def main(ctx: AsyncContext) -> Any:
        both = await asyncio.gather(
            ctx.callback("vote", submit=lambda url: ctx.step("ask", {"url": url, "of": 1})),
            ctx.callback("vote", submit="ask"),
        )
        both += await ctx.gather(ctx.callback("vote", submit="ask"), ctx.callback("vote", submit="ask"))
        return both

    result, _, handed = played(main)

    assert result == [{"n": 1}] * 4
    assert len({str(payload) for payload in handed}) == len(handed) == 4


def test_an_event_of_the_same_name_is_not_the_one_of_a_callback() -> None:
    async def main(ctx: AsyncContext) -> Any:
        told = await ctx.callback("payment", submit="ask")
        return [told, await ctx.event("payment", deadline=1, default="another")]

    assert played(main)[0] == [{"n": 1}, "another"]


def test_a_signature_of_a_third_party_can_be_verified() -> None:
    async def main(ctx: AsyncContext) -> Any:
        told = await ctx.callback("payment", submit="ask", capture=["X-Signature"])
        expected = hmac.digest(b"secret", told["body"].encode(), hashlib.sha256).hex()
        return [told["headers"]["x-signature"] == expected, told["body"], told["encoding"]]

    assert played(main)[0] == [True, '{"n":  1}', "text"]


@pytest.mark.parametrize(
    "options", [{"submit": 7}, {"capture": "x-signature"}, {"capture": ["a b"]}, {"default": 1}]
)
def test_what_cannot_be_called_back_is_refused(options: dict[str, Any]) -> None:
    async def main(ctx: AsyncContext) -> Any:
        try:
            await ctx.callback("payment", **{"submit": "ask", **options})
        except InvalidRequestError as error:
            return str(error)

    [option] = options
    assert option in played(main)[0]


def test_a_callback_that_nobody_awaits_is_reported() -> None:
    async def main(ctx: AsyncContext) -> Any:
        ctx.callback("payment", submit="ask")

    async def play(app: InProcess) -> Any:
        app.workflow(main)
        with pytest.raises(StepFailedError, match="callback 'payment'"):
            await app.start()

    in_process(play)


def test_without_a_url_there_is_a_clear_error() -> None:
    with pytest.raises(LookupError, match="atomic clients callbacks"):
        _ = EventId("run_1", "").url
