"""A request that does not come to its end: its connection is closed, others are served meanwhile."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from atomic.entrypoints.embedded import bounded_http
from atomic.entrypoints.embedded.bounded_http import BoundedHttp

HEAD = b"POST /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n"
SHORT_S = 0.3


@asynccontextmanager
async def serving(seen: list[str]) -> AsyncIterator[int]:
    """A server that notes what came of each request; its port."""

    async def app(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                seen.append(body.decode())
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"ok"})
                return
        seen.append("gone")

    config = uvicorn.Config(app, http=BoundedHttp, ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = asyncio.create_task(server.serve(sockets=[listener]))
        yield listener.getsockname()[1]
        server.should_exit = True
        await running


async def drip(port: int, head: bytes, piece: bytes, pause_s: float) -> bytes:
    """Send the head and then a piece again and again; what the server says before it closes.

    A connection that is closed on unread bytes is reset, and then the answer may be lost on its way.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def read() -> bytes:
        with contextlib.suppress(ConnectionError):
            return await reader.read()
        return b""

    answer = asyncio.create_task(read())
    writer.write(head)
    while not answer.done():
        writer.write(piece)
        await asyncio.sleep(pause_s)
    writer.close()
    return await answer


@pytest.mark.parametrize("pause_s", [0.01, SHORT_S / 2, 3 * SHORT_S])
def test_a_body_that_drips_ends_its_connection(monkeypatch: pytest.MonkeyPatch, pause_s: float) -> None:
    monkeypatch.setattr(bounded_http, "BODY_S", SHORT_S)
    seen: list[str] = []

    async def main() -> None:
        async with serving(seen) as port:
            slow = asyncio.create_task(drip(port, HEAD % 1_000_000, b"x", pause_s))
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for part in (HEAD[:30], HEAD[30:] % 4, b"ab", b"cd"):
                writer.write(part)
                await asyncio.sleep(0)
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.close()
            answer = await asyncio.wait_for(slow, 20)
            assert answer.startswith(b"HTTP/1.1 408 ") or (answer == b"" and pause_s < SHORT_S)

    asyncio.run(main())
    assert seen == ["abcd", "gone"]


def test_the_time_of_a_body_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a connection did before does not count, nor does the time in which it is answered."""
    monkeypatch.setattr(bounded_http, "BODY_S", SHORT_S)
    seen: list[str] = []

    async def main() -> None:
        async with serving(seen) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for number in range(4):
                writer.write(HEAD % 2 + b"%d" % number)
                await asyncio.sleep(SHORT_S / 2)
                writer.write(b"!")
                assert b"HTTP/1.1 200" in await reader.readuntil(b"ok")
            writer.close()

    asyncio.run(main())
    assert seen == ["0!", "1!", "2!", "3!"]


def test_a_head_that_drips_ends_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_http, "HEAD_S", SHORT_S)

    async def main() -> None:
        async with serving([]) as port:
            answer = await asyncio.wait_for(drip(port, b"GET / HTTP/1.1\r\n", b"x", 0.05), 20)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")

    asyncio.run(main())
