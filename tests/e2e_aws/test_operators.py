"""The command line of operators against the deployed stack."""

import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result

from atomic.cli.main import main
from e2e_aws.aws_runtime import AwsStack
from sdk.shop import shop

Cli = Callable[..., Result]
broken = {"payments"}


def run_atomic(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def app_url() -> Iterator[str]:
    with shop(lambda _: bool(broken)) as url:
        yield url


@pytest.fixture
def client(stack: AwsStack, app_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A client that the command line created, and the operator's environment."""
    client_id = f"t{uuid4().hex[:12]}"
    table = stack.outputs["TableName"]
    may = ("--base-url", f"{app_url}/", "--allow-http", "--allow-ip")
    made = run_atomic("clients", "create", client_id, *may, "--table", table)
    api_key, secret = re.findall(r": +(\S+)$", made.stdout, re.MULTILINE)[1:]
    prefix = f"/_aws/execute-api/{stack.outputs['ApiId']}/$default"
    monkeypatch.setenv("ATOMIC_URL", stack.outputs["Endpoint"] + prefix)
    monkeypatch.setenv("ATOMIC_CLIENT_ID", client_id)
    monkeypatch.setenv("ATOMIC_API_KEY", api_key)
    monkeypatch.setenv("ATOMIC_SIGNING_SECRET", secret)
    return client_id


def test_a_day_of_an_operator(client: str, app_url: str) -> None:
    start = ("start", "order", f"{app_url}/order", "--key", "k", "--payload", "42")
    failed = run_atomic(*start, code=4)
    assert "forbade a retry" in failed.stderr

    [run] = json.loads(run_atomic("runs", "list", "--status", "failed", "--json").stdout)
    assert "forbade a retry" in run_atomic("runs", "show", run["runId"]).stdout
    dead = json.loads(run_atomic("dead-letters", "--json").stdout)
    assert {step["status"] for step in dead} == {"failed"}
    assert {step["runId"] for step in dead} == {run["runId"]}

    broken.clear()
    run_atomic("redrive", "--workflow", "order")
    shown = run_atomic("runs", "show", run["runId"], "--watch", "--json")
    assert '"status": "succeeded"' in shown.stdout
    assert json.loads(run_atomic(*start).stdout) == {"paid": 42}
    assert "answers" in run_atomic("doctor").stdout


def test_cancel(client: str, app_url: str) -> None:
    waiting = ("start", "approval", f"{app_url}/approval", "--key", "k", "--timeout", "1")
    run_atomic(*waiting, code=3)
    [run] = json.loads(run_atomic("runs", "list", "--json").stdout)

    assert "is cancelled" in run_atomic("cancel", run["runId"]).stdout
    run_atomic(*waiting, code=5)


def test_the_stack_says_which_commit_it_is_of(stack: AwsStack) -> None:
    with urllib.request.urlopen(f"{stack.api}/health", timeout=30) as answer:
        build = json.load(answer)["build"]
    # Only a build outside of a repository knows none.
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", build)
