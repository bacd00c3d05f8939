"""template.yaml as data: its parameters, resources and policies."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

PATH = Path(__file__).parents[1] / "template.yaml"


class Template(yaml.SafeLoader):
    """A YAML loader that reads `!Ref x` as {"Ref": "x"}, `!Sub x` as {"Fn::Sub": "x"} and so on."""


def _tagged(loader: Template, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {name: loader.construct_mapping(node, deep=True)}


Template.add_multi_constructor("!", _tagged)


def loaded(path: Path = PATH) -> dict[str, Any]:
    """A template. It loads only what SafeLoader loads."""
    template: dict[str, Any] = yaml.load(path.read_text(), Template)
    return template


TEMPLATE = loaded()
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]
GLOBALS: dict[str, Any] = TEMPLATE["Globals"]["Function"]


def of_type(kind: str) -> dict[str, Any]:
    """The properties of all resources of a type, by logical id."""
    return {name: each.get("Properties", {}) for name, each in RESOURCES.items() if each["Type"] == kind}


# Those of the demo are an application, and no part of the engine.
FUNCTIONS = {
    name: each for name, each in of_type("AWS::Serverless::Function").items() if not name.startswith("Demo")
}
QUEUES = of_type("AWS::SQS::Queue")


def statements(node: Any) -> Iterator[dict[str, Any]]:
    """Every policy statement under a node, including those inside conditions."""
    if isinstance(node, dict):
        if "Effect" in node:
            yield node
        for value in node.values():
            yield from statements(value)
    elif isinstance(node, list):
        for value in node:
            yield from statements(value)


def several(value: Any) -> list[Any]:
    """The value as a list."""
    return value if isinstance(value, list) else [value]


def target_of(arn: dict[str, Any]) -> str:
    """The resource that an ARN refers to."""
    return str(arn["Fn::GetAtt"]).partition(".")[0]
