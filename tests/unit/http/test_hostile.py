"""Hostile and broken endpoints: each attempt ends in time, with the right outcome, in little memory."""

import asyncio
import gzip
import random
import re
import ssl
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from atomic.domain.outcomes import sentence_of
from unit.http.raw_server import Behaviour, Peer, invoking, post, serving

Run = Callable[[Coroutine[Any, Any, Any]], Any]

TIMEOUT_MS = 250
MEMORY_MAX_BYTES = 32 * 2**20
HEAD = b"HTTP/1.1 200 OK\r\n"
MIB = b"x" * 2**20
BOMB = gzip.compress(b"\0" * 100 * 2**20)
NOISE = random.Random(7).randbytes(4096)


def says(*parts: bytes, then: str = "close", pause_s: float = 0.0) -> Behaviour:
    """A server that reads a request and writes the parts; then it closes, resets or stays silent."""

    async def behaviour(peer: Peer) -> None:
        await peer.request()
        for part in parts:
            await peer.write(part)
            await asyncio.sleep(pause_s)
        if then == "reset":
            peer.reset()
        elif then == "stay":
            await peer.reader.read()

    return behaviour


def goes_on(part: bytes, *, head: bytes = b"", pause_s: float = 0.0) -> Behaviour:
    """A server that writes the same bytes for ever."""

    async def behaviour(peer: Peer) -> None:
        await peer.request()
        await peer.write(head)
        while True:
            await peer.write(part)
            await asyncio.sleep(pause_s)

    return behaviour


async def deaf(peer: Peer) -> None:
    await asyncio.sleep(60)


async def closes_at_once(peer: Peer) -> None:
    peer.writer.close()


async def resets_at_once(peer: Peer) -> None:
    peer.reset()


async def answers_unasked(peer: Peer) -> None:
    await peer.write(HEAD + b"Content-Length: 3\r\n\r\nbad")
    await peer.reader.read()


async def reads_a_byte_a_second(peer: Peer) -> None:
    while await peer.reader.read(1):  # noqa: ASYNC110 - slow, not waiting
        await asyncio.sleep(1)


