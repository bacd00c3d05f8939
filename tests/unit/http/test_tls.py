"""Which certificates the invoker trusts, and how broken TLS ends an attempt."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from atomic.adapters.http.names import Names
from atomic.domain.outcomes import timed_out
from certificates import Certificates, make_certificates
from unit.http.raw_server import OK, Peer, invoking, keeps_writing, post, serving, writes

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


def server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def client_context(certificates: Certificates) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificates.ca)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "localhost."])
def test_tls_with_a_trusted_certificate(
    run: Run, certificates: Certificates, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not every machine resolves `localhost.`.
    monkeypatch.setattr(Names, "addresses", lambda *_: asyncio.sleep(0, ["127.0.0.1"]))

    async def body() -> None:
        tls = server_context(certificates.good)
        async with (
            serving(keeps_writing(OK), tls=tls) as server,
            invoking(tls=client_context(certificates)) as invoker,
        ):
            for _ in range(3):
                answer = await post(invoker, f"https://{host}:{server.port}/", body=b"a" * 300_000)
                assert (answer.status, answer.body, answer.error) == (200, b"ok", None)
            assert server.connections == 1

    run(body())


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("lone", "self-signed certificate"),
        ("other", "IP address mismatch, certificate is not valid for '127.0.0.1'."),
        ("old", "certificate has expired"),
    ],
)
def test_tls_with_another_certificate(run: Run, certificates: Certificates, name: str, error: str) -> None:
    async def body() -> Any:
        tls = server_context(getattr(certificates, name))
        async with (
            serving(keeps_writing(OK), tls=tls) as server,
            invoking(tls=client_context(certificates)) as invoker,
        ):
            return await post(invoker, server.url)

    assert str(run(body()).error) == f"network: TLS: certificate verify failed: {error}"


def test_by_default_only_the_systems_authorities_are_trusted(run: Run, certificates: Certificates) -> None:
    async def body() -> Any:
        tls = server_context(certificates.good)
        async with serving(keeps_writing(OK), tls=tls) as server, invoking() as invoker:
            return await post(invoker, server.url)

    assert str(run(body()).error).startswith("network: TLS: certificate verify failed: unable to get")


def test_the_wrong_host_name_is_refused(run: Run, certificates: Certificates) -> None:
    async def body() -> Any:
        async with (
            serving(keeps_writing(OK), tls=server_context(certificates.other)) as server,
            invoking(tls=client_context(certificates)) as invoker,
        ):
            return await post(invoker, f"https://localhost:{server.port}/")

    error = str(run(body()).error)
    assert error.startswith("network: TLS: certificate verify failed: Hostname mismatch")


@pytest.mark.parametrize("kind", ["plain", "closes", "silent"])
def test_https_to_what_speaks_no_tls(run: Run, kind: str) -> None:
    async def behaviour(peer: Peer) -> None:
        if kind == "plain":
            await peer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        if kind != "closes":
            await peer.reader.readexactly(10_000)

    async def body() -> Any:
        async with serving(behaviour) as server, invoking() as invoker:
            return await post(invoker, f"https://127.0.0.1:{server.port}/", timeout_ms=500)

    answer = run(body())
    expected = {
        "plain": "network: TLS: ",
        "closes": "network: cannot connect: ",
        "silent": "timeout: no connection within 500 ms",
    }
    assert str(answer.error).startswith(expected[kind])
    # The endpoint was not called, so the attempt cannot be waiting for steps.
    assert not timed_out(answer.error)


def test_a_cut_is_no_end_of_a_body_over_tls(run: Run, certificates: Certificates) -> None:
    async def cuts(peer: Peer) -> None:
        await peer.request()
        await peer.write(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await asyncio.sleep(0.05)
        # The socket closes without TLS's close_notify.
        duplicate = socket.socket(fileno=socket.dup(peer.writer.get_extra_info("socket").fileno()))
        duplicate.shutdown(socket.SHUT_RDWR)
        duplicate.close()

    async def body(behaviour: Callable[[Peer], Any]) -> Any:
        async with (
            serving(behaviour, tls=server_context(certificates.good)) as server,
            invoking(tls=client_context(certificates)) as invoker,
        ):
            return await post(invoker, server.url)

    assert run(body(cuts)).status is None
    whole = run(body(writes(b"HTTP/1.1 200 OK\r\n\r\nwhole")))
    assert (whole.status, whole.body) == (200, b"whole")


def test_a_reset_during_tls_leaves_nothing(run: Run, certificates: Certificates) -> None:
    async def resets(peer: Peer) -> None:
        await peer.request()
        peer.reset()

    async def body() -> None:
        async with (
            serving(resets, tls=server_context(certificates.good)) as server,
            invoking(tls=client_context(certificates)) as invoker,
        ):
            answers = await asyncio.gather(*(post(invoker, server.url) for _ in range(20)))
            assert {answer.status for answer in answers} == {None}

    run(body())
