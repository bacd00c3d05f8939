"""What template.yaml makes of the parameters that a stack can do without."""

import json
import re
import tomllib
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest

from architecture.resolving import Resolved
from atomic.entrypoints.aws.demo_client import CLIENT_ID
from atomic.entrypoints.aws.settings import LambdaSettings
from stack_template import FUNCTIONS, GLOBALS, PATH, RESOURCES, TEMPLATE, several, statements, target_of

CERTIFICATE = "arn:aws:acm:r:1:certificate/c"


def kinds(stack: Resolved) -> set[str]:
    return {each["Type"] for each in stack.resources.values()}


def test_no_resource_of_an_option_is_made_by_default() -> None:
    assert not kinds(Resolved()) & {
        "AWS::ApiGatewayV2::DomainName", "AWS::ApiGatewayV2::ApiMapping", "AWS::Route53::RecordSet",
    }  # fmt: skip
    assert Resolved().refusals() == []


# Each parameter that makes something, with what its rules ask for.
OPTIONS: dict[str, dict[str, Any]] = {
    "a domain": {"DomainName": "a.example", "CertificateArn": CERTIFICATE},
    "its record": {"DomainName": "a.example", "CertificateArn": CERTIFICATE, "HostedZoneId": "Z1"},
    "a VPC": {"SubnetIds": "subnet-1,subnet-2", "SecurityGroupIds": "sg-1"},
    "a demo": {"Demo": "true"},
    "traces": {"Tracing": "Active"},
    "function URLs": {"FunctionUrl": "true"},
    "reservations": {"ReservedRoots": 5, "ReservedSteps": 5, "ReservedInvokers": 50},
    "a table": {"ExistingTable": "kept"},
    "a boundary": {"PermissionsBoundary": "arn:aws:iam::1:policy/boundary"},
    "signed callers": {"IamRoutes": "true"},
    "functions": {"LambdaTargets": "arn:aws:lambda:r:1:function:shop"},
    "a bus": {"EventBusName": "ops"},
    "links": {"TraceLink": "https://t.example/{traceId}", "LogLink": "https://l.example/?q={runId}"},
    "a key": {"KmsKeyArn": "arn:aws:kms:r:1:key/k"},
    "mails": {"AlarmEmail": "ops@example.com"},
    "an emulator": {"LocalEndpoint": "http://127.0.0.1:4566"},
}


def stacks() -> Iterator[tuple[tuple[str, ...], Resolved]]:
    """A stack without options, with each, with each two, and with all."""
    for number in (0, 1, 2, len(OPTIONS)):
        for chosen in combinations(OPTIONS, number):
            told: dict[str, Any] = {}
            for option in chosen:
                told |= OPTIONS[option]
            yield chosen, Resolved(**told)


def test_no_combination_of_options_refers_to_what_it_does_not_make() -> None:
    for chosen, stack in stacks():
        assert stack.refusals() == [], chosen
        text = json.dumps([stack.resources, list(stack.outputs.values()), stack.variables])
        named = set(re.findall(r"<(\w+)(?:\.\w+)?>", text))
        assert named <= stack.resources.keys(), chosen


def actions_of(stack: Resolved, function: str) -> set[str]:
    """What the role of a function allows, by its own policies and by those attached to it."""
    role = stack.resources[stack.resources[function]["Properties"]["Role"].strip("<>").partition(".")[0]]
    attached = [
        stack.resources[each.strip("<>")] for each in role["Properties"].get("ManagedPolicyArns", [])
    ]
    allowed = (each for each in statements([role, attached]) if each["Effect"] == "Allow")
    return {action for each in allowed for action in several(each["Action"])}


