"""Runs the commands that a page or an example gives its reader, on free ports."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scenarios.embedded_runtime import free_port

SHOWN_PORTS = (
    "8787",
    "9000",
    "9001",
    "8000",
    "8001",
    "8002",
    "8003",
    "8004",
    "8005",
    "8006",
    "8025",
    "8026",
    "4318",
)
WITHIN_S = 40
RELOAD = " --reload"


class Terminal:
    """A folder in which commands run.

    A command that begins to listen is a server, and runs until `close`, or until it is typed again. A
    server with `--reload` is restarted by `save`, because watching files takes time.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ports = {shown: str(free_port()) for shown in SHOWN_PORTS}
        self._servers: list[subprocess.Popen[str]] = []
        # By the command that began it; of one that is typed again, the last.
        self._by_command: dict[str, subprocess.Popen[str]] = {}
        self._environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ATOMIC_URL": self.moved("http://127.0.0.1:8787"),
            "COLLECTOR_PORT": self._ports["8026"],
            "COLLECTOR_URL": self.moved("http://127.0.0.1:8026"),
            "PORT": self._ports["9000"],
            "SMTP_PORT": self._ports["8025"],
            "PYTHONPATH": "",
        }

    def moved(self, text: str) -> str:
        """The text with its ports replaced by free ones."""
        for shown, ours in self._ports.items():
            text = re.sub(rf"\b{shown}\b", ours, text)
        # As `make serve`, but without its `make install`.
        text = text.replace("make serve", "atomic serve --dev")
        return text.replace("atomic serve", f"atomic serve --port {self._ports['8787']}")

    def save(self, name: str, text: str, *, appended: bool = False) -> None:
        """Save a file, with its ports replaced."""
        with (self.folder / name).open("a" if appended else "w") as file:
            file.write(self.moved(text))
        for command, server in list(self._by_command.items()):
            if command.endswith(RELOAD) and Path(name).stem in command:
                _end(server)
                self.type(command)

    def type(self, command: str, *, exit_code: int = 0) -> str:
        """Run one command; return its output once it has ended (with that code) or begun to listen."""
        if earlier := self._by_command.get(command):
            _end(earlier)
        log = self.folder / f"{time.monotonic_ns()}.log"
        moved = self.moved(command).removesuffix(RELOAD)
        # An earlier server may begin to listen on a second port meanwhile, which is not this command's.
        named = {port for port in self._ports.values() if port in moved} or set(self._ports.values())
        awaited = named - self._listening()
        with log.open("w") as output:
            process = subprocess.Popen(
                ["bash", "-e", "-c", moved],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if "curl" not in command else subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
        self._servers.append(process)
        self._by_command[command] = process
        until = time.monotonic() + WITHIN_S
        while process.poll() is None and not self._listening() & awaited:
            assert time.monotonic() < until, f"{command}\n{log.read_text()}"
            time.sleep(0.05)
        ended = process.returncode or 0
        assert ended == exit_code, f"{command}\nended with {ended}:\n{log.read_text()}"
        return log.read_text()

    def kill(self, command: str) -> None:
        """Kill the server that this command began, as a machine that dies does."""
        process = self._by_command[command]
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def logs(self) -> str:
        """The output of all commands so far."""
        return "".join(log.read_text() for log in sorted(self.folder.glob("*.log")))

    def close(self) -> None:
        """End the servers, the last one first."""
        for process in reversed(self._servers):
            _end(process)

    def _listening(self) -> set[str]:
        return {port for port in self._ports.values() if _is_open(int(port))}


@contextmanager
def terminal(folder: Path) -> Iterator[Terminal]:
    """A terminal that is closed afterwards."""
    opened = Terminal(folder)
    try:
        yield opened
    finally:
        opened.close()


def commands_of(script: str) -> list[str]:
    """The commands of a script.

    An open quote or a trailing backslash continues a command on the next line.
    """
    commands, begun = [], ""
    for line in script.strip().splitlines():
        begun += line.strip() + "\n" if not begun else line + "\n"
        if begun.rstrip().endswith("\\"):
            continue
        try:
            shlex.split(begun, comments=True)
        except ValueError:
            continue
        commands.append(begun.rstrip())
        begun = ""
    assert not begun, f"a quote stays open: {begun}"
    return [command for command in commands if command and not command.startswith("#")]


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
