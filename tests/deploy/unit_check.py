"""What `test_unit.py` runs as a service within a booted Debian, beside the unit of the server.

`python unit_check.py RESULT` writes what it saw into a file, as JSON. It needs the standard library alone.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ATOMIC = "/opt/atomic/bin/atomic"
DATA = "/var/lib/atomic"
BACKUPS = "/var/backups/atomic"
URL = "http://127.0.0.1:8787"
CALLED: list[str] = []


class Endpoint(BaseHTTPRequestHandler):
    """An endpoint that succeeds."""

    def do_POST(self) -> None:
        """Answer, and note the key."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        CALLED.append(body["idempotencyKey"])
        answer = json.dumps({"call": len(CALLED)}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


def said(*command: str) -> str:
    """The output of a command that has to succeed."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def shown(name: str) -> str:
    """A property of the unit."""
    return said("systemctl", "show", "atomic", "-p", name, "--value")


def backup_lines(page: str) -> list[list[str]]:
    """The commands of the page of upgrades up to its backup; this machine may have no sudo."""
    block = page.split("```sh norun\n")[1].split("```")[0]
    lines = [line.split("#")[0].strip() for line in block.splitlines()]
    last = next(index for index, line in enumerate(lines) if " backup " in line)
    as_user = [line.replace("sudo -u atomic ", "runuser -u atomic -- ") for line in lines[: last + 1]]
    return [line.removeprefix("sudo ").split() for line in as_user]


def start(key: str, endpoint: str) -> Any:
    """Start a run and wait for its answer."""
    document = {"workflowName": "w", "stepInvokeUrl": endpoint, "idempotencyKey": "k"}
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{URL}/acme", json.dumps(document).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())["response"]


def main() -> dict[str, Any]:
    """Start, run, kill, back up and stop."""
    seen: dict[str, Any] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}/"
    said("systemctl", "start", "atomic")
    # `Type=notify`: it answers as soon as the start returns.
    seen["health at once"] = urllib.request.urlopen(f"{URL}/health", timeout=5).status
    first = shown("MainPID")
    status = Path(f"/proc/{first}/status").read_text()
    for name in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp"):
        seen[name] = re.findall(rf"^{name}:\t(\w+)$", status, re.MULTILINE)[0]
    user = ("runuser", "-u", "atomic", "--", ATOMIC)
    create = ("clients", "create", "acme", "--data-dir", DATA, "--base-url", endpoint)
    key = re.findall(r"API key: +(\S+)", said(*user, *create, "--allow-http", "--allow-ip"))[0]
    seen["answer"] = start(key, endpoint)
    for line in backup_lines(Path(__file__).with_name("upgrades.md").read_text()):
        said(*line)
    seen["copied"] = sorted(os.listdir(f"{BACKUPS}/before"))
    said("systemctl", "start", "atomic-backup")
    [nightly] = Path(BACKUPS).glob("nightly-*")
    seen["copied at night"] = sorted(os.listdir(nightly))
    os.kill(int(first), signal.SIGKILL)
    began = time.monotonic()
    while shown("ActiveState") != "active" or shown("MainPID") in {first, "0"}:
        if time.monotonic() > began + 30:
            raise TimeoutError("systemd did not start it again")
        time.sleep(0.1)
    seen["restarted after s"] = time.monotonic() - began
    seen["restarts"] = shown("NRestarts")
    seen["answer after kill -9"] = start(key, endpoint)
    said("systemctl", "stop", "atomic")
    seen |= {name: shown(name) for name in ("ActiveState", "Result", "ExecMainStatus")}
    seen["log"] = said("journalctl", "-u", "atomic", "-o", "cat", "--no-pager")
    return seen


if __name__ == "__main__":
    try:
        result = main()
    except Exception as failure:
        output = getattr(failure, "stderr", "")
        log = subprocess.run(
            ["journalctl", "-n", "60", "--no-pager"], capture_output=True, text=True
        ).stdout
        result = {"failure": traceback.format_exc() + str(output) + log}
    Path(sys.argv[1]).write_text(json.dumps(result))
