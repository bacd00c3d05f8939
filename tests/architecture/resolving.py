"""What CloudFormation makes of template.yaml for given parameters: conditions, references, texts."""

import re
from collections.abc import Callable
from typing import Any

from stack_template import TEMPLATE

PSEUDO = {
    "AWS::StackName": "s", "AWS::Region": "r", "AWS::Partition": "aws", "AWS::AccountId": "1",
    "AWS::URLSuffix": "amazonaws.com",
}  # fmt: skip
NO_VALUE = object()


class Resolved:
    """The resources and outputs of a stack with these parameters."""

    def __init__(self, **parameters: str | int) -> None:
        defaults = {name: each.get("Default", "x" * 32) for name, each in TEMPLATE["Parameters"].items()}
        assert parameters.keys() <= defaults.keys()
        told: dict[str, Any] = {**defaults, **parameters}
        lists = [name for name, each in TEMPLATE["Parameters"].items() if "List" in each["Type"]]
        self._refs = PSEUDO | told | {name: str(told[name]).split(",") for name in lists}
        self.conditions = {name: bool(self._value(each)) for name, each in TEMPLATE["Conditions"].items()}
        self.resources = self._section("Resources")
        self.outputs = {name: each["Value"] for name, each in self._section("Outputs").items()}
        # As SAM merges them.
        self.variables = self._value(TEMPLATE["Globals"]["Function"]["Environment"]["Variables"])

    def refusals(self) -> list[str]:
        """What the rules of the template say against the parameters."""
        broken = []
        for rule in TEMPLATE["Rules"].values():
            if self._value(rule["RuleCondition"]):
                wrong = [each for each in rule["Assertions"] if not self._value(each["Assert"])]
                broken += [each["AssertDescription"] for each in wrong]
        return broken

    def _section(self, name: str) -> dict[str, Any]:
        return {
            key: self._value(each)
            for key, each in TEMPLATE[name].items()
            if self._is_true(each.get("Condition"))
        }

    def _is_true(self, condition: str | None) -> bool:
        if condition is None:
            return True
        return bool(self._value(TEMPLATE["Conditions"][condition]))

    def _value(self, node: Any) -> Any:
        if isinstance(node, list):
            return [value for each in node if (value := self._value(each)) is not NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            [(name, given)] = node.items()
            if name in {"Ref", "Condition"} or name.startswith("Fn::"):
                return self._function(name.removeprefix("Fn::"), given)
        found = {name: self._value(each) for name, each in node.items()}
        return {name: value for name, value in found.items() if value is not NO_VALUE}

    def _function(self, name: str, given: Any) -> Any:
        functions: dict[str, Callable[[], Any]] = {
            "Ref": lambda: NO_VALUE if given == "AWS::NoValue" else self._refs.get(given, f"<{given}>"),
            "Condition": lambda: self._is_true(given),
            "If": lambda: self._value(given[1] if self._is_true(given[0]) else given[2]),
            "Sub": lambda: self._text(given),
            "GetAtt": lambda: f"<{given}>",
            "Join": lambda: given[0].join(map(str, self._value(given[1]))),
            "Split": lambda: self._value(given[1]).split(given[0]),
            "Equals": lambda: self._value(given[0]) == self._value(given[1]),
            "Not": lambda: not self._value(given[0]),
            "And": lambda: all(self._value(each) for each in given),
            "Or": lambda: any(self._value(each) for each in given),
        }
        return functions[name]()

    def _text(self, given: Any) -> str:
        text, own = given if isinstance(given, list) else (given, {})
        own = self._value(own)
        return re.sub(
            r"\$\{([\w:.]+)\}",
            lambda found: str(own[found[1]] if found[1] in own else self._function("Ref", found[1])),
            text,
        )
