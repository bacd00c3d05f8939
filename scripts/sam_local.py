"""Runs the functions in containers by `sam local`: each event of events/ once, then one workflow over HTTP.

    python scripts/sam_local.py           # does all that and ends
    python scripts/sam_local.py --stay    # prints the lines to do it by hand, stays until Ctrl-C

The base image is built on this machine by scripts/lambda-image. Without a Docker engine the script says so
and exits with 0.
"""

# ruff: noqa: S310, S603, S607, TID251 - this script starts programs of this repository and waits for them
import fcntl
import json
import shlex
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from aws_local import (
    EMULATOR,
    REPO,
    SAM,
    architecture,
    aws_environ,
    create_client,
    deployed,
    emulator,
    endpoint,
    free_port,
    runtime,
    template_parameters,
)

_HOST: Final = "host.docker.internal"
# Each function with the file of `events/` that it is invoked with.
_EVENTS: Final = {
    "ApiFunction": "api",
    "StepsFunction": "api",
    "InvokerFunction": "invoker",
    "LongInvokerFunction": "invoker",
    "MaintenanceFunction": "maintenance",
}
_WITHIN_S: Final = 120
_SIOCGIFADDR: Final = 0x8915  # netdevice(7)


def main(arguments: Sequence[str]) -> int:
    """Run everything; return 0 on success, or when there is no Docker engine."""
    if _docker("info").returncode != 0:
        print("skipped: no Docker engine runs here (`docker info` fails), and sam local needs one")
        return 0
    _make_image()
    bridge = _bridge()
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="atomic-")))
        port = free_port()
        stack.enter_context(emulator(work, port, bridge))
        outputs = deployed(work, aws_environ(port))
        options = ["--config-file", str(_config(work, outputs, port))]
        base = f"http://{_HOST}:{stack.enter_context(endpoint(bridge))}/"
        api_key = create_client(outputs, "demo", base)
        if "--stay" in arguments:
            _print_by_hand(options, port, api_key, base)
            return 0
        for function, event in _EVENTS.items():
            said = _invoke(function, REPO / "events" / f"{event}.json", options, port)
            print(f"sam local invoke {function}: {json.dumps(said)[:200]}", flush=True)
        url = stack.enter_context(_served(options, port, work))
        step = _post(f"{url}/demo", api_key, base)
        print(f"sam local start-api: {step['status']}, {step['response']}")
        return 0 if step["status"] == "succeeded" else 1


def _config(work: Path, outputs: dict[str, str], port: int) -> Path:
    """The file by which `sam local` knows the stack; TOML takes these values in the form of JSON."""
    variables, config = work / "env.json", work / "samconfig.toml"
    variables.write_text(json.dumps({"Parameters": _variables(outputs, port)}))
    parameters = {
        "template_file": f"{outputs['Build']}/template.yaml",
        "env_vars": str(variables),
        "parameter_overrides": template_parameters(aws_environ(port)),
        "skip_pull_image": True,
        "add_host": [f"{_HOST}:host-gateway"],
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in parameters.items()]
    tables = [f"[default.local_{command}.parameters]" for command in ("invoke", "start_api")]
    config.write_text("\n".join(["version = 0.1", *(line for table in tables for line in (table, *lines))]))
    return config


def _print_by_hand(options: list[str], port: int, api_key: str, base: str) -> None:
    environ = aws_environ(port)
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
    config = " ".join(options)
    print(
        "In another terminal, in the folder of the repository:",
        "export " + " ".join(f"{name}={environ[name]}" for name in names),
        f"export PATH={shlex.quote(str(SAM))}:$PATH",
        f"sam local invoke ApiFunction --event events/api.json {config}",
        f"sam local start-api --port 3000 {config}",
        "And when that serves, in a third one:",
        f"curl -s http://127.0.0.1:3000/demo -H 'Authorization: Bearer {api_key}' \\",
        f"  -d '{json.dumps(_start(base))}'",
        "Ctrl-C ends it.",
        sep="\n",
        flush=True,
    )
    with suppress(KeyboardInterrupt):
        signal.pause()


