"""A wrong ATOMIC_URL, proxies and TLS: the errors of both clients name the problem and its cure."""

import asyncio
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from atomic import AsyncClient, AtomicError, Client, NoAnswerError, RefusedError
from atomic.sdk._wire import transport
from certificates import Certificates, make_certificates

Talk = Callable[[socket.socket], None]
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(params=["Client", "AsyncClient"])
def variant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, *map(str.lower, PROXIES), "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


def ask(variant: str, url: str) -> Any:
    """Make one request with either client, without retries."""
    if variant == "Client":
        with Client(url, patience=0) as client:
            return client.runs()

    async def main() -> Any:
        async with AsyncClient(url, patience=0) as client:
            return await client.runs()

    return asyncio.run(main())


def complaint(variant: str, url: str, kind: type[Exception] = AtomicError) -> str:
    with pytest.raises(kind) as told:
        ask(variant, url)
    return str(told.value)


@contextmanager
def server(talk: Talk) -> Iterator[int]:
    """Accept connections, and pass each to the function; yield the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                with suppress(OSError):
                    talk(connection)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def says(answer: bytes) -> Talk:
    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer)

    return talk


def whole(status: bytes, body: bytes, head: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n%b" % (status, head, len(body), body)


def page(status: bytes, body: bytes, head: bytes = b"") -> Talk:
    return says(whole(status, body, head))


def speaks_tls(certificate: Path, answer: bytes = b"") -> Talk:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def talk(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            says(answer)(secure)

    return talk


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8787",
        "127.0.0.1:8787",
        "atomic.example",
        "/x",
        "http://",
        "ftp://x",
        "http://127.0.0.1:99999",
    ],
)
def test_what_is_no_url_is_refused_before_anything_is_sent(variant: str, url: str) -> None:
    told = complaint(variant, url, ValueError)
    assert told.startswith(
        f"ATOMIC_URL '{url}' is not the URL of a server: write scheme, host and port, such as http://"
    )
    assert "://" in url or f"such as http://{url}" in told


NGINX = b"<html>\r\n<head><title>400 The plain HTTP request was sent to HTTPS port</title></head>\r\n<body>"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x15\x03\x03\x00\x02\x02\x0a",
        b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n" + NGINX,
    ],
    ids=["silence", "alert", "nginx"],
)
def test_http_where_tls_is_spoken(variant: str, answer: bytes) -> None:
    with server(says(answer)) as port:
        told = complaint(variant, f"http://127.0.0.1:{port}")
    assert f"If the server uses TLS, set ATOMIC_URL to https://127.0.0.1:{port}." in told
    assert "Change the fields" not in told
    assert told.isprintable()
    assert (b"nginx" in answer or b"title" in answer) is ("plain HTTP request was sent" in told)


def test_http_to_a_server_that_speaks_tls(variant: str, certificates: Certificates) -> None:
    with server(speaks_tls(certificates.good)) as port:
        assert f"set ATOMIC_URL to https://127.0.0.1:{port}." in complaint(
            variant, f"http://127.0.0.1:{port}"
        )


def test_https_where_no_tls_is_spoken(variant: str) -> None:
    with server(page(b"400 Bad Request", b"what?")) as port:
        told = complaint(variant, f"https://127.0.0.1:{port}", NoAnswerError)
    assert "the server does not use TLS" in told
    assert told.endswith(f"Set ATOMIC_URL to http://127.0.0.1:{port} if this is the right server.")


@pytest.mark.parametrize("name", ["lone", "good", "other", "old"])
def test_a_certificate_that_is_not_trusted(variant: str, certificates: Certificates, name: str) -> None:
    with server(speaks_tls(getattr(certificates, name))) as port:
        told = complaint(variant, f"https://127.0.0.1:{port}", NoAnswerError)
    assert "its certificate is not trusted: " in told
    assert "Set SSL_CERT_FILE to a file" in told
    assert "Check ATOMIC_URL, and that the server runs" not in told


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_certificates_that_the_environment_names_are_trusted(
    variant: str, certificates: Certificates, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    body = b'{"runs":[],"next":null}'
    answer = whole(b"200 OK", body)
    monkeypatch.setenv(variable, str(certificates.ca))
    with server(speaks_tls(certificates.good, answer)) as port:
        assert ask(variant, f"https://127.0.0.1:{port}") == []
        monkeypatch.setenv(variable, str(certificates.ca) + "-gone")
        assert "which does not exist" in complaint(variant, f"https://127.0.0.1:{port}", ValueError)


@pytest.mark.parametrize(
    ("status", "head", "body", "words"),
    [
        (b"200 OK", b"", b"<title>Sign in</title>", "answered 200, but not like Atomic (Sign in)."),
        (b"200 OK", b"", b'{"other":1}', 'answered 200, but not like Atomic ({"other":1}).'),
        (b"200 OK", b"", b"[]", "answered 200, but not like Atomic ([])."),
        (b"204 No Content", b"", b"", "answered 204, but not like Atomic. Check ATOMIC_URL"),
        (b"404 Not Found", b"", b'{"detail":"Not Found"}', "answered 404, but not like Atomic"),
        (b"403 Forbidden", b"", b"<h1>no</h1>", "answered 403, but not like Atomic. Check"),
        (b"502 Bad Gateway", b"", b"upstream\x1b[31m gone", "answered 502 (upstream [31m gone)."),
        (
            b"301 Moved Permanently", b"location: https://atomic.example/dev/runs\r\n", b"",
            "answered 301 and redirects to https://atomic.example/dev/runs, which is not followed. Set",
        ),
    ],
)  # fmt: skip
def test_answers_of_somebody_else(
    variant: str, status: bytes, head: bytes, body: bytes, words: str
) -> None:
    with server(page(status, body, head)) as port:
        told = complaint(variant, f"http://127.0.0.1:{port}", RefusedError)
    assert f"http://127.0.0.1:{port} {words}" in told
    assert told.isprintable()


def test_a_proxy_is_used_alike_and_never_for_this_machine(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []

    def proxy(connection: socket.socket) -> None:
        seen.append(connection.recv(65536).split(b"\r\n")[0])
        connection.sendall(whole(b"502 Bad Gateway", b"no way"))

    body = b'{"runs":[],"next":null}'
    with server(proxy) as proxy_port, server(page(b"200 OK", body)) as port:
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"127.0.0.1:{proxy_port}")
        for host in ("127.0.0.1", "localhost"):
            assert ask(variant, f"http://{host}:{port}") == []
        assert seen == []
        complaint(variant, "http://atomic.test:8787")
        complaint(variant, "https://atomic.test")
        # aiohttp retries once when a connection is closed.
        assert list(dict.fromkeys(line.rpartition(b" ")[0].split(b"?")[0] for line in seen)) == [
            b"GET http://atomic.test:8787/dev/runs", b"CONNECT atomic.test:443"
        ]  # fmt: skip
        monkeypatch.setenv("no_proxy", "other.test,atomic.test")
        seen.clear()
        complaint(variant, "http://atomic.test:1")
        assert seen == []


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({"http_proxy": "http://p:1"}, "http://a.test", "http://p:1"),
        ({"http_proxy": "http://p:1"}, "https://a.test", None),
        ({"https_proxy": "http://p:1"}, "https://a.test", "http://p:1"),
        ({"all_proxy": "p:1"}, "https://a.test", "http://p:1"),
        ({"http_proxy": "http://p:1", "no_proxy": "*"}, "http://a.test", None),
        ({"http_proxy": "http://p:1", "no_proxy": ".test"}, "http://a.test:8787", None),
        ({"http_proxy": "http://p:1", "no_proxy": "b.test"}, "http://a.test", "http://p:1"),
        ({"http_proxy": "http://p:1"}, "http://[::1]:8787", None),
        ({"http_proxy": "http://p:1"}, "http://127.0.0.2", None),
        ({"http_proxy": "http://p:1"}, "http://app.localhost:1", None),
        ({"http_proxy": "http://p:1"}, "http://10.0.0.1", "http://p:1"),
        ({}, "http://a.test", None),
    ],
)
def test_which_proxy_is_whose(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str, proxy: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert transport.proxy_of(url) == proxy


def test_a_proxy_that_speaks_no_http_is_told(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks5://me:secret@p:1")
    told = complaint(variant, "http://a.test", ValueError)
    assert "socks5" in told
    assert "secret" not in told


def test_a_key_comes_from_nowhere_else(
    variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    heads: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        heads.append(connection.recv(65536).lower())
        connection.sendall(whole(b"404 Not Found", b""))

    with server(talk) as port:
        complaint(variant, f"http://127.0.0.1:{port}")
    assert b"authorization" not in heads[0]


WITHOUT = """
import sys
from importlib.abc import MetaPathFinder

class Hidden(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "aiohttp":
            raise ModuleNotFoundError("No module named 'aiohttp'", name=name)

sys.meta_path.insert(0, Hidden())
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "aiohttp" else find(name, *more)
from fastapi import FastAPI
from atomic import AsyncClient, Client
from atomic.sdk.fastapi import AsyncContext, Endpoints
Client()
"""


@pytest.mark.parametrize(
    "use",
    ["AsyncClient()", "@Endpoints(FastAPI()).workflow\nasync def main(ctx: AsyncContext): ..."],
)
def test_without_aiohttp_it_is_said_what_to_install(use: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT + use],
        capture_output=True,
        text=True,
        env={**os.environ},
        check=False,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ModuleNotFoundError: aiohttp is not installed")
    assert last.endswith("pip install 'atomic-workflows[async]'")
