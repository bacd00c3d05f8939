"""A step that a handler is about to call: what to post, and the id it will have."""

from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from atomic.protocol import keys

Result = TypeVar("Result")


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
        document.get("stepInvokeUrl") or document["kind"],
        document.get("stepName", ""),
        document["idempotencyKey"],
    )
    return keys.step_id(run_id, identity)


@cache
def adapter(annotation: Any) -> TypeAdapter[Any]:
    """What validates values of a type."""
    return TypeAdapter(annotation)
