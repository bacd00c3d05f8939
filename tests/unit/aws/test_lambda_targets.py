"""Lambda functions as endpoints of a stack: called by the API function, and again by the invoker."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from atomic.entrypoints.aws.api import ApiFunction
from atomic.entrypoints.aws.invoker import InvokerFunction
from contract.aws import Aws, aws
from fake_lambda import ENVIRONMENT, FakeLambda, Refusal, fake_lambda
from stack_template import RESOURCES, TEMPLATE
from unit.aws.test_handlers import INVOKER, batch, environment, gateway_event


@dataclass
class Stack:
    """An API function and an invoker, and the fake that they call; the client may call `shop-*`."""

    aws: Aws
    fake: FakeLambda
    key: str
    api: ApiFunction
    invoker: InvokerFunction

    def post(self, url: str, key: str = "1", **more: Any) -> dict[str, Any]:
        """Start a step at once, or let the invoker do it."""
        wanted = {"workflowName": "w", "stepInvokeUrl": url, "idempotencyKey": key, "payload": 7, **more}
        event = gateway_event("POST", "/acme", json.dumps(wanted))
        event["headers"]["authorization"] = f"Bearer {self.key}"
        return self.api(event, None)


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with aws() as account, fake_lambda() as (at, fake):
        # Moto has credentials of its own in the environment.
        for name, value in ENVIRONMENT.items():
            monkeypatch.setenv(name, value)
        environ = {
            **environment(account),
            **ENVIRONMENT,
            "ATOMIC_LAMBDA_TARGETS": "true",
            "AWS_ENDPOINT_URL_LAMBDA": at,
        }
        key, _ = account.admin().create("acme", base_urls=["lambda:shop-*"])
        built = (ApiFunction(environ), InvokerFunction(environ | INVOKER))
        yield Stack(account, fake, key, *built)
        for function in built:
            function.runtime.close()


def test_a_function_is_called_at_once(stack: Stack) -> None:
    stack.fake.functions["shop-orders:prod"] = lambda event, _: {
        "got": json.loads(event["body"])["payload"]
    }

    answer = stack.post("lambda:shop-orders:prod/pay")
    elsewhere = stack.post("lambda:bank/pay", "2")

    assert (answer["statusCode"], json.loads(answer["body"])["response"]) == (200, {"got": 7})
    assert json.loads(elsewhere["body"])["type"].endswith(":url-not-allowed")
    [(name, event)] = stack.fake.events
    assert (name, event["rawPath"]) == ("shop-orders:prod", "/pay")
    assert "webhook-signature" in event["headers"]
    assert event["headers"]["atomic-url"] == "lambda:shop-orders:prod/pay"


def test_a_throttled_function_is_called_again_and_loses_no_retry(stack: Stack) -> None:
    def throttled(_event: Any, _context: Any) -> Any:
        raise Refusal(429, "TooManyRequestsException")

    stack.fake.functions["shop-orders"] = throttled
    unfinished = stack.post("lambda:shop-orders", retry={"count": 0}, timeout=1200)
    assert unfinished["statusCode"] == 504, unfinished
    stack.fake.functions["shop-orders"] = lambda *_: "done"

    until = time.monotonic() + 10
    while len(stack.fake.events) < 2 and time.monotonic() < until:
        for wakeup in stack.aws.received(stack.aws.queue_url):
            assert stack.invoker(batch(wakeup), None) == {"batchItemFailures": []}
        time.sleep(0.1)

    answer = json.loads(stack.post("lambda:shop-orders", retry={"count": 0})["body"])
    assert (answer["status"], answer["response"], answer["attempts"]) == ("succeeded", "done", 1)


def test_only_what_makes_attempts_may_invoke_and_only_the_functions_of_the_parameter() -> None:
    policy = RESOURCES["LambdaTargetsPolicy"]
    assert policy["Condition"] == "HasLambdaTargets"
    assert TEMPLATE["Parameters"]["LambdaTargets"]["Default"] == ""
    [statement] = policy["Properties"]["PolicyDocument"]["Statement"]
    assert statement == {
        "Effect": "Allow",
        "Action": "lambda:InvokeFunction",
        "Resource": {"Ref": "LambdaTargets"},
    }
    callers = {role["Ref"] for role in policy["Properties"]["Roles"]}
    assert "MaintenanceRole" not in callers
    assert callers >= {"ApiRole", "InvokerRole", "LongInvokerRole"}
