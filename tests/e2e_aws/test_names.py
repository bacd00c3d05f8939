"""Every name that a stack gives holds its own, so that stacks of an account and region share none.

SAM names some resources itself, so what is checked is what its translator makes of the template.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).parents[2]
SAM_PYTHON = REPO / ".venv-sam/bin/python"
TRANSLATE = """
import json, sys
from samcli.lib.translate.sam_template_validator import SamTemplateValidator
from samcli.yamlhelper import yaml_parse

class NoManagedPolicies:
    def load(self):
        return {}

template = yaml_parse(open("template.yaml").read())
options = {"region": "us-east-1", "parameter_overrides": json.loads(sys.argv[1])}
validator = SamTemplateValidator(template, NoManagedPolicies(), **options)
print(json.dumps(yaml_parse(validator.get_translated_template_if_valid())))
"""
# These name nothing that an account has once.
NO_NAMES = {
    ("AWS::ApiGatewayV2::Stage", "StageName"),
    ("AWS::CloudWatch::Alarm", "MetricName"),
    ("AWS::IAM::Policy", "PolicyName"),  # inside its role
    ("AWS::SNS::Topic", "DisplayName"),
}
# A domain name is the caller's own.
GIVEN = {"DomainName"}
# Every parameter that may be empty, set to something.
SET = {
    "AlarmEmail": "ops@example.com",
    "CertificateArn": "arn:aws:acm:us-east-1:123456789012:certificate/1",
    "Demo": "true",
    "DomainName": "atomic.example.com",
    "ExistingTable": "kept",
    "HostedZoneId": "Z1",
    "KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/1",
    "LocalEndpoint": "http://127.0.0.1:4566",
    "PermissionsBoundary": "arn:aws:iam::123456789012:policy/boundary",
    "PublicUrl": "https://atomic.example.com",
    "SecurityGroupIds": "sg-1",
    "SubnetIds": "subnet-1,subnet-2",
}


def translated(parameters: dict[str, str]) -> dict[str, Any]:
    """The resources of the template after SAM's transform."""
    if not SAM_PYTHON.exists():
        pytest.skip("no SAM here: `make .venv-sam/installed` installs it")
    command = [SAM_PYTHON, "-c", TRANSLATE, json.dumps({"KeyPepper": "x" * 32, **parameters})]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=60, check=True)
    resources: dict[str, Any] = json.loads(done.stdout)["Resources"]
    return resources


def names(resources: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Type, property and value of everything that looks like the name of a resource."""
    for resource in resources.values():
        for name, value in resource.get("Properties", {}).items():
            if name.endswith("Name") and (resource["Type"], name) not in NO_NAMES:
                yield resource["Type"], name, value


def is_of_the_stack(value: Any, resources: dict[str, Any]) -> bool:
    """Whether a name holds the stack's, or is that of another resource of the stack."""
    if not isinstance(value, dict):
        return False
    if "Fn::If" in value:
        return all(is_of_the_stack(branch, resources) for branch in value["Fn::If"][1:])
    if "Ref" in value:
        return value["Ref"] in {*resources, *GIVEN, "AWS::NoValue", "AWS::StackName"}
    text = value.get("Fn::Sub")
    return "${AWS::StackName}" in str(text[0] if isinstance(text, list) else text)


@pytest.mark.parametrize("parameters", [{}, SET], ids=["defaults", "all set"])
def test_every_name_holds_the_stacks(parameters: dict[str, str]) -> None:
    resources = translated(parameters)

    found = list(names(resources))

    assert [each for each in found if not is_of_the_stack(each[2], resources)] == []
    assert {"AWS::SQS::Queue", "AWS::Scheduler::ScheduleGroup"} <= {kind for kind, _, _ in found}
    # SAM names a schedule after its function unless it is told not to.
    schedules = [each for each in resources.values() if each["Type"] == "AWS::Scheduler::Schedule"]
    assert len(schedules) == 3
