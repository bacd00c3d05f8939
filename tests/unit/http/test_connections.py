"""Which connections are reused, which are not, and that none leaks."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from atomic.adapters.http import connection
from atomic.adapters.http.connection import Origin, Pool
from atomic.domain.outcomes import timed_out
from unit.http.raw_server import (
    OK,
    Peer,
    invoking,
    keeps_writing,
    open_sockets,
    post,
    serving,
    until,
    writes,
)

Run = Callable[[Coroutine[Any, Any, Any]], Any]

BROKEN_OFF = "network: the connection was closed before a whole answer came"
HEAD = b"HTTP/1.1 200 OK\r\n"


async def connections_for(calls: int, behaviour: Callable[[Peer], Any], *, pause_s: float = 0.0) -> int:
    """The number of connections for that many successful calls, one after the other."""
    async with serving(behaviour) as server, invoking() as invoker:
        for _ in range(calls):
            answer = await post(invoker, server.url)
            assert (answer.status, answer.error) == (200, None)
            await asyncio.sleep(pause_s)
        return server.connections


@pytest.mark.parametrize(
    "raw",
    [
        OK,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nA: b\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        HEAD + b"Upgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_a_connection_serves_again(run: Run, raw: bytes) -> None:
    assert run(connections_for(5, keeps_writing(raw))) == 1


@pytest.mark.parametrize(
    "raw",
    [
        HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nhi",
        HEAD + b"Connection: x, Close\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
        OK + b"junk",
        OK + b"H",
    ],
)
def test_a_connection_is_not_used_again(run: Run, raw: bytes) -> None:
    assert run(connections_for(3, keeps_writing(raw))) == 3


def test_unrequested_bytes_close_the_connection(run: Run) -> None:
    async def behaviour(peer: Peer) -> None:
        while await peer.request():
            await peer.write(OK)
            await asyncio.sleep(0.02)
            await peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")

    assert run(connections_for(3, behaviour, pause_s=0.06)) == 3


def test_an_answer_before_the_end_of_the_request_ends_the_connection(run: Run) -> None:
    async def early(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.write(OK)
        await asyncio.sleep(0.1)
        await peer.reader.read()

    async def body() -> None:
        async with serving(early) as server, invoking() as invoker:
            for _ in range(2):
                assert (await post(invoker, server.url, body=b"a" * 2**25)).status == 200
            assert server.connections == 2

    run(body())


def test_an_idle_connection_that_the_server_closed_is_not_used(run: Run) -> None:
    async def once(peer: Peer) -> None:
        await peer.request()
        await peer.write(OK)

    assert run(connections_for(3, once, pause_s=0.05)) == 3


def test_one_that_dies_under_the_next_request_costs_one_more_try(run: Run) -> None:
    heard: list[int] = []

    async def closes_at_the_second(peer: Peer) -> None:
        await peer.request()
        heard.append(peer.number)
        await peer.write(OK)
        await peer.request()
        heard.append(peer.number)
        if peer.number == 2:
            peer.reset()

    async def body() -> list[int]:
        assert await connections_for(3, closes_at_the_second) == 3
        return heard

    assert run(body()) == [1, 1, 2, 2, 3]


def test_a_request_that_may_be_sent_once_takes_no_idle_connection(run: Run) -> None:
    heard: list[int] = []

    async def behaviour(peer: Peer) -> None:
        await peer.request()
        heard.append(peer.number)
        await peer.write(OK)
        await peer.request()
        peer.reset()

    async def body() -> None:
        async with serving(behaviour) as server, invoking() as invoker:
            for _ in range(3):
                assert (await post(invoker, server.url, once=True)).status == 200
            assert (heard, server.connections) == ([1, 2, 3], 3)

    run(body())


def test_it_is_one_more_try_and_no_third(run: Run) -> None:
    async def behaviour(peer: Peer) -> None:
        await peer.request()
        if peer.number == 1:
            await peer.write(OK)
            await peer.request()

    async def body() -> None:
        async with serving(behaviour) as server, invoking() as invoker:
            assert (await post(invoker, server.url)).status == 200
            assert str((await post(invoker, server.url)).error) == BROKEN_OFF
            assert server.connections == 2

    run(body())


def test_a_fresh_connection_that_dies_is_not_tried_again(run: Run) -> None:
    async def body() -> None:
        async with serving(writes(b"")) as server, invoking() as invoker:
            assert str((await post(invoker, server.url)).error) == BROKEN_OFF
            assert server.connections == 1

    run(body())


@pytest.mark.parametrize("first", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", HEAD])
def test_after_the_first_byte_there_is_no_second_try(run: Run, first: bytes) -> None:
    async def behaviour(peer: Peer) -> None:
        await peer.request()
        await peer.write(OK)
        await peer.request()
        await peer.write(first)

    async def body() -> None:
        async with serving(behaviour) as server, invoking() as invoker:
            assert (await post(invoker, server.url)).status == 200
            assert str((await post(invoker, server.url)).error) == BROKEN_OFF
            assert server.connections == 1

    run(body())


def test_the_second_try_has_the_time_that_is_left(run: Run) -> None:
    async def behaviour(peer: Peer) -> None:
        await peer.request()
        if peer.number == 1:
            await peer.write(OK)
            await peer.request()
            await asyncio.sleep(0.5)
        else:
            await asyncio.sleep(5)

    async def body() -> float:
        async with serving(behaviour) as server, invoking() as invoker:
            await post(invoker, server.url)
            began_s = asyncio.get_running_loop().time()
            assert timed_out((await post(invoker, server.url, timeout_ms=800)).error)
            assert server.connections == 2
            return asyncio.get_running_loop().time() - began_s

    assert 0.79 <= run(body()) < 1.2


def test_the_idle_connection_used_last_is_taken_first(run: Run) -> None:
    used: list[int] = []

    async def behaviour(peer: Peer) -> None:
        while await peer.request():
            used.append(peer.number)
            await asyncio.sleep(0.1 * peer.number)
            await peer.write(OK)

    async def body() -> None:
        async with serving(behaviour) as server, invoking() as invoker:
            await asyncio.gather(*(post(invoker, server.url) for _ in range(3)))
            for _ in range(3):
                await post(invoker, server.url)
        assert used[3:] == [3, 3, 3]

    run(body())


def test_200_at_once_have_a_connection_each_and_keep_it(run: Run) -> None:
    waiting = 0
    everybody = asyncio.Event()

    async def behaviour(peer: Peer) -> None:
        nonlocal waiting
        while await peer.request():
            waiting += 1
            if waiting >= 200:
                everybody.set()
            await everybody.wait()
            await peer.write(OK)

    async def body() -> None:
        async with serving(behaviour) as server, invoking() as invoker:
            for _ in range(3):
                answers = await asyncio.gather(*(post(invoker, server.url) for _ in range(200)))
                assert {answer.status for answer in answers} == {200}
            assert server.connections == 200

    run(body())


def test_idle_connections_are_given_up(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "IDLE_S", 0.1)

    async def body() -> None:
        async with serving(keeps_writing(OK)) as server, invoking() as invoker:
            before = open_sockets()
            await asyncio.gather(*(post(invoker, server.url) for _ in range(5)))
            assert open_sockets() == before + 10
            await until(lambda: open_sockets() == before)
            assert (invoker._pool._idle, invoker._pool._open, invoker._pool._timer) == ({}, {}, None)
            assert (await post(invoker, server.url)).status == 200
            assert server.connections == 6

    run(body())


def test_those_in_use_meanwhile_stay(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    async def body() -> None:
        async with serving(keeps_writing(OK)) as server, invoking() as invoker:
            await asyncio.gather(*(post(invoker, server.url) for _ in range(5)))
            clock.now_s += 3
            await post(invoker, server.url)
            clock.now_s += 3
            invoker._pool._sweep()
            await until(lambda: len(invoker._pool._open) == 1)
            assert invoker._pool._timer is not None
            await post(invoker, server.url)
            assert server.connections == 5

    run(body())


class Clock:
    """A wall clock for the pool."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1e9
        monkeypatch.setattr(connection, "time", self)

    def time(self) -> float:
        return self.now_s


