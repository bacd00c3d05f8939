"""Unfinished requests: their connections are closed, and others are served meanwhile."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from atomic.entrypoints.embedded import http
from atomic.entrypoints.embedded.http import PIPELINED_MAX, BoundedHttp

HEAD = b"POST /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n"
SHORT_S = 0.3


App = Callable[[dict[str, Any], Callable[[], Awaitable[Any]], Any], Awaitable[None]]


def noting(seen: list[str]) -> App:
    """An application that records the outcome of each request."""

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

    return app


@asynccontextmanager
async def serving(app: App, **options: Any) -> AsyncIterator[int]:
    """Run a server; yield its port."""
    config = uvicorn.Config(app, http=BoundedHttp, ws="none", lifespan="off", log_config=None, **options)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = asyncio.create_task(server.serve(sockets=[listener]))
        yield listener.getsockname()[1]
        server.should_exit = True
        await running


async def drip(port: int, head: bytes, piece: bytes, pause_s: float) -> bytes:
    """Send the head, then a piece repeatedly; return all that the server sends before it closes.

    Closing a connection with unread bytes resets it, and the answer may then be lost.
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
    monkeypatch.setattr(http, "BODY_S", SHORT_S)
    seen: list[str] = []

    async def main() -> None:
        async with serving(noting(seen)) as port:
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
    """Earlier requests of the connection do not count, nor does the time that the answer takes."""
    # Long compared with the delays of a busy machine.
    monkeypatch.setattr(http, "BODY_S", 3 * SHORT_S)
    seen: list[str] = []

    async def main() -> None:
        async with serving(noting(seen)) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for number in range(4):
                writer.write(HEAD % 2 + b"%d" % number)
                await asyncio.sleep(SHORT_S)
                writer.write(b"!")
                assert b"HTTP/1.1 200" in await reader.readuntil(b"ok")
            writer.close()

    asyncio.run(main())
    assert seen == ["0!", "1!", "2!", "3!"]


def test_a_head_that_drips_ends_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "HEAD_S", SHORT_S)

    async def main() -> None:
        async with serving([]) as port:
            answer = await asyncio.wait_for(drip(port, b"GET / HTTP/1.1\r\n", b"x", 0.05), 20)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")

    asyncio.run(main())


GET = b"GET /%d HTTP/1.1\r\nhost: localhost\r\n\r\n"


async def said(port: int, *parts: bytes) -> bytes:
    """What the server sends until it closes, or until a timeout."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await asyncio.sleep(0.05)
    answer = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(1):
            while piece := await reader.read(65536):
                answer += piece
    writer.close()
    return answer


async def _send(send: Any, body: bytes) -> None:
    head = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


def test_a_trailer_is_no_header() -> None:
    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            pass
        await _send(send, b",".join(name for name, _ in scope["headers"]))

    async def main() -> bytes:
        head = b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
        async with serving(app) as port:
            return await said(port, head + b"0\r\nauthorization: Bearer x\r\nhost: other\r\n\r\n")

    assert asyncio.run(main()).endswith(b"host,transfer-encoding")


@pytest.mark.parametrize(("requests", "answered"), [(PIPELINED_MAX + 1, PIPELINED_MAX + 1), (1000, 0)])
def test_few_requests_come_before_the_answer(requests: int, answered: int) -> None:
    asked: list[str] = []

    async def app(scope: dict[str, Any], _receive: Any, send: Any) -> None:
        asked.append(scope["path"])
        await _send(send, b"ok")

    async def main() -> bytes:
        async with serving(app) as port:
            return await said(port, b"".join(GET % number for number in range(requests)))

    assert asyncio.run(main()).count(b"HTTP/1.1 200") == answered
    # The first of the pipelined requests may have begun.
    assert asked[1:] == [f"/{number}" for number in range(1, answered)]


def test_a_refusal_is_not_taken_for_an_answer() -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await asyncio.sleep(0.3)
        await _send(send, b"ok")

    async def main() -> list[bytes]:
        async with serving(app) as port:
            rubbish = [b"rubbish\r\n\r\n", b"GET / HTTP/1.1\r\nx: " + b"x" * 40_000]
            return [await said(port, GET % 1, part) for part in rubbish]

    assert asyncio.run(main()) == [b"", b""]


def test_an_answer_that_is_not_taken_ends_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "ANSWER_S", SHORT_S)
    size = 64 * 1024 * 1024

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await _send(send, bytes(size))

    async def main() -> int:
        async with serving(app) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
            writer.write(GET % 1)
            await asyncio.sleep(4 * SHORT_S)
            taken = 0
            with contextlib.suppress(ConnectionError):
                while piece := await reader.read(1024 * 1024):
                    taken += len(piece)
            writer.close()
            return taken

    assert asyncio.run(main()) < size


def test_no_more_connections_than_there_may_be() -> None:
    async def main() -> list[bytes]:
        async with serving(noting([]), limit_concurrency=3) as port:
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            beyond = await said(port, GET % 1)
            held[0][1].close()
            await asyncio.sleep(0.05)
            again = await said(port, HEAD % 0)
            for _, writer in held:
                writer.close()
            return [beyond, again]

    beyond, again = asyncio.run(main())
    assert beyond == b""
    assert again.startswith(b"HTTP/1.1 503")
