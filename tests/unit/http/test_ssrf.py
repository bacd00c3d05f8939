"""No attempt connects to a forbidden address, as observed at the socket and not in the guard."""

import asyncio
import random
import re
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest

from atomic.adapters.http import dial, names
from atomic.adapters.http.addresses import (
    is_public,
    is_public_or_private,
    private_network,
    public_or_in,
)
from atomic.adapters.http.connection import Connection, Origin
from atomic.adapters.http.dial import Dialer, Unreachable
from unit.http import raw_server
from unit.http.raw_server import Peer, post, serving
from unit.http.ssrf_vectors import ADDRESSES_V4, ADDRESSES_V6, embedded, spellings
from unit.http.test_dial import found

Run = Callable[[Coroutine[Any, Any, Any]], Any]

# The address of these tests' redirecting server, which is no vector.
SERVER = "127.0.0.77"
PUBLIC = ("8.8.8.8", "93.184.215.14", "2606:4700::6810:84e5", "2a00:1450:4001::200e")
FAMILIES = pytest.mark.parametrize("addresses", [ADDRESSES_V4, ADDRESSES_V6], ids=["v4", "v6"])


class _Watch:
    """Observes each `connect` of a Python socket, and blocks all but those to this module's server."""

    def __init__(self) -> None:
        self.connects: list[str] | None = None
        sys.addaudithook(self._on_audit_event)

    def _on_audit_event(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "socket.connect" and self.connects is not None and args[1][0] != SERVER:
            self.connects.append(args[1][0])
            raise OSError(101, "no route in this test")


_watch = _Watch()


@contextmanager
def watched_world(answers: Callable[[str], list[str]]) -> Iterator[list[str]]:
    """Resolve names to these addresses, and record connects instead of making them.

    On asyncio, the interpreter's audit events report connects. uvloop connects in C, so there the calls of
    the loop are observed.
    """
    loop = asyncio.get_running_loop()
    dialled: list[str] = []

    class Loop:
        def __getattr__(self, name: str) -> Any:
            return getattr(loop, name)

        async def create_connection(self, make: Any, host: str, *args: Any, **more: Any) -> Any:
            if host != SERVER and not isinstance(loop, asyncio.SelectorEventLoop):
                dialled.append(host)
                raise OSError(101, "no route in this test")
            return await loop.create_connection(make, host, *args, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dial.asyncio, "get_running_loop", Loop)
        patch.setattr(names, "getaddrinfo", lambda host, *_, **__: found(*answers(host)))
        _watch.connects = dialled
        try:
            yield dialled
        finally:
            _watch.connects = None


def nobody(_host: str) -> list[str]:
    """A resolver that finds no address."""
    return []


# Refusals must come from the guard, and not from the gate after many failures.
invoking = partial(raw_server.invoking, failures_max=sys.maxsize)


def allows(address: str) -> bool:
    """The guard of production, which also allows the redirecting server."""
    return address == SERVER or is_public(address)


def test_there_are_enough_vectors() -> None:
    assert len({*ADDRESSES_V4, *ADDRESSES_V6}) >= 300
    assert SERVER not in ADDRESSES_V4


def test_the_watch_sees_and_stops_a_connect(run: Run) -> None:
    """Otherwise the absence of connects below would prove nothing."""

    async def body() -> None:
        with watched_world(nobody) as dialled:
            async with invoking(allows=lambda _: True) as invoker:
                answer = await post(invoker, "http://127.0.0.1:9/")
            assert dialled == ["127.0.0.1"]
            assert answer.error is not None

    run(body())


@FAMILIES
def test_no_address_is_dialled_however_it_is_spelled(run: Run, addresses: tuple[str, ...]) -> None:
    async def body() -> None:
        with watched_world(nobody) as dialled:
            async with invoking(allows=is_public) as invoker:
                for address in addresses:
                    for host in spellings(address):
                        for url in (f"http://{host}/", f"https://{host}:8443/x"):
                            answer = await post(invoker, url)
                            assert answer.error, url
                            assert str(answer.error).startswith("network: "), url
            assert dialled == []

    run(body())


@FAMILIES
def test_no_address_is_dialled_when_url_parsing_is_bypassed(run: Run, addresses: tuple[str, ...]) -> None:
    """The check is at the socket, so it also refuses odd hosts that a resolver takes for an address."""

    async def body() -> None:
        for address in addresses:
            with watched_world(lambda _host, address=address: [address]) as dialled:
                for host in (address, *spellings(address)):
                    with pytest.raises(Unreachable, match="address not allowed"):
                        await Dialer(allows=is_public).connect(
                            Origin("http", host.strip("[]"), 80), lambda: Connection(lambda _: None)
                        )
                assert dialled == []

    run(body())


@FAMILIES
def test_no_redirect_leads_there(run: Run, addresses: tuple[str, ...]) -> None:
    location = b""

    async def redirects(peer: Peer) -> None:
        while await peer.request():
            await peer.write(
                b"HTTP/1.1 307 Go\r\nLocation: %b\r\nRefresh: 0; url=%b\r\nContent-Length: 0\r\n\r\n"
                % (location, location)
            )

    async def body() -> None:
        nonlocal location
        async with serving(redirects, host=SERVER) as server, invoking(allows=allows) as invoker:
            with watched_world(nobody) as dialled:
                for address in addresses:
                    location = f"http://{spellings(address)[0]}/".encode()
                    answer = await post(invoker, f"http://{SERVER}:{server.port}/")
                    assert (answer.status, answer.error) == (307, None)
                assert dialled == []

    run(body())


@FAMILIES
def test_no_name_leads_there_by_dns_rebinding(run: Run, addresses: tuple[str, ...]) -> None:
    """The first answer is public and the next is the vector; or the vector is among public addresses."""

    async def body() -> None:
        answers: list[list[str]] = []

        def next_answer(_host: str) -> list[str]:
            return answers.pop(0)

        async with invoking(allows=is_public) as invoker:
            for address in addresses:
                with watched_world(next_answer) as dialled:
                    answers[:] = [[PUBLIC[0]], [address]]
                    await post(invoker, "http://name.test/")
                    assert (dialled, answers) == ([PUBLIC[0]], [[address]])
                    dialled.clear()
                    answers += [[*PUBLIC, address], [address, *PUBLIC]]
                    for _ in range(3):
                        answer = await post(invoker, "http://name.test/")
                        assert str(answer.error) == "network: address not allowed"
                    assert (dialled, answers) == ([], [])

    run(body())


def test_1000_flips_of_a_name(run: Run) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    refused, allowed = [*ADDRESSES_V4, *ADDRESSES_V6], list(PUBLIC)
    answered: list[list[str]] = []

    def flips(_host: str) -> list[str]:
        mixed = chance.choice((allowed, refused, allowed + refused[: chance.randrange(20)]))
        answered.append(chance.sample(mixed, chance.randint(1, min(4, len(mixed)))))
        return answered[-1]

    async def body() -> None:
        async with invoking(allows=is_public) as invoker:
            with watched_world(flips) as dialled:
                for _ in range(1000):
                    dialled.clear()
                    await post(invoker, "http://name.test/")
                    harmless = set(answered[-1]) <= set(PUBLIC)
                    assert bool(dialled) is harmless
                    assert set(dialled) <= set(PUBLIC)
        assert len(answered) == 1000
        assert 200 < sum(set(answer) <= set(PUBLIC) for answer in answered) < 800

    run(body())


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://app.example/", "93.184.215.14"),
        ("https://app.example:8443/steps?x=1", "93.184.215.14"),
        ("http://APP.example./", "93.184.215.14"),
        ("https://xn--bcher-kva.example/", "2606:4700::6810:84e5"),
        ("https://a-b.c_d.example/@x:y", "1.1.1.1"),
        ("https://10.0.0.1.nip.example/", "9.9.9.9"),
        ("https://127-0-0-1.example/", "9.9.9.9"),
        ("https://metadata.google.example/", "142.250.1.1"),
        ("https://0x.example/", "142.250.1.1"),
        ("https://8.8.8.8/", "8.8.8.8"),
        ("https://1.0.0.0/", "1.0.0.0"),
        ("https://9.255.255.255/", "9.255.255.255"),
        ("https://11.0.0.1/", "11.0.0.1"),
        ("https://100.63.255.255/", "100.63.255.255"),
        ("https://100.128.0.0/", "100.128.0.0"),
        ("https://126.255.255.255/", "126.255.255.255"),
        ("https://128.0.0.1/", "128.0.0.1"),
        ("https://169.253.255.255/", "169.253.255.255"),
        ("https://169.255.0.1/", "169.255.0.1"),
        ("https://172.15.255.255/", "172.15.255.255"),
        ("https://172.32.0.1/", "172.32.0.1"),
        ("https://192.167.255.255/", "192.167.255.255"),
        ("https://192.169.0.1/", "192.169.0.1"),
        ("https://198.20.0.1/", "198.20.0.1"),
        ("https://223.255.255.255/", "223.255.255.255"),
        ("https://[2606:4700:4700::1111]/", "2606:4700:4700::1111"),
        ("https://[2a00:1450::1]:444/", "2a00:1450::1"),
        ("https://[64:ff9b::8.8.8.8]/", "64:ff9b::808:808"),
        ("https://[2003::1]/", "2003::1"),
    ],
)
def test_a_legitimate_url_is_dialled(run: Run, url: str, address: str) -> None:
    async def body() -> None:
        with watched_world(lambda _: [address]) as dialled:
            async with invoking(allows=is_public) as invoker:
                await post(invoker, url)
            assert dialled == [address]

    run(body())


