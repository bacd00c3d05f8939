"""What a fan-out costs whose steps all fail, and whether the server still stops in time.

Usage: python benchmarks/failing.py [--steps 5000] [--retries 4]

The steps are posted to one run, and then as runs of their own. Each fails until its retries are used up.
Measured are attempts per second, memory, and the latency of another tenant. Then the same steps are retried
without end, and the server is told to stop.
"""

import argparse
import asyncio
import json
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import uvloop

from load import at
from processes import atomic_server, free_ports, machine, rss_mib, wait_for

_POSTERS = 32
_WITHIN_S = 900
_BACK_OFF_MS = 200
_ASYNC = {"Prefer": "respond-async"}


class Endpoint(asyncio.Protocol):
    """`/fail` fails at once, and is counted; `/calm` succeeds."""

    failed = 0

    def connection_made(self, transport: Any) -> None:
        """Asyncio: a connection."""
        self._transport, self._received = transport, b""

    def data_received(self, data: bytes) -> None:
        """Asyncio: a request, or a part of one."""
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        length = int(head.lower().rpartition(b"content-length: ")[2].split(b"\r\n")[0] or 0) if found else 1
        if len(body) < length:
            return
        self._received = b""
        fails = head.startswith(b"POST /fail")
        Endpoint.failed += fails
        status = b"503 Service Unavailable" if fails else b"200 OK"
        self._transport.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 1\r\n\r\n1")


class Bench:
    """One server, its endpoint and its callers."""

    def __init__(self, base: str, endpoint: str, session: aiohttp.ClientSession) -> None:
        self._base, self._endpoint, self._session = base, endpoint, session

    async def post_all(self, steps: int, *, in_one_run: bool, retries: int) -> None:
        """Post that many failing steps, under one root or as roots."""
        parent: dict[str, Any] = {}
        if in_one_run:
            root = await self._post("busy", self._document("/calm", "root"), {})
            parent = {"parent": root["id"]}
        retry = {"count": retries, "backOff": _BACK_OFF_MS, "strategy": "fixed"}
        numbers = iter(range(steps))

        async def post_some() -> None:
            for number in numbers:
                document = self._document("/fail", f"k-{number}", retry=retry, **parent)
                await self._post("busy", document, _ASYNC)

        await asyncio.gather(*(post_some() for _ in range(_POSTERS)))

    async def dead(self) -> int:
        """How many steps have failed."""
        async with self._session.get(f"{self._base}/busy/stats") as reply:
            return int((await reply.json())["deadLetters"])

    async def calm_ms(self, number: int) -> float:
        """How long a run of one step takes for another tenant."""
        began_s = time.perf_counter()
        await self._post("calm", self._document("/calm", f"calm-{number}"), {})
        return (time.perf_counter() - began_s) * 1000

    def _document(self, path: str, key: str, **members: Any) -> dict[str, Any]:
        url = f"{self._endpoint}{path}"
        return {"workflowName": "w", "stepInvokeUrl": url, "idempotencyKey": key, "payload": {}, **members}

    async def _post(self, client: str, document: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
        async with self._session.post(
            f"{self._base}/{client}", data=orjson.dumps(document), headers=headers
        ) as reply:
            answer: dict[str, Any] = json.loads(await reply.read())
            if reply.status >= 300:
                raise RuntimeError(f"{reply.status}: {answer}")
            return answer


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--steps", type=int, default=5_000)
    arguments.add_argument("--retries", type=int, default=4)
    options = arguments.parse_args()
    print(machine())
    for in_one_run in (True, False):
        asyncio.run(_measure(options.steps, options.retries, in_one_run=in_one_run))
    asyncio.run(_stop(options.steps))


async def _measure(steps: int, retries: int, *, in_one_run: bool) -> None:
    with _server() as (server, base):
        async with _bench(base) as bench:
            began_s, before = time.perf_counter(), Endpoint.failed
            posting = asyncio.create_task(bench.post_all(steps, in_one_run=in_one_run, retries=retries))
            latencies_ms: list[float] = []
            most_mib, dead = 0.0, 0
            while dead < steps:
                latencies_ms.append(await bench.calm_ms(len(latencies_ms)))
                most_mib = max(most_mib, rss_mib(server.pid))
                dead = await bench.dead()
                if time.perf_counter() - began_s > _WITHIN_S:
                    raise TimeoutError(f"{dead} of {steps} have failed")
                await asyncio.sleep(0.05)
            await posting
            took_s, calls = time.perf_counter() - began_s, Endpoint.failed - before
        latencies_ms.sort()
        p50, p99 = (at(latencies_ms, share) for share in (0.5, 0.99))
        where = "in one run" if in_one_run else "in runs of their own"
        made = f"{calls / took_s:.0f} attempts/s, {calls / steps:.2f} calls a step of {1 + retries} allowed"
        print(f"{steps} steps {where}: {made}, {most_mib:.0f} MiB")
        print(f"  the other tenant: p50 {p50:.1f} ms, p99 {p99:.1f} ms")


async def _stop(steps: int) -> None:
    with _server() as (server, base):
        async with _bench(base) as bench:
            await bench.post_all(steps, in_one_run=True, retries=1000)
            await asyncio.sleep(5)
            began_s = time.perf_counter()
            server.send_signal(signal.SIGTERM)
            code = await asyncio.to_thread(server.wait, 120)
            took_s = time.perf_counter() - began_s
    print(f"SIGTERM beside {steps} steps that are retried without end: {took_s:.1f} s, exit {code}")


@contextmanager
def _server() -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    [port] = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="atomic-bench-") as folder:
        # It logs a line for each step that fails.
        process = subprocess.Popen(atomic_server(port, Path(folder)), stderr=subprocess.DEVNULL)
        try:
            wait_for(port)
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait(10)


class _bench:  # noqa: N801 - a context manager, used as a function
    def __init__(self, base: str) -> None:
        self._base = base

    async def __aenter__(self) -> Bench:
        self._endpoints = await asyncio.get_running_loop().create_server(Endpoint, "127.0.0.1", 0)
        port = self._endpoints.sockets[0].getsockname()[1]
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return Bench(self._base, f"http://127.0.0.1:{port}", self._session)

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        self._endpoints.close()


if __name__ == "__main__":
    uvloop.install()
    main()
