"""The demo of a stack: the custom resource that makes its client, and one request that shows a run."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import urllib3
from botocore.exceptions import EndpointConnectionError

from atomic.demo.on_lambda import DemoFunction
from atomic.domain.clients.records import ClientRecord, is_live
from atomic.entrypoints.aws.demo_client import CLIENT_ID, DemoClientFunction
from atomic.entrypoints.aws.logs import InvocationFailed
from both_runtimes import embedded
from contract.aws import PEPPER, TABLE_NAME
from gateway import served
from stack_template import GLOBALS, RESOURCES, TEMPLATE
from unit.aws.test_handlers import Stack, stack

__all__ = ["stack"]


ENVIRON = {
    "ATOMIC_TABLE": TABLE_NAME, "ATOMIC_KEY_PEPPER": PEPPER.decode(), "ATOMIC_STAGE": "test",
    "POWERTOOLS_SERVICE_NAME": "atomic",
}  # fmt: skip


class CloudFormation:
    """What waits for the answer of a custom resource."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []
        answers = self.answers

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                answers.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/answer?Signature=x"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def asks(self, function: DemoClientFunction, kind: str, base_url: str = "https://demo.example/") -> Any:
        """The answer of the function."""
        function(
            {
                "RequestType": kind,
                "ResponseURL": self.url,
                "StackId": "arn:stack",
                "RequestId": "r-1",
                "LogicalResourceId": "DemoClient",
                "ResourceProperties": {"BaseUrl": base_url},
            },
            None,
        )
        return self.answers.pop()


@pytest.fixture
def cloudformation() -> Iterator[CloudFormation]:
    asked = CloudFormation()
    yield asked
    asked.close()


@pytest.fixture
def maker(stack: Stack) -> Iterator[DemoClientFunction]:
    del stack  # the account
    function = DemoClientFunction(ENVIRON)
    yield function
    function.close()


def record(stack: Stack) -> ClientRecord:
    found = stack.aws.admin().store.load(CLIENT_ID)
    assert found is not None
    return found


def live_keys(stack: Stack) -> list[str]:
    now_ms = stack.aws.admin().now_ms()
    return [key.id for key in record(stack).keys if is_live(key, now_ms)]


def test_the_client_of_the_demo_may_start_a_little_at_the_demo_alone(
    stack: Stack, maker: DemoClientFunction, cloudformation: CloudFormation
) -> None:
    answer = cloudformation.asks(maker, "Create")
    assert set(answer.pop("Data")) == {"ClientId", "ApiKey", "SigningSecret"}
    assert answer == {
        "Status": "SUCCESS", "NoEcho": True, "StackId": "arn:stack", "RequestId": "r-1",
        "LogicalResourceId": "DemoClient", "PhysicalResourceId": CLIENT_ID,
    }  # fmt: skip
    made = record(stack)
    assert made.base_urls == ("https://demo.example/",)
    assert [key.scopes for key in made.keys] == [("start",)]
    assert made.quota.starts_per_second is not None
    assert made.quota.live_steps is not None


def test_an_update_gives_a_new_key_and_ends_the_old_one(
    stack: Stack, maker: DemoClientFunction, cloudformation: CloudFormation
) -> None:
    first = cloudformation.asks(maker, "Create")
    old = live_keys(stack)
    second = cloudformation.asks(maker, "Update", "https://other.example/")
    assert second["PhysicalResourceId"] == first["PhysicalResourceId"]
    assert second["Data"]["ApiKey"] != first["Data"]["ApiKey"]
    assert second["Data"]["SigningSecret"] == first["Data"]["SigningSecret"]
    assert record(stack).base_urls == ("https://other.example/",)
    assert len(live_keys(stack)) == 1
    assert not set(old) & set(live_keys(stack))


def test_with_the_demo_its_keys_end(
    stack: Stack, maker: DemoClientFunction, cloudformation: CloudFormation
) -> None:
    cloudformation.asks(maker, "Create")
    assert cloudformation.asks(maker, "Delete")["Status"] == "SUCCESS"
    assert live_keys(stack) == []
    # A table that was there before, as ExistingTable is.
    assert cloudformation.asks(maker, "Create")["Status"] == "SUCCESS"
    assert len(live_keys(stack)) == 1


