"""The three functions on moto, called with single events; endpoints are real HTTP servers."""

import base64
import gzip
import io
import json
import logging
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import EndpointConnectionError
from click.testing import CliRunner
from moto.sqs import models as moto_sqs

from answering import Answer, Answering
from atomic.adapters.aws.destinations import Bounds
from atomic.adapters.aws.flow import DynamoFlowStore
from atomic.adapters.aws.leases import Lease, LeaseItems
from atomic.adapters.aws.table import age, key_of
from atomic.adapters.aws.wakeups import Wakeup, encode, encode_wakeup, parse_wakeup
from atomic.adapters.system import SystemClock
from atomic.application import admission
from atomic.application.commit import commit
from atomic.application.firing import process_schedule
from atomic.application.pointer_store import Pointers
from atomic.cli.main import main
from atomic.domain.clients.quota import Quota
from atomic.domain.events import Claimed
from atomic.domain.pointers import Pointer
from atomic.domain.transitions import begin
from atomic.entrypoints.aws import api, prices
from atomic.entrypoints.aws.access import ACCESS, Access
from atomic.entrypoints.aws.api import ApiFunction
from atomic.entrypoints.aws.invoker import InvokerFunction
from atomic.entrypoints.aws.maintenance import MaintenanceFunction
from atomic.entrypoints.log_policy import AllowedLines
from atomic.protocol.enums import Status
from contract.aws import BUCKET, GROUP, PEPPER, TABLE_NAME, Aws, Recorder, aws
from contract.builders import a_root, a_spec
from contract.flow_contract import AT, NOW_MS, asking, one
from contract.roles import READS, Request, prefix_of, within
from contract.schedules_contract import a_schedule

REPO = Path(__file__).parents[3]
INVOKER = {"ATOMIC_INVOKER": "short", "ATOMIC_INVOKERS_MAX": "50"}


class Endpoint:
    """An HTTP endpoint that gives the answers of a list in order, and then repeats the last one."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = [(200, b'{"ok":true}')]
        self.calls: list[dict[str, Any]] = []
        self.server = Answering(self._answer)
        self.url = f"{self.server.url}/step"

    def _answer(self, _: str, call: dict[str, Any]) -> Answer:
        self.calls.append(call)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@dataclass
class Stack:
    """The functions, and the AWS account that they share."""

    aws: Aws
    endpoint: Endpoint
    key: str
    api: ApiFunction
    steps: ApiFunction
    invoker: InvokerFunction
    maintenance: MaintenanceFunction
    queue_time: "QueueTime"
    asked: dict[str, list[Request]]

    def post(self, document: dict[str, Any], path: str = "/acme", **headers: str) -> dict[str, Any]:
        """Start a step."""
        posted = gateway_event("POST", path, json.dumps(document))
        posted["headers"] |= {"authorization": f"Bearer {self.key}", **headers}
        return (self.steps if path.endswith("/steps") else self.api)(posted, None)

    def deliver(self) -> dict[str, Any]:
        """Pass every message of the step queues to the invoker, including delayed ones."""
        self.queue_time.late_ms += 900_000
        watchdogs = [
            record(f"w{number}", body, queue="watchdogs")
            for number, body in enumerate(self.aws.received(self.aws.watchdog_queue_url))
        ]
        if watchdogs:
            assert self.invoker({"Records": watchdogs}, None) == {"batchItemFailures": []}
        queues = (self.aws.queue_url, self.aws.long_queue_url)
        return self.invoker(batch(*(body for url in queues for body in self.aws.received(url))), None)

    def maintain(self, work: str = "sweep") -> int:
        """Ask for a round of maintenance, and pass all its messages on; return their number."""
        self.maintenance({"work": work}, None)
        number = 0
        while bodies := self.aws.received(self.aws.maintenance_url):
            assert self.maintenance(batch(*bodies), None) == {"batchItemFailures": []}
            number += len(bodies)
        return number


class QueueTime:
    """An offset into the future for moto's queues, so that delayed messages are available at once."""

    late_ms = 0

    def now_ms(self) -> int:
        """The time that moto uses."""
        return SystemClock().now_ms() + self.late_ms


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    queue_time = QueueTime()
    monkeypatch.setattr(moto_sqs, "unix_time_millis", queue_time.now_ms)
    monkeypatch.setattr(moto_sqs, "unix_time", lambda: queue_time.now_ms() / 1000)
    with aws() as account:
        environ = environment(account)
        endpoint = Endpoint()
        key, _ = account.admin().create("acme", base_urls=[endpoint.url])
        invoker = InvokerFunction(environ | INVOKER)
        built = (ApiFunction(environ), ApiFunction(environ), invoker, MaintenanceFunction(environ))
        names = ("ApiRole", "StepsRole", "InvokerRole", "MaintenanceRole")
        # What a function asks of AWS must be what its role allows.
        with ExitStack() as roles:
            asked = {
                role: roles.enter_context(within(role, *function.runtime.clients))
                for role, function in zip(names, built, strict=True)
            }
            yield Stack(account, endpoint, key, *built, queue_time, asked)
        endpoint.server.close()
        for function in built:
            function.runtime.close()


def environment(account: Aws) -> dict[str, str]:
    """The functions' environment, as in the template."""
    return {
        "ATOMIC_TABLE": TABLE_NAME,
        "ATOMIC_BUCKET": BUCKET,
        "ATOMIC_QUEUE_URL": account.queue_url,
        "ATOMIC_QUEUE_ARN": "arn:aws:sqs:eu-central-1:123456789012:steps",
        "ATOMIC_LONG_QUEUE_URL": account.long_queue_url,
        "ATOMIC_LONG_QUEUE_ARN": "arn:aws:sqs:eu-central-1:123456789012:steps-long",
        "ATOMIC_WATCHDOG_QUEUE_URL": account.watchdog_queue_url,
        "ATOMIC_WATCHDOG_QUEUE_ARN": "arn:aws:sqs:eu-central-1:123456789012:watchdogs",
        "ATOMIC_DEAD_LETTER_QUEUE_URL": account.dead_letter_url,
        "ATOMIC_DEAD_LETTER_QUEUE_ARN": "arn:aws:sqs:eu-central-1:123456789012:dead-letters",
        "ATOMIC_MAINTENANCE_QUEUE_URL": account.maintenance_url,
        "ATOMIC_SCHEDULE_GROUP": GROUP,
        "ATOMIC_SCHEDULE_ROLE_ARN": "arn:aws:iam::123456789012:role/scheduler",
        "ATOMIC_RETENTION_DAYS": "30",
        # The first request of a process takes most of a second beside other load.
        "ATOMIC_WAIT_MAX_MS": "2000",
        "ATOMIC_STAGE": "test",
        "ATOMIC_PUBLIC_URL": "https://atomic.example",
        "ATOMIC_ALLOW_PRIVATE": "true",
        "ATOMIC_KEY_PEPPER": PEPPER.decode(),
        "POWERTOOLS_SERVICE_NAME": "atomic",
        "POWERTOOLS_METRICS_NAMESPACE": "Atomic",
    }


