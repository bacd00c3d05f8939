"""Flow control on the wire: what a start asks for, what an operator pins, what a key looks like."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from atomic.protocol.enums import FlowScope, StatusName
from atomic.protocol.wire import Document, PositiveDuration, RunNote, WireModel

FLOW_ENTRIES_MAX: Final = 4
FLOW_PRIORITY_MAX: Final = 5
_KEY: Final = re.compile(r"[A-Za-z0-9._~:@-]{1,128}")
# Browsers and servers remove them from a path, in any spelling: no request could name such a key by it.
_NO_PATH: Final = frozenset({".", ".."})
FLOW_KEY_FORM: Final = "1 to 128 letters, digits and `.`, `_`, `~`, `:`, `@`, `-`, but not `.` or `..`"
_CONCURRENCY_MAX: Final = 10_000
_RATE_LIMIT_MAX: Final = 1_000


def is_flow_key(text: str) -> bool:
    """Whether the text can be the name of a key."""
    return _KEY.fullmatch(text) is not None and text not in _NO_PATH


def _flow_key(text: str) -> str:
    if not is_flow_key(text):
        raise PydanticCustomError("flow_key", "use {form}", {"form": FLOW_KEY_FORM})
    return text


FlowKeyName = Annotated[
    str,
    Field(
        pattern=f"^{_KEY.pattern}$",
        description=f"{FLOW_KEY_FORM}. Two clients share no key.",
    ),
    AfterValidator(_flow_key),
]
Concurrency = Annotated[int, Field(ge=1, le=_CONCURRENCY_MAX)]


class FlowRate(WireModel):
    """At most `limit` attempts begin within any `per` (milliseconds), evenly spread."""

    limit: Annotated[int, Field(ge=1, le=_RATE_LIMIT_MAX)]
    per: PositiveDuration


class FlowOptions(WireModel):
    """One key under which the attempts of a step need a slot, a time of a rate, or both."""

    key: FlowKeyName
    concurrency: Concurrency | None = Field(default=None, description="How many slots the key has.")
    rate: FlowRate | None = None
    scope: FlowScope = Field(
        default="attempt",
        description="A slot lasts for one attempt; or from the first attempt of the step to its outcome, "
        "and then the steps below it need no slot of their own under this key.",
    )
    priority: Annotated[int, Field(ge=-FLOW_PRIORITY_MAX, le=FLOW_PRIORITY_MAX)] = Field(
        default=0, description="Each one has four turns for one turn of the one below it."
    )
    fair: Annotated[str, Field(max_length=255)] = Field(
        default="", description="Steps with different values, such as names of customers, take turns."
    )


def _apart(entries: list[FlowOptions]) -> list[FlowOptions]:
    if len({entry.key for entry in entries}) < len(entries):
        raise PydanticCustomError("flow_twice", "name each key once")
    return entries


FlowEntries = Annotated[
    list[FlowOptions],
    Field(
        max_length=FLOW_ENTRIES_MAX,
        description="Limits that this step shares with all that name the same keys. Of a step of kind "
        "`run`: those of the root of that run. The numbers of the newest step hold, unless an operator "
        "has pinned others.",
    ),
    AfterValidator(_apart),
]


class FlowPinRequest(WireModel):
    """`PUT /{clientId}/flow/{key}`: what holds whatever steps say. A member that is left out stays."""

    concurrency: Concurrency | None = Field(default=None, description="Null ends the pin.")
    rate: FlowRate | None = Field(default=None, description="Null ends the pin.")
    paused: bool | None = Field(
        default=None, description="Nothing new is let in; what is inside goes on to its end."
    )

    note: RunNote = Field(default="", description="For people: why the key is paused.")

    @model_validator(mode="after")
    def _says_something(self) -> "FlowPinRequest":
        if not self.model_fields_set:
            raise PydanticCustomError("empty_pin", "give concurrency, rate or paused")
        if "paused" in self.model_fields_set and self.paused is None:
            raise PydanticCustomError("paused", "paused: use true or false")
        if self.note and not self.paused:
            raise PydanticCustomError("note", "note: give it with paused: true, or leave it out")
        return self


class FlowRateDocument(Document):
    """A rate."""

    limit: int
    per: int


class FlowEntryDocument(Document):
    """What a step asks for under one key."""

    key: str
    concurrency: int | None
    rate: FlowRateDocument | None
    scope: FlowScope
    priority: int
    fair: str


class FlowPaceDocument(FlowRateDocument):
    """The rate in force, and the first time that no attempt has taken."""

    next_at: str


class FlowPinDocument(Document):
    """What an operator has pinned."""

    concurrency: int | None
    rate: FlowRateDocument | None


class FlowKeyDocument(Document):
    """A key of flow control, as it is now."""

    key: str
    concurrency: int | None = Field(description="How many slots there are; null for any number.")
    paused: bool
    note: str = Field(description="Why it is paused, for people.")
    running: int = Field(description="How many slots are taken.")
    queued: int = Field(description="How many steps wait in line.")
    oldest: str | None = Field(description="Since when the step waits that has waited longest.")
    pace: FlowPaceDocument | None
    pinned: FlowPinDocument


class FlowKeyList(Document):
    """A page of keys."""

    keys: list[FlowKeyDocument]
    next: str | None = Field(description="Path of the next page.")


class FlowStepDocument(Document):
    """A step under a key of flow control."""

    id: str
    run_id: str
    workflow_name: str
    idempotency_key: str
    step_name: str | None
    status: StatusName
    fair: str = Field(description="Steps with different values take turns.")
    priority: int
    since: str | None = Field(description="Since when it is in line, or when its attempt began.")


class FlowStepList(Document):
    """Steps under a key, at most `limit` of each list."""

    running: list[FlowStepDocument] = Field(description="Steps that have a slot.")
    queued: list[FlowStepDocument] = Field(description="Steps in line, that whose turn is next first.")
