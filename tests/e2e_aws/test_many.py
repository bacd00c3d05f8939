"""Many callers at a moment, in an environment each: one of them executes, the others attach to it."""

import asyncio

from atomic.testing import EndpointCall, EndpointReply
from e2e_aws.aws_home import AwsStack
from scenarios.starts import document

CALLERS = 64


def test_64_simultaneous_first_posts_call_once(stack: AwsStack) -> None:
    async def main() -> None:
        async with stack.home() as home, asyncio.timeout(240):
            # On AWS environments start side by side, on two cores rather one after the other: before.
            await asyncio.gather(*(stack.warm() for _ in range(CALLERS)))
            url = home.endpoint("/once", slow)
            start = document(url, timeout=20_000)

            replies = await asyncio.gather(*(home.finish(start) for _ in range(CALLERS)))

            assert {reply.status for reply in replies} == {200}
            assert len({reply.body for reply in replies}) == 1
            assert len(home.calls(url)) == 1

    asyncio.run(main())


async def slow(call: EndpointCall) -> EndpointReply:
    """So slow that everybody comes while it is under way."""
    await asyncio.sleep(3)
    return EndpointReply(json={"attempt": call.json["attempt"]})
