"""The request to do the same to many runs."""

from typing import Annotated, Final

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from atomic.protocol.enums import ACTS_ON, LIVE, BulkAction, Status, StatusName, WaitsFor
from atomic.protocol.error_kinds import ErrorKind
from atomic.protocol.keys import is_cause_id
from atomic.protocol.requests import Key, Name
from atomic.protocol.tags import TAGS_MAX, Tag
from atomic.protocol.wire import MomentIfGiven, RunNote, WireModel, without_default

_EFFECTS: Final = (
    "`cancel`, `dismiss`, `pause`, `resume` and `restart` as for one run; `redrive` as with a root; `due`: "
    "all of its steps that wait for a moment; `erase` needs the scope `admin`."
)


def _cause(text: str) -> str:
    if not is_cause_id(text):
        raise PydanticCustomError("cause", "use the id of a cause, as GET /{clientId}/causes has it")
    return text


def _error_kind(text: str) -> str:
    if text not in set(ErrorKind):
        cure = "use one of {kinds}"
        raise PydanticCustomError("error_kind", cure, {"kinds": ", ".join(ErrorKind)})
    return text


class BulkFilter(WireModel):
    """Which runs: at least one condition; all that are given must hold, as in the list of runs."""

    status: StatusName | None = None
    workflow_name: Name | None = None
    key_prefix: Key | None = None
    key_contains: Key | None = None
    tag: Annotated[list[Tag], Field(max_length=TAGS_MAX)] = Field(
        default_factory=list, description="Runs with all of these, each as `name:value`."
    )
    created_after: MomentIfGiven = Field(
        default=None, json_schema_extra=without_default, description="Created at or after."
    )
    created_before: MomentIfGiven = Field(default=None, json_schema_extra=without_default)
    cause: Annotated[str, AfterValidator(_cause)] | None = Field(
        default=None, description="Runs that failed for this cause, by its id in the list of causes."
    )
    dismissed: bool | None = Field(
        default=None, description="Failed runs: those that were dismissed, or those that need action."
    )
    error_kind: Annotated[str, AfterValidator(_error_kind)] | None = None
    response_status: Annotated[int, Field(ge=100, le=599)] | None = Field(
        default=None, description="What the endpoint answered last."
    )
    waits_for: WaitsFor | None = Field(default=None, description="Live runs that wait for this.")

    @model_validator(mode="after")
    def _is_not_empty(self) -> "BulkFilter":
        if not self.model_dump(exclude_defaults=True):
            raise PydanticCustomError("empty_filter", "give at least one condition")
        return self


class BulkRequest(WireModel):
    """`POST /{clientId}/bulk`: what is done to each run that fits."""

    do: BulkAction = Field(description=_EFFECTS)
    filter: BulkFilter
    dry_run: bool = Field(default=False, description="Nothing is done: only count the runs, and show some.")
    note: RunNote = Field(
        default="", description="For people: why. It is the note of each pause or dismissal."
    )

    @model_validator(mode="after")
    def _can_change_something(self) -> "BulkRequest":
        status, acts_on = self.filter.status, ACTS_ON[self.do]
        if status is not None and status not in acts_on:
            cure = "filter.status: {do} changes only runs that are {states}"
            states = " or ".join(state.value for state in Status if state in acts_on)
            raise PydanticCustomError("status", cure, {"do": self.do, "states": states})
        is_of_failed = self.filter.cause is not None or self.filter.dismissed is not None
        if is_of_failed and (Status.FAILED not in acts_on or status not in {None, Status.FAILED}):
            cure = "filter: only failed runs have a cause or a dismissal; leave both out"
            raise PydanticCustomError("of_failed", cure)
        if self.filter.waits_for is not None and not acts_on <= LIVE:
            cure = "filter.waitsFor: {do} changes only runs that wait for nothing; leave it out"
            raise PydanticCustomError("waits_for", cure, {"do": self.do})
        return self
