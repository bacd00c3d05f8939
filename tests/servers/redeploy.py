"""An application stops for a while, with orders running and new ones coming. No order may be lost."""

import asyncio
import time

from atomic.sdk import AsyncClient
from processes import free_ports
from servers.kinds import Kind, serving


async def redeploy(atomic_url: str, kind: Kind, *, starts: int, down_s: float) -> float:
    """Post half of the orders before the application stops; return the time for all.

    Raises if one is lost.
    """
    [port] = free_ports(1)
    prefix, began_s = f"redeploy-{time.time_ns()}", time.perf_counter()
    async with AsyncClient(atomic_url) as client:

        async def order(url: str, number: int) -> None:
            outcome = await client.start("order", url, number, key=f"{prefix}-{number}", timeout=None)
            assert outcome.response == number * 10 + 1

        with serving(kind, atomic_url, port) as (_, url):
            first = [asyncio.create_task(order(url, number)) for number in range(starts // 2)]
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        rest = [asyncio.create_task(order(url, number)) for number in range(starts // 2, starts)]
        await asyncio.sleep(down_s)
        with serving(kind, atomic_url, port):
            await asyncio.gather(*first, *rest)
        assert await client.dead_letters(key_prefix=prefix) == []
    return time.perf_counter() - began_s