def document(stack: Stack, key: str = "k-1", **more: Any) -> dict[str, Any]:
    retry = {"count": 1, "backOff": 10, "strategy": "fixed", "jitter": "none"}
    return {
        "workflowName": "w",
        "stepInvokeUrl": stack.endpoint.url,
        "idempotencyKey": key,
        "payload": {"userName": "ada"},
        "retry": retry,
        **more,
    }


def at_function_url(event: dict[str, Any], name: str) -> dict[str, Any]:
    """The event of the same request at a function URL (Lambda developer guide, Invoking function URLs)."""
    domain = f"{name}.lambda-url.eu-central-1.on.aws"
    request = {**event["requestContext"], "domainName": domain, "domainPrefix": name, "apiId": name}
    # Members without a value may be there or not.
    request |= {"authentication": None, "authorizer": None}
    return {
        **event,
        "routeKey": "$default",
        "cookies": [],
        "headers": {**event["headers"], "host": domain},
        "requestContext": {**request, "routeKey": "$default", "stage": "$default"},
    }


def test_a_function_url_serves_the_api(stack: Stack) -> None:
    posted = gateway_event("POST", "/acme", base64.b64encode(json.dumps(document(stack)).encode()).decode())
    posted["headers"] |= {"authorization": f"Bearer {stack.key}"}
    answer = stack.api(at_function_url(posted | {"isBase64Encoded": True}, "abc"), None)
    assert (answer["statusCode"], json.loads(answer["body"])["response"]) == (200, {"ok": True})
    read = gateway_event("GET", f"/acme/steps/{json.loads(answer['body'])['id']}", "")
    read["headers"] |= {"authorization": f"Bearer {stack.key}"}
    assert stack.api(at_function_url(read, "abc"), None)["statusCode"] == 200


def test_the_docs_name_what_a_function_url_saves() -> None:
    page = (REPO / "docs" / "cost.md").read_text()
    of_the_gateway = 4 * prices.GATEWAY_REQUEST_USD * 1e6
    assert f"costs ${of_the_gateway:.2f} per million less" in page


def test_handlers_are_told_the_function_url_of_the_steps(stack: Stack) -> None:
    root = json.loads(stack.post(document(stack))["body"])["id"]

    def step(name: str) -> dict[str, Any]:
        body = document(stack, parent=root, stepName=name)
        posted = gateway_event("POST", "/acme/steps", json.dumps(body))
        posted["headers"] |= {"authorization": f"Bearer {stack.key}"}
        return posted

    assert stack.steps(step("by the gateway"), None)["statusCode"] == 200
    assert stack.steps(at_function_url(step("by its URL"), "def"), None)["statusCode"] == 200
    told = [call["atomic-steps-url"] for call in stack.endpoint.server.headers]
    of_gateway, of_function = "https://atomic.example", "https://def.lambda-url.eu-central-1.on.aws"
    assert told == [f"{url}/acme/steps" for url in (of_gateway, of_gateway, of_function)]
    # The others cannot learn it from their events, so the template tells them.
    environ = environment(stack.aws) | {"ATOMIC_STEPS_URL": f"{of_function}/"}
    function = ApiFunction(environ)
    posted = gateway_event("POST", "/acme", json.dumps(document(stack, "k-2")))
    posted["headers"] |= {"authorization": f"Bearer {stack.key}"}
    assert function(posted, None)["statusCode"] == 200
    function.runtime.close()
    assert stack.endpoint.server.headers[-1]["atomic-steps-url"] == f"{of_function}/acme/steps"


def test_before_its_first_event_a_function_reads_one_item_that_does_not_exist(stack: Stack) -> None:
    for function in (stack.api, stack.steps, stack.invoker):
        with Recorder(*function.runtime.clients) as recorder:
            function.runtime.warm()
        assert recorder.operations == ["GetItem"]


def test_a_step_that_works_at_once_is_two_writes_one_send_and_no_read(stack: Stack) -> None:
    stack.post(document(stack, "warm"))
    with Recorder(*stack.api.runtime.clients) as recorder:
        answer = stack.post(document(stack))
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["response"] == {"ok": True}
    assert sorted(recorder.operations) == ["PutItem", "SendMessage", "UpdateItem"]


def test_the_same_post_again_is_one_write_that_fails(stack: Stack) -> None:
    first = stack.post(document(stack))
    with Recorder(*stack.api.runtime.clients) as recorder:
        again = stack.post(document(stack))
    assert again["body"] == first["body"]
    assert again["headers"]["idempotency-replayed"] == "true"
    assert recorder.operations.count("PutItem") == 1
    assert "GetItem" not in recorder.operations
    assert len(stack.endpoint.calls) == 1


def test_a_retry_comes_through_the_queue(stack: Stack) -> None:
    stack.endpoint.answers = [(404, b"not yet"), (200, b'"done"')]
    waiting = stack.post(document(stack))
    assert waiting["statusCode"] == 504
    assert stack.deliver() == {"batchItemFailures": []}
    assert json.loads(stack.post(document(stack))["body"])["response"] == "done"
    assert [call["attempt"] for call in stack.endpoint.calls] == [1, 2]


def test_without_a_wait_the_invoker_makes_the_first_attempt(stack: Stack) -> None:
    answer = stack.post(document(stack), prefer="respond-async")
    assert (answer["statusCode"], json.loads(answer["body"])["status"]) == (202, "pending")
    assert stack.endpoint.calls == []
    stack.deliver()
    assert stack.post(document(stack))["statusCode"] == 200
    assert len(stack.endpoint.calls) == 1


