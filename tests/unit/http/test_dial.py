"""Resolving names and connecting to addresses, regardless of proxies in the environment."""

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import closing
from typing import Any

import pytest

from atomic.adapters.http import dial, names
from unit.http.raw_server import OK, Peer, answer_to, invoking, keeps_writing, post, serving

Run = Callable[[Coroutine[Any, Any, Any]], Any]
Found = list[tuple[int, int, int, str, tuple[Any, ...]]]


def found(*addresses: str) -> Found:
    """An answer of `getaddrinfo`."""
    return [
        (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))
        for address in addresses
    ]


async def post_resolved(
    answer: Found, port: int, *, allows: Callable[[str], bool] = lambda _: True, timeout_ms: int = 5000
) -> Any:
    """Call http://name.test, which has the given addresses."""

    def getaddrinfo(host: str, *_: Any, **__: Any) -> Found:
        assert host == "name.test"
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(names, "getaddrinfo", getaddrinfo)
        async with invoking(allows=allows) as invoker:
            return await post(invoker, f"http://name.test:{port}/", timeout_ms=timeout_ms)


def test_a_refused_connection_says_so(run: Run) -> None:
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

        async def body() -> Any:
            async with invoking() as invoker:
                return await post(invoker, f"http://127.0.0.1:{port}/")

        answer = run(body())
    assert str(answer.error) == "network: cannot connect: Connection refused"


@pytest.mark.parametrize("host", ["name.invalid", "a" * 63 + ".invalid"])
def test_an_unknown_name_says_so(run: Run, host: str) -> None:
    async def body() -> Any:
        async with invoking() as invoker:
            return await post(invoker, f"http://{host}/")

    answer = run(body())
    assert str(answer.error).startswith(f"network: cannot resolve {host[:200]}")
    assert len(str(answer.error)) <= 320


def test_a_name_is_resolved(run: Run) -> None:
    async def body() -> None:
        async with serving(keeps_writing(OK)) as server, invoking() as invoker:
            answer = await post(invoker, f"http://localhost:{server.port}/")
            assert (answer.status, answer.error) == (200, None)

    run(body())


def test_slow_names_are_within_the_total_time(run: Run) -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        async with invoking() as invoker:
            patch = pytest.MonkeyPatch()
            patch.setattr(names, "getaddrinfo", lambda *_, **__: time.sleep(1.5) or found("127.0.0.1"))
            answer = await post(invoker, "http://name.test/", timeout_ms=200)
            patch.undo()
        assert str(answer.error) == "timeout: no connection within 200 ms"
        assert loop.time() - began_s < 2

    run(body())


def test_a_silent_name_server_keeps_no_other_name_waiting(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    answered = threading.Event()

    def getaddrinfo(host: str, *_: Any, **__: Any) -> Found:
        asked.append(host)
        if host.startswith("silent"):
            answered.wait(20)
        return found("127.0.0.1")

    monkeypatch.setattr(names, "getaddrinfo", getaddrinfo)

    async def body() -> None:
        async with serving(keeps_writing(OK)) as server, invoking() as invoker:
            silent = [f"http://silent{number % 40}.test/" for number in range(400)]
            waiting = [asyncio.create_task(post(invoker, url, timeout_ms=1000)) for url in silent]
            await asyncio.sleep(0)
            answer = await post(invoker, f"http://name.test:{server.port}/", timeout_ms=900)
            assert (answer.status, answer.error) == (200, None)
            answers = [await task for task in waiting]
            assert {str(answer.error) for answer in answers} == {"timeout: no connection within 1000 ms"}
            answered.set()

    run(body())
    # Each name is looked up once, however many calls wait for it.
    assert sorted(asked) == sorted({*asked})
    assert len(asked) == 41


def test_names_beyond_the_threads_wait_for_theirs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "_AT_ONCE", 2)
    now = most = 0
    lock = threading.Lock()

    def getaddrinfo(*_: Any, **__: Any) -> Found:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.01)
        with lock:
            now -= 1
        return found("127.0.0.1")

    monkeypatch.setattr(names, "getaddrinfo", getaddrinfo)

    async def body() -> None:
        async with serving(keeps_writing(OK)) as server, invoking() as invoker:
            urls = [f"http://name{number}.test:{server.port}/" for number in range(20)]
            answers = await asyncio.gather(*(post(invoker, url) for url in urls))
            assert {answer.status for answer in answers} == {200}

    run(body())
    assert 1 <= most <= 2


