"""How one client's bodies that are slow to parse affect the other clients.

Usage: python benchmarks/hostile.py [--size 1000000] [--connections 8] [--seconds 5] [--kinds floats,twice]

One process posts such bodies over `--connections` connections, each as soon as the last one is answered.
The kind `answers` is a small post to an endpoint whose responses are such bodies. Meanwhile this process
requests /health every 10 ms, over a connection of its own.
"""

import argparse
import asyncio
import itertools
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import uvloop

from load import at
from processes import atomic_server, free_ports, machine, python, running

_EVERY_S = 0.01
_WARM_S = 1.0
_ANSWER_BYTES = 250_000

Payload = Callable[[int], bytes]


def _list_of(*items: bytes, last: bytes = b"0") -> Payload:
    """A JSON list with as many of the items as fit into the size."""

    def payload(size: int) -> bytes:
        row = b",".join(items)
        return b"[%b]" % b",".join([*[row] * (size // (len(row) + 1)), last])

    return payload


# The bodies that cost a parser most per byte.
KINDS: dict[str, Payload] = {
    "escapes": _list_of(b'{"\\u0061":1.0}'),
    "floats": _list_of(b"1.5"),
    "objects": _list_of(b"{}"),
    "integers": _list_of(b" 1"),
    "exponents": _list_of(b"1e-9"),
    "long-numbers": _list_of(b"0.1000000000000000055"),
    "big-integers": _list_of(b"18446744073709551615"),
    "strings": _list_of(b'"\\u00e9"'),
    "quotes": _list_of(b'"\\\\\\""'),
    "members": lambda size: b"{%b}" % b",".join(b'"%d":0' % number for number in range(size // 9)),
    "twice": _list_of(b'{"\\u0061":1.0}', last=b'{"a":1,"a":1}'),
    "broken": _list_of(b'{"\\u0061":1.0}', last=b"nul"),
    "huge": _list_of(b'{"\\u0061":1.0}', last=b"1" * 30),
    "deep": _list_of(b"[" * 60 + b"]" * 60),
    "too-deep": _list_of(b"[" * 60 + b"]" * 60, last=b"[" * 70 + b"]" * 70),
    "spaces": lambda size: b"[%b1.0]" % (b" " * size),
}


def main() -> None:
    """Measure and print, or act as one of the other processes."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--size", type=int, default=1_000_000, help="bytes of a payload")
    arguments.add_argument("--connections", type=int, default=8)
    arguments.add_argument("--seconds", type=float, default=5)
    arguments.add_argument("--kinds", default="none,calm," + ",".join(KINDS) + ",answers")
    arguments.add_argument("--post", type=int, help="post to this port, and nothing else")
    arguments.add_argument("--answer", type=int, help="answer on this port, and nothing else")
    given = arguments.parse_args()
    if given.post:
        asyncio.run(_post(given.post, given.kinds, given.size, given.connections))
    elif given.answer:
        asyncio.run(_answer(given.answer))
    else:
        _measure(given.kinds.split(","), given.size, given.connections, given.seconds)


def _measure(kinds: list[str], size: int, connections: int, seconds: float) -> None:
    print(machine())
    print(f"{connections} connections, payloads of {size} bytes")
    print("kind            answers               posts/s   /health p50 ms      p99      max")
    port, endpoint = free_ports(2)
    with tempfile.TemporaryDirectory(prefix="atomic-bench-") as folder:
        for number, kind in enumerate(kinds):
            server = atomic_server(port, Path(folder) / str(number))
            with running(server, port), running(python("hostile.py", "--answer", endpoint), endpoint):
                options = ["--post", port, "--kinds", f"{kind}@{endpoint}", "--size", size]
                poster = subprocess.Popen(
                    python("hostile.py", *options, "--connections", connections), stdout=subprocess.PIPE
                )
                try:
                    time.sleep(_WARM_S)
                    latencies_ms = asyncio.run(_probe(port, seconds))
                finally:
                    poster.terminate()
                    said = poster.communicate()[0].decode().strip() or "-"
            p50, p99 = (at(latencies_ms, share) for share in (0.5, 0.99))
            print(f"{kind:15} {said:31} {p50:14.1f} {p99:8.1f} {latencies_ms[-1]:8.1f}", flush=True)


async def _probe(port: int, seconds: float) -> list[float]:
    """How long /health took, in milliseconds, sorted."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    latencies_ms: list[float] = []
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s:
        began_s = time.perf_counter()
        writer.write(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await _read_answer(reader)
        latencies_ms.append((time.perf_counter() - began_s) * 1000)
        await asyncio.sleep(_EVERY_S)
    writer.close()
    return sorted(latencies_ms)


async def _post(port: int, kind: str, size: int, connections: int) -> None:
    """Post until terminated, then print the statuses of the answers."""
    name, _, endpoint = kind.partition("@")
    answered: Counter[int] = Counter()
    keys = itertools.count()
    plain = {"none": b"", "calm": b"1", "answers": b"1"}.get(name)
    payload = KINDS[name](size) if plain is None and name in KINDS else plain or b""

    def body() -> bytes:
        what = b'"kind":"event","stepName":"s"'
        if name == "answers":
            what = b'"stepInvokeUrl":"http://127.0.0.1:%b/","retry":{"count":0}' % endpoint.encode()
        key = b'"workflowName":"w","idempotencyKey":"k%d"' % next(keys)
        return b'{%b,%b,"payload":%b}' % (key, what, payload)

    async def caller() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while True:
            content = body()
            head = b"POST /busy HTTP/1.1\r\nhost: localhost\r\nprefer: respond-async\r\n"
            writer.write(head + b"content-length: %d\r\n\r\n" % len(content) + content)
            answered[await _read_answer(reader)] += 1

    if name == "none":
        await asyncio.sleep(3600)
    began_s = time.perf_counter()
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(15, stopped.set)
    callers = [asyncio.create_task(caller()) for _ in range(connections)]
    await stopped.wait()
    for task in callers:
        task.cancel()
    rate = answered.total() / (time.perf_counter() - began_s)
    print(f"{dict(answered)!s:20} {rate:8.0f}")


async def _answer(port: int) -> None:
    """An endpoint whose responses are slow to parse, each kind in turn."""
    bodies = itertools.cycle([payload(_ANSWER_BYTES) for payload in KINDS.values()])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await _read_answer(reader)
                body = next(bodies)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    await server.serve_forever()


async def _read_answer(reader: asyncio.StreamReader) -> int:
    """Head and body of a message; the second word of its first line, when that is a number."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length or 0))
    word = head.split(b" ")[1]
    return int(word) if word.isdigit() else 0


if __name__ == "__main__":
    uvloop.install()
    main()
