"""The outcome of what a server writes: complete answers, partial answers, and invalid ones."""

import asyncio
import gzip
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from atomic.domain.outcomes import EndpointResponse, StepError, classify, timed_out
from atomic.domain.retry import RetryPolicy
from atomic.protocol import keys
from atomic.protocol.constants import NAMED_MAX, RESPONSE_MAX_BYTES
from atomic.protocol.error_kinds import ErrorKind
from unit.http.raw_server import Peer, answer_to, invoking, keeps_writing, post, serving, writes

Run = Callable[[Coroutine[Any, Any, Any]], Any]

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BROKEN_OFF = "network: the connection was closed before a whole answer came"

WHOLE = {
    "with a length": (HEAD + b"Content-Length: 2\r\n\r\nhi", 200, b"hi"),
    "with a length of 0": (HEAD + b"Content-Length: 0\r\n\r\n", 200, b""),
    "chunked": (CHUNKED + b"2\r\nhi\r\n3\r\n yo\r\n0\r\n\r\n", 200, b"hi yo"),
    "chunked with extensions": (CHUNKED + b"2;a=b\r\nhi\r\n0;c\r\n\r\n", 200, b"hi"),
    "chunked with trailers": (CHUNKED + b"2\r\nhi\r\n0\r\nX-After: 1\r\n\r\n", 200, b"hi"),
    "ended by the connection": (HEAD + b"\r\nhi", 200, b"hi"),
    "empty, ended by the connection": (HEAD + b"\r\n", 200, b""),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "204 with a length": (b"HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n", 204, b""),
    "304 with a large length": (b"HTTP/1.1 304 Not\r\nContent-Length: 999999999\r\n\r\n", 304, b""),
    "100 first": (b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Content-Length: 2\r\n\r\nhi", 200, b"hi"),
    "103 with a header first": (
        b"HTTP/1.1 103 Early Hints\r\nContent-Length: 7\r\n\r\n" + HEAD + b"Content-Length: 2\r\n\r\nhi",
        200,
        b"hi",
    ),
    "Connection: close": (HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi"),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\nhi", 200, b"hi"),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi"),
    "an upgrade offered": (
        HEAD + b"Upgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 2\r\n\r\nhi",
        200,
        b"hi",
    ),
    "lines that end with LF alone": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", 200, b"hi"),
    "junk behind it": (HEAD + b"Content-Length: 2\r\n\r\nhi and more", 200, b"hi"),
    "junk behind it and close": (
        HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nhi more",
        200,
        b"hi",
    ),
    "a second answer behind it": (HEAD + b"Content-Length: 2\r\n\r\nhi" + HEAD * 2, 200, b"hi"),
    "404": (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", 404, b"no"),
    "exactly at the cap": (
        HEAD + b"Content-Length: %d\r\n\r\n" % RESPONSE_MAX_BYTES + b"a" * RESPONSE_MAX_BYTES,
        200,
        b"a" * RESPONSE_MAX_BYTES,
    ),
}


@pytest.mark.parametrize("case", WHOLE)
def test_a_whole_answer(run: Run, case: str) -> None:
    raw, status, body = WHOLE[case]
    answer = run(answer_to(writes(raw)))
    assert (answer.status, answer.body, answer.error, answer.too_large) == (status, body, None, False)


@pytest.mark.parametrize("case", [case for case in WHOLE if len(WHOLE[case][0]) < 200])
def test_a_whole_answer_byte_by_byte(run: Run, case: str) -> None:
    raw, status, body = WHOLE[case]
    answer = run(answer_to(writes(*(raw[at : at + 1] for at in range(len(raw))))))
    assert (answer.status, answer.body, answer.error) == (status, body, None)


def test_as_many_steps_as_count_can_be_named(run: Run) -> None:
    ids = [keys.step_id(f"run_{number:032x}", f"{number:032x}") for number in range(NAMED_MAX)]
    named = ", ".join(ids).encode()
    raw = b"HTTP/1.1 202 Accepted\r\nAtomic-Waiting-For: %b\r\nContent-Length: 0\r\n\r\n" % named
    outcome = classify(run(answer_to(writes(raw))), RetryPolicy(), 0)
    assert outcome.waiting_for == tuple(ids), outcome.error


BROKEN = {
    "nothing": (b"", BROKEN_OFF),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-Le", BROKEN_OFF),
    "an interim answer only": (b"HTTP/1.1 100 Continue\r\n\r\n", BROKEN_OFF),
    "half a body": (HEAD + b"Content-Length: 10\r\n\r\nhalf", BROKEN_OFF),
    "a head and no body": (HEAD + b"Content-Length: 10\r\n\r\n", BROKEN_OFF),
    "half a chunk": (CHUNKED + b"a\r\nhalf", BROKEN_OFF),
    "no last chunk": (CHUNKED + b"2\r\nhi\r\n", BROKEN_OFF),
    "half a trailer": (CHUNKED + b"2\r\nhi\r\n0\r\nX-Aft", BROKEN_OFF),
    "a coding without an end": (HEAD + b"Transfer-Encoding: gzip\r\n\r\nhi", BROKEN_OFF),
    "not HTTP": (b"hello\r\n\r\n", "network: not HTTP: Expected HTTP/"),
    "SSH": (b"SSH-2.0-OpenSSH_9.6\r\n", "network: not HTTP: Expected HTTP/"),
    "TLS": (b"\x15\x03\x01\x00\x02\x02\x46", "network: not HTTP: Expected HTTP/"),
    "status 000": (b"HTTP/1.1 000 No\r\nContent-Length: 0\r\n\r\n", "network: not HTTP: "),
    "status abc": (b"HTTP/1.1 abc No\r\nContent-Length: 0\r\n\r\n", "network: not HTTP: "),
    "101": (
        b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "network: not HTTP: status 101",
    ),
    "a folded header": (HEAD + b"A: b\r\n c\r\nContent-Length: 0\r\n\r\n", "network: not HTTP: "),
    "NUL in a header": (HEAD + b"A: b\0c\r\nContent-Length: 0\r\n\r\n", "network: not HTTP: "),
    "CR in a header": (HEAD + b"A: b\rc\r\nContent-Length: 0\r\n\r\n", "network: not HTTP: "),
    "an escape in a header": (
        HEAD + b"Atomic-Build: \x1b[31m\r\nContent-Length: 0\r\n\r\n",
        "network: not HTTP: ",
    ),
    "a space before the colon": (HEAD + b"A : b\r\nContent-Length: 0\r\n\r\n", "network: not HTTP: "),
    "a header without a name": (HEAD + b": b\r\nContent-Length: 0\r\n\r\n", "network: not HTTP: "),
    "two lengths": (HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!", "network: not HTTP: "),
    "length and chunks": (
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        "network: not HTTP: ",
    ),
    "a length below 0": (HEAD + b"Content-Length: -1\r\n\r\n", "network: not HTTP: "),
    "a length of 30 digits": (HEAD + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", "network: not HTTP: "),
    "a chunk of no size": (CHUNKED + b"zz\r\nhi\r\n", "network: not HTTP: "),
    "a header of 1 MB": (HEAD + b"A: " + b"b" * 2**20 + b"\r\n\r\n", "network: the head"),
    "a header name of 1 MB": (HEAD + b"b" * 2**20 + b": b\r\n\r\n", "network: the head"),
    "a reason of 1 MB": (b"HTTP/1.1 200 " + b"b" * 2**20, "network: the head"),
    "a head of 90 KiB": (HEAD + (b"A: " + b"b" * 1000 + b"\r\n") * 90 + b"\r\n", "network: "),
    "1000 headers": (
        HEAD + b"A: b\r\n" * 1000 + b"Content-Length: 0\r\n\r\n",
        "network: over 100 header lines",
    ),
    "1000 trailers": (CHUNKED + b"0\r\n" + b"A: b\r\n" * 1000 + b"\r\n", "network: over 100 header lines"),
    "1000 interim answers": (b"HTTP/1.1 102 P\r\n\r\n" * 1000, "network: over 10 interim answers"),
    "empty lines for ever": (b"\r\n" * 60_000, "network: the head"),
    "an extension of 17 MB": (CHUNKED + b"2;" + b"a" * 17 * 2**20, "network: the answer is mostly framing"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_answer_is_an_error(run: Run, case: str) -> None:
    raw, error = BROKEN[case]
    answer = run(answer_to(writes(raw)))
    assert str(answer.error).startswith(error)
    assert (answer.status, answer.body, timed_out(answer.error)) == (None, b"", False)
    assert len(str(answer.error)) <= 300


@pytest.mark.parametrize("written", [b"", HEAD, HEAD + b"Content-Length: 9\r\n\r\nhal", HEAD + b"\r\nhal"])
def test_a_reset_is_no_end_of_an_answer(run: Run, written: bytes) -> None:
    async def behaviour(peer: Peer) -> None:
        await peer.request()
        await peer.write(written)
        await asyncio.sleep(0.02)
        peer.reset()

    answer = run(answer_to(behaviour))
    assert (answer.status, str(answer.error)) == (None, BROKEN_OFF)


OVER = {
    "with a length": HEAD + b"Content-Length: %d\r\n\r\n" % (RESPONSE_MAX_BYTES + 1),
    "with an endless length": HEAD + b"Content-Length: 99999999999\r\n\r\n" + b"a" * 1000,
    "chunked": CHUNKED + b"%x\r\n" % (RESPONSE_MAX_BYTES + 1) + b"a" * (RESPONSE_MAX_BYTES + 1),
    "ended by the connection": HEAD + b"\r\n" + b"a" * (RESPONSE_MAX_BYTES + 1),
    "a failure": b"HTTP/1.1 500 No\r\nRetry-After: 3\r\n\r\n" + b"a" * (RESPONSE_MAX_BYTES + 1),
}


@pytest.mark.parametrize("case", OVER)
def test_what_is_over_the_cap_ends_at_once_with_its_status(run: Run, case: str) -> None:
    answer = run(answer_to(writes(OVER[case], then_closes=False)))
    assert (answer.too_large, answer.body, answer.error) == (True, b"", None)
    assert answer.status == (500 if case == "a failure" else 200)
    assert answer.headers.get("retry-after") == ("3" if case == "a failure" else None)


@pytest.mark.parametrize("size", [1, 1000, 60_000])
def test_an_endless_answer_is_stopped_early(run: Run, size: int) -> None:
    written = 0

    async def endless(peer: Peer) -> None:
        nonlocal written
        await peer.request()
        await peer.write(CHUNKED)
        chunks = (b"%x\r\n" % size + b"a" * size + b"\r\n") * max(1, 60_000 // size)
        while True:
            await peer.write(chunks)
            written += len(chunks)

    answer = run(answer_to(endless))
    assert (answer.status, answer.too_large, answer.body) == (200, True, b"")
    # A chunk of one byte takes six. The buffers of the sockets count as well, by how busy the machine is.
    assert written < 24 * 2**20


DRIPS = {
    "nothing": (b"", b""),
    "the beginning of a status line": (b"HTT", b""),
    "a head": (HEAD + b"A: ", b"b"),
    "interim answers": (b"", b"HTTP/1.1 102 P\r\n\r\n"),
    "a body": (HEAD + b"Content-Length: 1000\r\n\r\n", b"b"),
    "a body without a length": (HEAD + b"\r\n", b"b"),
    "chunks": (CHUNKED, b"1\r\nb\r\n"),
    "a trailer": (CHUNKED + b"0\r\nA: ", b"b"),
}


@pytest.mark.parametrize("case", DRIPS)
def test_the_time_is_total(run: Run, case: str) -> None:
    first, again = DRIPS[case]

    async def dripping(peer: Peer) -> None:
        await peer.request()
        await peer.write(first)
        while True:
            await peer.write(again)
            await asyncio.sleep(0.05)

    async def timed() -> tuple[EndpointResponse, float]:
        async with serving(dripping) as server, invoking() as invoker:
            began_s = asyncio.get_running_loop().time()
            answer = await post(invoker, server.url, timeout_ms=300)
            return answer, asyncio.get_running_loop().time() - began_s

    answer, took_s = run(timed())
    assert answer == EndpointResponse(error=StepError(ErrorKind.TIMED_OUT, "300"))
    assert str(answer.error) == "timeout: no whole answer within 300 ms"
    assert 0.29 <= took_s < 1.0


def test_a_server_that_never_reads_does_not_hold_a_large_request(run: Run) -> None:
    async def deaf(peer: Peer) -> None:
        cast("asyncio.Transport", peer.writer.transport).pause_reading()
        await asyncio.sleep(5)

    answer = run(answer_to(deaf, timeout_ms=200, body=b"a" * 2**24))
    assert timed_out(answer.error)


def test_header_names_are_lower_case_and_lines_of_one_name_a_list(run: Run) -> None:
    raw = (
        b"HTTP/1.1 202 OK\r\nX-A: 1 \r\nx-a: 2\r\nSAME: s\r\nSame: s\r\nEmpty:\r\nContent-Length: 0\r\n\r\n"
    )
    answer = run(answer_to(writes(raw)))
    assert answer.headers == {"x-a": "1, 2", "same": "s", "empty": "", "content-length": "0"}


def test_raw_bytes_of_a_header_are_no_surrogates(run: Run) -> None:
    answer = run(answer_to(writes(HEAD + b"A: \xe4\xff\x80\r\nContent-Length: 0\r\n\r\n")))
    assert answer.headers["a"] == "\xe4\xff\x80"
    assert answer.headers["a"].encode()


@pytest.mark.parametrize("build", [b"a\tb", b"a b", b"\xff", "é".encode(), b""])
def test_a_build_with_other_characters_is_ignored(run: Run, build: bytes) -> None:
    raw = HEAD + b"Atomic-Build: %b\r\nAtomic-Unused-Results: 2\r\nContent-Length: 2\r\n\r\nhi" % build
    outcome = classify(run(answer_to(writes(raw))), RetryPolicy(), 0)
    assert (outcome.kind, outcome.build, outcome.unused_results) == ("succeeded", None, 2)


def test_neither_trailers_nor_interim_headers_are_headers(run: Run) -> None:
    interim = b"HTTP/1.1 103 E\r\nAtomic-No-Retry: true\r\n\r\n"
    answer = run(answer_to(writes(interim + CHUNKED + b"0\r\nAtomic-No-Retry: true\r\n\r\n")))
    assert answer.headers == {"transfer-encoding": "chunked"}


def test_a_compressed_body_is_left_as_it_is(run: Run) -> None:
    packed = gzip.compress(b"a" * 2**20)
    raw = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed
    answer = run(answer_to(keeps_writing(raw)))
    assert (answer.body, answer.headers["content-encoding"]) == (packed, "gzip")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer(run: Run, status: int) -> None:
    asked: list[bytes] = []

    async def behaviour(peer: Peer) -> None:
        while True:
            asked.append(await peer.request())
            location = b"Location: /elsewhere\r\nContent-Length: 0\r\n\r\n"
            await peer.write(b"HTTP/1.1 %d Go\r\n" % status + location)

    answer = run(answer_to(behaviour))
    assert (answer.status, answer.headers["location"], len(asked)) == (status, "/elsewhere", 1)
