"""Bodies that are slow to parse delay only their sender; `benchmarks/hostile.py` measures by how much."""

import asyncio
import json

import pytest

from scenarios.embedded_runtime import AtomicServer

CONNECTIONS = 8
POSTS = 60
PAYLOADS = {
    # Too large even as compact JSON, which the server detects without parsing them.
    "objects": b"[" + b"{}," * 720_000 + b"0]",
    "floats": b"[" + b"1.5," * 540_000 + b"0]",
    # Within the limit.
    "escapes": b"[" + b'{"\\u0061":1.0},' * 30_000 + b"0]",
    "exponents": b"[" + b"1e-9," * 40_000 + b"0]",
    "twice": b"[" + b'{"\\u0061":1.0},' * 30_000 + b'{"a":1,"a":1}]',
}


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return int(head.split(b" ")[1]), await reader.readexactly(length)


@pytest.mark.parametrize(
    ("kind", "status"),
    [("objects", 413), ("floats", 413), ("escapes", 202), ("exponents", 202), ("twice", 400)],
)  # fmt: skip
def test_others_are_answered_in_between(server: AtomicServer, kind: str, status: int) -> None:
    """/health is answered more often than the large bodies.

    Counts are compared, because a machine may be slow.
    """
    left = iter(range(POSTS))
    body = b'{"workflowName":"w","kind":"event","stepName":"s","idempotencyKey":"%b","payload":%b}'
    body %= (kind.encode(), PAYLOADS[kind])
    head = (
        b"POST /hostile HTTP/1.1\r\nhost: localhost\r\nprefer: respond-async\r\ncontent-length: %d\r\n\r\n"
    )

    async def post() -> set[int]:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        statuses = set()
        for _ in left:
            writer.write(head % len(body) + body)
            statuses.add((await read_answer(reader))[0])
        writer.close()
        return statuses

    async def main() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        posts = asyncio.gather(*(post() for _ in range(CONNECTIONS)))
        asked = 0
        while not posts.done():
            writer.write(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert (await read_answer(reader))[0] == 200
            asked += 1
        writer.close()
        assert set.union(*posts.result()) == {status}
        return asked

    asked = asyncio.run(main())
    print(f"{asked} answers of /health beside {POSTS} others")
    assert asked > 1.5 * POSTS


def test_a_body_that_is_too_large_is_told_so_whatever_is_in_it(server: AtomicServer) -> None:
    async def main(body: bytes, path: bytes) -> tuple[int, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % (path, len(body))
        )
        writer.write(body)
        answer = await read_answer(reader)
        writer.close()
        return answer

    for payload in (PAYLOADS["objects"], b'"' + b"x" * 2_200_000 + b'"', b"[" + b"1e-9," * 500_000 + b"0]"):
        body = (
            b'{"workflowName":"w","kind":"event","stepName":"s","idempotencyKey":"x","payload":%b}'
            % payload
        )
        status, answer = asyncio.run(main(body, b"/hostile"))
        assert status == 413
        assert json.loads(answer)["detail"].startswith("payload: 2097152 bytes of compact JSON are allowed")