def test_private_networks_are_allowed_by_name_of_the_operator_and_metadata_never() -> None:
    for address in ("127.0.0.1", "::1", "10.1.2.3", "172.17.0.1", "192.168.1.1", "100.64.0.1", "fd12::1"):
        assert is_public_or_private(address), address
        assert not is_public(address), address
    never = ("169.254.169.254", "169.254.170.2", "0.0.0.0", "fd00:ec2::254", "100.100.100.200", "fe80::1")
    for address in (*never, *embedded("169.254.169.254"), "224.0.0.1", "255.255.255.255", "::", "x", ""):
        assert not is_public_or_private(address), address


def test_what_the_interpreter_calls_special_is_refused() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    v4 = [IPv4Address(chance.getrandbits(32)) for _ in range(5000)]
    v6 = [
        IPv6Address(chance.choice((0x2001 << 112, 0x2002 << 112, 0)) | chance.getrandbits(112))
        for _ in range(5000)
    ]
    v6 += [IPv6Address(chance.getrandbits(128)) for _ in range(2000)]
    special = [address for address in (*v4, *v6) if not address.is_global or address.is_multicast]
    assert len(special) > 500
    assert [address for address in special if is_public(str(address))] == []
    ordinary = [address for address in v4 if address.is_global and not address.is_multicast]
    assert sum(is_public(str(address)) for address in ordinary) > 0.99 * len(ordinary)


