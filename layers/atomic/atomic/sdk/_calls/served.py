"""The functions that are served beside a workflow, as its context sees them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from atomic.sdk._wire.values import UNDECLARED, ValueType
from atomic.sdk.errors import SerializationError

Function = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Served:
    """A function that is served beside a workflow, with its types; `takes` is None without a payload."""

    name: str
    takes: ValueType | None
    returns: ValueType

    def written(self, payload: Any) -> Any:
        """The JSON form of a payload. The function reads an equal value back. Raises SerializationError."""
        if self.takes is None and payload is not None:
            raise SerializationError(f"Step {self.name!r} takes no payload.")
        return (self.takes or UNDECLARED).kept(payload, f"the payload of step {self.name!r}")


Names = Mapping[Function, Served]
NO_NAMES: Final[Names] = MappingProxyType({})
