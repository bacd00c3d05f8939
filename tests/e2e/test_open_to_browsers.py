"""A development server on loopback rejects requests of foreign web pages and of broken clients."""

import json
import socket
from urllib.parse import urlsplit

import pytest

from scenarios.embedded_runtime import AtomicServer

START = b'{"workflowName":"w","kind":"event","stepName":"s","idempotencyKey":"%b"}'


def exchange(server: AtomicServer, *parts: bytes) -> bytes:
    """Send the bytes; return all that the server sends until it closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        answer = b""
        try:
            for part in parts:
                connection.sendall(part)
            while data := connection.recv(65536):
                answer += data
        except ConnectionError:
            pass
    return answer


def status(answer: bytes) -> int:
    return int(answer.split(b" ")[1])


def request(head: bytes, body: bytes = b"") -> bytes:
    return head + b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body) + body


def test_a_name_bound_to_loopback_and_a_foreign_page_start_nothing(server: AtomicServer) -> None:
    own = b"127.0.0.1:%d" % server.port
    for position, (host, more) in enumerate(
        ((b"evil.test", b""), (own, b"origin: http://evil.test\r\n"), (own, b"origin: null\r\n"))
    ):
        body = START % b"evil-%d" % position
        head = b"POST /me HTTP/1.1\r\nhost: %b\r\ncontent-type: text/plain\r\n%b" % (host, more)
        assert status(exchange(server, request(head, body))) == (421 if host != own else 403)
        for path in (b"/me/runs", b"/metrics", b"/dashboard", b"/openapi.json"):
            got = exchange(server, request(b"GET %b HTTP/1.1\r\nhost: %b\r\n%b" % (path, host, more)))
            assert status(got) in {421, 403}
    listed = exchange(
        server, request(b"GET /me/runs HTTP/1.1\r\nhost: %b\r\norigin: http://%b\r\n" % (own, own))
    )
    assert listed.endswith(b'{"runs":[],"next":null}')


def test_a_callback_is_posted_to_from_any_page_and_by_any_name(server: AtomicServer) -> None:
    own = b"127.0.0.1:%d" % server.port
    opened = exchange(
        server, request(b"POST /me HTTP/1.1\r\nhost: %b\r\nprefer: wait=0\r\n" % own, START % b"cb")
    )
    path = urlsplit(json.loads(opened.partition(b"\r\n\r\n")[2])["callbackUrl"]).path.encode()
    foreign = b"host: tunnel.example\r\norigin: https://shop.example\r\n"

    page = exchange(server, request(b"GET %b HTTP/1.1\r\nhost: %b\r\norigin: null\r\n" % (path, own)))
    asked = exchange(server, request(b"OPTIONS %b HTTP/1.1\r\n%b" % (path, foreign)))
    told = exchange(server, request(b"POST %b HTTP/1.1\r\n%b" % (path, foreign), b"1"))
    others = [
        exchange(server, request(b"POST %b HTTP/1.1\r\n%b" % (other, foreign)))
        for other in (b"/callbacks", b"/me/callbacks/x", b"//callbacks/x")
    ]

    assert [status(answer) for answer in (page, asked, told, *others)] == [200, 204, 200, 421, 421, 421]
    assert b"access-control-allow-origin: *" in told


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        # A load balancer's health check sends such a host.
        (b"GET /health HTTP/1.0\r\n", 200),
        (b"HEAD /health HTTP/1.0\r\nhost: 10.1.2.3\r\n", 200),
        (b"GET /health HTTP/1.0\r\nhost: evil.test\r\n", 421),
        (b"GET /health HTTP/1.0\r\nhost: localhost\r\nhost: localhost\r\n", 400),
        (b"GET /health HTTP/1.1\r\n", 400),
        (b"GET /health HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n", 400),
        (b"GET /health HTTP/1.1\r\nhost: local host\r\n", 400),
        (b"GET http://localhost/health HTTP/1.1\r\nhost: localhost\r\n", 200),
        # The host in the target counts, and the header is still required.
        (b"GET http://127.0.0.1:1/health HTTP/1.1\r\nhost: evil.test\r\n", 200),
        (b"GET http://evil.test/health HTTP/1.1\r\nhost: localhost\r\n", 421),
        (b"GET http://localhost@evil.test/health HTTP/1.1\r\nhost: localhost\r\n", 421),
        (b"GET http://evil.test:80/health?a=b@localhost HTTP/1.1\r\nhost: localhost\r\n", 421),
        (b"GET http://localhost/health HTTP/1.1\r\n", 400),
        (b"GET http://localhost/health HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n", 400),
    ],
)
def test_a_request_names_one_host(server: AtomicServer, head: bytes, expected: int) -> None:
    answer = exchange(server, request(head))
    assert status(answer) == expected
    # The answer to a HEAD has no body.
    assert expected == 200 or b"Host: " in answer


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 40_000,
        b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 40_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 40_000,
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\n" + b"a: b\r\n" * 101 + b"\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\n" + (b"abcdefgh: " + b"x" * 90 + b"\r\n") * 5000,
        b"GET / HTTP/1.1\r\n" + b"x" * 1_000_000,
    ],
    ids=["endless-line", "long-line", "endless-target", "long-target", "many", "many-long", "endless-name"],
)  # fmt: skip
def test_a_head_is_bounded(server: AtomicServer, head: bytes) -> None:
    answer = exchange(server, *(head[position : position + 8192] for position in range(0, len(head), 8192)))
    # Closing a connection with unread bytes resets it, and the answer may then be lost.
    assert answer == b"" or status(answer) == 431
    assert server.process.poll() is None


def test_ordinary_heads_pass(server: AtomicServer) -> None:
    head = b"GET /health HTTP/1.1\r\nhost: localhost\r\n" + b"a: %b\r\n" % (b"b" * 200) * 90
    for _ in range(3):
        assert (
            status(exchange(server, *(bytes([byte]) for byte in request(head)[:50]), request(head)[50:]))
            == 200
        )
