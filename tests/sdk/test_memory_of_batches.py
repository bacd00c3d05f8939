"""A map of 10,000 items takes a bounded amount of memory, in its handler's process and in the server."""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from atomic.sdk import Client
from scenarios.embedded_runtime import AtomicServer, free_port

TESTS = Path(__file__).parents[1]
# By how many bytes the peak of a process may grow from a map of 1,000 items to one of many.
FEW, GROWTH_MAX_BYTES = 1_000, 48_000_000


@pytest.fixture
def app(server: AtomicServer) -> Iterator[tuple[str, int]]:
    """The URL and the process of the application."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "sdk.thousands", str(port), server.url], cwd=TESTS)
    try:
        end_s = time.monotonic() + 20
        while not is_listening(port):
            assert time.monotonic() < end_s
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait(10)


def is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def peak_bytes(process: int) -> int:
    """The largest resident memory of a process so far."""
    [kilobytes] = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return 1024 * int(kilobytes)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read there")
@pytest.mark.parametrize(("variant", "many"), [("plain", 3_000), ("later", 10_000)])
def test_a_map_of_many_items_is_bounded(
    server: AtomicServer, app: tuple[str, int], variant: str, many: int
) -> None:
    url, handler = app
    processes = (handler, server.process.pid)
    with Client(server.url, client_id="me") as client:

        def peaks_after(count: int) -> list[int]:
            outcome = client.start("map", f"{url}/{variant}", count, key=f"{variant}-{count}", timeout=300)
            assert outcome.response == count * (count - 1)
            return [peak_bytes(process) for process in processes]

        before, after = peaks_after(FEW), peaks_after(many)
    grown = [more - less for less, more in zip(before, after, strict=True)]
    print(f"{variant}: from {before} by {grown} bytes")
    assert max(grown) < GROWTH_MAX_BYTES
