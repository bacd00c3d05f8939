"""Successive writes of parts of an answer are combined into one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from atomic.entrypoints.embedded import http
from atomic.entrypoints.embedded.http import OneWrite


class Wire(asyncio.Transport):
    """A transport that records what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.told: list[Any] = []
        self.unsent = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.told.append(bytes(data))

    def close(self) -> None:
        self.told.append("close")

    def abort(self) -> None:
        self.told.append("abort")

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return "close" in self.told

    def pause_reading(self) -> None:
        self.told.append("pause")

    def resume_reading(self) -> None:
        self.told.append("resume")


def told(play: Callable[[OneWrite, list[Any]], Awaitable[None]]) -> list[Any]:
    async def main() -> list[Any]:
        wire = Wire()
        await play(OneWrite(wire, asyncio.get_running_loop()), wire.told)
        await asyncio.sleep(0)
        return wire.told

    return asyncio.run(main())


def test_two_pieces_go_out_as_one_at_once() -> None:
    async def play(transport: OneWrite, sent: list[Any]) -> None:
        transport.write(b"head ")
        assert sent == []
        transport.write(bytearray(b"body"))
        assert sent == [b"head body"]

    assert told(play) == [b"head body"]


def test_a_lone_piece_goes_out_in_the_next_round() -> None:
    async def play(transport: OneWrite, sent: list[Any]) -> None:
        transport.write(b"head")
        await asyncio.sleep(0)
        assert sent == [b"head"]
        transport.write(b"later")

    assert told(play) == [b"head", b"later"]


def test_nothing_is_lost_or_changes_places() -> None:
    async def play(transport: OneWrite, _sent: list[Any]) -> None:
        for number in range(7):
            transport.write(b"%d" % number)

    assert b"".join(told(play)) == b"0123456"


def test_close_sends_what_is_kept_first() -> None:
    async def play(transport: OneWrite, _sent: list[Any]) -> None:
        transport.write(b"431")
        assert not transport.is_closing()
        transport.close()
        assert transport.is_closing()

    assert told(play) == [b"431", "close"]


def test_the_rest_is_the_wires_own() -> None:
    async def play(transport: OneWrite, _sent: list[Any]) -> None:
        transport.pause_reading()
        transport.resume_reading()
        assert transport.get_extra_info("peername") == ("127.0.0.1", 1)
        assert transport.get_extra_info("sslcontext", 7) == 7

    assert told(play) == ["pause", "resume"]


@pytest.mark.parametrize(("unsent", "end"), [(0, []), (1, ["abort"])])
def test_what_is_not_taken_does_not_hold_a_closed_connection(
    monkeypatch: pytest.MonkeyPatch, unsent: int, end: list[str]
) -> None:
    monkeypatch.setattr(http, "LINGER_S", 0.01)

    async def main() -> list[Any]:
        wire = Wire()
        wire.unsent = unsent
        OneWrite(wire, asyncio.get_running_loop()).close()
        await asyncio.sleep(0.05)
        return wire.told

    assert asyncio.run(main()) == ["close", *end]