def _variables(outputs: dict[str, str], port: int) -> dict[str, str]:
    """The environment variables by which containers reach the emulator."""
    here, there = f"127.0.0.1:{port}", f"{_HOST}:{port}"
    return {
        "AWS_ENDPOINT_URL": f"http://{there}",
        "ATOMIC_TABLE": outputs["TableName"],
        "ATOMIC_BUCKET": outputs["BucketName"],
        "ATOMIC_QUEUE_URL": outputs["QueueUrl"].replace(here, there),
        "ATOMIC_LONG_QUEUE_URL": outputs["LongQueueUrl"].replace(here, there),
        "ATOMIC_WATCHDOG_QUEUE_URL": outputs["WatchdogQueueUrl"].replace(here, there),
        "ATOMIC_DEAD_LETTER_QUEUE_URL": outputs["DeadLetterQueueUrl"].replace(here, there),
        "ATOMIC_MAINTENANCE_QUEUE_URL": outputs["MaintenanceQueueUrl"].replace(here, there),
    }


def _invoke(function: str, event: Path, options: list[str], port: int) -> Any:
    command = [str(SAM / "sam"), "local", "invoke", function, "--event", str(event), *options]
    ran = subprocess.run(
        command,
        env=aws_environ(port),
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=_WITHIN_S,
        check=False,
    )
    lines = ran.stdout.strip().splitlines()
    said = json.loads(lines[-1]) if lines and ran.returncode == 0 else {"errorMessage": ran.stderr[-2000:]}
    if isinstance(said, dict) and "errorMessage" in said:
        sys.exit(f"{function} failed: {said['errorMessage']}\n{ran.stderr[-2000:]}")
    return said


@contextmanager
def _served(options: list[str], port: int, work: Path) -> Iterator[str]:
    """Run `sam local start-api` while the context lasts; yield its URL."""
    served, log = free_port(), work / "start-api.log"
    command = [
        str(SAM / "sam"),
        "local",
        "start-api",
        "--host",
        "127.0.0.1",
        "--port",
        str(served),
        *options,
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--warm-containers", "LAZY"], env=aws_environ(port), cwd=REPO, stdout=out, stderr=out
        )
    try:
        url = f"http://127.0.0.1:{served}"
        deadline_s = time.monotonic() + _WITHIN_S
        while not _answers(f"{url}/health"):
            if time.monotonic() > deadline_s or process.poll() is not None:
                sys.exit(f"start-api does not answer:\n{log.read_text()[-3000:]}")
            time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _start(base: str) -> dict[str, str]:
    return {
        "workflowName": "hello",
        "stepInvokeUrl": f"{base}hello",
        "idempotencyKey": "1",
        "payload": "ada",
    }


def _post(url: str, api_key: str, base: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, data=json.dumps(_start(base)).encode(), headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        step: dict[str, Any] = json.loads(answer.read())
    return step


def _make_image() -> None:
    image = f"public.ecr.aws/lambda/{runtime().replace('python', 'python:')}"
    if _docker("image", "inspect", image).returncode == 0:
        return
    found = SAM.parent.glob(f"lib/python*/site-packages/samcli/local/rapid/aws-lambda-rie-{architecture()}")
    subprocess.run(
        [REPO / "scripts/lambda-image", EMULATOR / "python", next(found)], check=True, timeout=_WITHIN_S
    )


def _bridge() -> str:
    """The address of this machine on Docker's bridge, which only containers can reach.

    It is asked of the interface: a fresh engine 20.10 names no gateway of the network.
    """
    template = '{{index .Options "com.docker.network.bridge.name"}}'
    name = _docker("network", "inspect", "bridge", "--format", template).stdout.strip()
    return address_of(name)


def address_of(interface: str) -> str:
    """The IPv4 address of a network interface. Raises OSError if it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        answer = fcntl.ioctl(asking, _SIOCGIFADDR, struct.pack("256s", interface.encode()))
    # A `struct ifreq`: 16 bytes of name, then a `sockaddr_in`, whose address is at 4.
    return socket.inet_ntoa(answer[20:24])


def _docker(*arguments: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            ["docker", *arguments], capture_output=True, text=True, timeout=60, check=False
        )
    except FileNotFoundError:
        return subprocess.CompletedProcess(arguments, 127, "", "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
