"""What `atomic doctor --aws --stack NAME` looks at after a deployment."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import requests
from botocore.exceptions import ClientError

from atomic.cli.aws.account import gateway_rate
from atomic.cli.aws.checks import NO_ANSWER, Account, Check, Said, findings_of, trouble
from atomic.cli.findings import Finding

_COMPLETE: Final = frozenset(
    {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE"}
)
_ALARMS_A_CALL: Final = 100
_HEALTH_WITHIN_S: Final = 15


@dataclass(frozen=True, slots=True)
class Stack:
    """A deployed stack: its status, its outputs, and its resources as logical id, type, physical id."""

    name: str
    status: str
    outputs: dict[str, str]
    resources: tuple[tuple[str, str, str], ...]

    def of_type(self, kind: str) -> Iterator[tuple[str, str]]:
        """Logical and physical id of each resource of a type."""
        return ((logical, physical) for logical, found, physical in self.resources if found == kind)


def stack_findings(account: Account, name: str) -> Iterator[Finding]:
    """The findings about a stack; one alone if there is no such stack."""
    try:
        stack = _read(account, name)
    except (ClientError, *NO_ANSWER) as error:
        region = account.session.region_name
        cure = f"see `aws cloudformation list-stacks --region {region}`"
        yield Finding(f"stack {name}", False, f"{trouble(error)}; {cure}")
        return
    done = stack.status in _COMPLETE
    cure = "" if done else f": see `aws cloudformation describe-stack-events --stack-name {name}`"
    yield Finding(f"stack {name}", done, stack.status + cure)
    for check in checks_of(stack):
        yield from findings_of(check, account)


def _read(account: Account, name: str) -> Stack:
    cloudformation = account.client("cloudformation")
    [found] = cloudformation.describe_stacks(StackName=name)["Stacks"]
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
    resources = (each for page in pages for each in page["StackResourceSummaries"])
    return Stack(
        name=name,
        status=found["StackStatus"],
        outputs={each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", ())},
        resources=tuple(
            (each["LogicalResourceId"], each["ResourceType"], each.get("PhysicalResourceId", ""))
            for each in resources
        ),
    )


def checks_of(stack: Stack) -> Iterator[Check]:
    """What there is to check of a stack, by its outputs and resources."""
    outputs = stack.outputs
    if url := outputs.get("Url"):
        yield Check("release", "nothing of AWS", f"curl {url}/health", lambda _: _release(url))
    for logical, queue in stack.of_type("AWS::SQS::Queue"):
        if logical.endswith("DeadLetterQueue"):
            by_hand = f"aws sqs get-queue-attributes --queue-url {queue} --attribute-names All"
            yield Check(logical, "sqs:GetQueueAttributes", by_hand, _depth(queue))
    alarms = [name for _, name in stack.of_type("AWS::CloudWatch::Alarm")]
    by_hand = "aws cloudwatch describe-alarms --state-value ALARM"
    yield Check("alarms", "cloudwatch:DescribeAlarms", by_hand, lambda account: _alarms(account, alarms))
    if topic := outputs.get("AlarmTopicArn"):
        by_hand = f"aws sns list-subscriptions-by-topic --topic-arn {topic}"
        yield Check(
            "who hears of alarms", "sns:ListSubscriptionsByTopic", by_hand,
            lambda account: _subscribed(account, topic),
        )  # fmt: skip
    if api := outputs.get("ApiId"):
        by_hand = f"aws apigatewayv2 get-stage --api-id {api} --stage-name '$default'"
        yield Check(
            "throttle of the API", "apigateway:GET", by_hand, lambda account: _throttle(account, api)
        )
    if table := outputs.get("TableName"):
        by_hand = f"aws dynamodb describe-table --table-name {table}"
        action = "dynamodb:DescribeTable, dynamodb:DescribeTimeToLive or dynamodb:DescribeContinuousBackups"
        yield Check("table", action, by_hand, lambda account: _table(account, table))
    functions = [name for _, name in stack.of_type("AWS::Lambda::Function")]
    by_hand = "aws lambda list-event-source-mappings"
    action = "lambda:ListEventSourceMappings or lambda:GetFunctionConcurrency"
    yield Check("functions", action, by_hand, lambda account: _functions(account, functions))


def _release(url: str) -> Said:
    try:
        answer = requests.get(f"{url}/health", timeout=_HEALTH_WITHIN_S)
        health = answer.json()
    except (requests.RequestException, ValueError) as error:
        yield False, f"{url}/health: no answer of Atomic ({type(error).__name__})"
        return
    if not isinstance(health, dict) or "version" not in health:
        yield False, f"{url}/health is not answered by Atomic: {answer.status_code}"
        return
    said = f"{health.get('status')}, version {health['version']}, build {health.get('build') or 'unknown'}"
    cure = "" if answer.ok else ": the table does not answer; see the log of the API function"
    yield answer.ok, said + cure


def _depth(queue: str) -> Any:
    def look(account: Account) -> Said:
        name = "ApproximateNumberOfMessages"
        answer = account.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=[name])
        depth = int(answer["Attributes"][name])
        cure = ": see the page of runbooks, “The dead-letter queue holds messages”"
        yield depth == 0, f"{depth} messages{cure if depth else ''}"

    return look


def _alarms(account: Account, names: list[str]) -> Said:
    cloudwatch = account.client("cloudwatch")
    found: list[dict[str, Any]] = []
    for at in range(0, len(names), _ALARMS_A_CALL):
        wanted = names[at : at + _ALARMS_A_CALL]
        found += cloudwatch.describe_alarms(AlarmNames=wanted, MaxRecords=_ALARMS_A_CALL)["MetricAlarms"]
    loud = [each for each in found if each["StateValue"] == "ALARM"]
    for each in loud:
        yield (
            False,
            f"{each['AlarmName']}: {each.get('AlarmDescription', '')} (docs/operations.md has the cures)",
        )
    if not loud:
        yield True, f"none of {len(found)} is in ALARM"


def _subscribed(account: Account, topic: str) -> Said:
    answer = account.client("sns").list_subscriptions_by_topic(TopicArn=topic)
    arns = [each["SubscriptionArn"] for each in answer["Subscriptions"]]
    waiting = sum(not arn.startswith("arn:") for arn in arns)
    if waiting:
        yield (
            False,
            f"{waiting} of {len(arns)} subscriptions are not confirmed: open the mail of AWS and confirm",
        )
    elif not arns:
        yield False, "nobody: deploy with AlarmEmail=…, or subscribe to the topic"
    else:
        yield True, f"{len(arns)} confirmed"


def _throttle(account: Account, api: str) -> Said:
    stage = account.client("apigatewayv2").get_stage(ApiId=api, StageName="$default")
    rate = float(stage.get("DefaultRouteSettings", {}).get("ThrottlingRateLimit", 0))
    said = f"{rate:,.0f} requests a second"
    if rate <= 0:
        yield (
            False,
            "every request is refused, or there is no limit of the stage: deploy with RequestsPerSecond=…",
        )
    elif rate > (most := gateway_rate(account)):
        yield (
            False,
            f"{said}, and the account has only {most:,.0f}: raise its quota, or lower RequestsPerSecond",
        )
    else:
        yield True, f"{said} (RequestsPerSecond), {rate / 4:,.0f} runs of three steps"


def _table(account: Account, name: str) -> Said:
    dynamodb = account.client("dynamodb")
    table = dynamodb.describe_table(TableName=name)["Table"]
    status = table["TableStatus"]
    yield status in {"ACTIVE", "UPDATING"}, f"{name} is {status}, with {table['ItemCount']:,} items"
    ttl = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]["TimeToLiveStatus"]
    yield (
        ttl in {"ENABLED", "ENABLING"},
        f"deletes what is over (TTL): {ttl}"
        + _cure(
            ttl.startswith("ENABL"),
            f"aws dynamodb update-time-to-live --table-name {name} --time-to-live-specification "
            "Enabled=true,AttributeName=ttl",
        ),
    )
    backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    pitr = backups.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus", "DISABLED")
    yield (
        pitr == "ENABLED",
        f"can be restored to any second of 35 days: {pitr}"
        + _cure(
            pitr == "ENABLED",
            f"aws dynamodb update-continuous-backups --table-name {name} "
            "--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true",
        ),
    )
    protected = bool(table.get("DeletionProtectionEnabled"))
    yield (
        protected,
        f"protected against deletion: {'yes' if protected else 'no'}"
        + _cure(protected, f"aws dynamodb update-table --table-name {name} --deletion-protection-enabled"),
    )


def _cure(right: bool, command: str) -> str:
    return "" if right else f"; {command}"


def _functions(account: Account, names: list[str]) -> Said:
    client = account.client("lambda")
    off = 0
    for name in names:
        reserved = client.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions")
        if reserved == 0:
            off += 1
            command = f"aws lambda delete-function-concurrency --function-name {name}"
            yield False, f"{name} may run in 0 environments, so it is switched off: {command}"
        pages = client.get_paginator("list_event_source_mappings").paginate(FunctionName=name)
        for mapping in (each for page in pages for each in page["EventSourceMappings"]):
            if mapping["State"] not in {"Enabled", "Enabling", "Updating", "Creating"}:
                off += 1
                command = f"aws lambda update-event-source-mapping --uuid {mapping['UUID']} --enabled"
                yield False, f"{name} does not read its queue ({mapping['State']}): {command}"
    if not off:
        yield True, f"{len(names)} functions, and each reads its queues"