def framed(body: bytes, *lines: bytes, status: bytes = b"200 OK") -> bytes:
    head = b"".join(line + b"\r\n" for line in lines)
    return b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, head, len(body), body)


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
TIMEOUT, BROKEN, REFUSED, LARGE = "timeout", "network: the connection was closed", "network: ", "too large"
# What the server does, and how the attempt ends: a prefix of its error, a status, or either of two.
HOSTILE: dict[str, tuple[Behaviour, str | int]] = {
    "never reads": (deaf, TIMEOUT),
    "reads a byte a second": (reads_a_byte_a_second, TIMEOUT),
    "never answers": (says(then="stay"), TIMEOUT),
    "closes at once": (closes_at_once, BROKEN),
    "resets at once": (resets_at_once, BROKEN),
    "closes after the request": (says(), BROKEN),
    "resets after the request": (says(then="reset"), BROKEN),
    "drips the status line": (goes_on(b"H", pause_s=0.02), REFUSED),
    "drips a header": (goes_on(b"x", head=HEAD + b"A: ", pause_s=0.02), TIMEOUT),
    "drips header lines": (goes_on(b"A: b\r\n", head=HEAD, pause_s=0.02), TIMEOUT),
    "drips a body": (goes_on(b"x", head=HEAD + b"Content-Length: 99999\r\n\r\n", pause_s=0.02), TIMEOUT),
    "drips chunks": (goes_on(b"1\r\nx\r\n", head=CHUNKED, pause_s=0.02), TIMEOUT),
    "drips a chunk size": (goes_on(b"0", head=CHUNKED, pause_s=0.02), TIMEOUT),
    "drips interim answers": (goes_on(b"HTTP/1.1 100 Continue\r\n\r\n", pause_s=0.05), TIMEOUT),
    "half a status line": (says(b"HTTP/1.1 2"), BROKEN),
    "half a status line, stays": (says(b"HTTP/1.1 2", then="stay"), TIMEOUT),
    "half a head": (says(HEAD + b"Content-Le"), BROKEN),
    "half a head, stays": (says(HEAD + b"Content-Le", then="stay"), TIMEOUT),
    "half a body": (says(HEAD + b"Content-Length: 9\r\n\r\nhalf"), BROKEN),
    "half a body, reset": (says(HEAD + b"Content-Length: 9\r\n\r\nhalf", then="reset"), BROKEN),
    "half a body, stays": (says(HEAD + b"Content-Length: 9\r\n\r\nhalf", then="stay"), TIMEOUT),
    "half a chunk": (says(CHUNKED + b"9\r\nhalf"), BROKEN),
    "no last chunk": (says(CHUNKED + b"4\r\nhalf\r\n"), BROKEN),
    "no last chunk, stays": (says(CHUNKED + b"4\r\nhalf\r\n", then="stay"), TIMEOUT),
    "half a trailer": (says(CHUNKED + b"0\r\nA: b", then="stay"), TIMEOUT),
    "endless body": (goes_on(MIB, head=HEAD + b"\r\n"), LARGE),
    "endless chunks": (goes_on(b"100000\r\n" + MIB + b"\r\n", head=CHUNKED), LARGE),
    # On a slow machine the time ends before two million chunks are read.
    "endless tiny chunks": (goes_on(b"1\r\nx\r\n" * 10_000, head=CHUNKED), f"{LARGE}|{TIMEOUT}"),
    "endless chunk extensions": (goes_on(b"1;" + b"e" * 60_000 + b"\r\nx\r\n", head=CHUNKED), REFUSED),
    "one endless chunk extension": (goes_on(MIB, head=CHUNKED + b"1;e="), REFUSED),
    "endless trailers": (goes_on(b"A: b\r\n" * 1000, head=CHUNKED + b"0\r\n"), REFUSED),
    "endless header line": (goes_on(MIB, head=HEAD + b"A: "), REFUSED),
    "endless header name": (goes_on(MIB, head=HEAD), REFUSED),
    "endless header lines": (goes_on(b"A: b\r\n" * 1000, head=HEAD), REFUSED),
    "endless reason": (goes_on(MIB, head=b"HTTP/1.1 200 "), REFUSED),
    "endless interim answers": (goes_on(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100), REFUSED),
    "endless interim headers": (goes_on(b"HTTP/1.1 103 E\r\n" + b"A: b\r\n" * 50 + b"\r\n"), REFUSED),
    "endless blank lines": (goes_on(b"\r\n" * 50_000), REFUSED),
    "announces a terabyte": (says(HEAD + b"Content-Length: 1099511627776\r\n\r\n", then="stay"), LARGE),
    "announces 10**30 bytes": (says(HEAD + b"Content-Length: 1" + b"0" * 30 + b"\r\n\r\n"), REFUSED),
    "announces a chunk of 2**64": (says(CHUNKED + b"FFFFFFFFFFFFFFFFF\r\n"), REFUSED),
    "announces less than none": (says(HEAD + b"Content-Length: -1\r\n\r\n"), REFUSED),
    "announces a word": (says(HEAD + b"Content-Length: many\r\n\r\n"), REFUSED),
    "announces two lengths": (says(HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx"), REFUSED),
    "length and chunks": (
        says(HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        REFUSED,
    ),
    "chunk size of no digits": (says(CHUNKED + b"xyz\r\n"), REFUSED),
    "gzip bomb": (says(framed(BOMB, b"Content-Encoding: gzip")), 200),
    "gzip bomb said to be text": (says(framed(BOMB, b"Content-Type: text/plain")), 200),
    "three encodings": (says(framed(BOMB[:999], b"Content-Encoding: br, gzip, zstd")), 200),
    "gzip that is none": (says(framed(b"no", b"Content-Encoding: gzip")), 200),
    "unknown charset": (says(framed(NOISE, b"Content-Type: text/plain; charset=punycode")), 200),
    "broken UTF-8": (says(framed(b"\xff\xfe\x80", b"Content-Type: application/json")), 200),
    "deep JSON": (says(framed(b"[" * 100_000, b"Content-Type: application/json")), 200),
    "redirect to itself": (says(framed(b"", b"Location: /step", status=b"307 Again")), 307),
    "redirect to a file": (says(framed(b"", b"Location: file:///etc/passwd", status=b"302 F")), 302),
    "redirect with a refresh": (says(framed(b"", b"Refresh: 0; url=/step", status=b"301 M")), 301),
    "cookies and challenges": (
        says(framed(b"", b"Set-Cookie: a=b", b"WWW-Authenticate: Basic", status=b"401 No")),
        401,
    ),
    "asks for a proxy login": (says(framed(b"", b"Proxy-Authenticate: Basic", status=b"407 No")), 407),
    "switches protocols": (says(b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\n\r\n", then="stay"), REFUSED),
    "status 000": (says(b"HTTP/1.1 000 Zero\r\n\r\n"), REFUSED),
    "status 99999": (says(b"HTTP/1.1 99999 Many\r\n\r\n"), REFUSED),
    "HTTP/0.9": (says(b"<html>hello</html>"), REFUSED),
    "HTTP/2 preface": (says(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), REFUSED),
    "HTTP/3.7": (says(b"HTTP/3.7 200 OK\r\n\r\n"), REFUSED),
    "an SSH server": (says(b"SSH-2.0-OpenSSH_9.9\r\n"), REFUSED),
    "a mail server": (says(b"220 mail.test ESMTP\r\n", then="stay"), REFUSED),
    "a request for an answer": (says(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), REFUSED),
    "noise": (says(NOISE, then="stay"), REFUSED),
    "null bytes": (says(b"\0" * 4096, then="stay"), REFUSED),
    "null byte in a header": (says(framed(b"", b"A: b\0c")), REFUSED),
    "a space in a name": (says(framed(b"", b"A b: c")), REFUSED),
    "a folded header": (says(framed(b"ok", b"A: b", b" c")), "network: |200"),
    "a second answer behind it": (says(framed(b"one") + framed(b"two"), then="stay"), 200),
    "an answer nobody asked for": (answers_unasked, "network: |200"),
    "a body with 204": (says(b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nhello", then="stay"), 204),
}


def outcome(answer: Any) -> str:
    return LARGE if answer.too_large else sentence_of(answer.error) or str(answer.status)


def forget_peak() -> None:
    """Reset `peak_bytes`."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    """The peak memory of this process since the last reset."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def test_there_are_sixty() -> None:
    assert len(HOSTILE) >= 60


@pytest.mark.parametrize("name", HOSTILE)
def test_it_ends_in_time_with_the_right_outcome_in_little_memory(run: Run, name: str) -> None:
    behaviour, expected = HOSTILE[name]

    async def body() -> None:
        async with serving(behaviour) as server, invoking() as invoker:
            forget_peak()
            before_bytes, began_s = peak_bytes(), time.monotonic()
            answer = await post(invoker, server.url, timeout_ms=TIMEOUT_MS)
            assert time.monotonic() - began_s < TIMEOUT_MS / 1000 + 1
            assert peak_bytes() - before_bytes < MEMORY_MAX_BYTES
        assert any(outcome(answer).startswith(each) for each in str(expected).split("|")), outcome(answer)
        assert len(sentence_of(answer.error) or "") < 400

    run(body())


def test_it_is_no_tls_at_all(run: Run) -> None:
    async def body() -> None:
        for behaviour in (
            says(NOISE),
            goes_on(NOISE),
            closes_at_once,
            deaf,
            says(b"\x15\x03\x01\0\x02\x02\x46"),
        ):
            async with serving(behaviour) as server, invoking(tls=ssl.create_default_context()) as invoker:
                began_s = time.monotonic()
                answer = await post(invoker, server.url.replace("http", "https"), timeout_ms=TIMEOUT_MS)
                assert answer.error is not None
                assert time.monotonic() - began_s < TIMEOUT_MS / 1000 + 1

    run(body())
