"""A real server, and a small one that refuses what is too much, without any configuration."""

import asyncio
from pathlib import Path

import pytest

from scenarios.embedded_runtime import AtomicServer, runtime_on
from scenarios.runtime import Runtime
from scenarios.starts import document
from unit.test_adaptive import BEARS, Small

STEPS = 1000
TOGETHER = 32


async def start_all(runtime: Runtime, url: str) -> None:
    """Start as fast as possible, without waiting for the outcomes."""
    turn = asyncio.Semaphore(TOGETHER)

    async def one(number: int) -> None:
        async with turn:
            wanted = document(url, key=f"k-{number}", retry={"count": 25})
            assert (await runtime.start(wanted, Prefer="respond-async")).status == 202

    await asyncio.gather(*(one(number) for number in range(STEPS)))


@pytest.mark.parametrize("limit", ["adaptive", "fixed"])
def test_a_small_server_is_not_overrun(tmp_path: Path, limit: str) -> None:
    server, small = AtomicServer(tmp_path / "data", "--destination-limit", limit), Small(refuses=True)
    server.start()

    async def main() -> None:
        async with runtime_on(server) as runtime:
            await start_all(runtime, runtime.endpoint("/small", small))
            while small.served < (STEPS if limit == "adaptive" else STEPS // 4):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            if limit == "adaptive":
                assert small.wasted <= STEPS // 8
                assert small.most <= 64
                (slowed,) = (await runtime.get("/stats")).json["slowedOrigins"]
                assert slowed["limit"] in range(1, BEARS + 3)
                assert server.log().count("the destination seems overloaded") in range(1, 10)
            else:
                assert small.wasted >= STEPS
                assert (await runtime.get("/stats")).json["slowedOrigins"] == []
                assert "overloaded" not in server.log()
            print(f"{limit}: {small.calls} calls, {small.wasted} too much, {small.most} at once")

    try:
        asyncio.run(main())
    finally:
        server.kill()
