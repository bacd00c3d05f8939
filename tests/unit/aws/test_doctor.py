"""`atomic doctor --aws`: on moto where it knows the call, else on answers as AWS documents them."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any

import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner
from moto import mock_aws

from atomic.adapters.aws import table
from atomic.cli.aws.account import ACCOUNT_CHECKS, DEPLOYS, identity
from atomic.cli.aws.checks import Account, findings_of
from atomic.cli.aws.stack import Stack, checks_of, stack_findings
from atomic.cli.findings import Finding
from atomic.cli.main import main
from stack_template import RESOURCES

REGION = "eu-central-1"
BY_NAME = {check.name: check for check in ACCOUNT_CHECKS}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Credentials of nobody, and no file of this machine."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


class Scripted(Account):
    """An account whose services give the answers they are told, by operation; exceptions are raised."""

    def __init__(self, **answers: Any) -> None:
        super().__init__(region=REGION)
        object.__setattr__(self, "service", _Service(answers))

    def client(self, service: str) -> Any:
        return self.__dict__["service"]


class _Service:
    def __init__(self, answers: Mapping[str, Any]) -> None:
        self._answers = answers
        self.asked: list[Mapping[str, Any]] = []

    def __getattr__(self, operation: str) -> Any:
        def call(**given: Any) -> Any:
            self.asked.append(given)
            answer = self._answers[operation]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call

    def get_paginator(self, operation: str) -> Any:
        """A paginator with one page."""
        return _Pages(getattr(self, operation))


class _Pages:
    def __init__(self, call: Any) -> None:
        self._call = call

    def paginate(self, **given: Any) -> list[Any]:
        return [self._call(**given)]


def refused(code: str, *, message: str = "no", date: str = "") -> ClientError:
    metadata = {"HTTPHeaders": {"date": date}} if date else {}
    answer: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}
    return ClientError(answer, "Operation")


def found(name: str, **answers: Any) -> list[Finding]:
    return list(findings_of(BY_NAME[name], Scripted(**answers)))


# --- who, and the clock


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def test_credentials_name_account_region_and_principal() -> None:
    with mock_aws():
        who, clock = identity(Account(region=REGION), wall_ms)
    assert who.ok
    for word in ("123456789012", REGION, "arn:aws:sts::123456789012:user/moto"):
        assert word in who.advice
    assert clock.ok


def test_a_clock_that_is_wrong_is_told_also_when_aws_refuses() -> None:
    with mock_aws():
        _, clock = identity(Account(region=REGION), lambda: wall_ms() + 120_000)
    assert clock.ok is False
    assert clock.advice.startswith(("+119 s", "+120 s", "+121 s", "+122 s"))
    error = refused("RequestExpired", date="Sat, 28 Nov 2026 03:00:00 GMT")
    who, clock = identity(Scripted(get_caller_identity=error), lambda: 0)
    assert (who.ok, clock.ok) == (False, False)
    assert "NTP" in who.advice


@pytest.mark.parametrize(
    ("code", "cure"),
    [
        ("ExpiredToken", "sign in again"),
        ("InvalidClientTokenId", "aws configure list"),
        ("SignatureDoesNotMatch", "secret key"),
        ("SomethingNew", "AWS answered SomethingNew: no"),
    ],
)
def test_refused_credentials_have_a_cure(code: str, cure: str) -> None:
    [who] = identity(Scripted(get_caller_identity=refused(code)), lambda: 0)
    assert who.ok is False
    assert cure in who.advice


# --- the account


@pytest.mark.parametrize(("most", "free", "ok"), [(1000, 1000, True), (10, 10, False), (1000, 12, False)])
def test_a_small_account_is_told_what_to_do_until_its_quota_is_raised(
    most: int, free: int, ok: bool
) -> None:
    limit = {"ConcurrentExecutions": most, "UnreservedConcurrentExecutions": free}
    [said] = found("Lambda concurrency", get_account_settings={"AccountLimit": limit})
    assert said.ok is ok
    for word in ("L-B99A9384", "respond-async", f"MaximumConcurrency to {free // 3}"):
        assert (word in said.advice) is not ok


def test_the_gateways_throttle_is_read() -> None:
    with mock_aws():
        [usual] = findings_of(BY_NAME["API Gateway throttle"], Account(region=REGION))
    assert usual.ok
    assert "10,000" in usual.advice
    [small] = found("API Gateway throttle", get_account={"throttleSettings": {"rateLimit": 2500.0}})
    assert small.ok is False
    assert "L-8A5B8E43" in small.advice


def test_rates_of_scheduler_are_found_by_name() -> None:
    quotas = [
        {"QuotaName": "CreateSchedule request rate", "Value": 50.0},
        {"QuotaName": "CreateScheduleGroup request rate", "Value": 10.0},
        {"QuotaName": "Invocations throttle limit in transactions per second", "Value": 1000.0},
        {"QuotaName": "Number of schedules", "Value": 10_000_000.0},
    ]
    said = found("EventBridge Scheduler", list_service_quotas={"Quotas": quotas})
    assert [each.ok for each in said] == [False, True, True]
    assert said[0].advice.startswith("CreateSchedule request rate: 50")
    [none] = found("EventBridge Scheduler", list_service_quotas={"Quotas": []})
    assert none.ok is None


def test_tables_may_be_small() -> None:
    with mock_aws():
        [small] = findings_of(BY_NAME["DynamoDB tables"], Account(region=REGION))
    assert small.ok is False
    assert "10,000 write units" in small.advice
    [usual] = found("DynamoDB tables", describe_limits={"TableMaxWriteCapacityUnits": 40_000})
    assert usual.ok


def test_the_policy_of_log_delivery_may_be_full() -> None:
    name = "AWSLogDeliveryWrite20150319"
    with mock_aws():
        account = Account(region=REGION)
        [empty] = findings_of(BY_NAME["policies of CloudWatch Logs"], account)
        account.client("logs").put_resource_policy(policyName=name, policyDocument="x" * 4950)
        [full] = findings_of(BY_NAME["policies of CloudWatch Logs"], account)
    assert empty.ok
    assert full.ok is False
    assert "4950 of 5120" in full.advice
    others = {"resourcePolicies": [{"policyName": f"p{n}", "policyDocument": "{}"} for n in range(10)]}
    [many] = found("policies of CloudWatch Logs", describe_resource_policies=others)
    assert many.ok is False
    assert "delete one" in many.advice


def rights(arn: str, denied: str = "", role: str = "") -> Finding:
    results = [
        {"EvalActionName": action, "EvalDecision": "implicitDeny" if action == denied else "allowed"}
        for actions in DEPLOYS.values()
        for action in actions
    ]
    [said] = found(
        "rights to deploy",
        get_caller_identity={"Arn": arn},
        get_role={"Role": {"Arn": role}},
        simulate_principal_policy={"EvaluationResults": results},
    )
    return said


def test_missing_rights_are_named() -> None:
    missing = rights("arn:aws:iam::1:user/ada", denied="sqs:CreateQueue")
    assert missing.ok is False
    assert "sqs:CreateQueue" in missing.advice
    assert "lambda:CreateFunction" not in missing.advice
    assert rights("arn:aws:iam::1:user/ada").ok
    assert rights("arn:aws:iam::1:root").ok


def test_rights_are_asked_for_resources_of_a_stack_of_the_account() -> None:
    account = Scripted(
        get_caller_identity={"Arn": "arn:aws-cn:iam::123456789012:user/ada"},
        simulate_principal_policy={"EvaluationResults": []},
    )
    list(findings_of(BY_NAME["rights to deploy"], account))
    asked = {
        action: resource
        for each in account.client("iam").asked
        for action in each.get("ActionNames", ())
        for resource in each["ResourceArns"]
    }
    assert asked["sqs:CreateQueue"] == f"arn:aws-cn:sqs:{REGION}:123456789012:atomic-steps"
    assert asked["logs:CreateLogDelivery"] == "*"


def test_the_rights_of_a_session_are_those_of_its_role() -> None:
    role = "arn:aws:iam::1:role/aws-reserved/sso.amazonaws.com/Admin"
    assert role in rights("arn:aws:sts::1:assumed-role/Admin/ada", role=role).advice


def test_rights_are_asked_for_every_service_of_the_template() -> None:
    services = {
        "ApiGatewayV2": "apigateway", "CloudWatch": "cloudwatch", "DynamoDB": "dynamodb", "IAM": "iam",
        "Lambda": "lambda", "Logs": "logs", "S3": "s3", "SNS": "sns", "SQS": "sqs",
        "Scheduler": "scheduler", "Serverless": "lambda",
    }  # fmt: skip
    always = {each["Type"].split("::")[1] for each in RESOURCES.values() if "Condition" not in each}
    asked = {action.partition(":")[0] for actions in DEPLOYS.values() for action in actions}
    assert {services[name] for name in always} <= asked


@pytest.mark.parametrize("check", ACCOUNT_CHECKS, ids=lambda check: check.name)
def test_what_aws_denies_is_unknown_and_not_wrong(check: Any) -> None:
    operations = (
        "get_account_settings", "get_account", "list_service_quotas", "describe_limits",
        "describe_resource_policies", "get_caller_identity",
    )  # fmt: skip
    denied = refused("AccessDeniedException")
    [unknown] = findings_of(check, Scripted(**dict.fromkeys(operations, denied)))
    assert unknown.ok is None
    assert check.action in unknown.advice
    assert check.by_hand in unknown.advice


# --- the stack


@pytest.fixture
def deployed() -> Iterator[tuple[Account, Stack]]:
    """A stack in moto: a table, a queue, an alarm, a topic and a stage."""
    with mock_aws():
        account = Account(region=REGION)
        account.client("dynamodb").create_table(TableName="t", **table.TABLE)
        queue = account.client("sqs").create_queue(QueueName="dead")["QueueUrl"]
        topic = account.client("sns").create_topic(Name="alarms")["TopicArn"]
        account.client("cloudwatch").put_metric_alarm(
            AlarmName="steps failed", MetricName="DeadLetters", Namespace="Atomic", Period=60, Threshold=0,
            EvaluationPeriods=1, ComparisonOperator="GreaterThanThreshold", Statistic="Sum",
        )  # fmt: skip
        gateway = account.client("apigatewayv2")
        api = gateway.create_api(Name="s", ProtocolType="HTTP")["ApiId"]
        gateway.create_stage(ApiId=api, StageName="$default", DefaultRouteSettings=rate(2000))
        outputs = {"AlarmTopicArn": topic, "ApiId": api, "TableName": "t"}
        resources = (
            ("DeadLetterQueue", "AWS::SQS::Queue", queue),
            ("FailedStepsAlarm", "AWS::CloudWatch::Alarm", "steps failed"),
        )
        yield account, Stack("s", "CREATE_COMPLETE", outputs, resources)


def rate(per_second: float) -> dict[str, float]:
    return {"ThrottlingRateLimit": per_second}


def by_check(account: Account, stack: Stack) -> dict[str, list[Finding]]:
    said: dict[str, list[Finding]] = {}
    for check in checks_of(stack):
        for each in findings_of(check, account):
            said.setdefault(each.check, []).append(each)
    return said


def test_a_stack_that_lacks_things_is_told_commands(deployed: tuple[Account, Stack]) -> None:
    account, stack = deployed
    account.client("sqs").send_message(QueueUrl=stack.resources[0][2], MessageBody="x")
    cloudwatch = account.client("cloudwatch")
    cloudwatch.set_alarm_state(AlarmName="steps failed", StateValue="ALARM", StateReason="x")
    said = by_check(account, stack)
    assert [each.ok for each in said["table"]] == [True, False, False, False]
    commands = " ".join(each.advice for each in said["table"])
    for option in ("update-time-to-live", "update-continuous-backups", "--deletion-protection-enabled"):
        assert option in commands
    assert said["DeadLetterQueue"][0].advice.startswith("1 messages")
    [alarm] = said["alarms"]
    assert (alarm.ok, "steps failed" in alarm.advice) == (False, True)
    assert said["who hears of alarms"][0].advice.startswith("nobody")
    assert said["throttle of the API"][0].ok


def test_a_stack_that_is_well(deployed: tuple[Account, Stack]) -> None:
    account, stack = deployed
    dynamodb = account.client("dynamodb")
    dynamodb.update_time_to_live(TableName="t", TimeToLiveSpecification=table.TTL)
    recovery = {"PointInTimeRecoveryEnabled": True}
    dynamodb.update_continuous_backups(TableName="t", PointInTimeRecoverySpecification=recovery)
    dynamodb.update_table(TableName="t", DeletionProtectionEnabled=True)
    topic = stack.outputs["AlarmTopicArn"]
    account.client("sns").subscribe(TopicArn=topic, Protocol="email", Endpoint="a@b.example")
    said = by_check(account, stack)
    assert len(said) == 6
    assert {each.ok for name in said for each in said[name]} == {True}


@pytest.mark.parametrize(("per_second", "says"), [(20_000, "only 10,000"), (0, "every request is refused")])
def test_a_throttle_that_refuses_is_told(per_second: float, says: str) -> None:
    stack = Stack("s", "CREATE_COMPLETE", {"ApiId": "a"}, ())
    account = Scripted(
        describe_alarms={"MetricAlarms": []},
        get_stage={"DefaultRouteSettings": rate(per_second)},
        get_account={"throttleSettings": {"rateLimit": 10_000.0}},
    )
    [throttle] = by_check(account, stack)["throttle of the API"]
    assert (throttle.ok, says in throttle.advice) == (False, True)


def test_a_function_that_is_switched_off_is_told() -> None:
    stack = Stack("s", "CREATE_COMPLETE", {}, (("InvokerFunction", "AWS::Lambda::Function", "f"),))
    account = Scripted(
        describe_alarms={"MetricAlarms": []},
        get_function_concurrency={"ReservedConcurrentExecutions": 0},
        list_event_source_mappings={"EventSourceMappings": [{"State": "Disabled", "UUID": "u"}]},
    )
    off, unread = by_check(account, stack)["functions"]
    assert "delete-function-concurrency --function-name f" in off.advice
    assert "update-event-source-mapping --uuid u --enabled" in unread.advice


def test_a_mail_that_nobody_confirmed_is_told() -> None:
    stack = Stack("s", "CREATE_COMPLETE", {"AlarmTopicArn": "arn:aws:sns:r:1:t"}, ())
    pending = {"Subscriptions": [{"SubscriptionArn": "PendingConfirmation"}]}
    account = Scripted(describe_alarms={"MetricAlarms": []}, list_subscriptions_by_topic=pending)
    [said] = by_check(account, stack)["who hears of alarms"]
    assert (said.ok, "not confirmed" in said.advice) == (False, True)


@pytest.mark.parametrize(
    ("status", "body", "ok", "says"),
    [
        (200, b'{"status":"ok","version":"1.2.3","build":"abc"}', True, "version 1.2.3, build abc"),
        (503, b'{"status":"unavailable","version":"1.2.3"}', False, "the table does not answer"),
        (200, b"<html>", False, "no answer of Atomic"),
        (403, b'{"message":"Forbidden"}', False, "not answered by Atomic: 403"),
    ],
)
def test_the_release_is_what_the_url_says(status: int, body: bytes, ok: bool, says: str) -> None:
    with server(status, body) as url:
        stack = Stack("s", "CREATE_COMPLETE", {"Url": url}, ())
        [release] = by_check(Scripted(describe_alarms={"MetricAlarms": []}), stack)["release"]
    assert release.ok is ok
    assert says in release.advice


def test_there_is_no_such_stack() -> None:
    error = refused("ValidationError", message="Stack with id nope does not exist")
    [missing] = stack_findings(Scripted(describe_stacks=error), "nope")
    assert missing.ok is False
    assert "does not exist" in missing.advice
    assert f"list-stacks --region {REGION}" in missing.advice


def test_a_stack_whose_update_failed_is_told_where_to_look() -> None:
    stacks = {"Stacks": [{"StackStatus": "UPDATE_ROLLBACK_FAILED"}]}
    account = Scripted(
        describe_stacks=stacks,
        list_stack_resources={"StackResourceSummaries": []},
        describe_alarms={"MetricAlarms": []},
    )
    first, *_ = stack_findings(account, "s")
    assert first.ok is False
    assert "describe-stack-events --stack-name s" in first.advice


# --- the command


@contextmanager
def server(
    status: int, body: bytes, of: Mapping[str, tuple[int, bytes]] = MappingProxyType({})
) -> Iterator[str]:
    """Answer every request so, or by `of` when the body has one of its words."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            answer = next((each for word, each in of.items() if word in sent), (status, body))
            self.send_response(answer[0])
            self.send_header("content-length", str(len(answer[1])))
            self.end_headers()
            self.wfile.write(answer[1])

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{http.server_port}"
    finally:
        http.shutdown()
        http.server_close()


