"""The request to start a run again."""

from typing import Any

from pydantic import Field

from atomic.protocol.requests import Key, Url
from atomic.protocol.wire import WireModel, without_default


class RestartRequest(WireModel):
    """`POST /{clientId}/runs/{runId}/restart`. All may be left out."""

    payload: Any = Field(
        default=None,
        json_schema_extra=without_default,
        description="In place of the payload of the run; it takes a key for `start` as well.",
    )
    key: Key | None = Field(
        default=None,
        description="The `idempotencyKey` of the new run. Without it, it is that of the run with a number: "
        "`k`, `k/2`, `k/3`.",
    )
    url: Url | None = Field(
        default=None,
        description="The endpoint of the new run, in place of that of the run; it takes a key for `start` "
        "as well.",
    )
