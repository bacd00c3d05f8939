"""Hooks that name an event bus of EventBridge (moto): what is put there, what is retried, who may do so."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from answering import Answering
from atomic.adapters.aws import config
from atomic.adapters.aws.buses import BusInvoker
from atomic.adapters.aws.calls import AwsCalls
from atomic.application.ports import EndpointRequest
from atomic.domain.hooks import Hook
from atomic.domain.outcomes import EndpointResponse
from atomic.entrypoints.aws.api import ApiFunction
from atomic.entrypoints.aws.invoker import InvokerFunction
from atomic.protocol.error_kinds import ErrorKind
from atomic.testing.endpoints import FunctionInvoker
from contract.aws import Aws, Recorder, aws
from stack_template import RESOURCES, TEMPLATE
from unit.aws.test_handlers import INVOKER, batch, environment, gateway_event

HOOK = {"url": "eventbridge:ops", "on": ["run.succeeded"]}


@dataclass
class Stack:
    """An API function and an invoker, and what is put on the bus `ops`."""

    aws: Aws
    key: str
    at: str
    put: Recorder
    api: ApiFunction
    invoker: InvokerFunction

    def ask(self, method: str, path: str, document: Any = None) -> tuple[int, dict[str, Any]]:
        """A request with the key of the client."""
        event = gateway_event(method, path, "" if document is None else json.dumps(document))
        event["headers"]["authorization"] = f"Bearer {self.key}"
        answer = self.api(event, None)
        return answer["statusCode"], json.loads(answer["body"])

    def work(self) -> None:
        """Let the invoker work on all wake-ups that are there, and on those that follow."""
        while wakeups := self.aws.received(self.aws.queue_url):
            for wakeup in wakeups:
                assert self.invoker(batch(wakeup), None) == {"batchItemFailures": []}


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with aws() as account, Recorder(config.events_client()) as recorder:
        config.events_client().create_event_bus(Name="ops")
        endpoint = Answering(lambda _path, _call: (200, b'{"ok":true}'))
        key, _ = account.admin().create("acme", base_urls=[endpoint.url, "eventbridge:ops"])
        # Functions that know the client already would see the hook within a minute.
        account.admin().put_hook("acme", Hook(name="ops", url="eventbridge:ops", on=("run.succeeded",)))
        environ = {**environment(account), "ATOMIC_EVENT_BUS": "ops"}
        built = (ApiFunction(environ), InvokerFunction(environ | INVOKER))
        recorder.calls.clear()
        yield Stack(account, key, f"{endpoint.url}/works", recorder, *built)
        for function in built:
            function.runtime.close()
        endpoint.close()


def test_an_end_is_put_on_the_bus_as_an_endpoint_would_be_told(stack: Stack) -> None:
    assert stack.ask("PUT", "/acme/hooks/ops", HOOK)[0] == 200
    start = {"workflowName": "w", "stepInvokeUrl": stack.at, "idempotencyKey": "k"}
    status, run = stack.ask("POST", "/acme", {**start, "hooks": {"run.succeeded": "eventbridge:ops"}})
    assert (status, run["status"]) == (200, "succeeded")
    stack.work()

    assert stack.put.operations == ["PutEvents", "PutEvents"]
    entries = [entry for _, asked in stack.put.calls for entry in asked["Entries"]]
    of_all = {"EventBusName": "ops", "Source": "atomic", "DetailType": "run.succeeded"}
    assert all(entry | of_all == entry for entry in entries)
    told = {detail["workflowName"]: detail for detail in (json.loads(each["Detail"]) for each in entries)}
    assert told.keys() == {"hook/ops", "hook/@start"}
    assert {detail["payload"]["runId"] for detail in told.values()} == {run["runId"]}
    _, delivery = stack.ask("GET", f"/acme/steps/{told['hook/ops']['stepId']}")
    assert (delivery["status"], delivery["response"].keys()) == ("succeeded", {"eventId"})


def test_a_hook_names_no_other_bus_and_a_step_none(stack: Stack) -> None:
    status, refused = stack.ask("PUT", "/acme/hooks/ops", {**HOOK, "url": "eventbridge:other"})
    assert (status, refused["errors"][0]["field"]) == (400, "url")
    assert "use eventbridge:ops" in refused["detail"]
    start = {"workflowName": "w", "stepInvokeUrl": "eventbridge:ops", "idempotencyKey": "k"}
    status, refused = stack.ask("POST", "/acme", start)
    assert (status, refused["errors"][0]["field"]) == (400, "stepInvokeUrl")


def test_a_client_without_the_bus_as_a_base_url_may_not_name_it(stack: Stack) -> None:
    stack.key, _ = stack.aws.admin().create("other", base_urls=["https://app.example"])
    status, refused = stack.ask("PUT", "/other/hooks/ops", HOOK)
    assert (status, refused["type"].rpartition(":")[2]) == (403, "url-not-allowed")


class Bus:
    """A bus that answers this; with `answers`, when that is set."""

    def __init__(self, answer: Mapping[str, Any] | Exception, answers: Event | None = None) -> None:
        self.answer, self.answers = answer, answers

    def put_events(self, *, Entries: Sequence[Mapping[str, str]]) -> Mapping[str, Any]:  # noqa: N803 - as boto3
        if self.answers is not None:
            assert self.answers.wait(20)
        assert [entry["EventBusName"] for entry in Entries] == ["ops"]
        if isinstance(self.answer, Exception):
            raise self.answer
        return {"Entries": [self.answer]}


def refusal(code: str) -> ClientError:
    """The whole request is refused."""
    return ClientError({"Error": {"Code": code}}, "PutEvents")


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        ({"EventId": "e-1"}, 200, {"eventId": "e-1"}),
        ({"ErrorCode": "ThrottlingException"}, 503, {"message": "ThrottlingException"}),
        ({"ErrorCode": "NotAuthorizedForDetailType"}, 400, {"message": "NotAuthorizedForDetailType"}),
        (refusal("AccessDeniedException"), 400, {"message": "AccessDeniedException"}),
        (refusal("ThrottlingException"), 503, {"message": "ThrottlingException"}),
    ],
)
def test_what_the_bus_answers(answer: Any, status: int, said: dict[str, str]) -> None:
    answered = post(answer)
    assert (answered.status, json.loads(answered.body)) == (status, said)


def test_a_bus_that_cannot_be_reached_is_tried_again() -> None:
    answered = post(ConnectTimeoutError(endpoint_url="https://events.example"))
    assert answered.error is not None
    assert (answered.error.kind, answered.error.detail) == (ErrorKind.NETWORK, "ConnectTimeoutError")


def test_an_attempt_ends_within_its_time_whatever_the_bus_does() -> None:
    answers = Event()
    answered = post({"EventId": "late"}, answers)
    assert answered.error is not None
    assert (answered.error.kind, answered.error.detail) == (ErrorKind.TIMED_OUT, "100")


def post(answer: Mapping[str, Any] | Exception, answers: Event | None = None) -> EndpointResponse:
    calls, body = AwsCalls(1), b'{"payload":{"event":"run.failed"}}'
    invoker = BusInvoker(FunctionInvoker(), calls, lambda: Bus(answer, answers))
    url, timeout_ms = "eventbridge:ops", 60_000 if answers is None else 100
    request = EndpointRequest(client_id="acme", url=url, headers={}, body=body, timeout_ms=timeout_ms)
    try:
        return asyncio.run(invoker.post(request))
    finally:
        if answers is not None:
            answers.set()
        calls.close()


def test_only_the_invoker_may_put_events_and_only_on_the_bus_of_the_parameter() -> None:
    policy = RESOURCES["EventBusPolicy"]
    assert policy["Condition"] == "HasEventBus"
    assert TEMPLATE["Parameters"]["EventBusName"]["Default"] == ""
    assert policy["Properties"]["Roles"] == [{"Ref": "InvokerRole"}]
    [statement] = policy["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Allow", "events:PutEvents")
    bus = "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/${EventBusName}"
    assert statement["Resource"] == {"Fn::Sub": bus}
