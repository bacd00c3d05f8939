"""A step that a handler is about to call: what to post, and the id it will have."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

from atomic.protocol import keys
from atomic.sdk._values import UNDECLARED, ValueType
from atomic.sdk.errors import SerializationError

Function = Callable[..., Any]
Result = TypeVar("Result", covariant=True)


@dataclass(frozen=True, slots=True)
class Served:
    """A function that is served beside a workflow, and what it takes (None: no payload) and returns."""

    name: str
    takes: ValueType | None
    returns: ValueType

    def written(self, payload: Any) -> Any:
        """The JSON form of a payload that the function gets as it is. Raises SerializationError."""
        if self.takes is None and payload is not None:
            raise SerializationError(f"Step {self.name!r} takes no payload.")
        return (self.takes or UNDECLARED).kept(payload, f"the payload of step {self.name!r}")


Names = Mapping[Function, Served]
NO_NAMES: Final[Names] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCall(Generic[Result]):
    """A step with its identity. The handler waits `timeout_s` for it at most (None: what is left).

    `name` is how messages call it.
    """

    id: str
    name: str
    document: dict[str, Any]
    result: ValueType = UNDECLARED
    timeout_s: float | None = None

    @property
    def title(self) -> str:
        """What it is, for people."""
        kind = self.document.get("kind", "step")
        return "sleep" if kind == "timer" else f"{kind} {self.name!r}"

    def read(self, response: Any) -> Result:
        """The response as the type that was asked for. Raises SerializationError when it is none."""
        value: Result = self.result.read(response, f"the result of step {self.name!r}")
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
