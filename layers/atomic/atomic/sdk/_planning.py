"""A step that a handler is about to call: what to post, and the id it will have."""

import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

from pydantic import TypeAdapter

from atomic.protocol import keys

Function = Callable[..., Any]
# The names under which functions are served beside a workflow.
Names = Mapping[Function, str]
NO_NAMES: Final[Names] = MappingProxyType({})
Result = TypeVar("Result", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned(Generic[Result]):
    """A step with its identity. The handler hangs `timeout_s` for it at most (None: what is left)."""

    id: str
    document: dict[str, Any]
    result: Any = None
    timeout_s: float | None = None

    def read(self, response: Any) -> Result:
        """The response as the type that was asked for. Raises pydantic's ValidationError."""
        value: Result = response if self.result is None else adapter(self.result).validate_python(response)
        return value


def step_id(client_id: str, run_id: str, document: dict[str, Any]) -> str:
    """The id that the server will give to a step with a parent in this run."""
    identity = keys.identity(
        client_id,
        document["workflowName"],
        document["parent"],
        document.get("stepInvokeUrl") or document["kind"],
        document.get("stepName", ""),
        document["idempotencyKey"],
    )
    return keys.step_id(run_id, identity)


def returned(function: Function) -> Any:
    """The type that a function says it returns; None when it does not say."""
    return typing.get_type_hints(function).get("return")


@cache
def adapter(annotation: Any) -> TypeAdapter[Any]:
    """What validates values of a type."""
    return TypeAdapter(annotation)
