"""The sockets of the embedded server."""

import asyncio
import gc
import logging
import socket
from pathlib import Path
from typing import Any

import pytest
import uvloop

from atomic.entrypoints.embedded import server
from atomic.entrypoints.embedded.settings import ServerSettings
from atomic.entrypoints.embedded.wiring import is_one_address


class Caller(asyncio.Protocol):
    """Counts accepted connections."""

    let_in = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Caller.let_in += 1
        transport.close()


def test_many_connections_are_accepted_within_two_rounds_of_the_loop() -> None:
    """libuv accepts one connection per socket in each round of the loop, and under load a round is long."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        listeners = server._listen("127.0.0.1", 0)
        serving = [await loop.create_server(Caller, sock=listener, backlog=99) for listener in listeners]
        crowd = [socket.create_connection(listeners[0].getsockname()) for _ in range(len(listeners))]
        for _ in range(2):
            await asyncio.sleep(0)
        assert Caller.let_in == len(crowd) > 1
        for connection in crowd:
            connection.close()
        for one in serving:
            one.close()

    uvloop.run(main())


@pytest.mark.parametrize(
    ("host", "is_one"),
    [
        ("127.0.0.1", True),
        ("192.0.2.7", True),
        ("::1", True),
        ("2001:db8::1", True),
        ("0.0.0.0", False),
        ("::", False),
    ],
)
def test_endpoints_are_told_an_address_only_if_it_is_one(host: str, is_one: bool) -> None:
    assert is_one_address(host) is is_one


def test_the_server_accepts_connections_once_it_logs_that_it_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections: list[socket.socket] = []
    urls: list[str] = []

    class Reader(logging.Handler):
        """A log handler that connects when the line is written."""

        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() == "listening":
                host, _, port = record.__dict__["url"].rpartition("/")[2].partition(":")
                connections.append(socket.create_connection((host, int(port))))

                connections[0].close()
                urls.append(record.__dict__["url"])
                # The server ends when its lock is gone.
                (tmp_path / "lock").unlink()

    told: list[str] = []
    wired = server.wired

    def noted(*given: Any, listens_at: str) -> Any:
        told.append(listens_at)
        return wired(*given, listens_at=listens_at)

    monkeypatch.setattr(server, "wired", noted)
    options = ServerSettings(port=0, data_dir=tmp_path, dev=True)
    log, reader, thresholds = logging.getLogger("atomic.server"), Reader(), gc.get_threshold()
    level = log.level
    log.setLevel(logging.INFO)
    log.addHandler(reader)
    try:
        assert server.serve(options) == 70
    finally:
        log.removeHandler(reader)
        log.setLevel(level)
        gc.unfreeze()
        gc.set_threshold(*thresholds)
    assert len(connections) == 1
    # Endpoints are told the address that was bound, for the port may be any free one.
    assert told == urls