def test_every_function_may_do_what_lambda_does_in_its_name() -> None:
    """Lambda refuses to make a function whose role lacks these."""
    for chosen, stack in stacks():
        for name, each in stack.resources.items():
            if each["Type"] != "AWS::Serverless::Function":
                continue
            needed = {"logs:CreateLogStream", "logs:PutLogEvents"}
            if "traces" in chosen:
                needed |= {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}
            if "a key" in chosen:
                needed |= {"kms:Decrypt"}
            if "VpcConfig" in each["Properties"]:
                needed |= {"ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface"}
            assert needed <= actions_of(stack, name), (chosen, name)


# --- a domain name of its own


def with_domain(**more: str) -> Resolved:
    return Resolved(DomainName="atomic.example.com", CertificateArn=CERTIFICATE, **more)


def test_without_a_domain_the_api_has_the_gateways_name() -> None:
    stack = Resolved()
    assert stack.variables["ATOMIC_PUBLIC_URL"] == "https://<HttpApi>.execute-api.r.amazonaws.com"
    assert stack.outputs["Url"] == "<HttpApi.ApiEndpoint>"
    assert stack.resources["HttpApi"]["Properties"]["DisableExecuteApiEndpoint"] is False
    assert "DomainTarget" not in stack.outputs


def test_a_domain_is_what_endpoints_callers_and_the_dashboard_are_told() -> None:
    stack = with_domain()
    assert stack.variables["ATOMIC_PUBLIC_URL"] == stack.outputs["Url"] == "https://atomic.example.com"
    assert stack.outputs["StatusUrl"] == "https://atomic.example.com/dashboard"
    assert stack.outputs["DomainTarget"] == "<ApiDomain.RegionalDomainName>"
    domain = stack.resources["ApiDomain"]["Properties"]
    [configuration] = domain["DomainNameConfigurations"]
    assert (domain["DomainName"], configuration["CertificateArn"]) == ("atomic.example.com", CERTIFICATE)
    assert configuration["SecurityPolicy"] == "TLS_1_2"
    mapping: dict[str, Any] = stack.resources["ApiDomainMapping"]["Properties"]
    # The whole domain leads to the API: paths are the same under both names.
    assert mapping == {"ApiId": "<HttpApi>", "DomainName": "<ApiDomain>", "Stage": "<HttpApiStage>"}
    assert "AWS::Route53::RecordSet" not in kinds(stack)


def test_another_url_that_endpoints_use_comes_before_the_domain() -> None:
    """Such as that of a CDN before the domain."""
    stack = with_domain(PublicUrl="https://cdn.example.com")
    assert stack.variables["ATOMIC_PUBLIC_URL"] == "https://cdn.example.com"


def test_a_zone_gets_the_record() -> None:
    record = with_domain(HostedZoneId="Z1").resources["ApiDomainRecord"]["Properties"]
    assert (record["HostedZoneId"], record["Name"], record["Type"]) == ("Z1", "atomic.example.com", "A")
    assert record["AliasTarget"] == {
        "DNSName": "<ApiDomain.RegionalDomainName>",
        "HostedZoneId": "<ApiDomain.RegionalHostedZoneId>",
    }


def test_the_gateways_own_name_may_be_closed() -> None:
    stack = with_domain(DefaultEndpoint="false")
    assert stack.resources["HttpApi"]["Properties"]["DisableExecuteApiEndpoint"] is True


def test_half_a_domain_is_refused_before_anything_is_made() -> None:
    assert Resolved(DomainName="a.example").refusals() == ["DomainName needs CertificateArn"]
    for half in ({"CertificateArn": CERTIFICATE}, {"HostedZoneId": "Z1"}, {"DefaultEndpoint": "false"}):
        [refusal] = Resolved(**half).refusals()
        assert refusal.endswith("need DomainName")
    assert with_domain(HostedZoneId="Z1", DefaultEndpoint="false").refusals() == []


# --- the demo


def test_the_demo_is_made_only_when_it_is_asked_for() -> None:
    made = {name for name in Resolved(Demo="true").resources if name not in Resolved().resources}
    assert made == {name for name in RESOURCES if name.startswith("Demo")}
    assert "DemoUrl" not in Resolved().outputs