def test_a_short_wait_is_not_extended_for_the_attempt(stack: Stack) -> None:
    """An application with one thread may need that thread both to wait and to serve the attempt."""
    answer = stack.post(document(stack, timeout=50))
    assert (answer["statusCode"], json.loads(answer["body"])["stepStatus"]) == (504, "pending")
    assert stack.endpoint.calls == []
    stack.deliver()
    assert stack.post(document(stack))["statusCode"] == 200
    assert len(stack.endpoint.calls) == 1


def test_what_an_invoker_s_attempt_costs(stack: Stack) -> None:
    """A check whether the destination is slow; for a long attempt also a permit, acquired and released."""
    stack.post(document(stack), prefer="respond-async")
    first, *_ = stack.aws.received(stack.aws.queue_url)
    with Recorder(*stack.invoker.runtime.clients) as recorder:
        stack.invoker(batch(first), None)
    ordinary = Counter(recorder.operations)
    assert ordinary == Counter({"GetItem": 2, "Query": 1, "UpdateItem": 2, "SendMessage": 1})

    stack.post(document(stack, "long", attemptTimeout=31_000), prefer="respond-async")
    first, *_ = stack.aws.received(stack.aws.long_queue_url)
    with Recorder(*stack.invoker.runtime.clients) as recorder:
        stack.invoker(batch(first), None)
    # The client is cached, and for two seconds the check as well.
    long = Counter(recorder.operations)
    assert long == Counter({"GetItem": 1, "UpdateItem": 4, "SendMessage": 1})
    leases = [each["Key"]["sk"]["S"] for _, each in recorder.calls if "lease#" in str(each.get("Key"))]
    assert len(leases) == 2
    assert leases[0] == leases[1]
    assert leases[0].startswith("short#")
    assert len(stack.endpoint.calls) == 2