def test_a_listed_network_is_allowed_and_nothing_beside_it() -> None:
    allows = public_or_in(("10.1.2.0/24", "100.64.0.0/10", "fd00::/8"))
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "fd12::1", "1.1.1.1"):
        assert allows(address), address
    others = ("10.1.3.1", "192.168.1.1", "127.0.0.1", "::1", "fc00::1")
    # Inside of what is listed.
    metadata = ("100.100.100.200", "fd00:ec2::254", "fd20:ce::254", "169.254.169.254")
    for address in (*others, *metadata, *embedded("169.254.169.254"), "x", ""):
        assert not allows(address), address
    assert public_or_in(()) is is_public


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0/0", "127.0.0.0/8", "127.0.0.1/32", "169.254.0.0/16", "10.0.0.0/7", "::/0", "::1/128",
        "8.8.8.0/24", "10.1.2.3/24", "vpc-1", "",
    ],
)  # fmt: skip
def test_only_private_networks_can_be_listed(text: str) -> None:
    with pytest.raises(
        ValueError, match=re.escape(f"{text!r} is no private network; use a part of 10.0.0.0/8")
    ):
        private_network(text)


def test_no_listed_network_opens_this_machine_or_a_metadata_service() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    bases = ("10.0.0.0", "100.64.0.0", "172.16.0.0", "192.168.0.0", "100.100.100.0")
    for _ in range(300):
        bits = chance.randrange(16, 33)
        shift = 32 - bits
        number = (int(IPv4Address(chance.choice(bases))) | chance.getrandbits(16)) >> shift << shift
        allows = public_or_in((private_network(f"{IPv4Address(number)}/{bits}"),))
        nevers = ("127.0.0.1", "::1", "169.254.169.254", "100.100.100.200", "0.0.0.0")
        for never in (*nevers, *embedded("127.0.0.1")):
            assert not allows(never), (number, bits, never)