def test_the_demo_is_the_only_thing_that_its_client_may_call() -> None:
    stack = Resolved(Demo="true")
    demo_url = "https://<DemoApi>.execute-api.r.amazonaws.com"
    assert stack.outputs["DemoUrl"] == demo_url
    assert stack.resources["DemoClient"]["Properties"]["BaseUrl"] == f"{demo_url}/"
    variables = stack.resources["DemoFunction"]["Properties"]["Environment"]["Variables"]
    assert variables["DEMO_URL"] == demo_url
    assert variables["DEMO_ATOMIC_URL"] == stack.outputs["Url"].replace(
        "<HttpApi.ApiEndpoint>", "https://<HttpApi>.execute-api.r.amazonaws.com"
    )
    named = Resolved(Demo="true", DomainName="a.example", CertificateArn=CERTIFICATE)
    variables = named.resources["DemoFunction"]["Properties"]["Environment"]["Variables"]
    assert variables["DEMO_ATOMIC_URL"] == "https://a.example"


def test_the_application_of_the_demo_may_only_log() -> None:
    actions = {action for each in statements(RESOURCES["DemoRole"]) for action in several(each["Action"])}
    assert actions == {
        "logs:CreateLogStream", "logs:PutLogEvents", "xray:PutTraceSegments", "xray:PutTelemetryRecords",
        "kms:Decrypt", "sts:AssumeRole",
    }  # fmt: skip


def test_who_makes_the_client_of_the_demo_may_write_no_other() -> None:
    [table] = [
        each for each in statements(RESOURCES["DemoClientRole"]) if "dynamodb:PutItem" in each["Action"]
    ]
    [keys] = table["Condition"].values()
    assert keys == {"dynamodb:LeadingKeys": [f"client#{CLIENT_ID}", "key#*"]}


# --- a VPC, and private networks


def in_vpc() -> Resolved:
    return Resolved(
        SubnetIds="subnet-1,subnet-2", SecurityGroupIds="sg-1", AllowNetworks="10.1.2.0/24,fd12::/64"
    )


def test_every_function_that_calls_endpoints_is_placed_into_the_vpc() -> None:
    calling = {
        name
        for name, each in FUNCTIONS.items()
        if each["CodeUri"] in {"functions/api", "functions/invoker"}
    }
    assert calling
    placed = {
        name: each["Properties"]["VpcConfig"]
        for name, each in in_vpc().resources.items()
        if each["Type"] == "AWS::Serverless::Function" and "VpcConfig" in each["Properties"]
    }
    assert placed.keys() == calling
    for config in placed.values():
        assert config == {"SubnetIds": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]}
    for name in calling:
        assert "VpcConfig" not in Resolved().resources[name]["Properties"]
        # These may make network interfaces.
        role = RESOURCES[target_of(FUNCTIONS[name]["Role"])]["Properties"]
        assert {"Ref": "EnginePolicy"} in role["ManagedPolicyArns"]


def of_network(stack: Resolved) -> list[dict[str, Any]]:
    policy = stack.resources["EnginePolicy"]
    return [each for each in statements(policy) if str(each["Action"]).find("ec2:") >= 0]


def test_lambda_may_make_network_interfaces_and_the_code_may_not() -> None:
    assert of_network(Resolved()) == []
    allow, deny = of_network(in_vpc())
    assert (allow["Effect"], deny["Effect"]) == ("Allow", "Deny")
    assert allow["Action"] == deny["Action"]
    [(condition, keys)] = deny["Condition"].items()
    assert condition == "ArnLike"
    assert keys == {"lambda:SourceFunctionArn": "arn:aws:lambda:r:1:function:s-*"}