def test_a_step_without_a_permit_is_deferred_and_not_called(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    now_ms, origin = SystemClock().now_ms(), stack.endpoint.url.removesuffix("/step")
    items = LeaseItems(stack.aws.dynamodb, TABLE_NAME, invoker="short")
    for number in range(Bounds.of(50).most):
        held = Lease(number, f"holder {number}", now_ms + 60_000, now_ms + 60_000, frozenset({"another"}))
        assert items.take(("acme", origin), held, now_ms=now_ms)
    stack.post(document(stack), prefer="respond-async")
    first, *_ = stack.aws.received(stack.aws.queue_url)
    capsys.readouterr()
    with Recorder(*stack.invoker.runtime.clients) as recorder:
        stack.invoker(batch(first), None)
    # The client is read as well, once a minute: it may have paused the workflow.
    assert Counter(recorder.operations) == Counter(
        {"GetItem": 2, "Query": 1, "UpdateItem": 1, "SendMessage": 1}
    )
    assert stack.endpoint.calls == []
    assert json.loads(capsys.readouterr().out)["StepsDeferred"] == 1
    # A waiting caller gets its attempt, because that occupies only the caller's own environment.
    assert stack.post(document(stack, "inline"))["statusCode"] == 200


def test_a_table_without_messages_goes_on_after_its_wakeups_were_sent(stack: Stack) -> None:
    stack.endpoint.answers = [(404, b"not yet"), (200, b'"done"')]
    retry = {"count": 1, "backOff": 1_000, "strategy": "fixed", "jitter": "none"}
    assert stack.post(document(stack, retry=retry))["statusCode"] == 504
    stack.post(document(stack, "long", attemptTimeout=31_000), prefer="respond-async")
    stack.queue_time.late_ms += 900_000
    queues = (stack.aws.queue_url, stack.aws.long_queue_url)
    assert all(stack.aws.received(url) for url in queues)  # and so deleted
    options = ["--table", TABLE_NAME, "--queue-url", queues[0], "--long-queue-url", queues[1]]
    for _ in range(2):  # the second time does no harm
        sent = CliRunner().invoke(main, ["send-wakeups", *options])
        assert "2 wake-ups" in sent.stdout

    time.sleep(1.1)
    stack.deliver()

    for key in ("k-1", "long"):
        again = json.loads(stack.post(document(stack, key))["body"])
        assert (again["status"], again["response"]) == ("succeeded", "done")
    assert len(stack.endpoint.calls) == 3


def test_a_dead_letter_is_queued_and_its_redrive_gives_a_fresh_budget(stack: Stack) -> None:
    stack.endpoint.answers = [(500, b"no")]
    stack.post(document(stack, retry={"count": 0}))
    [letter] = stack.aws.received(stack.aws.dead_letter_url)
    stack.aws.received(stack.aws.queue_url)
    stack.endpoint.answers = [(200, b'"now"')]
    assert stack.invoker(batch(letter, letter), None) == {"batchItemFailures": []}
    stack.deliver()
    again = json.loads(stack.post(document(stack, retry={"count": 0}))["body"])
    assert (again["status"], again["generation"], again["response"]) == ("succeeded", 2, "now")


def test_a_stale_dead_letter_redrives_nothing_above_its_step(stack: Stack) -> None:
    stack.endpoint.answers = [(500, b"no")]
    root_id = json.loads(stack.post(document(stack, retry={"count": 0}))["body"])["id"]
    stack.post(document(stack, "child", parent=root_id, retry={"count": 0}))
    [letter] = [each for each in stack.aws.received(stack.aws.dead_letter_url) if root_id not in each]
    stack.endpoint.answers = [(200, b"1")]
    stack.invoker(batch(letter), None)
    stack.deliver()
    runtime = stack.invoker.runtime
    root = runtime.run(runtime.engine.store.get(root_id))
    assert root is not None
    assert (root.generation, root.status) == (2, Status.SUCCEEDED)
    failed = replace(root, status=Status.FAILED, version=root.version + 1)
    assert runtime.run(runtime.engine.store.replace(failed, root.version)) is None

    stack.invoker(batch(letter), None)
    assert runtime.run(runtime.engine.store.get(root_id)) == failed
    # A redelivered message may have been processed partly.
    stack.invoker({"Records": [record("m0", letter, receives=2)]}, None)
    root = runtime.run(runtime.engine.store.get(root_id))
    assert root is not None
    assert (root.generation, root.status) == (3, Status.PENDING)


def test_an_invalid_message_goes_to_the_dead_letter_queue_and_others_are_processed(stack: Stack) -> None:
    stack.post(document(stack), prefer="respond-async")
    [wakeup, *_] = stack.aws.received(stack.aws.queue_url)
    unknown = encode_wakeup("run_" + "0" * 32 + "-root", 0)
    ended = stack.invoker(batch("{not json", wakeup, unknown), None)
    assert ended == {"batchItemFailures": []}
    # moto has no locks, so the duplicated message is delivered in a batch of its own.
    assert stack.invoker(batch(wakeup, wakeup), None) == {"batchItemFailures": []}
    assert stack.aws.received(stack.aws.dead_letter_url) == ["{not json"]
    assert len(stack.endpoint.calls) == 1


def test_only_the_failed_record_is_redelivered(stack: Stack) -> None:
    stack.post(document(stack, "a"), prefer="respond-async")
    stack.post(document(stack, "b"), prefer="respond-async")
    wakeups = sorted(set(stack.aws.received(stack.aws.queue_url)))
    broken = json.loads(wakeups[0])["stepId"].rpartition("-")[0]
    key = {"pk": {"S": broken}, "sk": {"S": "root"}}
    stack.aws.dynamodb.update_item(
        TableName=TABLE_NAME,
        Key=key,
        UpdateExpression="SET g = :broken",
        ExpressionAttributeValues={":broken": {"B": b"broken"}},
    )
    assert stack.invoker(batch(*wakeups), None) == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    assert len(stack.endpoint.calls) == 1


def test_a_failed_record_is_redelivered_soon_and_later_each_time(stack: Stack) -> None:
    stack.post(document(stack), prefer="respond-async")
    stack.aws.received(stack.aws.queue_url)
    stack.aws.sqs.send_message(
        QueueUrl=stack.aws.queue_url, MessageBody=encode_wakeup(f"run_{'0' * 32}-root", 0)
    )
    dynamodb = stack.invoker.runtime.clients[0]
    dynamodb.meta.events.register("before-call.*.*", refuse, unique_id="refuse")
    with Recorder(stack.invoker.runtime.clients[1]) as recorder:
        for receives in (1, 2):
            message = stack.aws.sqs.receive_message(QueueUrl=stack.aws.queue_url)["Messages"][0]
            came = record("m", message["Body"], receives=receives, receipt=message["ReceiptHandle"])
            failed = stack.invoker({"Records": [came]}, None)
            assert failed == {"batchItemFailures": [{"itemIdentifier": "m"}]}
            stack.queue_time.late_ms += 900_000
    dynamodb.meta.events.unregister("before-call.*.*", unique_id="refuse")
    assert [asked["VisibilityTimeout"] for _, asked in recorder.calls] == [30, 60]


def test_watchdogs_of_ended_steps_are_one_read_and_others_are_passed_on(stack: Stack) -> None:
    for number in range(5):
        stack.post(document(stack, f"k-{number}"))
    stack.endpoint.answers = [(500, b"no")]
    stack.post(document(stack, "again", retry={"count": 1, "backOff": 600_000, "maxBackOff": 600_000}))
    stack.queue_time.late_ms += 60_000
    watchdogs = stack.aws.received(stack.aws.watchdog_queue_url)
    assert len(watchdogs) == 6
    came = [record(f"w{n}", body, queue="watchdogs") for n, body in enumerate(watchdogs)]
    with Recorder(*stack.invoker.runtime.clients) as recorder:
        assert stack.invoker({"Records": came}, None) == {"batchItemFailures": []}
    # The retry has a wake-up of its own, and its watchdog for another time is dropped.
    assert Counter(recorder.operations) == Counter({"BatchGetItem": 1, "GetItem": 1, "SendMessage": 1})
    [(_, read)] = [call for call in recorder.calls if call[0] == "BatchGetItem"]
    assert not read["RequestItems"][TABLE_NAME].get("ConsistentRead")


def test_a_watchdog_of_a_lost_attempt_passes_it_on_and_makes_no_attempt(stack: Stack) -> None:
    spec = replace(a_spec(), url=stack.endpoint.url)
    root = begin(spec, "root", SystemClock().now_ms() - 60_000, "9" * 32)
    stack.invoker.runtime.run(stack.invoker.runtime.engine.store.create(root))
    lost = encode_wakeup(root.id, root.due_at_ms or 0)
    stack.invoker({"Records": [record("w", lost, queue="watchdogs")]}, None)
    assert stack.endpoint.calls == []
    [passed_on] = stack.aws.received(stack.aws.queue_url)
    assert parse_wakeup(passed_on).step_id == root.id
    stack.invoker(batch(passed_on), None)
    assert [call["attempt"] for call in stack.endpoint.calls] == [2]


def test_a_wakeup_that_ends_its_receivers_is_taken_alone_and_then_not_at_all(stack: Stack) -> None:
    stack.post(document(stack, "innocent"), prefer="respond-async")
    stack.post(document(stack, "poison"), prefer="respond-async")
    bodies = stack.aws.received(stack.aws.queue_url)
    # The third receive of a batch whose receivers have ended twice.
    again = stack.invoker({"Records": [record(f"m{n}", b, receives=3) for n, b in enumerate(bodies)]}, None)
    assert again == {"batchItemFailures": []}
    assert stack.endpoint.calls == []
    marked = stack.aws.received(stack.aws.queue_url)
    assert {parse_wakeup(body).step_id for body in marked} == {parse_wakeup(b).step_id for b in bodies}
    assert all(parse_wakeup(body).alone for body in marked)
    # One is taken after the rest of the batch is done; the other comes again by itself.
    stack.post(document(stack, "third"), prefer="respond-async")
    [third] = stack.aws.received(stack.aws.queue_url)
    ended = stack.invoker(batch(marked[0], marked[1], third), None)
    assert ended == {"batchItemFailures": []}
    stack.queue_time.late_ms += 1_000
    assert stack.aws.received(stack.aws.queue_url) == [marked[1]]
    assert stack.endpoint.calls[0]["idempotencyKey"] == "third"
    assert len(stack.endpoint.calls) == 2
    assert stack.invoker({"Records": [record("m", marked[1], receives=6)]}, None) == {
        "batchItemFailures": []
    }
    assert len(stack.endpoint.calls) == 2
    [letter] = stack.aws.sqs.receive_message(
        QueueUrl=stack.aws.dead_letter_url, MessageAttributeNames=["All"]
    )["Messages"]
    assert letter["Body"] == marked[1]
    assert letter["MessageAttributes"]["reason"]["StringValue"] == "it was received 6 times"


def test_a_row_that_cannot_be_read_fails_no_other_watchdog(stack: Stack) -> None:
    stack.post(document(stack, "sound"))
    stack.post(document(stack, "damaged"))
    stack.queue_time.late_ms += 60_000
    sound, damaged = stack.aws.received(stack.aws.watchdog_queue_url)
    key = key_of(parse_wakeup(damaged).step_id)
    stack.aws.dynamodb.update_item(
        TableName=TABLE_NAME,
        Key=key,
        UpdateExpression="SET g = :g",
        ExpressionAttributeValues={":g": {"B": b"?"}},
    )
    came = [record("sound", sound, queue="watchdogs"), record("damaged", damaged, queue="watchdogs")]
    assert stack.invoker({"Records": came}, None) == {"batchItemFailures": [{"itemIdentifier": "damaged"}]}


def test_many_marked_wakeups_wait_for_their_turn_and_are_not_given_up(stack: Stack) -> None:
    """After an outage all watchdogs of a batch may be marked. One an invocation is processed."""
    marked = [encode(Wakeup(f"run_{n:032x}-root", alone=True)) for n in range(12)]
    came = [record(f"m{n}", body, queue="watchdogs") for n, body in enumerate(marked)]
    for _ in range(7):
        assert stack.invoker({"Records": came}, None) == {"batchItemFailures": []}
        stack.queue_time.late_ms += 100_000
        rest = stack.aws.received(stack.aws.watchdog_queue_url)
        assert len(rest) == len(came) - 1
        # Each is a new message, which was received once.
        came = [record(f"m{n}", body, queue="watchdogs") for n, body in enumerate(rest)]
    assert stack.aws.received(stack.aws.dead_letter_url) == []


def test_a_marked_wakeup_begins_anew_when_the_store_fails(stack: Stack) -> None:
    marked = encode(Wakeup(f"run_{'0' * 32}-root", alone=True))
    dynamodb = stack.invoker.runtime.clients[0]
    dynamodb.meta.events.register("before-call.*.*", refuse, unique_id="refuse")
    assert stack.invoker({"Records": [record("m", marked, receives=5)]}, None) == {"batchItemFailures": []}
    dynamodb.meta.events.unregister("before-call.*.*", unique_id="refuse")
    stack.queue_time.late_ms += 60_000
    [again] = stack.aws.received(stack.aws.queue_url)
    assert (parse_wakeup(again).alone, parse_wakeup(again).at_ms) == (False, None)


def test_maintenance_finds_the_root_whose_wakeup_was_lost(stack: Stack) -> None:
    stack.post(document(stack), prefer="respond-async")
    assert stack.aws.received(stack.aws.queue_url)
    assert stack.maintenance(event("maintenance"), None) == {"clients": 1}
    [asked] = stack.aws.received(stack.aws.maintenance_url)
    assert stack.maintenance(batch(asked), None) == {"batchItemFailures": []}
    stack.deliver()
    assert len(stack.endpoint.calls) == 1


def test_the_answer_comes_before_the_gateways_timeout(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.api.runtime.clients[0].meta.events.register("before-call.*.*", be_slow, unique_id="slow")
    with monkeypatch.context() as patch:
        patch.setattr(api, "_ANSWER_WITHIN_S", 0.2)
        answer = stack.post(document(stack))
    stack.api.runtime.clients[0].meta.events.unregister("before-call.*.*", unique_id="slow")
    assert (answer["statusCode"], answer["headers"]["retry-after"]) == (503, "1")
    assert stack.post(document(stack))["statusCode"] == 200


def test_a_handler_that_is_called_again_reads_what_it_has_posted(stack: Stack) -> None:
    stack.endpoint.answers = [(500, b"{}"), (200, b'{"ok":true}')]
    assert stack.post(document(stack), prefer="respond-async")["statusCode"] == 202
    assert stack.deliver() == {"batchItemFailures": []}
    assert stack.deliver() == {"batchItemFailures": []}
    first, second = stack.endpoint.server.headers
    root, tokens = first["atomic-step-id"], [call["atomic-attempt-token"] for call in (first, second)]
    assert {call["atomic-steps-url"] for call in (first, second)} == {"https://atomic.example/acme/steps"}
    assert [token.partition(".")[0] for token in tokens] == ["1", "2"]
    value = {"kind": "value", "workflowName": "w", "idempotencyKey": "k-1", "stepName": "v"}
    value |= {"parent": root, "payload": {"n": 17}}
    step = document(stack, parent=root)
    for post in (value, step):
        posted = stack.post(post, "/acme/steps", **{"atomic-attempt-token": tokens[0]})
        assert posted["statusCode"] == 200

    # The functions share a pepper, so what an invoker has given the API function knows.
    token = {"atomic-attempt-token": tokens[1]}
    for post in (value | {"payload": "other"}, step):
        with Recorder(*stack.steps.runtime.clients) as recorder:
            again = stack.post(post, "/acme/steps", **token)
        assert (again["statusCode"], again["headers"]["idempotency-replayed"]) == (200, "true")
        assert recorder.operations == ["GetItem"]
    asked = gateway_event("GET", f"/acme/runs/{root.removesuffix('-root')}/results", "")
    asked |= {"rawQueryString": f"parent={root}"}
    asked["headers"] = {"authorization": f"Bearer {stack.key}", **token}
    with Recorder(*stack.api.runtime.clients) as recorder:
        results = json.loads(stack.api(asked, None)["body"])
    assert recorder.operations == ["Query"]
    assert results["next"] is None
    assert {step["kind"]: step["response"] for step in results["steps"]} == {
        "value": {"n": 17},
        "http": {"ok": True},
    }
    asked["headers"]["atomic-attempt-token"] = f"3.{'0' * 32}"
    refused = stack.api(asked, None)
    assert refused["statusCode"] == 403
    assert refused["headers"]["link"] == '</docs#attempt-token-required>; rel="help"'


def test_the_gateway_s_form_of_requests_and_answers(stack: Stack) -> None:
    asked = gateway_event("GET", "/acme/runs", "")
    asked |= {"rawQueryString": "status=failed&workflowName=a%20b"}
    asked["headers"] = {"Authorization": f"Bearer {stack.key}"}
    answer = stack.api(asked, None)
    assert (answer["statusCode"], answer["isBase64Encoded"]) == (200, False)
    assert json.loads(answer["body"]) == {"runs": [], "next": None}
    known = {**asked["headers"], "If-None-Match": answer["headers"]["etag"]}
    same = stack.api({**asked, "headers": known}, None)
    assert (same["statusCode"], same["body"]) == (304, "")
    page = gateway_event("GET", "/openapi.json", "")
    plain = stack.api(page, None)
    assert 'id="attempt-token-required"' in stack.api(gateway_event("GET", "/docs", ""), None)["body"]
    page["headers"] = {"Accept-Encoding": "gzip"}
    packed = stack.api(page, None)
    assert (packed["isBase64Encoded"], packed["headers"]["content-encoding"]) == (True, "gzip")
    assert gzip.decompress(base64.b64decode(packed["body"])).decode() == plain["body"]
    encoded = gateway_event("POST", "/acme", base64.b64encode(b"[1]").decode())
    encoded |= {"isBase64Encoded": True}
    encoded["headers"] = {"authorization": f"Bearer {stack.key}"}
    refused = stack.api(encoded, None)
    assert (refused["statusCode"], refused["headers"]["content-type"]) == (400, "application/problem+json")
    assert "send a JSON object" in refused["body"]


def test_a_callback_needs_no_key(stack: Stack) -> None:
    event = {"kind": "event", "workflowName": "w", "idempotencyKey": "k", "stepName": "e", "timeout": 1}
    opened = json.loads(stack.post(event)["body"])
    path = urlsplit(opened["callbackUrl"]).path
    png = gateway_event("POST", path, base64.b64encode(b"\x89PNG").decode()) | {"isBase64Encoded": True}
    png["headers"] = {"Content-Type": "image/png", "Origin": "https://shop.example"}

    page, told = stack.api(gateway_event("GET", path, ""), None), stack.api(png, None)

    assert (page["statusCode"], page["headers"]["content-type"]) == (200, "text/html; charset=utf-8")
    assert (told["statusCode"], told["headers"]["access-control-allow-origin"]) == (200, "*")
    assert json.loads(stack.post(event)["body"])["response"]["body"] == "iVBORw=="
    assert stack.api(gateway_event("POST", f"{path}A", "1"), None)["statusCode"] == 404


def test_during_a_rotation_of_the_pepper_all_that_it_made_stays_valid(stack: Stack) -> None:
    stack.post(document(stack), prefer="respond-async")
    stack.deliver()
    called = stack.endpoint.server.headers[0]
    event = {"kind": "event", "workflowName": "w", "idempotencyKey": "k", "stepName": "e", "timeout": 1}
    path = urlsplit(json.loads(stack.post(event)["body"])["callbackUrl"]).path
    of_handler, _ = stack.aws.admin().add_key("acme", scopes=["start"])
    peppers = {"ATOMIC_KEY_PEPPER": "n" * 32, "ATOMIC_PREVIOUS_KEY_PEPPER": PEPPER.decode()}
    stack.api = ApiFunction(environment(stack.aws) | peppers)

    with within("ApiRole", *stack.api.runtime.clients), Recorder(stack.api.runtime.clients[0]) as recorder:
        assert stack.post(document(stack, "2"))["statusCode"] == 200
        assert recorder.operations.count("TransactWriteItems") == 1
        assert stack.post(document(stack, "3"))["statusCode"] == 200
    # The key is hashed again once, and no more.
    assert recorder.operations.count("TransactWriteItems") == 1
    rotated = replace(stack.aws.admin(), pepper=b"n" * 32)
    assert rotated.under_other_peppers() == ["acme"]
    # A key is hashed again by whatever it asks for, also if it may not.
    asked = gateway_event("GET", "/acme/stats", "")
    asked["headers"] = {"authorization": f"Bearer {of_handler}"}
    assert stack.api(asked, None)["statusCode"] == 404
    assert rotated.under_other_peppers() == []
    results = gateway_event("GET", f"/acme/runs/{called['atomic-run-id']}/results", "")
    results |= {"rawQueryString": f"parent={called['atomic-step-id']}"}
    token = {"atomic-attempt-token": called["atomic-attempt-token"]}
    results["headers"] = {"authorization": f"Bearer {stack.key}", **token}
    assert stack.api(results, None)["statusCode"] == 200
    assert stack.api(gateway_event("GET", path, ""), None)["statusCode"] == 200
    stack.api.runtime.close()


def test_metrics_are_one_emf_line_without_clients(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    stack.post(document(stack))
    [line] = [line for line in capsys.readouterr().out.splitlines() if "CloudWatchMetrics" in line]
    metrics = json.loads(line)
    assert metrics["Starts"] == metrics["AttemptsSucceeded"] == 1
    assert metrics["RunSeconds"] >= 0
    assert metrics["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["service"]]
    assert "acme" not in line


@pytest.fixture
def lines(stack: Stack) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """The log lines of the functions so far."""
    assert stack
    [handler] = [each for each in logging.getLogger().handlers if isinstance(each, AllowedLines)]
    before = handler.setStream(io.StringIO())
    yield lambda: [json.loads(line) for line in handler.stream.getvalue().splitlines()]
    handler.setStream(before or sys.stderr)


def test_the_saved_query_finds_a_step_that_retried_and_failed(
    stack: Stack, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    stack.endpoint.answers = [(500, b"no")]
    answer = stack.post(document(stack))
    stack.deliver()
    run_id = json.loads(answer["body"])["runId"]
    found = [line for line in lines() if line.get("runId") == run_id]
    assert [(line["message"], line["attempt"], line["outcome"]) for line in found] == [
        ("attempt ended without success", 1, "retryable"),
        ("step failed", 2, "retryable"),
        ("attempt ended without success", 2, "retryable"),
    ]
    [shown] = re.findall(r"^ *fields (.*stepId.*)$", (REPO / "template.yaml").read_text(), re.MULTILINE)
    asked = {name for name in shown.split(", ") if not name.startswith("@")}
    assert all(asked <= set(line) for line in found)
    assert {line["stage"] for line in found} == {"test"}
    assert {line["stepId"] for line in found} == {f"{run_id}-root"}


def test_a_redelivered_record_is_logged_with_its_step_and_counted(
    stack: Stack, lines: Callable[[], list[dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    stack.post(document(stack), prefer="respond-async")
    [wakeup, *_] = stack.aws.received(stack.aws.queue_url)
    stack.aws.dynamodb.delete_table(TableName=TABLE_NAME)
    assert stack.invoker(batch(wakeup), None) == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    [line] = [line for line in lines() if line["message"] == "a wake-up comes again"]
    assert line["stepId"] == json.loads(wakeup)["stepId"]
    assert line["stepId"].startswith(line["runId"])
    assert line["messageId"] == "m0"
    [metrics] = [line for line in capsys.readouterr().out.splitlines() if "WakeupsAgain" in line]
    assert json.loads(metrics)["WakeupsAgain"] == 1


def test_the_log_names_the_call_that_aws_refused(
    stack: Stack, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    stack.aws.sqs.delete_queue(QueueUrl=stack.aws.queue_url)
    assert stack.post(document(stack), prefer="respond-async")["statusCode"] == 503
    [line] = [line for line in lines() if line["message"] == "the store is not available"]
    assert line["storeError"] == "SendMessage: AWS.SimpleQueueService.NonExistentQueue"


def test_the_functions_together_use_all_that_their_roles_allow(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A right that nobody uses any more is found here, and one that is missing by every test."""
    monkeypatch.setattr(admission, "_KNOWN_MS", 0)
    admin = stack.aws.admin()
    limits = Quota(starts_per_second=100, stored_bytes=1_000_000, live_steps=100)
    stack.key, _ = admin.create(
        "limited", base_urls=[stack.endpoint.url], quota=limits, scopes=("start", "read", "act", "admin")
    )
    stack.endpoint.answers = [(500, b"no"), (200, b'"now"'), (500, b"no")]
    first = stack.post(document(stack), "/limited", prefer="respond-async")
    # An attempt that may take long needs a lease.
    stack.post(document(stack, "long", attemptTimeout=31_000), "/limited", prefer="respond-async")
    for _ in range(3):
        stack.deliver()
    stack.post(document(stack, "dead", retry={"count": 0}), "/limited")
    # A step that starts a run may have to do so in the invoker.
    engine = stack.invoker.runtime.engine
    client = stack.invoker.runtime.run(engine.clients.get("limited"))
    assert client is not None
    stack.invoker.runtime.run(engine.admission.charge(client, engine.clock.now_ms()))
    step = document(stack, "step", parent=f"{json.loads(first['body'])['runId']}-root")
    assert stack.post(step, "/limited/steps", prefer="respond-async")["statusCode"] == 202
    stack.post(step | {"stepName": "now", "retry": {"count": 0}}, "/limited/steps")
    told = {"filter": {"workflowName": "w"}}
    for method, path in (("GET", "/limited/runs"), ("GET", "/limited/stats"), ("POST", "/limited/redrive")):
        asked = gateway_event(method, path, json.dumps(told))
        asked["headers"] |= {"authorization": f"Bearer {stack.key}"}
        assert stack.api(asked, None)["statusCode"] == 200
    wanted = {"start": {"workflowName": "w", "stepInvokeUrl": stack.endpoint.url}, "cron": "@yearly"}
    for method, path in (("PUT", "/limited/schedules/digest"), ("GET", "/limited/schedules")):
        asked = gateway_event(method, path, json.dumps(wanted))
        asked["headers"] |= {"authorization": f"Bearer {stack.key}"}
        assert stack.api(asked, None)["statusCode"] in {200, 201}
    due = a_schedule(client_id="limited")
    stack.invoker.runtime.run(engine.store.create_schedule(due))
    stack.invoker.runtime.run(process_schedule(engine, due.id))
    operator_key, _ = admin.create_operator_key()
    made = gateway_event(
        "POST", "/clients", json.dumps({"clientId": "new", "baseUrls": ["https://a.example/"]})
    )
    made["headers"] |= {"authorization": f"Bearer {operator_key}"}
    assert stack.api(made, None)["statusCode"] == 201
    ended = [
        stack.post(document(stack, key, retry={"count": 9}, tags=TAGS), "/limited", prefer="respond-async")
        for key in ("api", "invoker")
    ]
    runs = [json.loads(answer["body"])["runId"] for answer in ended]
    for run_id in runs:
        made_old(stack, run_id, c={"N": str(SystemClock().now_ms() - 2 * 24 * 3600 * 1000)})
    cancel = gateway_event("POST", f"/limited/runs/{runs[0]}/cancel", "")
    cancel["headers"] |= {"authorization": f"Bearer {stack.key}"}
    assert stack.api(cancel, None)["statusCode"] == 200
    stack.endpoint.answers = [(200, b'"done"')]
    stack.deliver()
    old = stack.post(document(stack, "old", tags=TAGS), "/limited", prefer="respond-async")
    made_old(stack, json.loads(old["body"])["runId"])
    # The handler of an old run is called, and told that a step is unfinished.
    called = json.loads(
        stack.post(document(stack, "aged", tags=TAGS), "/limited", prefer="respond-async")["body"]
    )
    made_old(stack, called["runId"], c={"N": str(SystemClock().now_ms() - 40 * 24 * 3600 * 1000)})
    root = stack.invoker.runtime.run(engine.store.get(called["id"]))
    assert root is not None
    stack.invoker.runtime.run(commit(engine, root, Claimed("n")))
    step = document(stack, "step", parent=root.id, delay=60_000, timeout=1)
    assert stack.post(step, "/limited/steps")["statusCode"] == 504
    for work in ("sweep", "purge", "count"):
        stack.maintain(work)
    stack.post(document(stack, "last"), "/limited")
    stack.invoker.runtime.run(engine.store.counted_live("limited"))
    stack.invoker.runtime.run(engine.store.count_live_of("limited", 10))
    for function in (stack.api, stack.steps, stack.invoker, stack.maintenance):
        function.runtime.run(take_turns(function.runtime.flow))
    # Starts take the key of a singleton in any of these, and a due root asks who has it.
    for number, function in enumerate((stack.api, stack.steps, stack.invoker)):
        function.runtime.run(take_key(function.runtime.engine.store))
        tagged = a_root(a_spec(client_id="limited", key=f"tagged-{number}", tags=("customer:c-17",)))
        function.runtime.run(function.runtime.engine.store.create(tagged))
    # At its own URL, the steps function may be asked to act, too.
    assert stack.steps(cancel, None)["statusCode"] == 200
    erase_and_audit(stack, operator_key, runs[0])
    erase_many(stack)
    used = {role: used_by(asked) for role, asked in stack.asked.items()}
    assert used == {role: ACCESS[role] for role in used}


TAGS = {"customer": "c-17"}


def erase_and_audit(stack: Stack, key: str, run_id: str) -> None:
    """Set a retention, find a run by its tag, erase it, and read who did, and what was counted."""
    for method, path, query, body, by in (
        ("PUT", "/limited/workflows/beats/retention", "", '{"days": 1}', key),
        ("GET", "/limited/runs", "tag=customer:c-17", "", stack.key),
        ("DELETE", f"/limited/runs/{run_id}", "", "", key),
        ("GET", "/limited/audit", "", "", key),
        ("GET", "/limited/counters", "", "", stack.key),
    ):
        asked = gateway_event(method, path, body) | {"rawQueryString": query}
        asked["headers"] |= {"authorization": f"Bearer {by}"}
        assert stack.api(asked, None)["statusCode"] == 200


def erase_many(stack: Stack) -> None:
    """Erase runs by their tag, in a bulk."""
    ended = stack.post(document(stack, "many", tags=TAGS), "/limited")
    assert json.loads(ended["body"])["status"] == "succeeded"
    asked = gateway_event(
        "POST", "/limited/bulk", json.dumps({"do": "erase", "filter": {"tag": ["customer:c-17"]}})
    )
    asked["headers"] |= {"authorization": f"Bearer {stack.key}"}
    begun = json.loads(stack.api(asked, None)["body"])
    while (found := json.loads(stack.api(how_far(begun["runId"], stack.key), None)["body"]))[
        "finishedAt"
    ] is None:
        stack.deliver()
    assert (found["status"], found["done"], found["refused"]) == ("succeeded", 1, 0)


def how_far(run_id: str, key: str) -> dict[str, Any]:
    asked = gateway_event("GET", f"/limited/bulk/{run_id}", "")
    asked["headers"] |= {"authorization": f"Bearer {key}"}
    return asked


def made_old(stack: Stack, run_id: str, **more: dict[str, str]) -> None:
    """Make a run 40 days old, with a row that will expire soon."""
    now_ms = SystemClock().now_ms()
    stack.aws.dynamodb.update_item(
        TableName=TABLE_NAME,
        Key=key_of(f"{run_id}-root"),
        UpdateExpression="SET #at = :at, #ttl = :ttl" + "".join(f", {name} = :{name}" for name in more),
        ExpressionAttributeNames={"#at": "at", "#ttl": "ttl"},
        ExpressionAttributeValues={
            ":at": {"S": age(now_ms - 40 * 24 * 3600 * 1000, f"{run_id}-root")},
            ":ttl": {"N": str(now_ms // 1000 + 60)},
            **{f":{name}": value for name, value in more.items()},
        },
    )


async def take_turns(flow: DynamoFlowStore) -> None:
    """One step has the only slot, and hands it to the next in line."""
    for name in ("a", "b"):
        await flow.enter(asking(name, one()), NOW_MS)
    await flow.leave(AT, "a", 2, NOW_MS)
    await flow.leave(AT, "b", 2, NOW_MS)


async def take_key(store: Pointers) -> None:
    """Point the key of a singleton at another run."""
    before = await store.get_pointer("limited", "singleton", "sync")
    free = Pointer(
        client_id="limited", kind="singleton", key="sync", run_id="r", version=0, expires_at_ms=1
    )
    last = before or free
    await store.put_pointer(replace(last, version=last.version + 1))


def used_by(asked: list[Request]) -> Access:
    """What these requests read and wrote."""
    of_table = [each for each in asked if each.action.startswith("dynamodb:")]
    keys = [
        (each.action, key)
        for each in of_table
        if "/index/" not in each.resource
        for key in each.context["dynamodb:LeadingKeys"]
    ]
    return Access(
        reads=frozenset(prefix_of(key) for action, key in keys if action in READS),
        writes=frozenset(prefix_of(key) for action, key in keys if action not in READS),
        deletes=frozenset(prefix_of(key) for action, key in keys if action == "dynamodb:DeleteItem"),
        indexes=frozenset(
            each.resource.partition("/index/")[2] for each in of_table if "/index/" in each.resource
        ),
    )


def event(name: str) -> dict[str, Any]:
    """An event as AWS sends it, from the files that `sam local` also uses."""
    made: dict[str, Any] = json.loads((REPO / "events" / f"{name}.json").read_text())
    return made


def gateway_event(method: str, path: str, body: str) -> dict[str, Any]:
    """An event of the HTTP API, payload format 2.0."""
    made = event("api")
    made |= {"rawPath": path, "body": body}
    made["headers"] = {"content-type": "application/json"}
    made["requestContext"]["http"] |= {"method": method, "path": path}
    return made


def refuse(**_: Any) -> None:
    """An error as if DynamoDB were not available."""
    raise EndpointConnectionError(endpoint_url="https://dynamodb.example")


def be_slow(**_: Any) -> None:
    """Make DynamoDB slow."""
    threading.Event().wait(0.5)


def batch(*bodies: str) -> dict[str, Any]:
    """An event of the queue with these records."""
    return {"Records": [record(f"m{n}", body) for n, body in enumerate(bodies)]}


def record(
    message_id: str, body: str, *, receives: int = 1, receipt: str = "unknown", queue: str = "steps"
) -> dict[str, Any]:
    """A record as the queue delivers it."""
    made: dict[str, Any] = event("invoker")["Records"][0]
    made["attributes"]["ApproximateReceiveCount"] = str(receives)
    return made | {
        "messageId": message_id,
        "receiptHandle": receipt,
        "body": body,
        "eventSourceARN": f"arn:aws:sqs:eu-central-1:123456789012:{queue}",
    }
