"""Servers that run as long as the demo: started on free ports, waited for, always ended."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from atomic.demo.app import LOOPBACK, OPENER

READY_WITHIN_S: Final = 20.0
END_WITHIN_S: Final = 5.0
LOG_TAIL_LINES: Final = 20
# Windows has no SIGHUP.
ENDINGS: Final = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class DemoFailed(Exception):
    """Something is not as it should be; the text says what."""


@dataclass(frozen=True)
class Child:
    """A server that the demo runs."""

    name: str
    url: str
    process: subprocess.Popen[bytes]
    log: Path


@contextmanager
def running(name: str, command: Sequence[str], port: int, log: Path) -> Iterator[Child]:
    """Start the server and wait until `GET /health` answers; end it afterwards, whatever happens."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ATOMIC_")}
    with log.open("wb") as output:
        # A session of its own: Ctrl-C is for the demo, which then ends its servers in order.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    try:
        child = Child(name, f"http://{LOOPBACK}:{port}", process, log)
        _wait_until_ready(child)
        yield child
    finally:
        _end(process)


def _wait_until_ready(child: Child) -> None:
    until = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < until:
        expect(child.process.poll() is None, f"{child.name} ended with status {child.process.returncode}")
        try:
            get_json(f"{child.url}/health")
            return
        except (OSError, ValueError):  # refused while it starts, or a 503 (HTTPError is an OSError)
            time.sleep(0.03)
    raise DemoFailed(f"{child.name} did not answer GET /health within {READY_WITHIN_S:.0f} s")


def _end(process: subprocess.Popen[bytes]) -> None:
    ignored = (signal.SIGINT, *ENDINGS)
    before = [signal.signal(number, signal.SIG_IGN) for number in ignored]  # this has to be finished
    process.terminate()
    try:
        process.wait(END_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for number, handler in zip(ignored, before, strict=True):
        signal.signal(number, handler)


def free_port() -> int:
    """A port that nobody listens on, a moment ago at least."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def get_json(url: str) -> Any:
    """What a GET answers; raises OSError unless it answers 2xx."""
    with OPENER.open(url, timeout=5) as response:
        return json.load(response)


def tails(logs: Sequence[Path]) -> str:
    """The ends of the logs that have anything in them, under headings."""
    written = [log for log in logs if log.exists() and log.stat().st_size]
    ends = [log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:] for log in written]
    pairs = zip(written, ends, strict=True)
    return "".join(f"\n\n--- the end of {log.name} ---\n" + "\n".join(end) for log, end in pairs)


def expect(is_so: bool, otherwise: str) -> None:
    """Raise DemoFailed with the text unless it is so."""
    if not is_so:
        raise DemoFailed(otherwise)