def test_after_a_freeze_an_old_connection_is_not_used(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    async def body() -> None:
        async with serving(keeps_writing(OK)) as server, invoking() as invoker:
            await post(invoker, server.url)
            # The loop did not run meanwhile, so it has seen no timer and no close of a connection.
            clock.now_s += 60
            await post(invoker, server.url)
            assert server.connections == 2
            clock.now_s -= 30
            await post(invoker, server.url)
            assert server.connections == 3

    run(body())


@pytest.mark.parametrize("after_s", [0.0, 0.0001, 0.001, 0.05])
def test_a_cancelled_attempt_closes_its_connection(run: Run, after_s: float) -> None:
    ended = 0

    async def behaviour(peer: Peer) -> None:
        nonlocal ended
        try:
            await peer.request()
            await peer.reader.read()
        finally:
            ended += 1

    async def body() -> None:
        async with serving(behaviour) as server, invoking() as invoker:
            before = open_sockets()
            attempts = [asyncio.create_task(post(invoker, server.url)) for _ in range(20)]
            await asyncio.sleep(after_s)
            for attempt in attempts:
                attempt.cancel()
            results = await asyncio.gather(*attempts, return_exceptions=True)
            assert all(isinstance(result, asyncio.CancelledError) for result in results)
            await until(lambda: ended == server.connections and open_sockets() == before)
            assert invoker._pool._open == {}

    run(body())


def test_close_ends_what_is_under_way_and_nothing_is_kept_after_it(run: Run) -> None:
    async def behaviour(peer: Peer) -> None:
        await peer.request()
        await asyncio.sleep(5)

    async def body() -> None:
        async with serving(behaviour) as server, invoking() as invoker:
            attempt = asyncio.create_task(post(invoker, server.url))
            await asyncio.sleep(0.05)
            await invoker.close()
            assert str((await attempt).error) == BROKEN_OFF
            await invoker.close()

    run(body())


def test_an_attempt_after_close_leaves_no_connection(run: Run) -> None:
    async def body() -> None:
        async with serving(keeps_writing(OK)) as server, invoking() as invoker:
            await invoker.close()
            assert (await post(invoker, server.url)).status == 200
            await asyncio.sleep(0.01)
            assert invoker._pool._open == {}

    run(body())


def test_a_connection_that_was_lost_is_not_adopted(run: Run) -> None:
    async def body() -> None:
        async with serving(writes(b"")) as server, invoking() as invoker:
            origin = Origin("http", "127.0.0.1", server.port)
            lost = Pool()
            opened = await invoker._dialer.connect(origin, lambda: connection.Connection(lost.forget))
            opened.abort()
            await opened.lost
            lost.adopt(opened, origin)
            assert await opened.send(b"") is None
            assert lost._open == {}

    run(body())
