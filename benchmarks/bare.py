"""The baseline: the same durable work and the same application, and nothing else.

    python benchmarks/bare.py server PORT DIRECTORY
    python benchmarks/bare.py app PORT ATOMIC_URL

The server takes a start, writes a row, calls the endpoint, writes the row again, and answers. It syncs each
write to disk before it goes on, and groups concurrent writes into one commit. It has no validation, keys,
retries, signatures or metrics, so the difference between it and Atomic is the cost of those features. The
application is the user-creation workflow on the same bare protocols, so it adds little to what is measured.
"""

import asyncio
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import apsw
import httptools
import orjson
import uvloop

from application import start_document

Answer = Callable[[str, bytes], Awaitable[bytes]]


class Incoming(asyncio.Protocol):
    """A connection from a caller."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._parser = httptools.HttpRequestParser(self)
        self._url, self._body = b"", b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._url, self._body = url, b""

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._task = asyncio.ensure_future(self._respond(self._url.decode(), self._body))

    async def _respond(self, path: str, body: bytes) -> None:
        answer = await self._answer(path, body)
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self._transport.write(head % len(answer) + answer)


class Outgoing(asyncio.Protocol):
    """A connection to an endpoint."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self, data: bytes) -> "asyncio.Future[bytes]":
        self._parser, self._parts = httptools.HttpResponseParser(self), list[bytes]()
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        return self._answered

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status == 200:
            self._answered.set_result(b"".join(self._parts))
        else:
            self._answered.set_exception(RuntimeError(f"answered {status}"))


class Poster:
    """Posts over connections that are kept open."""

    def __init__(self) -> None:
        self._idle: defaultdict[str, list[Outgoing]] = defaultdict(list)

    async def post(self, url: str, body: bytes, headers: str = "") -> bytes:
        """One POST with more header lines; raises RuntimeError unless it is answered 200."""
        parts = urlsplit(url)
        idle = self._idle[parts.netloc]
        if idle:
            connection = idle.pop()
        else:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(Outgoing, parts.hostname or "", parts.port or 80)
        head = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
        head += f"{headers}content-length: {len(body)}\r\n\r\n"
        answer = await connection.send(head.encode() + body)
        idle.append(connection)
        return answer


class Server:
    """Takes starts, calls endpoints, and writes a step's row twice."""

    def __init__(self, directory: Path) -> None:
        self._db = apsw.Connection(str(directory / "bare.db"))
        for pragma in ("journal_mode = WAL", "synchronous = FULL"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.execute("CREATE TABLE step (key TEXT PRIMARY KEY, asked BLOB, answer BLOB) WITHOUT ROWID")
        self._poster = Poster()
        self._writes: list[tuple[str, tuple[Any, ...], asyncio.Future[None]]] = []
        self._commits = False

    async def answer(self, _path: str, body: bytes) -> bytes:
        """One step."""
        start = orjson.loads(body)
        url, key = start["stepInvokeUrl"], start["idempotencyKey"]
        row = f"{url} {key}"
        await self._write("INSERT INTO step VALUES (?, ?, NULL)", row, body)
        call = orjson.dumps({"idempotencyKey": key, "payload": start["payload"]})
        answer = await self._poster.post(url, call)
        await self._write("UPDATE step SET answer = ?2 WHERE key = ?1", row, answer)
        return b'{"response":%b}' % answer

    async def _write(self, statement: str, *values: Any) -> None:
        written = asyncio.get_running_loop().create_future()
        self._writes.append((statement, values, written))
        if not self._commits:
            self._commits = True
            self._task = asyncio.ensure_future(self._commit())
        await written

    async def _commit(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0)
        while self._writes:
            batch, self._writes = self._writes, []
            self._db.execute("BEGIN")
            for statement, values, _ in batch:
                self._db.execute(statement, values)
            await loop.run_in_executor(None, self._db.execute, "COMMIT")
            for _, _, written in batch:
                written.set_result(None)
            await asyncio.sleep(0)
        self._commits = False


class Application:
    """User creation, a chain of as many steps as the payload says, and slow steps."""

    def __init__(self, base: str, atomic: str) -> None:
        self._base, self._atomic, self._poster = base, atomic, Poster()

    async def answer(self, path: str, body: bytes) -> bytes:
        """Answer one call."""
        if path == "/index":
            call = orjson.loads(body)
            await self._step("createUser", call["idempotencyKey"])
            names = ("sendEmail", "sendAnalytics")
            await asyncio.gather(*(self._step(name, call["idempotencyKey"]) for name in names))
        elif path == "/chain":
            call = orjson.loads(body)
            for number in range(call["payload"]["steps"]):
                await self._step(f"link/{number}", call["idempotencyKey"])
        elif path.startswith("/slow/"):
            await asyncio.sleep(int(path.removeprefix("/slow/")) / 1000)
        return b'{"ok":true}'

    async def _step(self, name: str, key: str) -> None:
        await self._poster.post(self._atomic, orjson.dumps(start_document(f"{self._base}/{name}", key)))


async def listen(answer: Answer, port: int) -> None:
    """Serve until the process ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Incoming(answer), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    role, port, given = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    served = Server(Path(given)) if role == "server" else Application(f"http://127.0.0.1:{port}", given)
    uvloop.run(listen(served.answer, port))
