"""By when a step has to begin, and the request that makes it due at another moment."""

from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from atomic.protocol.constants import DURATION_MAX_MS
from atomic.protocol.wire import MOMENT_SCHEMA, WireModel, moment


def _start_by(given: object) -> int | timedelta:
    if isinstance(given, str):
        return moment(given)
    if isinstance(given, int) and not isinstance(given, bool) and 1 <= given <= DURATION_MAX_MS:
        return timedelta(milliseconds=given)
    cure = f"use a time such as 2026-11-23T07:38:00Z, or 1 to {DURATION_MAX_MS} milliseconds"
    raise PydanticCustomError("start_by", "{cure}", {"cure": cure})


def _due_at(given: object) -> int | None:
    return None if given == "now" else moment(given)


_START_BY: Final[dict[str, Any]] = {
    "anyOf": [MOMENT_SCHEMA, {"type": "integer", "minimum": 1, "maximum": DURATION_MAX_MS}]
}
_DUE_AT: Final[dict[str, Any]] = {"anyOf": [{"type": "string", "const": "now"}, MOMENT_SCHEMA]}
# A moment (milliseconds since the epoch), or how long after its start. None means that it is left out.
StartBy = Annotated[int | timedelta | None, PlainValidator(_start_by), WithJsonSchema(_START_BY)]
# None is now.
DueAt = Annotated[int | None, BeforeValidator(_due_at), WithJsonSchema(_DUE_AT)]


class DueRequest(WireModel):
    """`POST /{clientId}/steps/{stepId}/due`: when the step is due."""

    at: DueAt = Field(default="now", validate_default=True, description="A time, or `now`.")
