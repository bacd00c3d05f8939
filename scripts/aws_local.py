"""The real template on an emulator of AWS on this machine, by the real `sam build` and `sam deploy`.

    python scripts/aws_local.py                  # prints a URL and a curl, stays until Ctrl-C
    python scripts/aws_local.py -- COMMAND ...   # runs the command beside the stack and ends with its code

Without a terminal and without a command it starts one workflow, and ends with 0 when that succeeded. The
command finds the stack in the environment: ATOMIC_STACK holds its outputs as JSON.
"""

# ruff: noqa: S108, S310, S603, TID251 - it starts programs of this repository, and waits for them
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, cast

import botocore.session

from atomic.adapters.aws import config
from atomic.adapters.aws.client_store import DynamoClientStore
from atomic.adapters.system import SystemClock, SystemEntropy
from atomic.application.client_admin import ClientAdmin
from atomic.entrypoints.aws.settings import PepperSettings

REPO: Final = Path(__file__).parents[1]
EMULATOR: Final = REPO / ".venv-aws" / "bin"
SAM: Final = REPO / ".venv-sam" / "bin"
REGION: Final = "us-east-1"
STACK: Final = "atomic-local"
_HEALTHY_WITHIN_S: Final = 30
_SAM_WITHIN_S: Final = 300
_INVOKERS: Final = 16


def main(arguments: Sequence[str]) -> int:
    """Bring the stack up, do what was asked for, take it down."""
    # So that Ctrl-C and a CI that fails both run what is to be run at the end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="atomic-", dir=_short_tmp())))
        port = free_port()
        environ = aws_environ(port)
        stack.enter_context(emulator(work, port))
        outputs = deployed(work, environ)
        if arguments[:1] == ["--"]:
            told = environ | {"ATOMIC_STACK": json.dumps(outputs)}
            return subprocess.run(arguments[1:], env=told, check=False).returncode
        return _show(outputs, stack)


@contextmanager
def emulator(work: Path, port: int, *more_hosts: str) -> Iterator[None]:
    """ministack, listening on this machine only, IAM enforced. ATOMIC_LOCAL_LOG: where its log goes."""
    log = work / "ministack.log"
    (work / "tmp").mkdir()
    settings = {"GATEWAY_PORT": str(port), "AUTH": "true", "TMPDIR": str(work / "tmp")}
    command = [str(EMULATOR / "python"), "-m", "hypercorn", "ministack.app:app"]
    for host in ("127.0.0.1", *more_hosts):
        command += ["--bind", f"{host}:{port}"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=clean_environ() | settings, stdout=out, stderr=out, cwd=work
        )
    try:
        _await_health(port, process, log)
        yield
    finally:
        kept = os.environ.get("ATOMIC_LOCAL_LOG")
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(15)
        if kept:
            shutil.copy(log, kept)


def _await_health(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline_s = time.monotonic() + _HEALTHY_WITHIN_S
    while time.monotonic() < deadline_s and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_ministack/health", timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"the emulator did not become healthy:\n{log.read_text()[-2000:]}")


def deployed(work: Path, environ: dict[str, str]) -> dict[str, str]:
    """Build and deploy the template; its outputs, and where to find the API here."""
    began_s = time.monotonic()
    template = built(work, environ) / "template.yaml"
    _sam(["sam", "deploy", "--template-file", str(template), "--no-progressbar"], environ)
    _mend_mappings(environ)
    _mend_schedule_rights(environ)
    stack = _client("cloudformation", environ).describe_stacks(StackName=STACK)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    outputs |= {
        "Endpoint": environ["AWS_ENDPOINT_URL"],
        "Host": f"{outputs['ApiId']}.execute-api.localhost",
    }
    print(f"built and deployed for {runtime()} in {time.monotonic() - began_s:.0f} s", flush=True)
    return outputs


def built(work: Path, environ: dict[str, str]) -> Path:
    """Build the functions and the layer for this machine; the folder that holds them."""
    folder = work / "build"
    folders = ["--build-dir", str(folder), "--cached", "--cache-dir", str(work / "cache")]
    python = str((EMULATOR / runtime()).resolve())
    _sam([str(REPO / "scripts/sam-build"), *folders], environ | {"RUNTIME": python})
    return folder


def template_parameters(environ: dict[str, str]) -> list[str]:
    """What the template has to know of this machine; every sam command wants to be told again."""
    return [
        f"Runtime={runtime()}",
        f"Architecture={architecture()}",
        f"EndpointUrl={environ['AWS_ENDPOINT_URL']}",
        "Stage=local",
        "AllowPrivate=true",
        "DeletionProtection=false",
        f"KeyPepper={environ['ATOMIC_KEY_PEPPER']}",
    ]


def _sam(command: list[str], environ: dict[str, str]) -> None:
    command += ["--config-file", str(REPO / "samconfig.toml"), "--config-env", "local"]
    command += ["--parameter-overrides", *template_parameters(environ)]
    done = subprocess.run(
        command, cwd=REPO, env=environ, timeout=_SAM_WITHIN_S, text=True, capture_output=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"{command[:2]} failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")


def _mend_mappings(environ: dict[str, str]) -> None:
    """ministack hands on a number that is a parameter as text, and its poller fails on comparing it."""
    functions = _client("lambda", environ)
    for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
        functions.update_event_source_mapping(
            UUID=mapping["UUID"], ScalingConfig={"MaximumConcurrency": _INVOKERS}
        )


def _mend_schedule_rights(environ: dict[str, str]) -> None:
    """ministack takes every schedule to be in the group `default` when it asks for the right to make it."""
    policy = _client("cloudformation", environ).describe_stack_resource(
        StackName=STACK, LogicalResourceId="EnginePolicy"
    )["StackResourceDetail"]["PhysicalResourceId"]
    right = {
        "Effect": "Allow",
        "Action": "scheduler:CreateSchedule",
        "Resource": f"arn:aws:scheduler:{REGION}:*:schedule/default/*",
    }
    iam = _client("iam", environ)
    for role in iam.list_entities_for_policy(PolicyArn=policy)["PolicyRoles"]:
        iam.put_role_policy(
            RoleName=role["RoleName"],
            PolicyName="schedules-on-the-emulator",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [right]}),
        )


