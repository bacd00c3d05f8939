"""`atomic dev`: the application beside a server, its runs in words, and tests in virtual time."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from scenarios.embedded_runtime import free_port

ATOMIC: Final = [sys.executable, "-m", "atomic.cli"]
WITHIN_S: Final = 30
APPLICATION: Final = """
import http.server, json, os, sys, urllib.request

class Application(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_POST(self):
        call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if call["payload"] == "end":
            os._exit(3)
        self.send_response(503 if call["attempt"] == 1 else 200)
        self.end_headers()
        names = sorted(name for name in os.environ if name.startswith("ATOMIC_"))
        self.wfile.write(json.dumps(names).encode())

server = http.server.HTTPServer(("127.0.0.1", 0), Application)
url = f"http://127.0.0.1:{server.server_port}/pay"
document = {"workflowName": "order", "idempotencyKey": sys.argv[1], "stepInvokeUrl": url,
            "payload": sys.argv[2], "retry": {"backOff": 50, "jitter": "none"}, "timeout": 1}
body, headers = json.dumps(document).encode(), {"Prefer": "respond-async"}
start = urllib.request.Request(os.environ["ATOMIC_URL"] + "/dev", body, headers)
urllib.request.urlopen(start).close()
server.serve_forever()
"""


@pytest.fixture(autouse=True)
def _signals_are_heard() -> Iterator[None]:
    """`nohup` and the `&` of a shell let a program ignore signals, and with it all that it starts."""
    ignored = [each for each in (signal.SIGINT, signal.SIGHUP) if signal.getsignal(each) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture
def application(tmp_path: Path) -> Path:
    file = tmp_path / "application.py"
    file.write_text(APPLICATION)
    return file


def environment() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith("ATOMIC_")}


class Dev:
    """`atomic dev` with an application, and the lines that it has printed."""

    def __init__(self, folder: Path, *command: str, on_terminal: bool = False) -> None:
        self._output, theirs = pty.openpty() if on_terminal else os.pipe()
        self.process = subprocess.Popen(
            [*ATOMIC, "dev", "--port", "0", "--data-dir", str(folder / "data"), "--", *command],
            stdout=theirs,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment(),
        )
        os.close(theirs)
        self.said = ""

    def until(self, pattern: str) -> str:
        """Read until it has printed this."""
        until_s = time.monotonic() + WITHIN_S
        while not re.search(pattern, self.said):
            assert time.monotonic() < until_s, self.said
            try:
                read = os.read(self._output, 65_536).decode()
            except OSError:  # the terminal of a process that has ended
                read = ""
            assert read, f"it ended without {pattern!r}:\n{self.said}"
            self.said += read
        return self.said

    def close(self) -> None:
        """End it and what it started, if it has not ended."""
        self.process.terminate()
        self.process.wait(WITHIN_S)
        os.close(self._output)


@pytest.fixture
def dev(tmp_path: Path, application: Path) -> Iterator[Dev]:
    started = Dev(tmp_path, sys.executable, str(application), "order-1", "pay")
    yield started
    started.close()


def test_runs_are_printed_as_json_where_the_output_is_no_terminal(dev: Dev) -> None:
    dev.until('"event": "succeeded"')
    lines = [json.loads(line) for line in dev.said.splitlines()]
    events = [line for line in lines if line["event"] != "said"]
    assert [line["event"] for line in events] == ["started", "attempt", "attempt", "succeeded"]
    assert {line["key"] for line in events} == {"order-1"}
    assert [line["status"] for line in events[1:3]] == [503, 200]
    said = [line["text"] for line in lines if line["event"] == "said"]
    assert re.fullmatch(r"Atomic listens on (http://127.0.0.1:\d+); dashboard: \1/dashboard#/dev", said[0])
    assert re.fullmatch(r"the application listens on http://127.0.0.1:\d+", said[1])


def test_the_application_knows_the_server_and_both_end_on_an_interrupt(dev: Dev) -> None:
    said = dev.until('"event": "succeeded"')
    url = re.search(r"Atomic listens on (\S+);", said)
    run_id = re.search(r'"runId": "(\w+)"', said)
    assert url is not None
    assert run_id is not None
    with urllib.request.urlopen(f"{url[1]}/dev/runs/{run_id[1]}") as answer:
        root = json.load(answer)["root"]
    assert root["response"] == ["ATOMIC_CLIENT_ID", "ATOMIC_SIGNING_SECRET", "ATOMIC_URL"]
    ports = [int(port) for port in re.findall(r"listens on http://127.0.0.1:(\d+)", said)]
    assert len(ports) == 2
    dev.process.send_signal(signal.SIGINT)
    assert dev.process.wait(WITHIN_S) == 0
    assert not any(map(listening, ports))


def test_on_a_terminal_runs_are_told_in_words(tmp_path: Path, application: Path) -> None:
    dev = Dev(tmp_path, sys.executable, str(application), "order-2", "pay", on_terminal=True)
    try:
        said = dev.until(r"order-2  succeeded").replace("\r\n", "\n")
    finally:
        dev.close()
    assert re.search(r"^\d\d:\d\d:\d\d  order order-2  started$", said, re.MULTILINE)
    assert re.search(r"order-2  /pay answered 503 after \d+ ms: the endpoint answered 503", said)
    assert re.search(r"order-2  /pay answered 200 after \d+ ms, attempt 2$", said, re.MULTILINE)


def test_an_application_that_dies_ends_it_with_its_code(tmp_path: Path, application: Path) -> None:
    dev = Dev(tmp_path, sys.executable, str(application), "order-3", "end")
    try:
        dev.until("ended with exit code 3")
        assert dev.process.wait(WITHIN_S) == 3
    finally:
        dev.close()


def is_alive(pid: int) -> bool:
    """Whether there is such a process, other than one that has ended and is not reaped."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


SAYS: Final = """
import os, time
print("pid", os.getpid(), os.environ["ATOMIC_URL"], flush=True)
time.sleep(100)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("arguments", [("--port", "0", "--data-dir", "data"), ("test",)])
def test_a_signal_ends_what_it_started(
    tmp_path: Path, arguments: tuple[str, ...], number: signal.Signals
) -> None:
    command = [*ATOMIC, "dev", *arguments, "--", sys.executable, "-c", SAYS]
    given = environment() | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=tmp_path, env=given, stdout=subprocess.PIPE, text=True) as dev:
        assert dev.stdout is not None
        said = next(line for line in dev.stdout if line.startswith("pid"))
        _, pid, url = said.split()
        dev.send_signal(number)
        assert dev.wait(WITHIN_S) == 128 + number
    assert not is_alive(int(pid))
    assert not listening(int(url.rpartition(":")[2]))
    assert list(tmp_path.glob("atomic-*")) == []


def test_what_an_application_has_left_running_ends_with_it(tmp_path: Path) -> None:
    done = run("--port", "0", "--", "sh", "-c", "sleep 100 & echo pid $!; exit 3", folder=tmp_path)
    assert done.returncode == 3
    pid = re.search(r"^pid (\d+)$", done.stdout, re.MULTILINE)
    assert pid is not None
    assert not is_alive(int(pid[1]))


def run(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*ATOMIC, "dev", *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )


def test_a_command_that_does_not_exist_is_named(tmp_path: Path) -> None:
    done = run("--port", "0", "--", "no-such-program", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "Error: cannot run no-such-program: No such file or directory\n"


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run("--port", port, "--", "true", folder=tmp_path)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr


def test_tests_run_in_virtual_time_and_leave_nothing(tmp_path: Path) -> None:
    look = """
import os, urllib.request
with urllib.request.urlopen(os.environ["ATOMIC_URL"] + "/_dev/time") as answer:
    print(answer.read().decode())
raise SystemExit(7)
"""
    done = run("test", "--", sys.executable, "-c", look, folder=tmp_path)
    assert done.returncode == 7, done.stderr
    assert json.loads(done.stdout)["virtual"] is True
    assert list(tmp_path.iterdir()) == []


def test_tests_need_a_command(tmp_path: Path) -> None:
    done = run("test", folder=tmp_path)
    assert done.returncode == 2
    assert "give the command of the tests: atomic dev test -- pytest" in done.stderr
