"""A real server, and a destination that accepts connections and never answers."""

import asyncio
import socket
from pathlib import Path
from typing import Any

from atomic.application.destinations import RUNS_MAX
from scenarios.embedded_runtime import AtomicServer, runtime_on
from scenarios.runtime import Runtime, answer_ok
from scenarios.starts import document

MOST = RUNS_MAX
OVER = 50
TOGETHER = 32


async def start_all(runtime: Runtime, url: str) -> None:
    """Start more runs than get a permit, without waiting for them."""
    turn = asyncio.Semaphore(TOGETHER)

    async def one(number: int) -> None:
        async with turn:
            wanted = document(url, key=f"silent-{number}", attemptTimeout=600_000)
            assert (await runtime.start(wanted, Prefer="respond-async")).status == 202

    await asyncio.gather(*(one(number) for number in range(MOST + OVER)))


def test_it_holds_so_many_runs_and_others_go_on(tmp_path: Path) -> None:
    server = AtomicServer(tmp_path / "data", "--destination-limit", "fixed")
    server.start()

    async def main() -> None:
        # The kernel completes connections that are never accepted, so they look open to the client.
        with socket.create_server(("127.0.0.1", 0), backlog=4096) as silent:
            async with runtime_on(server) as runtime:
                await start_all(runtime, f"http://127.0.0.1:{silent.getsockname()[1]}/x")

                async def live() -> Any:
                    return (await runtime.get("/stats")).json["live"]

                assert await live() == {"running": MOST, "pending": OVER}
                good = runtime.endpoint("/good", answer_ok)
                assert (await runtime.start(document(good, key="good"))).status == 200
                # By now the deferred runs have asked for a permit again, and got none.
                await asyncio.sleep(2)
                assert await live() == {"running": MOST, "pending": OVER}
                step = (await runtime.get(f"/runs?keyPrefix=silent-{MOST + OVER - 1}")).json["runs"][0]
                assert (step["status"], step["attempts"], step["error"]) == ("pending", 0, None)

    try:
        asyncio.run(main())
    finally:
        # Killed, because an orderly shutdown would wait for the attempts.
        server.kill()