def _show(outputs: dict[str, str], stack: ExitStack) -> int:
    """Make a client and an endpoint, run one workflow, and say how to do the same."""
    base = f"http://127.0.0.1:{stack.enter_context(endpoint())}/"
    api_key = create_client(outputs, "demo", base)
    url = f"http://{outputs['Host']}:{outputs['Endpoint'].rpartition(':')[2]}"
    start = {
        "workflowName": "hello",
        "stepInvokeUrl": f"{base}hello",
        "idempotencyKey": "1",
        "payload": "ada",
    }
    request = urllib.request.Request(
        f"{outputs['Endpoint']}/demo",
        data=json.dumps(start).encode(),
        headers={"Host": outputs["Host"], "Authorization": f"Bearer {api_key}"},
    )
    with urllib.request.urlopen(request, timeout=40) as answer:
        step = json.loads(answer.read())
    print(f"Atomic: {url}/demo   table {outputs['TableName']}   endpoint {base}hello")
    print(f"curl -s {url}/demo -H 'Authorization: Bearer {api_key}' -d '{json.dumps(start)}'")
    print(f"run {step['runId']}: {step['status']}, {step['response']}", flush=True)
    if sys.stdin.isatty() and step["status"] == "succeeded":
        try:
            print("Ctrl-C ends it.", flush=True)
            signal.pause()
        except KeyboardInterrupt:
            print()
    return 0 if step["status"] == "succeeded" else 1


def create_client(outputs: dict[str, str], client_id: str, base_url: str) -> str:
    """Make a client as an operator does; its API key."""
    environ = aws_environ(0)
    dynamodb = config.dynamodb_client(endpoint_url=outputs["Endpoint"], **credentials(environ))
    admin = ClientAdmin(
        store=DynamoClientStore(dynamodb, outputs["TableName"]),
        pepper=PepperSettings.of_environment(environ).key_pepper.encode(),
        now_ms=SystemClock().now_ms,
        token_bytes=SystemEntropy().token_bytes,
    )
    api_key, _ = admin.create(client_id, base_urls=[base_url])
    return api_key


@contextmanager
def endpoint(host: str = "127.0.0.1") -> Iterator[int]:
    """A step of an application: greets whoever the payload names. Its port."""
    server = ThreadingHTTPServer((host, 0), _Greeting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()


class _Greeting(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        call = json.loads(self.rfile.read(int(self.headers["content-length"])))
        body = json.dumps({"greeting": f"Hello, {call['payload']}"}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """The stack has logs of its own."""


def architecture() -> str:
    """This machine's, as Lambda calls it."""
    return {"aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "x86_64")


def runtime() -> str:
    """Functions run on the emulator's own interpreter, so they are built for its version."""
    code = "import sys; print('python%d.%d' % sys.version_info[:2])"
    ran = subprocess.run(
        [EMULATOR / "python", "-c", code], check=True, capture_output=True, text=True, timeout=20
    )
    return ran.stdout.strip()


def aws_environ(port: int) -> dict[str, str]:
    """The environment of whoever talks to the emulator at that port."""
    return clean_environ() | {
        "PATH": f"{SAM}{os.pathsep}{os.environ['PATH']}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "ATOMIC_KEY_PEPPER": "of-a-stack-that-lives-for-minutes",
        "SAM_CLI_TELEMETRY": "0",
        "SAM_CLI_POLL_DELAY": "0.2",
    }


def _client(service: str, environ: dict[str, str]) -> Any:
    return botocore.session.get_session().create_client(
        service, endpoint_url=environ["AWS_ENDPOINT_URL"], **credentials(environ)
    )


def credentials(environ: dict[str, str]) -> dict[str, Any]:
    """The options of a boto client."""
    return {
        "region_name": REGION,
        "aws_access_key_id": environ["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": environ["AWS_SECRET_ACCESS_KEY"],
    }


def clean_environ() -> dict[str, str]:
    """The environment without the caller's own AWS account: nothing here may reach it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}


def _short_tmp() -> str | None:
    # Lambda's own paths are long, and paths end somewhere.
    return "/tmp" if os.access("/tmp", os.W_OK) else None


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return cast("int", probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
