"""What `atomic doctor --aws` asks of an account before the first deployment: who, clock, quotas, rights."""

from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

from botocore.exceptions import ClientError, NoRegionError

from atomic.cli.aws.checks import NO_ANSWER, Account, Check, Said, trouble
from atomic.cli.findings import Finding

# AWS refuses signatures of a clock that is five minutes wrong. The header says whole seconds.
_CLOCK_MAX_S: Final = 60
_RAISE: Final = "aws service-quotas request-service-quota-increase"
_CONCURRENCY: Final = 1000
_GATEWAY_RATE: Final = 10_000
_TABLE_WRITES: Final = 40_000
# A quota of CloudWatch Logs that cannot be raised, and what the policy gains for one log group.
_LOG_POLICIES_MAX: Final = 10
_LOG_POLICY_MAX: Final = 5120
_LOG_GROUP_CHARACTERS: Final = 200
_DELIVERY: Final = "AWSLogDeliveryWrite20150319"
_SCHEDULER_LEAST: Final = {
    "createschedule request rate": 250,
    "invocations throttle limit": 250,
    "number of schedules": 1_000_000,
}
# One or more actions for each service of the template (a test compares), by a resource of a stack that is
# named `atomic`. "*": AWS knows no resource for these. docs/deployer-policy.json grants them all.
DEPLOYS: Final[Mapping[str, tuple[str, ...]]] = {
    "arn:aws:apigateway:{region}::/apis": ("apigateway:POST",),
    "arn:aws:cloudformation:{region}:{account}:stack/atomic/1": (
        "cloudformation:CreateChangeSet",
        "cloudformation:ExecuteChangeSet",
    ),
    "arn:aws:cloudwatch::{account}:dashboard/atomic": ("cloudwatch:PutDashboard",),
    "arn:aws:cloudwatch:{region}:{account}:alarm:atomic-Alarm-1": ("cloudwatch:PutMetricAlarm",),
    "arn:aws:dynamodb:{region}:{account}:table/atomic-Table-1": (
        "dynamodb:CreateTable",
        "dynamodb:UpdateContinuousBackups",
        "dynamodb:UpdateTimeToLive",
    ),
    "arn:aws:iam::{account}:policy/atomic-EnginePolicy-1": ("iam:CreatePolicy",),
    "arn:aws:iam::{account}:role/atomic-ApiRole-1": (
        "iam:AttachRolePolicy",
        "iam:CreateRole",
        "iam:PassRole",
        "iam:PutRolePolicy",
    ),
    "arn:aws:lambda:{region}:{account}:function:atomic-ApiFunction-1": (
        "lambda:AddPermission",
        "lambda:CreateFunction",
        "lambda:PutFunctionEventInvokeConfig",
        "lambda:PutFunctionRecursionConfig",
    ),
    "arn:aws:lambda:{region}:{account}:layer:atomic": ("lambda:PublishLayerVersion",),
    "arn:aws:logs:{region}:{account}:log-group:atomic-ApiLogs-1": (
        "logs:CreateLogGroup",
        "logs:PutMetricFilter",
        "logs:PutRetentionPolicy",
    ),
    "arn:aws:s3:::aws-sam-cli-managed-default-1": ("s3:CreateBucket",),
    "arn:aws:s3:::aws-sam-cli-managed-default-1/atomic/1": ("s3:PutObject",),
    "arn:aws:scheduler:{region}:{account}:schedule-group/atomic-wakeups": (
        "scheduler:CreateScheduleGroup",
    ),
    "arn:aws:scheduler:{region}:{account}:schedule/default/atomic-Tick-1": ("scheduler:CreateSchedule",),
    "arn:aws:sns:{region}:{account}:atomic-AlarmTopic-1": ("sns:CreateTopic", "sns:Subscribe"),
    "arn:aws:sqs:{region}:{account}:atomic-steps": ("sqs:CreateQueue",),
    "*": (
        "lambda:CreateEventSourceMapping",
        "logs:CreateLogDelivery",
        "logs:PutQueryDefinition",
        "logs:PutResourcePolicy",
    ),
}


def identity(account: Account, wall_ms: Callable[[], int]) -> Iterator[Finding]:
    """Whose credentials these are, where they lead, and whether the clock is right.

    The first finding is false when AWS does not accept the credentials; no other check can be made then.
    """
    try:
        if account.session.region_name is None:
            raise NoRegionError
        sent_ms = wall_ms()
        answer = account.client("sts").get_caller_identity()
    except ClientError as error:
        yield Finding("credentials", False, trouble(error))
        yield from _clock(error.response, (sent_ms + wall_ms()) / 2000)
    except NO_ANSWER as error:
        yield Finding("credentials", False, trouble(error))
    else:
        said = f"account {answer['Account']}, region {account.session.region_name}, as {answer['Arn']}"
        yield Finding("credentials", True, said)
        yield from _clock(answer, (sent_ms + wall_ms()) / 2000)


def _clock(answer: Any, own_s: float) -> Iterator[Finding]:
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    if date:
        off_s = own_s - parsedate_to_datetime(date).timestamp()
        right = abs(off_s) < _CLOCK_MAX_S
        cure = (
            "" if right else ": set it (NTP); AWS refuses what is signed by a clock that is 5 minutes wrong"
        )
        yield Finding("clock", right, f"{off_s:+.0f} s from that of AWS{cure}")


