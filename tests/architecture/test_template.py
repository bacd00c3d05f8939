"""Rules for template.yaml, including those that cfn-lint is known to miss. Nothing is built."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from atomic.adapters.aws import rows, sqs, table
from atomic.adapters.aws.blob_items import FOLDER_DAYS, MARGIN_DAYS
from atomic.adapters.aws.destinations import Bounds
from atomic.application.maintenance import SWEEP_EVERY_MS
from atomic.entrypoints.aws import maintenance
from atomic.entrypoints.aws import settings as aws_settings
from atomic.entrypoints.aws.settings import LambdaSettings
from atomic.entrypoints.http_api.routes import ROUTES
from stack_template import (
    FUNCTIONS,
    GLOBALS,
    QUEUES,
    RESOURCES,
    TEMPLATE,
    of_type,
    several,
    statements,
    target_of,
)

REPO = Path(__file__).parents[2]
VARIABLES = {setting.variable: setting for setting in LambdaSettings.settings()}
# Only invokers have these: a destination's share is computed from the number of environments.
OF_INVOKERS = {"ATOMIC_INVOKER", "ATOMIC_INVOKERS_MAX"}
OF_NETWORK_INTERFACES = (
    "AssignPrivateIpAddresses", "CreateNetworkInterface", "DeleteNetworkInterface",
    "DescribeNetworkInterfaces", "DescribeSubnets", "UnassignPrivateIpAddresses",
)  # fmt: skip
OF_MAINTENANCE = {"ATOMIC_MAINTENANCE_QUEUE_URL", "ATOMIC_WORKFLOW_METRICS"}
# The steps function calls endpoints as well, and learns its own URL from its events.
OF_CALLERS = {"ATOMIC_STEPS_URL"}
# Of the function that serves the dashboard.
OF_PAGES = {"ATOMIC_TRACE_LINK", "ATOMIC_LOG_LINK"}
# Actions that AWS cannot restrict to resources.
WILDCARDS = {
    # What Lambda itself does to place a function into a VPC. The code of the functions is denied it.
    *(("Allow", f"ec2:{action}", "*") for action in OF_NETWORK_INTERFACES),
    # X-Ray has no resources.
    ("Allow", "xray:PutTraceSegments", "*"),
    ("Allow", "xray:PutTelemetryRecords", "*"),
    # The names of schedules are not known beforehand; the group belongs to this stack.
    (
        "Allow",
        "scheduler:CreateSchedule",
        "arn:${AWS::Partition}:scheduler:${AWS::Region}:${AWS::AccountId}:schedule/${ScheduleGroup}/*",
    ),
    # Nor are those of objects; the bucket belongs to this stack.
    ("Allow", "s3:GetObject", "${Bucket.Arn}/*"),
    ("Allow", "s3:PutObject", "${Bucket.Arn}/*"),
    ("Allow", "s3:DeleteObject", "${Bucket.Arn}/*"),
}
BUCKET_ARN = json.dumps({"Fn::GetAtt": "Bucket.Arn"})
DAYS_14_S = 14 * 24 * 3600


def allowed() -> Iterator[tuple[str, str, str]]:
    """Effect, action and resource of all that the policies allow; references as JSON."""
    for statement in statements(RESOURCES):
        if statement["Effect"] == "Allow":
            for action in several(statement["Action"]):
                for resource in several(statement.get("Resource", "")):
                    text = resource.get("Fn::Sub") if isinstance(resource, dict) else resource
                    text = text[0] if isinstance(text, list) else text
                    yield "Allow", action, text if isinstance(text, str) else json.dumps(resource)


def test_no_wildcard_where_aws_offers_a_narrower_form() -> None:
    found = {each for each in allowed() if "*" in each[1] or "*" in each[2]}
    assert found == WILDCARDS


def test_the_last_default_route_is_atomics() -> None:
    """`sam local` knows no conditions and one API only, which takes the last route of each path."""
    defaults = [
        route["ApiId"]
        for route in of_type("AWS::ApiGatewayV2::Route").values()
        if route["RouteKey"] == "$default"
    ]
    assert defaults[-1] == {"Ref": "HttpApi"}


def test_the_api_may_read_and_write_rows_and_clients_and_delete_places_in_lines() -> None:
    """Clients are written by a transaction of puts, which needs `PutItem` and no further action."""
    granted = {
        action
        for policy in (RESOURCES["EnginePolicy"], RESOURCES["ApiRole"])
        for statement in statements(policy)
        for action in several(statement["Action"])
        if action.startswith("dynamodb:")
    }
    verbs = ("GetItem", "PutItem", "UpdateItem", "Query", "BatchGetItem", "DeleteItem")
    assert granted == {f"dynamodb:{verb}" for verb in verbs}


def test_only_deny_statements_use_a_wildcard() -> None:
    for statement in statements(RESOURCES):
        if "*" in several(statement.get("Principal", "")) or {"sqs:*", "s3:*"} & {
            *several(statement["Action"])
        }:
            assert statement["Effect"] == "Deny"


def test_no_managed_policy_is_used() -> None:
    for role in of_type("AWS::IAM::Role").values():
        assert all("Ref" in arn for arn in role.get("ManagedPolicyArns", []))
    assert not any("Policies" in function for function in FUNCTIONS.values())


def test_every_function_has_a_role_of_its_own() -> None:
    roles = [target_of(function["Role"]) for function in FUNCTIONS.values()]
    assert len(FUNCTIONS) == len(set(roles)) == 5
    assert set(roles) <= set(of_type("AWS::IAM::Role"))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_logs_where_it_may_and_for_a_bounded_time(name: str) -> None:
    group = FUNCTIONS[name]["LoggingConfig"]["LogGroup"]["Ref"]
    assert of_type("AWS::Logs::LogGroup")[group]["RetentionInDays"]
    role = RESOURCES[target_of(FUNCTIONS[name]["Role"])]
    [logs] = [each for each in statements(role) if "logs:PutLogEvents" in several(each["Action"])]
    assert logs["Resource"] == {"Fn::GetAtt": f"{group}.Arn"}


INVOKERS = {"InvokerFunction": "StepQueue", "LongInvokerFunction": "LongStepQueue"}


def steps_event(invoker: str) -> dict[str, Any]:
    properties: dict[str, Any] = FUNCTIONS[invoker]["Events"]["Steps"]["Properties"]
    return properties


@pytest.mark.parametrize(("invoker", "queue"), INVOKERS.items())
def test_the_visibility_timeout_exceeds_the_invokers_timeout(invoker: str, queue: str) -> None:
    assert target_of(steps_event(invoker)["Queue"]) == queue
    timeout_s = FUNCTIONS[invoker]["Timeout"]
    assert 6 * timeout_s <= QUEUES[queue]["VisibilityTimeout"] <= 43_200


def test_attempts_end_within_the_time_of_their_invoker() -> None:
    writes_ms = 25_000
    long_ms = FUNCTIONS["LongInvokerFunction"]["Timeout"] * 1000
    assert sqs.SHORT_ATTEMPT_MAX_MS + writes_ms <= FUNCTIONS["InvokerFunction"]["Timeout"] * 1000
    assert aws_settings.ATTEMPT_MAX_MS + writes_ms <= long_ms <= 900_000


def test_watchdogs_are_received_in_large_batches_that_only_look() -> None:
    event, queue = (
        FUNCTIONS["InvokerFunction"]["Events"]["Watchdogs"]["Properties"],
        QUEUES["WatchdogQueue"],
    )
    assert target_of(event["Queue"]) == "WatchdogQueue"
    # `prices.py` counts with a full batch, which is one read of the table.
    assert (event["BatchSize"], event["MaximumBatchingWindowInSeconds"]) == (100, 20)
    assert event["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    timeout_s = FUNCTIONS["InvokerFunction"]["Timeout"]
    assert queue["VisibilityTimeout"] >= 6 * timeout_s + event["MaximumBatchingWindowInSeconds"]


@pytest.mark.parametrize("invoker", INVOKERS)
def test_only_the_failed_records_of_a_batch_are_redelivered(invoker: str) -> None:
    event = steps_event(invoker)
    assert event["BatchSize"] <= 10
    assert event["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert event["ScalingConfig"]["MaximumConcurrency"] == {"Ref": "MaximumConcurrency"}
    assert TEMPLATE["Parameters"]["MaximumConcurrency"]["MinValue"] >= 2


def test_each_invoker_counts_its_own_environments() -> None:
    own = [FUNCTIONS[invoker]["Environment"]["Variables"] for invoker in INVOKERS]
    assert len({each["ATOMIC_INVOKER"] for each in own}) == len(INVOKERS)
    for invoker, variables in zip(INVOKERS, own, strict=True):
        concurrency = steps_event(invoker)["ScalingConfig"]["MaximumConcurrency"]
        assert variables["ATOMIC_INVOKERS_MAX"] == concurrency


def test_operators_are_told_how_many_environments_a_destination_gets() -> None:
    bounds = Bounds.of(TEMPLATE["Parameters"]["MaximumConcurrency"]["Default"])
    told = f"{bounds.most} of {bounds.all}, and {bounds.inside} for steps"
    assert told in (REPO / "docs/operations.md").read_text()


def test_a_destination_gets_some_but_not_all_environments() -> None:
    allowed_values = TEMPLATE["Parameters"]["MaximumConcurrency"]
    for environments in range(allowed_values["MinValue"], allowed_values["MaxValue"] + 1):
        bounds = Bounds.of(environments)
        assert 1 <= bounds.most <= bounds.inside < bounds.all == environments


@pytest.mark.parametrize("invoker", INVOKERS)
def test_lambda_does_not_stop_the_chain_of_retries(invoker: str) -> None:
    assert FUNCTIONS[invoker]["RecursiveLoop"] == "Allow"


# The functions behind the gateway, and the route of each.
SERVED = {"ApiFunction": "$default", "StepsFunction": "POST /{client}/steps"}


@pytest.mark.parametrize(("function", "route_key"), SERVED.items())
def test_the_gateway_calls_a_function_for_its_route_and_outlasts_it(function: str, route_key: str) -> None:
    [route] = [
        each
        for each in of_type("AWS::ApiGatewayV2::Route").values()
        if each["RouteKey"] == route_key and each["ApiId"] == {"Ref": "HttpApi"}
    ]
    integration = RESOURCES[route["Target"]["Fn::Sub"].removeprefix("integrations/${")[:-1]]["Properties"]
    assert f"functions/${{{function}.Arn}}/invocations" in integration["IntegrationUri"]["Fn::Sub"]
    longest_ms = TEMPLATE["Parameters"]["WaitMaxMs"]["MaxValue"]
    assert longest_ms < FUNCTIONS[function]["Timeout"] * 1000 < integration["TimeoutInMillis"] <= 30_000
    permitted = [
        each["SourceArn"]["Fn::Sub"].partition(":${HttpApi}/*/")[2]
        for each in of_type("AWS::Lambda::Permission").values()
        if each["FunctionName"] == {"Ref": function} and each["Principal"] == "apigateway.amazonaws.com"
    ]
    # A source names the stage, and a route's method and path, whose variables may have any value.
    source = re.sub(r"{\w+}", "*", route_key.replace(" ", ""))
    # Signed requests come by routes of their own.
    assert [each for each in permitted if "/iam/" not in each] == [source]


def test_what_a_handler_posts_has_a_function_of_its_own() -> None:
    api, steps = FUNCTIONS["ApiFunction"], FUNCTIONS["StepsFunction"]
    assert {name for name in api if api[name] != steps.get(name)} == {
        "Role", "LoggingConfig", "ReservedConcurrentExecutions", "Environment",
    }  # fmt: skip
    assert "POST /{client}/steps" in {
        f"{route.method} {route.template.replace('clientId', 'client')}" for route in ROUTES
    }


@pytest.mark.parametrize(
    ("function", "parameter"),
    [
        ("ApiFunction", "ReservedRoots"),
        ("StepsFunction", "ReservedSteps"),
        ("InvokerFunction", "ReservedInvokers"),
        ("LongInvokerFunction", "ReservedInvokers"),
    ],
)
def test_nothing_is_reserved_by_default(function: str, parameter: str) -> None:
    """AWS refuses a reservation that leaves the account less than a hundred; new accounts have ten."""
    assert TEMPLATE["Parameters"][parameter]["Default"] == 0
    condition, given, none = FUNCTIONS[function]["ReservedConcurrentExecutions"]["Fn::If"]
    assert TEMPLATE["Conditions"][condition] == {"Fn::Not": [{"Fn::Equals": [{"Ref": parameter}, 0]}]}
    assert (given, none) == ({"Ref": parameter}, {"Ref": "AWS::NoValue"})


def test_function_urls_are_an_option_for_both_functions_of_the_api() -> None:
    assert TEMPLATE["Parameters"]["FunctionUrl"]["Default"] == "false"
    assert set(SERVED) == {url["TargetFunctionArn"]["Ref"] for url in of_type("AWS::Lambda::Url").values()}
    for function in SERVED:
        url = RESOURCES[f"{function}Url"]
        assert (url["Condition"], url["Properties"]["AuthType"]) == ("HasFunctionUrl", "NONE")
        permissions = [RESOURCES[f"{function}Url{name}"] for name in ("Permission", "Invocation")]
        assert {each["Condition"] for each in permissions} == {"HasFunctionUrl"}
        given = [each["Properties"] for each in permissions]
        # Neither lets anybody invoke the function in another way.
        assert [(each["Action"], each["FunctionName"]["Ref"]) for each in given] == [
            ("lambda:InvokeFunctionUrl", function), ("lambda:InvokeFunction", function),
        ]  # fmt: skip
        assert (given[0]["FunctionUrlAuthType"], given[1]["InvokedViaFunctionUrl"]) == ("NONE", True)
    for function in ("ApiFunction", *INVOKERS):
        told = FUNCTIONS[function]["Environment"]["Variables"]["ATOMIC_STEPS_URL"]
        at = {"Fn::GetAtt": "StepsFunctionUrl.FunctionUrl"}
        assert told == {"Fn::If": ["HasFunctionUrl", at, ""]}


def test_an_alarm_comes_before_the_account_has_no_environment_left() -> None:
    alarm = RESOURCES["AccountConcurrencyAlarm"]["Properties"]
    assert (alarm["MetricName"], alarm["Threshold"]) == (
        "ClaimedAccountConcurrency", {"Ref": "ConcurrencyAlarmAt"},
    )  # fmt: skip
    # The metric is of the account and has no dimension. 800 is 80 % of the quota of an account.
    assert "Dimensions" not in alarm
    assert TEMPLATE["Parameters"]["ConcurrencyAlarmAt"]["Default"] == 800


def test_a_message_is_tried_often_before_it_is_dead() -> None:
    allow = QUEUES["DeadLetterQueue"]["RedriveAllowPolicy"]
    assert allow["redrivePermission"] == "byQueue"
    queues = [*INVOKERS.values(), "WatchdogQueue"]
    for queue, source in zip(queues, allow["sourceQueueArns"], strict=True):
        assert source["Fn::Sub"].endswith(":" + QUEUES[queue]["QueueName"]["Fn::Sub"])
        redrive = QUEUES[queue]["RedrivePolicy"]
        assert redrive["maxReceiveCount"] >= 5
        assert target_of(redrive["deadLetterTargetArn"]) == "DeadLetterQueue"


def test_no_two_stacks_give_queues_the_same_name() -> None:
    """Whatever their names are: `a` with `-long-steps` and `a-long` with `-steps` would."""
    names = [queue["QueueName"]["Fn::Sub"] for queue in QUEUES.values() if "QueueName" in queue]
    endings = [name.removeprefix("${AWS::StackName}") for name in names]
    assert len(endings) == 4
    assert [one for one in endings for other in endings if one != other and other.endswith(one)] == []


def test_dead_letters_are_kept_for_two_weeks() -> None:
    kept_s = {name: queue["MessageRetentionPeriod"] for name, queue in QUEUES.items()}
    # Each tick of maintenance asks for the same again, so its queue need not keep anything for long.
    assert kept_s.pop("MaintenanceQueue") <= 3_600
    assert set(kept_s.values()) == {DAYS_14_S}


def test_every_asynchronous_edge_has_a_dead_letter_queue() -> None:
    sources = 0
    for function in FUNCTIONS.values():
        for event in function.get("Events", {}).values():
            sources += 1
            if event["Type"] == "SQS":
                assert "RedrivePolicy" in QUEUES[target_of(event["Properties"]["Queue"])]
            else:
                # Two edges: from the schedule to Lambda, and from Lambda to the handler.
                assert target_of(event["Properties"]["DeadLetterConfig"]["Arn"]) in QUEUES
                assert target_of(function["DeadLetterQueue"]["TargetArn"]) in QUEUES
                assert function["EventInvokeConfig"]["MaximumEventAgeInSeconds"] <= 300
    assert sources == 7


def test_every_schedule_of_maintenance_says_what_it_is_for() -> None:
    events = FUNCTIONS["MaintenanceFunction"]["Events"]
    schedules = [each["Properties"] for each in events.values() if each["Type"] == "ScheduleV2"]
    assert {(json.loads(each["Input"])["work"], each["ScheduleExpression"]) for each in schedules} == {
        ("sweep", "rate(5 minutes)"),
        # The store keeps expired rows for two more days, so a single failed run does no harm.
        ("purge", "rate(1 day)"),
        ("count", "rate(30 minutes)"),
    }
    assert rows.GRACE_S >= 2 * 24 * 3600


def test_maintenance_works_on_one_client_after_another_in_bounded_pieces() -> None:
    function = FUNCTIONS["MaintenanceFunction"]
    clients = function["Events"]["Clients"]["Properties"]
    queue = QUEUES[target_of(clients["Queue"])]
    assert clients["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    # All messages of a batch end before the function does, however slow they are.
    rounds = -(-clients["BatchSize"] // maintenance._AT_ONCE)
    assert 2 * rounds * maintenance._BUDGET_S <= function["Timeout"]
    assert 6 * function["Timeout"] <= queue["VisibilityTimeout"]
    assert target_of(queue["RedrivePolicy"]["deadLetterTargetArn"]) == "MaintenanceDeadLetterQueue"
    assert function["RecursiveLoop"] == "Allow"
    assert "MemorySize" not in function
    assert GLOBALS["MemorySize"] == 512


def test_an_alarm_tells_that_maintenance_does_not_run_at_all() -> None:
    alarm = of_type("AWS::CloudWatch::Alarm")["MaintenanceSilentAlarm"]
    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/Lambda", "Invocations")
    assert alarm["TreatMissingData"] == "breaching"
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("LessThanThreshold", 1)
    # Three ticks.
    assert alarm["Period"] * alarm["EvaluationPeriods"] == 3 * SWEEP_EVERY_MS / 1000


def test_no_delay_is_longer_than_sqs_takes() -> None:
    assert sqs.DELAY_MAX_S <= 900
    assert all(queue.get("DelaySeconds", 0) <= 900 for queue in QUEUES.values())


@pytest.mark.parametrize("name", QUEUES)
def test_a_queue_is_encrypted_and_refuses_plain_http(name: str) -> None:
    queue = QUEUES[name]
    assert queue["SqsManagedSseEnabled"] == {"Fn::If": ["HasKmsKey", False, True]}
    assert queue["KmsMasterKeyId"]["Fn::If"][:2] == ["HasKmsKey", {"Ref": "KmsKeyArn"}]
    policies = [
        policy
        for policy in of_type("AWS::SQS::QueuePolicy").values()
        if policy["Queues"] == [{"Ref": name}]
    ]
    [statement] = [each for policy in policies for each in statements(policy)]
    assert statement["Effect"] == "Deny"
    assert statement["Resource"] == {"Fn::GetAtt": f"{name}.Arn"}
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_resources_are_left_out_only_on_emulators() -> None:
    assert TEMPLATE["Conditions"]["IsOnAws"] == {"Fn::Equals": [{"Ref": "LocalEndpoint"}, ""]}
    assert TEMPLATE["Parameters"]["LocalEndpoint"]["Default"] == ""
    conditional = {each["Type"] for each in RESOURCES.values() if each.get("Condition") == "IsOnAws"}
    assert conditional == {
        "AWS::SQS::QueuePolicy",
        "AWS::S3::BucketPolicy",
        "AWS::Logs::QueryDefinition",
        # Those that add up several metrics, which the emulator refuses.
        "AWS::CloudWatch::Alarm",
    }


def test_the_table_has_the_adapters_keys_and_indexes() -> None:
    [properties] = of_type("AWS::DynamoDB::Table").values()
    assert {name: properties[name] for name in table.TABLE} == table.TABLE
    assert properties["TimeToLiveSpecification"] == table.TTL


def test_the_table_can_be_restored() -> None:
    [resource] = [each for each in RESOURCES.values() if each["Type"] == "AWS::DynamoDB::Table"]
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == (
        "RetainExceptOnCreate",
        "Retain",
    )
    properties = resource["Properties"]
    assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert properties["DeletionProtectionEnabled"] == {"Ref": "DeletionProtection"}
    assert TEMPLATE["Parameters"]["DeletionProtection"]["Default"] == "true"


NAME_OF_THE_TABLE = {"Fn::If": ["HasExistingTable", {"Ref": "ExistingTable"}, {"Ref": "Table"}]}


def without_names_of_the_table(node: Any) -> Any:
    if node == NAME_OF_THE_TABLE:
        return None
    if isinstance(node, dict):
        return {key: without_names_of_the_table(value) for key, value in node.items()}
    return [without_names_of_the_table(value) for value in node] if isinstance(node, list) else node


def test_a_stack_may_use_a_table_that_exists_already() -> None:
    assert RESOURCES["Table"]["Condition"] == "HasNoTable"
    assert TEMPLATE["Conditions"]["HasNoTable"] == {"Fn::Equals": [{"Ref": "ExistingTable"}, ""]}
    assert TEMPLATE["Conditions"]["HasExistingTable"] == {"Fn::Not": [TEMPLATE["Conditions"]["HasNoTable"]]}
    others = json.dumps(without_names_of_the_table(TEMPLATE))
    # Everything else asks for the name of the table in use, whichever it is.
    assert (
        re.findall(r'"Ref": "(?:Existing)?Table"|"Fn::GetAtt": "Table\.|\$\{Table[}.]', others)
        == ['"Ref": "ExistingTable"'] * 2
    )


def test_every_role_is_bounded_by_the_boundary_of_the_account() -> None:
    boundary = {
        "Fn::If": ["HasPermissionsBoundary", {"Ref": "PermissionsBoundary"}, {"Ref": "AWS::NoValue"}]
    }
    assert [role["PermissionsBoundary"] for role in of_type("AWS::IAM::Role").values()] == [boundary] * 9


def test_lambda_drops_only_its_own_lines() -> None:
    """EMF lines have no level, so a level above INFO would drop Atomic's metrics."""
    logging = {"LogFormat": "JSON", "SystemLogLevel": "WARN", "ApplicationLogLevel": "TRACE"}
    assert GLOBALS["LoggingConfig"] == logging
    assert all(set(each["LoggingConfig"]) == {"LogGroup"} for each in FUNCTIONS.values())


