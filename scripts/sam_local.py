"""Runs the functions in containers by `sam local`: each event of events/ once, then one workflow over HTTP.

The base image is built on this machine by scripts/lambda-image. Without a Docker engine the script says so
and exits with 0.
"""

# ruff: noqa: S310, S603, S607, TID251 - this script starts programs of this repository and waits for them
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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
    "InvokerFunction": "invoker",
    "LongInvokerFunction": "invoker",
    "MaintenanceFunction": "maintenance",
}
_WITHIN_S: Final = 120


def main() -> int:
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
        variables = work / "env.json"
        variables.write_text(json.dumps({"Parameters": _variables(outputs, port)}))
        options = ["--template", str(work / "build/template.yaml"), "--env-vars", str(variables)]
        options += ["--parameter-overrides", *template_parameters(aws_environ(port))]
        options += ["--skip-pull-image", "--add-host", f"{_HOST}:host-gateway"]
        for function, event in _EVENTS.items():
            said = _invoke(function, REPO / "events" / f"{event}.json", options, port)
            print(f"sam local invoke {function}: {json.dumps(said)[:200]}", flush=True)
        base = f"http://{_HOST}:{stack.enter_context(endpoint(bridge))}/"
        url = stack.enter_context(_served(options, port, work))
        step = _post(f"{url}/demo", create_client(outputs, "demo", base), base)
        print(f"sam local start-api: {step['status']}, {step['response']}")
        return 0 if step["status"] == "succeeded" else 1


def _variables(outputs: dict[str, str], port: int) -> dict[str, str]:
    """The environment variables by which containers reach the emulator."""
    here, there = f"127.0.0.1:{port}", f"{_HOST}:{port}"
    return {
        "AWS_ENDPOINT_URL": f"http://{there}",
        "ATOMIC_TABLE": outputs["TableName"],
        "ATOMIC_QUEUE_URL": outputs["QueueUrl"].replace(here, there),
        "ATOMIC_LONG_QUEUE_URL": outputs["LongQueueUrl"].replace(here, there),
        "ATOMIC_DEAD_LETTER_QUEUE_URL": outputs["DeadLetterQueueUrl"].replace(here, there),
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


def _post(url: str, api_key: str, base: str) -> dict[str, Any]:
    start = {
        "workflowName": "hello",
        "stepInvokeUrl": f"{base}hello",
        "idempotencyKey": "1",
        "payload": "ada",
    }
    headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, data=json.dumps(start).encode(), headers=headers)
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
    """The address of this machine on Docker's bridge, which only containers can reach."""
    template = "{{(index .IPAM.Config 0).Gateway}}"
    return _docker("network", "inspect", "bridge", "--format", template).stdout.strip()


def _docker(*arguments: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            ["docker", *arguments], capture_output=True, text=True, timeout=60, check=False
        )
    except FileNotFoundError:
        return subprocess.CompletedProcess(arguments, 127, "", "")


if __name__ == "__main__":
    sys.exit(main())
