"""The policy of a deployer fits the template, and is bound to names that begin with `atomic`."""

import json
import re
from fnmatch import fnmatchcase
from typing import Any

from architecture.test_template import REPO, RESOURCES, several
from atomic.cli.aws.account import DEPLOYS
from stack_template import loaded

POLICY: dict[str, Any] = json.loads((REPO / "docs/deployer-policy.json").read_text())
SERVICES = {"ApiGatewayV2": "apigateway", "Serverless": "lambda"}
# What these actions work on has a generated id, or is the account.
UNNAMED = {"WithoutNamesOfTheirOwn", "Gateway", "FirstApiOfTheAccount"}
NAMES = ("atomic", "aws-waf-logs-atomic", "aws-sam-cli-managed-default", "Serverless-")


def test_it_covers_the_services_of_both_templates() -> None:
    edge = loaded(REPO / "template-edge.yaml")["Resources"]
    types = [resource["Type"].split("::") for resource in (*RESOURCES.values(), *edge.values())]
    kinds = {service for vendor, service, *_ in types if vendor == "AWS"}
    needed = {SERVICES.get(kind, kind.lower()) for kind in kinds}
    granted = {
        action.partition(":")[0] for each in POLICY["Statement"] for action in several(each["Action"])
    }
    assert needed <= granted, "a new service needs rights in docs/deployer-policy.json"


def test_it_is_bound_to_names() -> None:
    for statement in POLICY["Statement"]:
        assert statement["Effect"] == "Allow"
        if statement["Sid"] in UNNAMED:
            assert not any(action.endswith(":*") for action in several(statement["Action"]))
            continue
        for resource in several(statement["Resource"]):
            name = re.split(r":|/", resource.removesuffix("/*"))[-1]
            assert name.startswith(NAMES), resource


def test_it_grants_what_the_doctor_asks_for() -> None:
    for resource, actions in DEPLOYS.items():
        named = resource.format(region="eu-west-1", account="123456789012")
        for action in actions:
            assert any(
                fnmatchcase(action, pattern) and fnmatchcase(named, granted)
                for each in POLICY["Statement"]
                for pattern in several(each["Action"])
                for granted in several(each["Resource"])
            ), f"{action} on {named}"