def test_the_access_log_is_delivered_where_its_account_has_room_and_names_the_caller() -> None:
    stage = RESOURCES["HttpApiStage"]["Properties"]
    name = target_of(stage["AccessLogSettings"]["DestinationArn"])
    group = RESOURCES[name]["Properties"]["LogGroupName"]
    assert group == {"Fn::Sub": "/aws/vendedlogs/${AWS::StackName}/access"}
    line = json.loads(re.sub(r":\$context\.\w+", ":1", stage["AccessLogSettings"]["Format"]))
    assert line["sourceIp"] == "$context.identity.sourceIp"


def test_the_bucket_is_private_encrypted_and_kept_when_the_stack_is_deleted() -> None:
    bucket = RESOURCES["Bucket"]
    assert bucket["DeletionPolicy"] == "RetainExceptOnCreate"
    assert bucket["UpdateReplacePolicy"] == "Retain"
    properties = bucket["Properties"]
    assert "BucketName" not in properties  # a name of CloudFormation, so that two stacks have two
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert properties["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    [encryption] = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    _, own, of_aws = encryption["ServerSideEncryptionByDefault"]["Fn::If"]
    assert own == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": {"Ref": "KmsKeyArn"}}
    assert of_aws == {"SSEAlgorithm": "AES256"}


def test_the_bucket_deletes_each_folder_at_the_age_that_its_name_says() -> None:
    [properties] = of_type("AWS::S3::Bucket").values()
    ages = {
        r["Prefix"]: r["ExpirationInDays"]
        for r in properties["LifecycleConfiguration"]["Rules"]
        if "Prefix" in r
    }
    assert ages == {f"{days}-days/": days for days in FOLDER_DAYS}
    # Some folder is enough for every retention.
    assert TEMPLATE["Parameters"]["RetentionDays"]["MaxValue"] + MARGIN_DAYS <= max(FOLDER_DAYS)


def test_objects_are_read_and_written_and_deleted_by_the_api_alone() -> None:
    granted = {each for each in allowed() if each[1].startswith("s3:")}
    verbs = ("GetObject", "PutObject", "DeleteObject")
    on_objects = {("Allow", f"s3:{verb}", "${Bucket.Arn}/*") for verb in verbs}
    assert granted - on_objects == {("Allow", "s3:ListBucket", BUCKET_ARN)}


def test_every_variable_is_declared_and_read() -> None:
    declared = GLOBALS["Environment"]["Variables"]
    # That variable is boto's own.
    known = VARIABLES.keys() - OF_INVOKERS - OF_CALLERS - OF_MAINTENANCE - OF_PAGES
    assert set(declared) == known | {"AWS_ENDPOINT_URL"}
    own = {
        name: each["Environment"]["Variables"] for name, each in FUNCTIONS.items() if "Environment" in each
    }
    assert set(own.pop("MaintenanceFunction")) == OF_MAINTENANCE
    assert set(own) == {*INVOKERS, "ApiFunction"}
    for name, variables in own.items():
        assert set(variables) == OF_CALLERS | (OF_INVOKERS if name in INVOKERS else OF_PAGES)
    package = REPO / "layers/atomic/atomic"
    sources = [p for folder in ("adapters/aws", "entrypoints/aws") for p in (package / folder).glob("*.py")]
    assert [path.name for path in sources if re.search(r"environ(\[|\.get\()", path.read_text())] == []


@pytest.mark.parametrize(
    ("variable", "parameter"),
    [
        ("ATOMIC_RETENTION_DAYS", "RetentionDays"),
        ("ATOMIC_AUDIT_DAYS", "AuditDays"),
        ("ATOMIC_WAIT_MAX_MS", "WaitMaxMs"),
        ("ATOMIC_INVOKERS_MAX", "MaximumConcurrency"),
        ("ATOMIC_WORKFLOW_METRICS", "WorkflowMetrics"),
    ],
)
def test_what_a_parameter_allows_its_setting_allows(variable: str, parameter: str) -> None:
    allowed_values = TEMPLATE["Parameters"][parameter]
    for value in (allowed_values["MinValue"], allowed_values["Default"], allowed_values["MaxValue"]):
        given = dict.fromkeys(VARIABLES, "x" * 32) | {
            "ATOMIC_RETENTION_DAYS": "1", "ATOMIC_AUDIT_DAYS": "1", "ATOMIC_WAIT_MAX_MS": "1000",
            "ATOMIC_INVOKERS_MAX": "1", "ATOMIC_WORKFLOW_METRICS": "0",
            "ATOMIC_INVOKER": "short", "ATOMIC_ALLOW_PRIVATE": "false", "ATOMIC_PUBLIC_URL": "",
            "ATOMIC_STEPS_URL": "", "ATOMIC_ALLOW_NETWORK": "", "ATOMIC_LAMBDA_TARGETS": "false",
            "ATOMIC_CALLS_FROM": "", "ATOMIC_TRACE_LINK": "", "ATOMIC_LOG_LINK": "", variable: str(value),
        }  # fmt: skip
        settings = LambdaSettings.of_environment(given)
        assert getattr(settings, VARIABLES[variable].name) == value


def test_private_addresses_are_allowed_only_on_emulators() -> None:
    allows = GLOBALS["Environment"]["Variables"]["ATOMIC_ALLOW_PRIVATE"]
    assert allows == {"Fn::If": ["IsOnAws", "false", "true"]}


def test_each_function_tells_endpoints_where_the_api_is() -> None:
    told = GLOBALS["Environment"]["Variables"]["ATOMIC_PUBLIC_URL"]["Fn::If"]
    assert told[:2] == ["HasPublicUrl", {"Ref": "PublicUrl"}]
    domain, _, otherwise = told[2]["Fn::If"]
    assert domain == "HasDomain"
    known, of_gateway, of_emulator = otherwise["Fn::If"]
    assert (known, of_emulator) == ("IsOnAws", "")
    assert of_gateway["Fn::Sub"].startswith("https://${HttpApi}.execute-api.")
    # The functions know the API, and the API's resource knows no function: that would be a circle.
    assert "Function" not in str(RESOURCES["HttpApi"])


def test_the_pepper_is_required_and_not_shown() -> None:
    pepper = TEMPLATE["Parameters"]["KeyPepper"]
    assert ("Default" in pepper, pepper["MinLength"], pepper["NoEcho"]) == (False, 32, True)
    assert GLOBALS["Environment"]["Variables"]["ATOMIC_KEY_PEPPER"] == {"Ref": "KeyPepper"}


def test_every_hidden_parameter_can_be_answered() -> None:
    """`sam deploy --guided` offers no default for a hidden parameter and asks until the answer has text."""
    hidden = {
        name: each.get("Default") for name, each in TEMPLATE["Parameters"].items() if each.get("NoEcho")
    }
    assert hidden == {"KeyPepper": None, "PreviousKeyPepper": "none"}
    told = GLOBALS["Environment"]["Variables"]["ATOMIC_PREVIOUS_KEY_PEPPER"]
    assert told == {"Fn::If": ["HasPreviousKeyPepper", {"Ref": "PreviousKeyPepper"}, ""]}
    is_none = {"Fn::Equals": [{"Ref": "PreviousKeyPepper"}, "none"]}
    assert TEMPLATE["Conditions"]["HasPreviousKeyPepper"] == {"Fn::Not": [is_none]}


def test_the_gateway_limits_the_request_rate() -> None:
    settings = RESOURCES["HttpApiStage"]["Properties"]["DefaultRouteSettings"]
    assert (
        settings["ThrottlingRateLimit"] == settings["ThrottlingBurstLimit"] == {"Ref": "RequestsPerSecond"}
    )


def test_runtime_and_architecture_are_parameters() -> None:
    parameters = TEMPLATE["Parameters"]
    # The system of python3.11 has an older glibc than the package cryptography needs.
    assert "python3.11" not in parameters["Runtime"]["AllowedValues"]
    assert (parameters["Runtime"]["Default"], parameters["Architecture"]["Default"]) == (
        "python3.13",
        "arm64",
    )
    assert GLOBALS["Runtime"] == {"Ref": "Runtime"}
    assert GLOBALS["Architectures"] == [{"Ref": "Architecture"}]
    for function in FUNCTIONS.values():
        assert not {"Runtime", "Architectures"} & set(function)


def test_the_documented_sam_is_the_pinned_one() -> None:
    pinned = re.findall(r"^aws-sam-cli==(\S+)", (REPO / "requirements-sam.lock").read_text(), re.MULTILINE)
    assert f"SAM CLI {pinned[0]}" in (REPO / "docs/deploy.md").read_text()


def test_the_api_is_the_first_api_resource_for_sam_local() -> None:
    kinds = [each["Type"] for each in RESOURCES.values()]
    serverless = next(at for at, kind in enumerate(kinds) if kind.startswith("AWS::Serverless::"))
    assert all(at < serverless for at, kind in enumerate(kinds) if kind.startswith("AWS::ApiGatewayV2::"))


def dashboard() -> dict[str, Any]:
    [properties] = of_type("AWS::CloudWatch::Dashboard").values()
    text, _ = properties["DashboardBody"]["Fn::Sub"]
    body: dict[str, Any] = json.loads(text)
    return body


def test_two_stacks_of_an_account_share_no_metric() -> None:
    service = GLOBALS["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]
    assert service == {"Ref": "AWS::StackName"}
    alarms = of_type("AWS::CloudWatch::Alarm").values()
    own = [each for each in alarms if each.get("Namespace") == "Atomic"]
    for alarm in own:
        named = alarm["MetricName"]
        is_of_the_stack = isinstance(named, dict) and "${AWS::StackName}" in named["Fn::Sub"]
        assert is_of_the_stack or alarm["Dimensions"] == [{"Name": "service", "Value": service}]
    assert {each["MetricName"] for each in own if "Dimensions" in each} == {
        "DeadLetters", "WakeupsAgain", "ScheduleLagMs",
    }  # fmt: skip
    for widget in dashboard()["widgets"]:
        for metric in widget["properties"]["metrics"]:
            if metric[0] == "Atomic":
                assert "${AWS::StackName}" in metric[1] or metric[2:4] == ["service", "${AWS::StackName}"]


def test_the_cost_of_writes_holds_the_indexes() -> None:
    shown = [
        metric[4:6]
        for widget in dashboard()["widgets"]
        for metric in widget["properties"]["metrics"]
        if metric[1] == "ConsumedWriteCapacityUnits"
    ]
    indexes = [index["IndexName"] for index in table.TABLE["GlobalSecondaryIndexes"]]
    # The label after the table's dimension, then the dimension of each index.
    assert [metric[-1] for metric in shown if len(metric) == 2] == indexes
    assert len(shown) == 1 + len(indexes)


def test_the_dashboard_shows_metrics_that_exist() -> None:
    body = dashboard()
    own = {
        metric[1]
        for widget in body["widgets"]
        for metric in widget["properties"]["metrics"]
        if metric[0] == "Atomic" and "${" not in metric[1]
    }
    source = (REPO / "layers/atomic/atomic/adapters/aws/telemetry.py").read_text()
    assert {
        "Starts",
        "Retries",
        "DeadLetters",
        "StepSeconds",
        "RunSeconds",
        "ScheduleLagMs",
        "StepsDeferred",
    } <= own
    assert all(f'"{name}"' in source for name in own if not name.startswith("Attempts"))


LOADED = """
import importlib.metadata, json, os, sys
os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
before = set(sys.modules)
import atomic.entrypoints.aws.api, atomic.entrypoints.aws.invoker, atomic.entrypoints.aws.maintenance
tops = {name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)
owners = importlib.metadata.packages_distributions()
print(json.dumps(sorted({owner for top in tops for owner in owners.get(top, []) if top != "atomic"})))
"""
# Part of the Lambda runtime (boto3 and its dependencies), or optional for botocore.
WITH_LAMBDA = {
    "boto3",
    "botocore",
    "certifi",
    "jmespath",
    "python-dateutil",
    "s3transfer",
    "six",
    "urllib3",
}


def test_what_the_handlers_import_is_shipped() -> None:
    ran = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    needed = {name.lower().replace("_", "-") for name in json.loads(ran.stdout)}
    pinned = set(
        re.findall(r"^([\w-]+)==", (REPO / "layers/atomic/requirements.txt").read_text(), re.MULTILINE)
    )
    assert "pydantic" in needed
    assert needed - WITH_LAMBDA <= pinned


def test_what_is_shipped_is_what_is_tested() -> None:
    locked = set(re.findall(r"^[\w-]+==\S+", (REPO / "requirements.lock").read_text(), re.MULTILINE))
    shipped = set(
        re.findall(r"^[\w-]+==\S+", (REPO / "layers/atomic/requirements.txt").read_text(), re.MULTILINE)
    )
    assert shipped <= locked


@pytest.mark.parametrize("function", ["api", "invoker", "maintenance"])
def test_every_function_has_its_code_its_requirements_and_an_event(function: str) -> None:
    folder = REPO / "functions" / function
    assert (folder / "requirements.txt").read_text() == "-r ../../layers/atomic/requirements.txt\n"
    assert (folder / "app.py").exists()
    assert json.loads((REPO / "events" / f"{function}.json").read_text())