IDENTITY = b"""<GetCallerIdentityResponse><GetCallerIdentityResult>
<UserId>A</UserId><Account>123456789012</Account><Arn>arn:aws:iam::123456789012:user/ada</Arn></GetCallerIdentityResult></GetCallerIdentityResponse>"""
DENIED = b'{"__type":"AccessDeniedException","Code":"AccessDeniedException","Message":"no"}'
DENIED_XML = b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
OF_QUERIES = {"GetCallerIdentity": (200, IDENTITY), "Action=": (403, DENIED_XML)}


def run(*arguments: str, code: int) -> str:
    done = CliRunner().invoke(main, ["doctor", *arguments])
    assert done.exit_code == code, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.output


KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@pytest.mark.parametrize(
    ("unset", "arguments", "says"),
    [
        (("AWS_DEFAULT_REGION",), (), "set AWS_REGION, or give --region"),
        (KEYS, (), "there are no credentials"),
        (KEYS[1:], (), "AWS_SECRET_ACCESS_KEY"),
        ((), ("--profile", "nope"), "aws configure list-profiles"),
        ((), ("--region", "not a region"), "not a region"),
    ],
)
def test_without_a_way_to_aws_the_command_says_what_to_set(
    unset: tuple[str, ...], arguments: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in unset:
        monkeypatch.delenv(name)
    said = run("--aws", *arguments, code=1)
    assert said.startswith("FAIL  credentials: ")
    assert says in said
    assert said.count("\n") == 2


def test_no_answer_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "no connection to AWS" in run("--aws", code=1)


def test_an_answer_of_somebody_else_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    with server(200, b"<html>Welcome to our hotel") as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        assert "not AWS" in run("--aws", code=1)


def test_somebody_who_may_nothing_is_told_every_right(monkeypatch: pytest.MonkeyPatch) -> None:
    with server(403, DENIED, OF_QUERIES) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        said = run("--aws", code=0)
        documents = json.loads(run("--aws", "--json", code=0))
        with_stack = run("--aws", "--stack", "s", code=1)
    assert said.startswith("ok    credentials: account 123456789012, region eu-central-1")
    assert said.count("??    ") == len(ACCOUNT_CHECKS)
    assert {each["ok"] for each in documents} == {True, None}
    assert "FAIL  stack s: " in with_stack


def test_the_options_of_aws_need_it() -> None:
    assert "need --aws" in run("--stack", "s", code=2)


def test_the_region_may_come_from_the_variable_of_the_aws_cli(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    with server(403, DENIED, OF_QUERIES) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        assert "region eu-north-1" in run("--aws", code=0)
