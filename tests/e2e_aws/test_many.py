"""Many concurrent callers, each in an environment of its own: one's effects hold for all."""

import asyncio

from atomic.testing import EndpointCall, EndpointReply
from e2e_aws.aws_runtime import AwsStack
from scenarios.runtime import answer_ok
from scenarios.starts import document

CALLERS = 64


def test_64_simultaneous_first_posts_call_once(stack: AwsStack) -> None:
    async def main() -> None:
        async with stack.runtime() as runtime, asyncio.timeout(240):
            # AWS starts environments in parallel; two cores start them one after another, so start them
            # beforehand.
            await asyncio.gather(*(stack.warm() for _ in range(CALLERS)))
            url = runtime.endpoint("/once", slow)
            start = document(url, timeout=20_000)

            replies = await asyncio.gather(*(runtime.finish(start) for _ in range(CALLERS)))

            assert {reply.status for reply in replies} == {200}
            assert len({reply.body for reply in replies}) == 1
            assert len(runtime.calls(url)) == 1

    asyncio.run(main())


def test_a_rate_holds_over_all_environments(stack: AwsStack) -> None:
    async def main() -> None:
        async with stack.runtime(starts_per_s=0.01) as runtime, asyncio.timeout(240):
            await asyncio.gather(*(stack.warm() for _ in range(8)))
            url = runtime.endpoint("/rare", answer_ok)
            starts = [document(url, key=f"rare-{number}") for number in range(8)]

            replies = await asyncio.gather(*map(runtime.start, starts))

            assert sorted(reply.status for reply in replies) == [200, *[429] * 7]
            assert all(int(reply.headers["retry-after"]) > 50 for reply in replies if reply.status == 429)
            assert len(runtime.calls(url)) == 1

    asyncio.run(main())


async def slow(call: EndpointCall) -> EndpointReply:
    """An endpoint so slow that all callers arrive during its call."""
    await asyncio.sleep(3)
    return EndpointReply(json={"attempt": call.json["attempt"]})