def _concurrency(account: Account) -> Said:
    limit = account.client("lambda").get_account_settings()["AccountLimit"]
    free = limit["UnreservedConcurrentExecutions"]
    said = f"{limit['ConcurrentExecutions']} environments, {free} of them not reserved"
    if free >= _CONCURRENCY:
        yield True, said
        return
    advice = (
        f"{said}: so many callers and steps at a time, for everything in this account and region. "
        f"Raise it: {_RAISE} --service-code lambda --quota-code L-B99A9384 --desired-value {_CONCURRENCY}. "
        "Until then start runs with `Prefer: respond-async`, and set MaximumConcurrency to "
        f"{max(2, free // 3)} at most"
    )
    yield False, advice


def gateway_rate(account: Account) -> float:
    """How many requests a second API Gateway takes for the whole account and region."""
    return float(account.client("apigateway").get_account()["throttleSettings"]["rateLimit"])


def _gateway(account: Account) -> Said:
    rate = gateway_rate(account)
    said = f"{rate:,.0f} requests a second for all APIs; a run of three steps makes four"
    code = f"--service-code apigateway --quota-code L-8A5B8E43 --desired-value {_GATEWAY_RATE}"
    cure = f": the usual quota is {_GATEWAY_RATE:,}: {_RAISE} {code}"
    yield rate >= _GATEWAY_RATE, said + ("" if rate >= _GATEWAY_RATE else cure)


def _scheduler(account: Account) -> Said:
    pages = account.client("service-quotas").get_paginator("list_service_quotas")
    found = {
        quota["QuotaName"]: quota["Value"]
        for page in pages.paginate(ServiceCode="scheduler")
        for quota in page["Quotas"]
    }
    for name, value in sorted(found.items()):
        least = next((least for word, least in _SCHEDULER_LEAST.items() if word in name.lower()), None)
        if least is not None:
            cure = "" if value >= least else f": waits of half an hour and more need {least:,}; raise it"
            yield value >= least, f"{name}: {value:,.0f}{cure}"


def _tables(account: Account) -> Said:
    limits = account.client("dynamodb").describe_limits()
    writes = limits["TableMaxWriteCapacityUnits"]
    cure = f": raise it to {_TABLE_WRITES:,} (Service Quotas, DynamoDB) before more than that is started"
    said = f"{writes:,} write units a second for one table; a run of three steps takes about eight"
    yield writes >= _TABLE_WRITES, said + ("" if writes >= _TABLE_WRITES else cure)


def _log_policies(account: Account) -> Said:
    pages = account.client("logs").get_paginator("describe_resource_policies")
    policies = {
        policy["policyName"]: len(policy["policyDocument"])
        for page in pages.paginate()
        for policy in page["resourcePolicies"]
    }
    size = policies.get(_DELIVERY)
    said = (
        f"{len(policies)} of {_LOG_POLICIES_MAX} policies; {_DELIVERY} has {size or 0} of "
        f"{_LOG_POLICY_MAX} characters"
    )
    if size is None and len(policies) >= _LOG_POLICIES_MAX:
        names = ", ".join(sorted(policies))
        yield (
            False,
            f"{said}. The access log needs one: delete one that nobody uses ({names})",
        )
    elif size is not None and size + _LOG_GROUP_CHARACTERS > _LOG_POLICY_MAX:
        cure = f"aws logs put-resource-policy --policy-name {_DELIVERY} --policy-document …"
        yield False, f"{said}. The access log does not fit: replace its log groups by a wildcard, {cure}"
    else:
        yield True, said


def _rights(account: Account) -> Said:
    arn = _principal(account, account.client("sts").get_caller_identity()["Arn"])
    if arn.endswith(":root"):
        yield True, "the root user may do everything; make a role for deployments"
        return
    pages = account.client("iam").get_paginator("simulate_principal_policy")
    _, partition, _, _, account_id, _ = arn.split(":", 5)
    denied: set[str] = set()
    for resource, actions in DEPLOYS.items():
        named = resource.format(region=account.session.region_name, account=account_id)
        asked = {
            "ActionNames": list(actions),
            "ResourceArns": [named.replace("arn:aws:", f"arn:{partition}:")],
        }
        denied |= {
            result["EvalActionName"]
            for page in pages.paginate(PolicySourceArn=arn, **asked)
            for result in page["EvaluationResults"]
            if result["EvalDecision"] != "allowed"
        }
    if denied:
        yield (
            False,
            (
                f"{arn} may not do {', '.join(sorted(denied))} for a stack named atomic; a deployment "
                "needs what docs/deployer-policy.json lists"
            ),
        )
    else:
        yield True, f"{arn} has what a deployment needs"


def _principal(account: Account, arn: str) -> str:
    """The ARN whose policies count: of a session, that of its role, whose path only IAM knows."""
    if ":assumed-role/" not in arn:
        return arn
    role = account.client("iam").get_role(RoleName=arn.split("/")[1])
    return str(role["Role"]["Arn"])


ACCOUNT_CHECKS: Final = (
    Check(
        "Lambda concurrency", "lambda:GetAccountSettings", "aws lambda get-account-settings", _concurrency
    ),
    Check("API Gateway throttle", "apigateway:GET", "aws apigateway get-account", _gateway),
    Check(
        "EventBridge Scheduler", "servicequotas:ListServiceQuotas",
        "aws service-quotas list-service-quotas --service-code scheduler", _scheduler,
    ),
    Check("DynamoDB tables", "dynamodb:DescribeLimits", "aws dynamodb describe-limits", _tables),
    Check(
        "policies of CloudWatch Logs", "logs:DescribeResourcePolicies",
        "aws logs describe-resource-policies", _log_policies,
    ),
    Check(
        "rights to deploy", "iam:SimulatePrincipalPolicy (and iam:GetRole)",
        "aws iam simulate-principal-policy", _rights,
    ),
)  # fmt: skip
