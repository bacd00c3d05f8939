"""Measures cold starts: the init of each function under the runtime interface emulator that comes with sam.

The functions are built as for AWS and run by the real runtime client, without a container. The time is that
of the emulator's INIT REPORT: interpreter, runtime client, and all that the handler imports and creates.
Starts of the functions alternate, so that other load on the machine affects all of them alike.

Usage: python scripts/cold_start.py [--starts 15]
"""

# ruff: noqa: S603, S310, TID251 - this script starts programs of this repository and waits for them
import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import tempfile
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import yaml

from aws_local import EMULATOR, REGION, SAM, architecture, aws_environ, built, free_port, runtime

_FUNCTIONS: Final = {
    "ApiFunction": "api",
    "InvokerFunction": "invoker",
    "MaintenanceFunction": "maintenance",
}
_REPORT: Final = re.compile(r"INIT REPORT\(durationMs: ([0-9.]+)\)")
_WITHIN_S: Final = 20


def main() -> None:
    """Measure and print minimum, median and maximum of each function's starts, in milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=15)
    starts = parser.parse_args().starts
    with tempfile.TemporaryDirectory(prefix="atomic-") as folder:
        work = Path(folder)
        build = built(work, aws_environ(free_port()))
        times: dict[str, list[float]] = {name: [] for name in _FUNCTIONS}
        for _ in range(starts):
            for name, found in times.items():
                found.append(_init_ms(build, name, work))
    print(f"{runtime()}, {starts} starts, load {os.getloadavg()[0]:.1f}: ms to the first event")
    for name, found in times.items():
        least, median, largest = min(found), statistics.median(found), max(found)
        print(f"{_FUNCTIONS[name]:12} least {least:4.0f}   median {median:4.0f}   largest {largest:4.0f}")


def _init_ms(build: Path, function: str, work: Path) -> float:
    # Functions with the same code are built once, under one of their names.
    folder = build / _template(build)["Resources"][function]["Properties"]["CodeUri"]
    invoke, api = free_port(), free_port()
    [emulator] = SAM.parent.glob(
        f"lib/python*/site-packages/samcli/local/rapid/aws-lambda-rie-{architecture()}"
    )
    command = [str(emulator), "--runtime-interface-emulator-address", f"127.0.0.1:{invoke}"]
    command += ["--runtime-api-address", f"127.0.0.1:{api}"]
    command += [str(EMULATOR / "python"), "-m", "awslambdaric", "app.handler"]
    log = work / "emulator.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=_environ(build, folder),
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        return _reported(invoke, log)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(_WITHIN_S)


def _template(build: Path) -> dict[str, Any]:
    text = (build / "template.yaml").read_text()
    read: dict[str, Any] = yaml.load(text, yaml.BaseLoader)  # noqa: S506 - it makes nothing but strings
    return read


def _environ(build: Path, folder: Path) -> dict[str, str]:
    """The functions' environment as in the template. Values that only a deployed stack has are invented."""
    declared = _template(build)["Globals"]["Function"]["Environment"]["Variables"]
    made_up = {name: value if isinstance(value, str) else "x" for name, value in declared.items()}
    made_up |= {
        "ATOMIC_RETENTION_DAYS": "30",
        "ATOMIC_WAIT_MAX_MS": "25000",
        "POWERTOOLS_LOG_LEVEL": "INFO",
    }
    made_up["ATOMIC_KEY_PEPPER"] = "x" * 32
    made_up |= {
        "ATOMIC_QUEUE_URL": "http://127.0.0.1:9/q",
        "ATOMIC_LONG_QUEUE_URL": "http://127.0.0.1:9/l",
        "ATOMIC_DEAD_LETTER_QUEUE_URL": "http://127.0.0.1:9/d",
    }
    return (
        aws_environ(9)
        | made_up
        | {
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
            "AWS_REGION": REGION,
            "PYTHONPATH": f"{folder}:{build / 'AtomicLayer' / 'python'}",
        }
    )


def _reported(port: int, log: Path) -> float:
    """Send a first event, which starts the emulator, and read the time of the init from its report."""
    url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
    request = urllib.request.Request(url, data=json.dumps({"Records": []}).encode())
    until_s = time.monotonic() + _WITHIN_S
    while time.monotonic() < until_s:
        with suppress(OSError), urllib.request.urlopen(request, timeout=5) as answer:
            answer.read()
        if report := _REPORT.search(log.read_text()):
            return float(report[1])
        time.sleep(0.05)
    raise TimeoutError(f"no INIT REPORT:\n{log.read_text()[-2000:]}")


if __name__ == "__main__":
    main()
