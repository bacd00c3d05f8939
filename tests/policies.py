"""The policies of template.yaml's roles, with references as they are on moto.

    cd tests && python -m policies DIRECTORY

writes those of each role into a file, for tools that check policies (`make validate`).
"""

import json
import re
import sys
from pathlib import Path
from typing import Any, Final

from stack_template import RESOURCES, of_type

_ACCOUNT: Final = "eu-central-1:123456789012"
# What resources are called on moto; others by their logical ids.
_CALLED: Final = {
    "Table": "atomic", "Bucket": "atomic-payloads", "ScheduleGroup": "atomic", "ScheduleRole": "scheduler",
    "StepQueue": "steps", "LongStepQueue": "steps-long", "WatchdogQueue": "watchdogs",
    "DeadLetterQueue": "dead-letters",
    "MaintenanceQueue": "maintenance",
}  # fmt: skip
_NAMES: Final = _CALLED | {
    "AWS::Partition": "aws", "AWS::Region": "eu-central-1", "AWS::AccountId": "123456789012",
    "AWS::StackName": "atomic",
}  # fmt: skip
_ARNS: Final = {
    "AWS::DynamoDB::Table": f"arn:aws:dynamodb:{_ACCOUNT}:table/{{}}",
    "AWS::IAM::Role": "arn:aws:iam::123456789012:role/{}",
    "AWS::Logs::LogGroup": f"arn:aws:logs:{_ACCOUNT}:log-group:{{}}:*",
    "AWS::S3::Bucket": "arn:aws:s3:::{}",
    "AWS::SQS::Queue": f"arn:aws:sqs:{_ACCOUNT}:{{}}",
    "AWS::Serverless::Function": f"arn:aws:lambda:{_ACCOUNT}:function:{{}}",
}
# Of the conditions of the template, these hold on a stack with default parameters.
_TRUE: Final = {"IsOnAws"}


def resolved(value: Any) -> Any:
    """A value of the template with references as on moto; what a condition leaves out is None."""
    if isinstance(value, list):
        return [each for each in map(resolved, value) if each is not None]
    if not isinstance(value, dict):
        return value
    [(name, given)] = value.items() if len(value) == 1 else [("", value)]
    if name == "Ref":
        return None if given == "AWS::NoValue" else _NAMES.get(given, given)
    if name == "Fn::GetAtt":
        return _arn(given.removesuffix(".Arn"))
    if name == "Fn::If":
        return resolved(given[1] if given[0] in _TRUE else given[2])
    if name == "Fn::Sub":
        text, own = (given, {}) if isinstance(given, str) else given
        known = _NAMES | {key: resolved(each) for key, each in own.items()}
        return re.sub(r"\$\{([^}]+)\}", lambda found: str(_named(found[1], known)), text)
    return {key: resolved(each) for key, each in value.items()}


def _named(reference: str, known: dict[str, Any]) -> Any:
    name, _, attribute = reference.partition(".")
    return _arn(name) if attribute == "Arn" else known.get(reference, reference)


def _arn(name: str) -> str:
    return _ARNS[RESOURCES[name]["Type"]].format(_CALLED.get(name, name))


def policies_of(role: str) -> list[dict[str, Any]]:
    """All statements of a role, those of its managed policies too."""
    properties = RESOURCES[role]["Properties"]
    attached = [RESOURCES[arn["Ref"]]["Properties"] for arn in properties.get("ManagedPolicyArns", [])]
    return [
        statement
        for policy in (*properties["Policies"], *attached)
        for statement in resolved(policy["PolicyDocument"]["Statement"])
    ]


def main(directory: Path) -> None:
    """Write the policies of each role."""
    directory.mkdir(parents=True, exist_ok=True)
    for role in of_type("AWS::IAM::Role"):
        policy = {"Version": "2012-10-17", "Statement": policies_of(role)}
        (directory / f"{role}.json").write_text(json.dumps(policy, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