def test_private_networks_are_those_of_the_list_and_none_by_default() -> None:
    assert Resolved().variables["ATOMIC_ALLOW_NETWORK"] == ""
    told = in_vpc().variables["ATOMIC_ALLOW_NETWORK"]
    given = dict.fromkeys((each.variable for each in LambdaSettings.settings()), "x" * 32) | {
        "ATOMIC_RETENTION_DAYS": "1", "ATOMIC_AUDIT_DAYS": "1", "ATOMIC_WAIT_MAX_MS": "1000",
        "ATOMIC_INVOKERS_MAX": "1", "ATOMIC_WORKFLOW_METRICS": "0",
        "ATOMIC_INVOKER": "short", "ATOMIC_ALLOW_PRIVATE": "false", "ATOMIC_PUBLIC_URL": "",
        "ATOMIC_STEPS_URL": "", "ATOMIC_ALLOW_NETWORK": told, "ATOMIC_LAMBDA_TARGETS": "false",
        "ATOMIC_CALLS_FROM": "", "ATOMIC_TRACE_LINK": "", "ATOMIC_LOG_LINK": "",
    }  # fmt: skip
    assert LambdaSettings.of_environment(given).allow_network == ("10.1.2.0/24", "fd12::/64")


def test_subnets_need_security_groups() -> None:
    for half in ({"SubnetIds": "subnet-1"}, {"SecurityGroupIds": "sg-1"}):
        assert Resolved(**half).refusals() == ["SubnetIds and SecurityGroupIds need each other"]
    assert in_vpc().refusals() == []


def test_rules_use_only_what_cloudformation_takes_there() -> None:
    taken = "And Contains EachMemberEquals EachMemberIn Equals Not Or RefAll ValueOf"
    used = set(re.findall(r'"Fn::(\w+)"', json.dumps(TEMPLATE["Rules"])))
    assert used <= set(taken.split())


# --- what a guided deployment asks


def test_what_is_hidden_can_be_answered_where_it_is_not_needed() -> None:
    """`sam deploy --guided` offers no default for what it hides, and takes no empty answer."""
    hidden = {name: each for name, each in TEMPLATE["Parameters"].items() if each.get("NoEcho")}
    assert hidden.keys() == {"KeyPepper", "PreviousKeyPepper"}
    for each in hidden.values():
        default = each.get("Default")
        assert default is None or (default and re.fullmatch(each["AllowedPattern"], default))
    assert Resolved().variables["ATOMIC_PREVIOUS_KEY_PEPPER"] == ""
    assert Resolved(PreviousKeyPepper="p" * 32).variables["ATOMIC_PREVIOUS_KEY_PEPPER"] == "p" * 32


# --- tags


def test_every_environment_that_is_deployed_has_tags_for_its_costs() -> None:
    configured = tomllib.loads((PATH.parent / "samconfig.toml").read_text())
    tags = {
        name: dict(tag.split("=") for tag in each["deploy"]["parameters"]["tags"])
        for name, each in configured.items()
        if name != "version"
    }
    assert {"default", "local", "prod"} <= tags.keys()
    assert all(each["app"] == "atomic" for each in tags.values())
    # Costs of two stages can be told apart.
    assert len({each["stage"] for each in tags.values()}) == len(tags)


def test_no_resource_has_tags_of_its_own_that_would_hide_those_of_the_stack() -> None:
    assert [name for name, each in RESOURCES.items() if "Tags" in each.get("Properties", {})] == []
    assert "Tags" not in GLOBALS


@pytest.mark.parametrize("told", ["", "paused", "2026-11-29T12:00:00Z"])
def test_every_function_knows_from_when_steps_are_called(told: str) -> None:
    assert re.fullmatch(TEMPLATE["Parameters"]["CallsFrom"]["AllowedPattern"], told)
    assert Resolved(CallsFrom=told).variables["ATOMIC_CALLS_FROM"] == told
    assert all("ATOMIC_CALLS_FROM" not in str(function) for function in FUNCTIONS.values())
    assert told == "" or not re.fullmatch(TEMPLATE["Parameters"]["CallsFrom"]["AllowedPattern"], f"{told}x")
