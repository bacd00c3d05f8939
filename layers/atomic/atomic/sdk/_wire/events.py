"""Events for other programs: the name and the address of an event, its result or its rejection."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

from atomic.protocol import keys
from atomic.protocol.documents import EventOutcome, StepOutcome
from atomic.sdk._wire.api import Key, check_number, document_of, key_text, post_of
from atomic.sdk._wire.repeats import exchange
from atomic.sdk._wire.transport import Flow
from atomic.sdk._wire.values import jsonable, utf8
from atomic.sdk.errors import InvalidRequestError

# The end of the name of an event that is not the first one of its name.
_NUMBERED: Final = re.compile(r"#[0-9]+$")


class EventId(str):
    """The id of an event that a handler has opened: a text, with the URL by which others complete it.

    `ctx.open_event` makes it, of the `step_id` and the `url` that the server gives.
    """

    __slots__ = ("_url",)
    _url: str

    def __new__(cls, step_id: str, url: str) -> "EventId":
        """`url` is empty if the server gave none."""
        made = super().__new__(cls, step_id)
        made._url = url
        return made

    @property
    def url(self) -> str:
        """The callback URL: who has it can complete or reject the event, without an API key.

        It is the same in each call of the handler. Raises LookupError when the server gave none: it is
        older, or callbacks are switched off for this client.
        """
        if not self._url:
            raise LookupError(
                "The server gave no callback URL. It is older, or callbacks are switched off for this "
                "client (`atomic clients callbacks ID on`)."
            )
        return self._url


def event_name(name: str, number: int = 1) -> str:
    """The name of an event for other programs: the second event of one name in a handler is `name#2`.

    Raises InvalidRequestError.
    """
    if not isinstance(name, str) or not name or _NUMBERED.search(name):
        raise InvalidRequestError(
            f"event: use a text that is not empty and does not end in # and a number, not {name!r}."
        )
    utf8("event", name)
    check_number("number", number, 1)
    return name if number == 1 else f"{name}#{number}"


def address_of(
    client_id: str, workflow_name: str, key: Key, name: str, number: int, parent: str | None
) -> dict[str, str]:
    """The address of an event. Raises InvalidRequestError, also for a parent of another run."""
    run_key, of_it = key_text(key), {"name": event_name(name, number)}
    if parent is None:
        return {"workflowName": workflow_name, "idempotencyKey": run_key, **of_it}
    if keys.run_of(parent) != keys.run_id(client_id, workflow_name, run_key):
        raise InvalidRequestError(f"parent: {parent!r} is no step of this run of {workflow_name!r}.")
    return {"parent": parent, **of_it}


def message_members(number: int, message_id: Key | None, *, is_next: bool) -> dict[str, Any]:
    """The members that make a result a message for the next event. Raises InvalidRequestError.

    A message without an id gets one here: a request whose answer was lost is sent again.
    """
    if not is_next:
        if message_id is not None:
            raise InvalidRequestError("id: it is for a message to the next event; give next=True as well.")
        return {}
    if number != 1:
        raise InvalidRequestError(f"number: next=True finds the number; leave out {number!r}.")
    return {"next": True, "id": uuid4().hex if message_id is None else key_text(message_id)}


def rejection(detail: str, more: Any) -> dict[str, Any]:
    """Why an event is rejected, with further members. Raises InvalidRequestError."""
    members = jsonable(more or {}, "the members of the rejection")
    if not (isinstance(detail, str) and detail.strip() and isinstance(members, dict)):
        raise InvalidRequestError("detail, more: say why in a text, and give further members as a mapping.")
    return {**members, "detail": detail}


def complete(client_id: str, step_id: str, result: Any, patience_s: float) -> Flow[StepOutcome]:
    """Post the result of an event."""
    request = post_of(f"/{quote(client_id)}/steps/{quote(step_id)}/result", result)
    return document_of(StepOutcome, (yield from exchange(request, patience_s)))


def post_event(client_id: str, document: Mapping[str, Any], patience_s: float) -> Flow[EventOutcome]:
    """Post the result of an event by its address."""
    answer = yield from exchange(post_of(f"/{quote(client_id)}/events", document), patience_s)
    return document_of(EventOutcome, answer)
