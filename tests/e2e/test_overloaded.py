"""A real server, and a small one that refuses what is too much, without any configuration."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from atomic.domain.adaptive import FIRST_LIMIT
from scenarios.embedded_runtime import AtomicServer, free_port, runtime_on
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
    options = () if limit == "adaptive" else ("--destination-limit", limit)
    server, small = AtomicServer(tmp_path / "data", *options), Small(refuses=True)
    server.start()

    async def main() -> None:
        async with runtime_on(server) as runtime:
            await start_all(runtime, runtime.endpoint("/small", small))
            while small.served < (STEPS if limit == "adaptive" else STEPS // 4):  # noqa: ASYNC110 - it only counts
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


class Moody:
    """A server that is down at first: nobody listens at its port, or it answers 503."""

    def __init__(self, *, listens: bool) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/moody"
        self.calls = self.served = 0
        self.is_up = False
        self._listens = listens
        app = web.Application()
        app.router.add_post("/moody", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    async def begin(self) -> None:
        """Listen, if it does while it is down."""
        if self._listens:
            await self._listen()

    async def come_up(self) -> None:
        """From now on, answer well."""
        self.is_up = True
        if not self._listens:
            await self._listen()

    async def _listen(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def end(self) -> None:
        """Close everything."""
        await self._runner.cleanup()

    async def _answer(self, _: web.Request) -> web.Response:
        self.calls += 1
        if not self.is_up:
            return web.Response(status=503)
        self.served += 1
        return web.json_response(1)


@pytest.mark.parametrize("listens", [False, True])
def test_what_waits_for_a_server_that_was_down_is_done_seconds_after_it_is_up(
    tmp_path: Path, listens: bool
) -> None:
    """The pauses of the gate of connections (10 s at most) and of the origin (5 s) do not add up."""
    server, moody, steps = AtomicServer(tmp_path / "data"), Moody(listens=listens), 200
    server.start()

    async def main() -> None:
        await moody.begin()
        async with runtime_on(server) as runtime:
            retry = {"count": 1000, "backOff": 200, "strategy": "fixed"}
            for number in range(steps):
                wanted = document(moody.url, key=f"k-{number}", retry=retry)
                assert (await runtime.start(wanted, Prefer="respond-async")).status == 202
            await asyncio.sleep(4)
            while_down = moody.calls
            await moody.come_up()
            began_s = asyncio.get_running_loop().time()
            while moody.served < steps:  # noqa: ASYNC110 - it only counts
                await asyncio.sleep(0.05)
            took_s = asyncio.get_running_loop().time() - began_s
            print(f"{listens=}: {while_down} calls while it was down, all served {took_s:.1f} s later")
            await moody.end()
            assert while_down <= FIRST_LIMIT
            assert took_s < 20

    try:
        asyncio.run(main())
    finally:
        server.kill()
