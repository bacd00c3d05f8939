"""Programs beside this one: a server of Atomic, or any command. They end with it, in order."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

_ENDS_WITHIN_S: Final = 10.0
_READY_WITHIN_S: Final = 30.0
_SAID_LINES: Final = 20
_LOWER_LEVELS: Final = {"DEBUG", "INFO"}


class Ended(RuntimeError):
    """A process did not start, or ended too early; the text says why."""


class Program:
    """A process, and what it said on standard error if that is read here."""

    def __init__(self, process: subprocess.Popen[str], *, is_own_group: bool) -> None:
        self._process = process
        self._is_own_group = is_own_group
        self._said: deque[str] = deque(maxlen=_SAID_LINES)

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    @classmethod
    @contextmanager
    def started(
        cls, command: Sequence[str], environment: Mapping[str, str], *, is_own_group: bool = False
    ) -> Iterator["Program"]:
        """Run a command, which is ended at the end. Raises Ended if there is none of this name.

        `is_own_group`: Ctrl-C does not reach it, so that it is ended in order.
        """
        try:
            process = subprocess.Popen(
                command, env=dict(environment), text=True, start_new_session=is_own_group
            )
        except OSError as error:
            raise Ended(f"cannot run {command[0]}: {error.strerror}") from None
        program = cls(process, is_own_group=is_own_group)
        try:
            yield program
        finally:
            program.end()

    def code(self) -> int | None:
        """The exit code, as a shell has it (128 and the number of the signal); None while it runs."""
        code = self._process.poll()
        return code if code is None or code >= 0 else 128 - code

    def wait(self) -> int:
        """Wait for its end; the exit code."""
        self._process.wait()
        return self.code() or 0

    def said(self) -> str:
        """The last lines on its standard error."""
        return "\n".join(self._said)

    def end(self) -> None:
        """Ask it to end; kill it when it does not, or when Ctrl-C is pressed meanwhile.

        What it started in its own group is asked as well, also when it has itself ended before.
        """
        for number in (signal.SIGTERM, signal.SIGKILL):
            # PermissionError: what macOS says of a group that has ended.
            with suppress(ProcessLookupError, PermissionError):
                if self._is_own_group:
                    os.killpg(self.pid, number)
                else:
                    self._process.send_signal(number)
            with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
                self._process.wait(_ENDS_WITHIN_S)
                return


class Served(Program):
    """A server of Atomic at `url`. `warn` gets its warnings, in words."""

    def __init__(self, process: subprocess.Popen[str], warn: Callable[[str], None]) -> None:
        super().__init__(process, is_own_group=True)
        self._warn = warn
        self.url = ""
        self._is_ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def await_ready(self) -> None:
        """Wait until it listens. Raises Ended."""
        self._is_ready.wait(_READY_WITHIN_S)
        if not self.url:
            self.end()
            self._reader.join(1)
            raise Ended(f"the server did not start:\n{self.said()}")

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            text = line.rstrip()
            record = _record(text)
            if record.get("message") == "listening":
                self.url = str(record["url"])
                self._is_ready.set()
            elif record.get("level") not in _LOWER_LEVELS:
                self._said.append(text.removeprefix("Error: "))
                if self.url:
                    self._warn(_in_words(record) or text)
        self._is_ready.set()


def _say_nothing(_warning: str) -> None:
    pass


@contextmanager
def served(
    data_dir: Path, options: Sequence[str], warn: Callable[[str], None] = _say_nothing
) -> Iterator[Served]:
    """A server for development that listens. Raises Ended."""
    command = [sys.executable, "-m", "atomic.cli", "serve", "--dev", "--data-dir", str(data_dir), *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    server = Served(process, warn)
    try:
        server.await_ready()
        yield server
    finally:
        server.end()


def _record(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _in_words(record: Mapping[str, Any]) -> str:
    what = f" {record['stepId']}" if record.get("stepId") else ""
    return f"{record['level']}: {record['message']}{what}" if record.get("message") else ""