def test_cloudformation_is_always_answered(
    maker: DemoClientFunction, cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="https://dynamodb.example")

    monkeypatch.setattr(type(maker._admin.store), "load", refuse)
    failed = cloudformation.asks(maker, "Create")
    assert (failed["Status"], failed["Reason"]) == ("FAILED", "EndpointConnectionError")
    assert "Data" not in failed
    # A stack can be deleted also when its table is gone.
    assert cloudformation.asks(maker, "Delete")["Status"] == "SUCCESS"


@pytest.mark.usefixtures("stack")
def test_no_line_says_how_cloudformation_is_answered(
    cloudformation: CloudFormation, capsys: pytest.CaptureFixture[str]
) -> None:
    maker = DemoClientFunction(ENVIRON)
    cloudformation.close()
    with pytest.raises(InvocationFailed) as failed:
        cloudformation.asks(maker, "Create")
    maker.close()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert lines[-1]["message"] == "CloudFormation did not take the answer"
    # urllib3 tells of each try, with the path and its signature.
    assert len(lines) > 1
    assert "Signature" not in f"{lines} {failed.value}"


@pytest.fixture
def demo_url(tmp_path: Path) -> Iterator[str]:
    """The demo as a function behind a gateway, with a client of a server that asks for keys."""
    function: list[DemoFunction] = []
    with (
        embedded(tmp_path) as atomic,
        served(lambda event, context: function[0](event, context), several=True) as url,
    ):
        api_key, secret = atomic.admin.create(CLIENT_ID, base_urls=[f"{url}/"], scopes=("start",))
        told = {"DEMO_URL": url, "DEMO_ATOMIC_URL": atomic.url, "DEMO_CLIENT_ID": CLIENT_ID}
        keys = {"DEMO_API_KEY": api_key, "DEMO_SIGNING_SECRET": secret}
        function.append(DemoFunction(told | keys, tmp_path / "demo"))
        yield url
        function[0].close()


def posted(url: str, body: Any, **headers: str) -> Any:
    answer = urllib3.request("POST", url, json=body, headers=headers, timeout=30)
    return answer.status, answer.json()


def test_one_request_shows_a_run_with_retries(demo_url: str) -> None:
    status, run = posted(f"{demo_url}/users", {"userName": "ada"})
    assert (status, run["status"]) == (200, "succeeded")
    assert run["response"]["user"]["userName"] == "ada"
    assert run["response"]["analytics"] == {"tracked": True}


def test_strangers_call_no_step_of_the_demo(demo_url: str) -> None:
    call = {"idempotencyKey": "k", "payload": {"userName": "ada"}, "stepId": "s"}
    status, refused = posted(f"{demo_url}/workflows/userCreation/createUser", call)
    assert (status, "signature" in refused["error"]) == (401, True)


def test_what_the_demo_does_not_know_is_an_answer(demo_url: str) -> None:
    assert posted(f"{demo_url}/nothing", {})[0] == 404
    assert posted(f"{demo_url}/users", ["ada"])[0] == 400


def test_the_variables_of_the_template_are_those_that_the_demo_reads(tmp_path: Path) -> None:
    variables = RESOURCES["DemoFunction"]["Properties"]["Environment"]["Variables"]
    DemoFunction(dict.fromkeys(variables, "x"), tmp_path).close()
    # An application gets no secret of the stack, though each function has the variables of all.
    secret = {name for name, each in TEMPLATE["Parameters"].items() if each.get("NoEcho")}
    of_all = GLOBALS["Environment"]["Variables"].items()
    secrets = {
        name for name, value in of_all if any(f'"Ref": "{each}"' in json.dumps(value) for each in secret)
    }
    assert {"ATOMIC_KEY_PEPPER", "ATOMIC_PREVIOUS_KEY_PEPPER"} <= secrets
    assert {variables[name] for name in secrets} == {""}
