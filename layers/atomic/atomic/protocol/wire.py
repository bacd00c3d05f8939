"""What the wire's models are made of: the bases of what comes in and of what goes out, and durations."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from atomic.protocol.constants import DURATION_MAX_MS

# Milliseconds.
Duration = Annotated[int, Field(ge=0, le=DURATION_MAX_MS)]
PositiveDuration = Annotated[int, Field(ge=1, le=DURATION_MAX_MS)]


class WireModel(BaseModel):
    """What comes in. Members are camelCase on the wire, unknown ones are refused, nothing is coerced."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", frozen=True, strict=True, populate_by_name=True
    )


class Document(BaseModel):
    """What goes out. Members are camelCase; newer servers may add some."""

    # Built when first used: a program that starts one run needs one of them.
    model_config = ConfigDict(
        alias_generator=to_camel, frozen=True, populate_by_name=True, defer_build=True
    )
