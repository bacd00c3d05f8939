"""The bytes of a request, and the requests that are refused before they are sent."""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from atomic.adapters.http.invoker import HttpInvoker, Target, encode, target_of
from atomic.application.ports import EndpointRequest
from unit.http.raw_server import OK, Peer, invoking, post, serving

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def request_to(url: str, headers: dict[str, str] | None = None, body: bytes = b"{}") -> EndpointRequest:
    return EndpointRequest(client_id="c", url=url, headers=headers or {}, body=body, timeout_ms=1000)


def first_lines(url: str) -> tuple[bytes, bytes]:
    first, second, *_ = target_of(url).head.split(b"\r\n")
    return first, second


def test_a_request_is_this(run: Run) -> None:
    seen: list[bytes] = []

    async def behaviour(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.write(OK)

    async def body() -> int:
        async with serving(behaviour) as server, invoking() as invoker:
            await post(invoker, f"http://127.0.0.1:{server.port}/a%2fb?c=%20d", body=b'{"e":1}')
            return server.port

    port = run(body())
    assert seen == [
        b"POST /a%%2fb?c=%%20d HTTP/1.1\r\n"
        b"Host: 127.0.0.1:%d\r\n"
        b"User-Agent: atomic\r\n"
        b"Accept: */*\r\n"
        b"Content-Type: application/json\r\n"
        b"Content-Length: 7\r\n"
        b"\r\n"
        b'{"e":1}' % port
    ]


def test_a_request_cancelled_while_connecting_is_not_sent(run: Run) -> None:
    seen: list[bytes] = []

    async def behaviour(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.write(OK)

    async def body() -> None:
        async with serving(behaviour) as server, invoking() as invoker:
            unwanted = replace(request_to(server.url), is_wanted=lambda: False)
            assert str((await invoker.post(unwanted)).error) == "cancelled before the endpoint was called"
            assert seen == []
            assert (await invoker.post(request_to(server.url))).status == 200
            assert (len(seen), server.connections) == (1, 2)

    run(body())


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://h.example", b"/"),
        ("http://h.example/", b"/"),
        ("http://h.example?a=b", b"/?a=b"),
        ("http://h.example/?", b"/?"),
        ("http://h.example/a//b/../c/./", b"/a//b/../c/./"),
        ("http://h.example/a;p?q=%2F&r=a+b&s=://x/?", b"/a;p?q=%2F&r=a+b&s=://x/?"),
    ],
)
def test_the_target_is_as_it_was_given(url: str, target: bytes) -> None:
    assert first_lines(url)[0] == b"POST %b HTTP/1.1" % target


@pytest.mark.parametrize(
    ("url", "host", "origin"),
    [
        ("http://H.Example/", b"h.example", ("http", "h.example", 80)),
        ("HTTPS://h.example/", b"h.example", ("https", "h.example", 443)),
        ("http://h.example:80/", b"h.example", ("http", "h.example", 80)),
        ("http://h.example:443/", b"h.example:443", ("http", "h.example", 443)),
        ("https://h.example:8443/", b"h.example:8443", ("https", "h.example", 8443)),
        ("http://[::1]/", b"[::1]", ("http", "::1", 80)),
        ("http://[2001:DB8::1]:8080/", b"[2001:db8::1]:8080", ("http", "2001:db8::1", 8080)),
        ("http://[0:0::1]/", b"[::1]", ("http", "::1", 80)),
        ("http://my_service:8000/", b"my_service:8000", ("http", "my_service", 8000)),
    ],
)
def test_host_and_origin(url: str, host: bytes, origin: tuple[str, str, int]) -> None:
    assert first_lines(url)[1] == b"Host: " + host
    assert target_of(url).origin == origin


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/path",
        "h.example/path",
        "ftp://h.example/",
        "file:///etc/passwd",
        "http:///path",
        "http://:80/",
        "http://h.example:99999/",
        "http://h.example:x/",
        "http://user@h.example/",
        "http://user:word@h.example/",
        "http://a\\@h.example/",
        "http://h.example\\x/",
        "http://h%2eexample/",
        "http://h.example/a b",
        "http://h.example/\r\nX: y",
        "http://h.exa\nmple/",
        "\thttp://h.example/",
        "http://h.example/ä",
        "http://ä.example/",
        "http://h.example/\udc80",
        "http://h.example/\0",
        "http://[::1/",
        "http://[not-v6]/",
        "http://[fe80::1%25eth0]/",
        "http://[127.0.0.1]x/",
        "http://h.example/a#b",
        "http://a..b/",
        "http://.a/",
        "http://h.example:/",
        "http://127.1/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://0177.0.0.1/",
        "http://127.0.0.1./",
        "http://" + "a" * 64 + ".test/",
        "http://" + "a." * 127 + "test/",
    ],
)
def test_an_unusable_url_is_an_error_and_no_exception(run: Run, url: str) -> None:
    answer = run(HttpInvoker().post(request_to(url)))
    assert str(answer.error) == "network: not a usable URL"


@pytest.mark.parametrize(
    "value", ["a\r\nX: y", "a\nb", "a\rb", "a\0b", "a\x7fb", "\tb", "ä", "\udc80", "\u2028"]
)
def test_a_header_value_cannot_smuggle(run: Run, value: str) -> None:
    request = request_to("http://127.0.0.1:9/", {"A": "fine", "Idempotency-Key": value})
    assert str(run(HttpInvoker().post(request)).error) == "network: a header value cannot be sent"


@pytest.mark.parametrize(
    "name",
    ["", "A B", "A:", "A\r\nB", "Ä", "\udc80", "Host", "content-length", "Transfer-Encoding"],
)
def test_a_header_name_cannot_smuggle(run: Run, name: str) -> None:
    request = request_to("http://127.0.0.1:9/", {"A": "fine", name: "1"})
    assert str(run(HttpInvoker().post(request)).error) == "network: a header name cannot be sent"


def test_headers_and_body_follow_the_target() -> None:
    target = Target(target_of("http://h.example/").origin, b"POST / HTTP/1.1\r\nHost: h.example\r\n")
    data = encode(target, request_to("http://h.example/", {"A": "1", "b-c": "", "D": " x "}, b"\r\n"))
    assert data == (
        b"POST / HTTP/1.1\r\nHost: h.example\r\nA: 1\r\nb-c: \r\nD:  x \r\nContent-Length: 2\r\n\r\n\r\n"
    )
