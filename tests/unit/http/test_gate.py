"""The gate: a dead endpoint is dialled by few attempts, and is found again soon after it recovers."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import closing
from socket import socket
from typing import Any

import pytest

from atomic.adapters.http import gate
from atomic.adapters.http.connection import Origin
from atomic.adapters.http.dial import Dialer
from atomic.adapters.http.gate import DIALS_MAX, FAILURES_MAX, DialGate, NotDialled
from atomic.domain.outcomes import EndpointResponse, NotMade, StepError
from atomic.protocol.error_kinds import ErrorKind
from unit.http.raw_server import OK, Peer, invoking, keeps_writing, post, serving

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture
def dials(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every dialled address, and the maximum of simultaneous dials (`most`)."""
    seen: list[str] = []
    dial = Dialer._dial

    async def watched(self: Dialer, address: str, *rest: Any) -> Any:
        seen.append(address)
        return await dial(self, address, *rest)

    monkeypatch.setattr(Dialer, "_dial", watched)
    return seen


@pytest.mark.parametrize("most", [FAILURES_MAX, 4])
def test_a_dead_origin_is_not_dialled_and_is_found_again(
    run: Run, dials: list[str], monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(gate, "_PAUSE_FIRST_S", 0.2)

    async def body() -> None:
        with closing(socket()) as held:
            held.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{held.getsockname()[1]}/"
            async with invoking(failures_max=most) as invoker, serving(keeps_writing(OK)) as other:
                first = [await post(invoker, url) for _ in range(most)]
                assert {str(answer.error) for answer in first} == {
                    "network: cannot connect: Connection refused"
                }
                dials.clear()
                # One attempt dials again at once, as the first; the others are deferred.
                tried, *rest = [await post(invoker, url) for _ in range(200)]
                assert len(dials) == 1
                assert tried == first[0]
                why = f"cannot connect: Connection refused ({most + 1} times in a row)"
                error = StepError(ErrorKind.CIRCUIT_OPEN, why)
                assert str(error) == f"not called yet: {why}"
                for answer in rest:
                    assert answer == EndpointResponse(not_made=NotMade(error, answer.not_made.again_in_ms))
                    assert 0 < answer.not_made.again_in_ms <= 500
                # Other origins of this process are not affected.
                assert (await post(invoker, other.url)).status == 200
                held.listen()
                server = await asyncio.start_server(_answer, sock=held)
                async with asyncio.timeout(5):
                    while (await post(invoker, url)).status != 200:  # noqa: ASYNC110 - there is no event
                        await asyncio.sleep(0.05)
                assert {(await post(invoker, url)).status for _ in range(100)} == {200}
                server.close()
                await server.wait_closed()

    run(body())


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await Peer(reader, writer, 0).request()
    writer.write(OK.replace(b"Content", b"Connection: close\r\nContent"))
    writer.close()
    await writer.wait_closed()


def test_one_clients_failures_do_not_affect_other_clients(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    dial = Dialer.connect

    async def slowly(self: Dialer, *rest: Any) -> Any:
        await asyncio.sleep(0.05)
        return await dial(self, *rest)

    monkeypatch.setattr(Dialer, "connect", slowly)

    async def body() -> None:
        async with serving(keeps_writing(OK)) as server, invoking() as invoker:
            hasty = [
                post(invoker, server.url, timeout_ms=1, client_id="a") for _ in range(FAILURES_MAX + 9)
            ]
            assert not any(answer.status for answer in await asyncio.gather(*hasty))
            await post(invoker, server.url, timeout_ms=1, client_id="a")
            assert (await post(invoker, server.url, client_id="a")).not_made is not None
            assert (await post(invoker, server.url, client_id="b")).status == 200

    run(body())


def test_simultaneous_dials_are_limited(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    now = most = 0

    async def never(self: Dialer, *_: Any) -> Any:
        nonlocal now, most
        now += 1
        most = max(most, now)
        try:
            await asyncio.sleep(60)
        finally:
            now -= 1

    monkeypatch.setattr(Dialer, "connect", never)

    async def body() -> None:
        async with invoking() as invoker:
            answers = await asyncio.gather(
                *(post(invoker, "http://127.0.0.1:9/", timeout_ms=300) for _ in range(500))
            )
        # An attempt for which nothing was dialled was not made.
        dialled = [answer for answer in answers if answer.not_made is None]
        assert {str(answer.error) for answer in dialled} == {"timeout: no connection within 300 ms"}
        # A slot may become free at the last moment.
        assert DIALS_MAX <= len(dialled) <= 2 * DIALS_MAX
        reasons = [str(answer.not_made.error) for answer in answers if answer.not_made]
        # Some wait for a slot until their time is over; others are deferred because dials before them
        # failed.
        assert reasons
        assert all(reason.startswith("not called yet: ") for reason in reasons)
        assert most == DIALS_MAX
        assert now == 0

    run(body())


def test_while_one_dials_the_others_are_deferred_briefly(run: Run) -> None:
    """Otherwise they would be deferred for a whole pause after the origin has recovered."""
    origin, gate = Origin("http", "app.test", 80), DialGate(failures_max=1)

    async def fails() -> None:
        async with gate.passing("c", origin):
            raise OSError("down")

    async def told_s() -> float:
        try:
            async with gate.passing("c", origin):
                raise AssertionError("let through")
        except NotDialled as refusal:
            return refusal.not_made.again_in_ms / 1000

    async def body() -> None:
        for _ in range(2):
            with pytest.raises(OSError, match="down"):
                await fails()
        assert 0.3 < await told_s() <= 0.5
        await asyncio.sleep(0.5)
        async with gate.passing("c", origin):
            assert await told_s() < 0.1
            await asyncio.sleep(0.2)
            assert 0.15 < await told_s() < 0.5
        async with gate.passing("c", origin):
            pass

    run(body())


def test_connections_in_use_do_not_count(run: Run) -> None:
    """A workflow keeps its connection while its steps at the same origin need connections of their own."""
    held = asyncio.Event()

    async def behaviour(peer: Peer) -> None:
        await peer.request()
        if peer.number == 2 * DIALS_MAX:
            held.set()
        await held.wait()
        await peer.write(OK)

    async def body() -> None:
        async with serving(behaviour) as server, invoking() as invoker:
            answers = await asyncio.gather(*(post(invoker, server.url) for _ in range(2 * DIALS_MAX)))
        assert {answer.status for answer in answers} == {200}
        held.clear()

    run(body())
