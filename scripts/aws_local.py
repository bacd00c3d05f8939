"""Deploys template.yaml onto an AWS emulator on this machine, with `sam build` and `sam deploy`.

    python scripts/aws_local.py                  # prints a URL and a curl, stays until Ctrl-C
    python scripts/aws_local.py -- COMMAND ...   # runs the command beside the stack and ends with its code

Without a terminal and a command it runs one workflow, and exits with 0 if that succeeded. The environment
variable ATOMIC_STACK tells the command about the stack: it holds the outputs as JSON.
"""

# ruff: noqa: S108, S310, S603, TID251 - this script starts programs of this repository and waits for them
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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
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
# Where the pages of the documentation serve their applications.
YOURS: Final = "http://127.0.0.1:9000/"


def main(arguments: Sequence[str]) -> int:
    """Bring the stack up, run the command or the demonstration, and take the stack down."""
    # So that the cleanup runs after Ctrl-C and after a failed CI job.
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
    """Run ministack on loopback with IAM enforced. ATOMIC_LOCAL_LOG names the file for its log."""
    log = work / "ministack.log"
    (work / "tmp").mkdir()
    settings = {"GATEWAY_PORT": str(port), "AUTH": "true", "TMPDIR": str(work / "tmp")}
    command = [str(EMULATOR / "python"), "-m", "hypercorn", "ministack.app:app"]
    for host in ("127.0.0.1", *more_hosts):
        command += ["--bind", f"{one_address(host)}:{port}"]
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
    """Build and deploy the template; return what `outputs_of` does, and the folder of what was built."""
    began_s = time.monotonic()
    build = built(work, environ)
    _sam(["sam", "deploy", "--template-file", str(build / "template.yaml"), "--no-progressbar"], environ)
    outputs = outputs_of(STACK, environ)
    print(f"built and deployed for {runtime()} in {time.monotonic() - began_s:.0f} s", flush=True)
    return outputs | {"Build": str(build)}


def outputs_of(stack: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Set right what the emulator did with a new stack; return its outputs and the local URL of its API."""
    _fix_mappings(environ)
    _fix_schedule_rights(stack, environ)
    [found] = _client("cloudformation", environ).describe_stacks(StackName=stack)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}
    return outputs | {
        "Endpoint": environ["AWS_ENDPOINT_URL"],
        "Host": f"{outputs['ApiId']}.execute-api.localhost",
    }


def built(work: Path, environ: dict[str, str]) -> Path:
    """Build the functions and the layer for this machine; return their folder."""
    folder = work / "build"
    folders = ["--build-dir", str(folder), "--cached", "--cache-dir", str(work / "cache")]
    python = str((EMULATOR / runtime()).resolve())
    _sam([str(REPO / "scripts/sam-build"), *folders], environ | {"RUNTIME": python})
    return folder


def template_parameters(environ: dict[str, str]) -> list[str]:
    """The parameters of the template on this machine. Every sam command needs all of them."""
    return [
        f"Runtime={runtime()}",
        f"Architecture={architecture()}",
        f"LocalEndpoint={environ['AWS_ENDPOINT_URL']}",
        "Stage=local",
        "DeletionProtection=false",
        "Demo=true",
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


def _fix_mappings(environ: Mapping[str, str]) -> None:
    """Work around ministack.

    It keeps a numeric parameter as text, and its poller then fails to compare it.
    """
    functions = _client("lambda", environ)
    for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
        functions.update_event_source_mapping(
            UUID=mapping["UUID"], ScalingConfig={"MaximumConcurrency": _INVOKERS}
        )


def _fix_schedule_rights(stack: str, environ: Mapping[str, str]) -> None:
    """Work around ministack. Its permission check takes every schedule to be in the group `default`."""
    policy = _client("cloudformation", environ).describe_stack_resource(
        StackName=stack, LogicalResourceId="EnginePolicy"
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
    """Create a client and an endpoint, run one workflow, and print the commands that do the same."""
    base = f"http://127.0.0.1:{stack.enter_context(endpoint())}/"
    api_key = create_client(outputs, "demo", base, YOURS)
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
    # Not every program knows that names below `localhost` are this machine; all of them know the address.
    steps = f"{outputs['Endpoint']}/_aws/execute-api/{outputs['ApiId']}/$default"
    print(f"export ATOMIC_URL='{steps}' ATOMIC_CLIENT_ID=demo ATOMIC_API_KEY={api_key}")
    print(f'curl -s {outputs["DemoUrl"]}/users -d \'{{"userName": "ada"}}\'')
    print(f"run {step['runId']}: {step['status']}, {step['response']}", flush=True)
    if sys.stdin.isatty() and step["status"] == "succeeded":
        try:
            print("Ctrl-C ends it.", flush=True)
            signal.pause()
        except KeyboardInterrupt:
            print()
    return 0 if step["status"] == "succeeded" else 1


def create_client(outputs: dict[str, str], client_id: str, *base_urls: str) -> str:
    """Create a client as an operator does; return its API key."""
    environ = aws_environ(0)
    dynamodb = config.dynamodb_client(endpoint_url=outputs["Endpoint"], **credentials(environ))
    admin = ClientAdmin(
        store=DynamoClientStore(dynamodb, outputs["TableName"]),
        pepper=PepperSettings.of_environment(environ).peppers.current,
        now_ms=SystemClock().now_ms,
        token_bytes=SystemEntropy().token_bytes,
    )
    api_key, _ = admin.create(client_id, base_urls=list(base_urls))
    return api_key


@contextmanager
def endpoint(host: str = "127.0.0.1") -> Iterator[int]:
    """Serve a step that greets the person named in the payload; return its port."""
    server = ThreadingHTTPServer((one_address(host), 0), _Greeting)
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
        """Log nothing here; the stack has logs of its own."""


def architecture() -> str:
    """This machine's architecture, under Lambda's name for it."""
    return {"aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "x86_64")


def runtime() -> str:
    """The Lambda runtime to build for.

    The emulator runs functions on its own interpreter, so it is that version.
    """
    code = "import sys; print('python%d.%d' % sys.version_info[:2])"
    ran = subprocess.run(
        [EMULATOR / "python", "-c", code], check=True, capture_output=True, text=True, timeout=20
    )
    return ran.stdout.strip()


def aws_environ(port: int) -> dict[str, str]:
    """The environment of a process that calls the emulator at that port."""
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


def _client(service: str, environ: Mapping[str, str]) -> Any:
    return botocore.session.get_session().create_client(
        service, endpoint_url=environ["AWS_ENDPOINT_URL"], **credentials(environ)
    )


def credentials(environ: Mapping[str, str]) -> dict[str, Any]:
    """The options of a boto client."""
    return {
        "region_name": REGION,
        "aws_access_key_id": environ["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": environ["AWS_SECRET_ACCESS_KEY"],
    }


def clean_environ() -> dict[str, str]:
    """The environment without the caller's AWS credentials, so that nothing here reaches a real account."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}


def _short_tmp() -> str | None:
    # A short folder, because Lambda's own paths are long and the length of a path is limited.
    return "/tmp" if os.access("/tmp", os.W_OK) else None


def one_address(host: str) -> str:
    """The address to listen on. An empty text or 0.0.0.0 would mean every interface: raises ValueError."""
    if ip_address(host).is_unspecified:
        raise ValueError(f"{host} is every interface of this machine")
    return host


def free_port() -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return cast("int", probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
