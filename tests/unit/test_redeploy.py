"""A redeployed application does not answer for a while, and with default retries no start is lost."""

import asyncio

import pytest

from atomic.testing import EndpointCall, EndpointReply, LocalAtomic, run

STARTS = 200


async def lost(seed: int, down_s: float, **members: object) -> int:
    """How many of 200 starts fail if the application starts after that many seconds."""
    async with LocalAtomic(seed=seed) as atomic:

        async def work(call: EndpointCall) -> EndpointReply:
            return EndpointReply(json=call.payload)

        async def start(number: int) -> int:
            document = {"workflowName": "w", "stepInvokeUrl": "https://app.test/w", "payload": number}
            while True:
                reply = await atomic.post("/me", {**document, "idempotencyKey": f"k-{number}", **members})
                if reply.status != 504:
                    return reply.status

        async def deploy() -> None:
            await asyncio.sleep(down_s)
            atomic.endpoint("/w", work)

        statuses, _ = await asyncio.gather(asyncio.gather(*map(start, range(STARTS))), deploy())
        assert set(statuses) <= {200, 424}
        return statuses.count(424)


@pytest.mark.parametrize("seed", range(10))
def test_200_of_200_starts_survive_ten_seconds(seed: int) -> None:
    assert run(lost(seed, 10)) == 0


def test_five_minutes_too() -> None:
    assert run(lost(11, 300)) == 0


def test_with_three_retries_none_survives() -> None:
    assert run(lost(0, 10, retry={"count": 3})) == STARTS
