"""Measures cold starts: the init of each function under the runtime interface emulator that comes with sam.

The functions are built as for AWS and run by the real runtime client, without a container. The time is that
of the emulator's INIT REPORT: interpreter, runtime client, and all that the handler imports and creates.
Starts of the functions alternate, so that other load on the machine affects all of them alike.

The first request is measured as well: a post whose endpoint answers at once, by TLS all the way. With
`--core 0.29` the function has only that part of a core for it, as on Lambda, where the init has a whole
core. That takes the right to make control groups; without it the script says so and ends with 1.

Usage: python scripts/cold_start.py [--starts 15] [--core 0.29]
"""

# ruff: noqa: S603, TID251 - this script starts programs of this repository and waits for them
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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.error import HTTPError

import yaml

from atomic.entrypoints.aws.settings import LambdaSettings
from aws_local import EMULATOR, REGION, SAM, architecture, aws_environ, built, free_port, runtime
from cold_account import Account, account

_FUNCTIONS: Final = {
    "ApiFunction": "api",
    "InvokerFunction": "invoker",
    "MaintenanceFunction": "maintenance",
}
# Names and queues may be any text; roles and queues are read as ARNs.
_ARN: Final = f"arn:aws:made-up:{REGION}:000000000000:x"
_FIRST: Final = "first request"
_REPORT: Final = re.compile(r"INIT REPORT\(durationMs: ([0-9.]+)\)")
_WITHIN_S: Final = 20
_PERIOD_US: Final = 100_000
# Where control groups of version 2 and 1 are, and the file with the quota.
_GROUPS: Final = ((Path("/sys/fs/cgroup"), "cpu.max"), (Path("/sys/fs/cgroup/cpu"), "cpu.cfs_quota_us"))


def main() -> None:
    """Measure and print minimum, median and maximum of each function's starts, in milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=15)
    parser.add_argument("--core", type=float, default=None, help="part of a core for the first request")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="atomic-") as folder, _limited(options.core) as processes:
        work = Path(folder)
        build = built(work, aws_environ(free_port()))
        found: dict[str, list[Times]] = {name: [] for name in (*_FUNCTIONS, _FIRST)}
        with account(work) as stack:
            for number in range(options.starts):
                for name in _FUNCTIONS:
                    with _started(build, name, work, stack) as (port, log, session):
                        found[name].append(Times(_reported(port, log), _cpu_ms(session)))
                        if name == "ApiFunction":
                            _join(session, processes)
                            found[_FIRST].append(_first(port, stack.start(str(number)), log, session))
    core = "a whole core" if options.core is None else f"{options.core} of a core"
    print(f"ms; {runtime()}, {options.starts} starts, load {os.getloadavg()[0]:.1f}, {_FIRST} with {core}")
    for name, times in found.items():
        wall = [each.wall_ms for each in times]
        cpu_ms, what = statistics.median(each.cpu_ms for each in times), _FUNCTIONS.get(name, name)
        print(
            f"{what:14} least {min(wall):4.0f}   median {statistics.median(wall):4.0f}   "
            f"largest {max(wall):4.0f}   CPU, median {cpu_ms:4.0f}"
        )


class Times(NamedTuple):
    """How long something took, and the CPU time of its processes."""

    wall_ms: float
    cpu_ms: float


def _members(session: int) -> Iterator[Path]:
    """The processes of a session, as folders of /proc."""
    for each in Path("/proc").glob("[0-9]*"):
        with suppress(ProcessLookupError):
            if os.getsid(int(each.name)) == session:
                yield each


def _cpu_ms(session: int) -> float:
    """The CPU time of a session so far, in its own processes."""
    ticks = 0
    for each in _members(session):
        # Field 14 and 15 of the line, whose second field is a name in parentheses (man 5 proc).
        fields = (each / "stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return 1000 * ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def _limited(core: float | None) -> Iterator[Path | None]:
    """A control group with that part of a core; the file that takes its processes, None without a limit."""
    if core is None:
        yield None
        return
    try:
        root, quota = next((root, quota) for root, quota in _GROUPS if list(root.glob("*/" + quota)))
        group = root / f"atomic-cold-{os.getpid()}"
        group.mkdir()
        limit = round(core * _PERIOD_US)
        (group / quota).write_text(f"{limit} {_PERIOD_US}" if quota == "cpu.max" else str(limit))
    except (StopIteration, OSError) as error:
        raise SystemExit(f"no control group can be made here: {error}") from error
    try:
        yield group / "cgroup.procs"
    finally:
        group.rmdir()


def _join(session: int, processes: Path | None) -> None:
    """Put every process of a session into the control group."""
    if processes is not None:
        for each in _members(session):
            processes.write_text(each.name)


def _first(port: int, event: bytes, log: Path, session: int) -> Times:
    """Send the first request that does something; how long its answer took."""
    cpu_ms, began_s = _cpu_ms(session), time.monotonic()
    try:
        answer = json.loads(_invoked(port, event))
    except HTTPError as refused:  # the function ended, or raised
        answer = {"statusCode": refused.code}
    times = Times(1000 * (time.monotonic() - began_s), _cpu_ms(session) - cpu_ms)
    if answer.get("statusCode") != 200:
        raise RuntimeError(f"the first request failed: {answer}\n{log.read_text()[-3000:]}")
    return times


@contextmanager
def _started(build: Path, function: str, work: Path, stack: Account) -> Iterator[tuple[int, Path, int]]:
    """Run a function; yield the port that takes its events, its log, and its session."""
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
            env=_environ(build, folder, stack.environ),
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield invoke, log, process.pid
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(_WITHIN_S)


def _template(build: Path) -> dict[str, Any]:
    text = (build / "template.yaml").read_text()
    read: dict[str, Any] = yaml.load(text, yaml.BaseLoader)  # noqa: S506 - it makes nothing but strings
    return read


def _environ(build: Path, folder: Path, account_s: Mapping[str, str]) -> dict[str, str]:
    """The functions' environment as in the template. Values that only a deployed stack has are invented."""
    declared = _template(build)["Globals"]["Function"]["Environment"]["Variables"]
    required = {each.variable for each in LambdaSettings.settings() if each.field.is_required()}
    made_up = {name: value for name, value in declared.items() if isinstance(value, str)}
    made_up |= dict.fromkeys(required & declared.keys() - made_up.keys(), _ARN)
    made_up |= {
        "ATOMIC_RETENTION_DAYS": "30",
        "ATOMIC_WAIT_MAX_MS": "25000",
        "POWERTOOLS_LOG_LEVEL": "INFO",
        "ATOMIC_PUBLIC_URL": "https://atomic.example",
        "AWS_REGION": REGION,
        "PYTHONPATH": f"{folder}:{build / 'AtomicLayer' / 'python'}",
    }
    return {**made_up, **account_s}


def _reported(port: int, log: Path) -> float:
    """Send an event that does nothing, which starts the emulator; the time of the init from its report."""
    until_s = time.monotonic() + _WITHIN_S
    while time.monotonic() < until_s:
        with suppress(OSError):
            _invoked(port, b'{"Records": []}')
        if report := _REPORT.search(log.read_text()):
            return float(report[1])
        time.sleep(0.05)
    raise TimeoutError(f"no INIT REPORT:\n{log.read_text()[-2000:]}")


def _invoked(port: int, event: bytes) -> bytes:
    url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
    with urllib.request.urlopen(urllib.request.Request(url, data=event), timeout=_WITHIN_S) as answer:
        read: bytes = answer.read()
    return read


if __name__ == "__main__":
    main()
