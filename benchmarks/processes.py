"""Starts, measures (CPU time, memory) and ends processes."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson

HERE = Path(__file__).parent
_ATOMIC = [sys.executable, "-m", "atomic.cli"]


@contextmanager
def running(
    command: Sequence[str],
    port: int,
    grace_s: float = 40,
    *,
    env: Mapping[str, str] | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
) -> Iterator[int]:
    """Run a process that listens on a port of this machine; yield its id.

    At the end it has `grace_s` to stop before it is killed.
    """
    process = subprocess.Popen(list(command), env=env, stdout=stdout, stderr=stderr)
    try:
        wait_for(port)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def atomic_server(port: int, data_dir: Path, mode: str = "--dev") -> list[str]:
    """The command of the embedded server."""
    serve = [*_ATOMIC, "serve", mode, "--port", str(port)]
    return [*serve, "--log-level", "warning", "--data-dir", str(data_dir)]


def production_server(port: int, data_dir: Path) -> list[str]:
    """The command of the embedded server as it is in production: it takes clients with a key only."""
    return atomic_server(port, data_dir, "--allow-private")


def new_client(client_id: str, base_url: str, data_dir: Path) -> tuple[str, str]:
    """Make a client that may call endpoints below `base_url`; its API key and signing secret."""
    create = [*_ATOMIC, "clients", "create", client_id, "--base-url", base_url, "--json"]
    allowed = ["--allow-http", "--allow-ip", "--data-dir", str(data_dir)]
    made = subprocess.run(
        [*create, *allowed], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    client = orjson.loads(made.stdout)
    return client["apiKey"], client["signingSecret"]


def python(script: str, *arguments: object) -> list[str]:
    """The command that runs a script of this folder."""
    return [sys.executable, str(HERE / script), *map(str, arguments)]


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens on at the moment."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def wait_for(port: int, within_s: float = 30) -> None:
    """Wait until a process listens on the port. Raises OSError."""
    deadline_s = time.monotonic() + within_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.01)


def tree(pid: int) -> list[int]:
    """A process and all of its descendants."""
    children = [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in _children_of(task)]
    return [pid, *(grown for child in children for grown in tree(child))]


def _children_of(task: Path) -> list[str]:
    try:
        return (task / "children").read_text().split()
    except FileNotFoundError:
        return []  # the thread has ended meanwhile


def cpu_s(*pids: int) -> float:
    """User and system time so far, of the processes and of their children that have ended."""
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(field) for fields in stats for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def rss_mib(*pids: int) -> float:
    """Resident memory of processes."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def machine() -> str:
    """What affects a figure besides the code.

    Cores, load, and the CPU time stolen by other virtual machines so far.
    """
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    steal = 100 * fields[7] / sum(fields)
    version = ".".join(map(str, sys.version_info[:3]))
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, steal {steal:.1f} %, Python {version}"
