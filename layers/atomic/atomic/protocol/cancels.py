"""The request to cancel a run, at once or after its handlers have undone what they did."""

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from atomic.protocol import defaults
from atomic.protocol.constants import CANCEL_WITHIN_MAX_MS
from atomic.protocol.wire import WireModel


class CancelRequest(WireModel):
    """`POST /{clientId}/runs/{runId}/cancel`: how the run is cancelled."""

    mode: Literal["hard", "graceful"] = Field(
        default="hard",
        description="`hard` ends each live step at once. `graceful` calls the handlers that wait, or are "
        "under way, once more and tells them (`Atomic-Cancelled`), so that they undo what they did.",
    )
    within: Annotated[int, Field(ge=1, le=CANCEL_WITHIN_MAX_MS)] | None = Field(
        default=None,
        description="For how long handlers may do so (milliseconds), before the rest is cancelled hard; "
        f"the default is {defaults.CANCEL_WITHIN_MS}.",
    )

    @model_validator(mode="after")
    def _fits_its_mode(self) -> "CancelRequest":
        if self.mode == "hard" and self.within is not None:
            raise PydanticCustomError(
                "member_surplus", "within: it belongs to mode `graceful`; leave it out"
            )
        return self
