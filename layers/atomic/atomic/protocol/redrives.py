"""The request that redrives many dead letters."""

from typing import Annotated

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from atomic.protocol.constants import NAME_MAX_CHARS
from atomic.protocol.requests import Key, Name
from atomic.protocol.tags import TAGS_MAX, Tag
from atomic.protocol.wire import WireModel


class RedriveFilter(WireModel):
    """Which dead letters to redrive: at least one condition; all that are given must hold."""

    workflow_name: Name | None = None
    key_prefix: Key | None = None
    created_after: Annotated[str, Field(max_length=40)] | None = None
    created_before: Annotated[str, Field(max_length=40)] | None = None
    failed_before: Annotated[str, Field(max_length=40)] | None = None
    tag: Annotated[list[Tag], Field(min_length=1, max_length=TAGS_MAX)] | None = Field(
        default=None, description="Of the run, as `name:value`; all of them must hold."
    )

    @model_validator(mode="after")
    def _is_not_empty(self) -> "RedriveFilter":
        if not self.model_dump(exclude_none=True):
            raise PydanticCustomError("empty_filter", "give at least one condition")
        return self


class RedriveRequest(WireModel):
    """`POST /{clientId}/redrive`."""

    filter: RedriveFilter
    cursor: Annotated[str, Field(max_length=NAME_MAX_CHARS)] | None = Field(
        default=None, description="The `next` of the last answer."
    )