def test_every_address_is_tried(run: Run) -> None:
    async def body() -> None:
        async with serving(keeps_writing(OK)) as server:
            answer = await post_resolved(found("127.0.0.3", "::1", "127.0.0.2", "127.0.0.1"), server.port)
            assert (answer.status, answer.error) == (200, None)

    run(body())


def test_an_address_that_swallows_packets_does_not_take_all_the_time(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dial, "_ADDRESS_S", 0.1)

    async def body() -> None:
        # A listening socket with a full queue does not answer a SYN.
        with closing(socket.socket()) as full, closing(socket.socket()) as waiting:
            full.bind(("127.0.0.2", 0))
            full.listen(0)
            waiting.connect(full.getsockname())
            port = full.getsockname()[1]
            server = await asyncio.start_server(_ok, "127.0.0.1", port)
            answer = await post_resolved(found("127.0.0.2", "127.0.0.1"), port, timeout_ms=3000)
            server.close()
            await server.wait_closed()
        assert (answer.status, answer.error) == (200, None)

    run(body())


async def _ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await Peer(reader, writer, 0).request()
    writer.write(OK)
    writer.close()
    await writer.wait_closed()


def test_the_families_take_turns(run: Run) -> None:
    asked: list[str] = []

    def refuses_the_last(address: str) -> bool:
        asked.append(address)
        return address != "::4"

    addresses = found("::1", "::2", "::3", "::4", "10.0.0.1", "10.0.0.2", "::2")
    answer = run(post_resolved(addresses, 9, allows=refuses_the_last))
    assert asked == ["::1", "10.0.0.1", "::2", "10.0.0.2", "::3", "::4"]
    assert str(answer.error) == "network: address not allowed"


@pytest.mark.parametrize("answer", [("127.0.0.1", "127.0.0.7"), ("127.0.0.7", "127.0.0.1")])
def test_one_refused_address_refuses_the_name(run: Run, answer: tuple[str, ...]) -> None:
    async def body() -> None:
        async with serving(keeps_writing(OK)) as server:
            refused = await post_resolved(
                found(*answer), server.port, allows=lambda address: address != "127.0.0.7"
            )
            assert str(refused.error) == "network: address not allowed"
            assert server.connections == 0

    run(body())


def test_a_literal_is_checked_too(run: Run) -> None:
    async def body() -> None:
        async with serving(keeps_writing(OK)) as server, invoking(allows=lambda _: False) as invoker:
            for host in ("127.0.0.1", "[::ffff:127.0.0.1]", "localhost"):
                answer = await post(invoker, f"http://{host}:{server.port}/")
                assert str(answer.error) == "network: address not allowed"
            assert server.connections == 0

    run(body())


def test_a_name_without_an_address(run: Run) -> None:
    assert str(run(post_resolved([], 9)).error) == "network: cannot resolve name.test"


def test_a_name_is_resolved_once(run: Run) -> None:
    """The checked address is the one that is dialled: the loop gets it, and has no name to look up."""

    async def body() -> None:
        # Only the fake resolver knows name.test.
        async with serving(keeps_writing(OK)) as server:
            assert (await post_resolved(found("127.0.0.1"), server.port)).status == 200

    run(body())


def test_proxies_of_the_environment_are_ignored(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert run(answer_to(keeps_writing(OK))).status == 200


def test_no_delay_is_on(run: Run) -> None:
    async def body() -> None:
        async with serving(keeps_writing(OK)) as server, invoking() as invoker:
            await post(invoker, server.url)
            [connection] = invoker._pool._open
            opened = connection._transport.get_extra_info("socket")
            assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0

    run(body())


def test_it_is_made_without_a_loop_and_brings_no_client_library() -> None:
    program = (
        "import sys, atomic.adapters.http.invoker as i; i.HttpInvoker();"
        "print(sorted({'aiohttp', 'yarl', 'http.client', 'requests', 'urllib.request'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"
