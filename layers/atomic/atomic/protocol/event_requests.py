"""The requests for events: their results by name, and rejections."""

import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from atomic.protocol.problems import invalid
from atomic.protocol.requests import Key, Name, StepId
from atomic.protocol.wire import WireModel

# The number of an event in its name.
_NUMBERED: Final = re.compile(r"#[0-9]+\Z")


def _rejection(members: dict[str, Any]) -> dict[str, Any]:
    detail = members.get("detail")
    if not isinstance(detail, str) or not detail.strip():
        raise PydanticCustomError("detail", "say in its member `detail`, a text, why the event is rejected")
    return members


Rejection = Annotated[dict[str, Any], AfterValidator(_rejection)]


class EventRequest(WireModel):
    """`POST /{clientId}/events`: the result of an event, whether a handler has opened it yet or not."""

    workflow_name: Name | None = Field(default=None, description="Of the run. Required without `parent`.")
    idempotency_key: Key | None = Field(default=None, description="Of the run. Required without `parent`.")
    parent: StepId | None = Field(
        default=None, description="The step whose handler waits for the event, in place of the run."
    )
    name: Name = Field(
        description="The `stepName` of the event; the second one of a name in the Python SDK is `name#2`."
    )
    result: Any = None
    reject: Rejection | None = Field(
        default=None,
        description="Reject the event instead: an object whose `detail` says why; the handler gets all of "
        "it as `response` of the problem `event-rejected`.",
    )
    heartbeat: bool = Field(
        default=False,
        description="Say that somebody is at work on the open event, in place of its result.",
    )
    next: bool = Field(
        default=False,
        description="Give the result to the first of `name`, `name#2`, `name#3` … that has none; the "
        "answer tells its `name`.",
    )
    id: Key | None = Field(
        default=None,
        description="Of the message, with `next`: posted again, it is the same message.",
    )

    @model_validator(mode="after")
    def _is_for_one_event_or_the_next(self) -> "EventRequest":
        if self.id is not None and not self.next:
            raise PydanticCustomError(
                "id_surplus", "id: a message for the `next` event has one; leave it out"
            )
        if self.next and self.heartbeat:
            raise PydanticCustomError("next_surplus", "next: a heartbeat is for one event; leave it out")
        if self.next and _NUMBERED.search(self.name):
            raise PydanticCustomError("number_surplus", "name: `next` finds the number; leave it out")
        return self

    @model_validator(mode="after")
    def _has_one_address_and_one_result(self) -> "EventRequest":
        for name in ("workflow_name", "idempotency_key"):
            member, given = to_camel(name), getattr(self, name) is not None
            if given and self.parent is not None:
                cure = "{member}: leave it out, `parent` says whose event it is"
                raise PydanticCustomError("address_surplus", cure, {"member": member})
            if not given and self.parent is None:
                cure = "{member}: required, of the run whose event it is; or give `parent`"
                raise PydanticCustomError("address_missing", cure, {"member": member})
        if self.reject is not None and "result" in self.model_fields_set:
            raise PydanticCustomError("two_results", "reject: send it, or result, and not both")
        if self.heartbeat and (self.reject is not None or "result" in self.model_fields_set):
            raise PydanticCustomError("two_results", "heartbeat: send it, or a result, and not both")
        return self


def read_rejection(document: Any) -> dict[str, Any]:
    """A body that rejects an event. Raises Problem 400."""
    try:
        return _rejection(document if isinstance(document, dict) else {})
    except PydanticCustomError as error:
        raise invalid("body", f"send a JSON object; {error.message()}") from None
