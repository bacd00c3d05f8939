"""CPU microseconds of this process per POST, by Atomic's HTTP client and by aiohttp's.

The server is a bare protocol in a process of its own, so it is not counted. Rounds of the two clients
alternate, so that other load on the machine affects both. The minimum over the rounds counts.

Usage: python benchmarks/http_client.py [--loop uvloop|asyncio] [--calls 20000] [--rounds 5]
"""

import argparse
import asyncio
import multiprocessing
import resource
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import cast

import aiohttp
import uvloop
from yarl import URL

from atomic.adapters.http.addresses import is_public_or_private
from atomic.adapters.http.invoker import HttpInvoker
from atomic.application.ports import EndpointRequest

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok":true}'
BODY = b'{"payload":"' + b"x" * 1000 + b'"}'
HEADERS = {
    "Content-Type": "application/json",
    "Accept-Encoding": "identity",
    "Idempotency-Key": "k",
    "Atomic-Run-Id": "01JZXK3V6WQ6M5YH0J3K9T8R7B",
    "Atomic-Step-Id": "01JZXK3V6WQ6M5YH0J3K9T8R7B-0123456789abcdef",
    "Atomic-Attempt": "1",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "webhook-id": "01JZXK3V6WQ6M5YH0J3K9T8R7B-0123456789abcdef",
    "webhook-timestamp": "1760000000",
    "webhook-signature": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
}
TIMEOUT_MS = 20_000

Post = Callable[[], Awaitable[int | None]]


class Server(asyncio.Protocol):
    """Answers when a body has ended; every request is the same, so its length is known."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._seen = b""

    def data_received(self, data: bytes) -> None:
        self._seen += data
        if self._seen.endswith(BODY):
            self._seen = b""
            self._transport.write(ANSWER)


def serve(listener: socket.socket) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Server, sock=listener)
        await server.serve_forever()

    uvloop.run(run())


def by_atomic(invoker: HttpInvoker, url: str) -> Post:
    async def post() -> int | None:
        request = EndpointRequest(client_id="c", url=url, headers=HEADERS, body=BODY, timeout_ms=TIMEOUT_MS)
        return (await invoker.post(request)).status

    return post


def by_aiohttp(session: aiohttp.ClientSession, url: str) -> Post:
    """As Atomic called endpoints before it had an HTTP client of its own."""

    async def post() -> int | None:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_MS / 1000)
        async with session.post(
            URL(url, encoded=True), data=BODY, headers=HEADERS, timeout=timeout, allow_redirects=False
        ) as response:
            await response.read()
            return response.status

    return post


async def cpu_us(post: Post, *, calls: int, in_flight: int) -> tuple[float, float]:
    """CPU microseconds per call, and calls per second."""

    async def caller() -> None:
        for _ in range(calls // in_flight):
            if await post() != 200:
                raise RuntimeError("the server did not answer 200")

    before, began_s = _cpu_s(), time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(in_flight)))
    made = calls // in_flight * in_flight
    return (_cpu_s() - before) / made * 1e6, made / (time.perf_counter() - began_s)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def measure(url: str, *, calls: int, rounds: int) -> None:
    async with AsyncExitStack() as stack:
        invoker = HttpInvoker(allows=is_public_or_private)
        stack.push_async_callback(invoker.close)
        session = await stack.enter_async_context(
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        )
        clients = {"atomic": by_atomic(invoker, url), "aiohttp": by_aiohttp(session, url)}
        for in_flight in (1, 64):
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in clients}
            for _ in range(rounds):
                for name, post in clients.items():
                    found[name].append(await cpu_us(post, calls=calls, in_flight=in_flight))
            for name, results in found.items():
                least, most = min(us for us, _ in results), max(rate for _, rate in results)
                print(f"{in_flight:3} in flight  {name:8} {least:6.1f} us CPU a call  {most:7.0f} calls/s")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--loop", choices=["uvloop", "asyncio"], default="uvloop")
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0))
    server = multiprocessing.Process(target=serve, args=(listener,), daemon=True)
    server.start()
    factory = uvloop.new_event_loop if options.loop == "uvloop" else asyncio.new_event_loop
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/step"
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(measure(url, calls=options.calls, rounds=options.rounds))
    server.terminate()


if __name__ == "__main__":
    main()
