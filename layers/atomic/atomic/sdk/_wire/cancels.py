"""The cancel of a run: at once, or after its handlers have undone what they did."""

from typing import Any

from atomic.protocol.documents import RunSummary
from atomic.sdk._wire.api import act_on_run
from atomic.sdk._wire.transport import Flow
from atomic.sdk.errors import InvalidRequestError
from atomic.sdk.retry import Seconds, milliseconds


def cancel_run(
    client_id: str, run_id: str, patience_s: float, *, graceful: bool, within: Seconds | None
) -> Flow[RunSummary]:
    """Cancel a run. Raises InvalidRequestError for a time without `graceful`."""
    document: dict[str, Any] | None = {"mode": "graceful"} if graceful else None
    if within is not None:
        if document is None:
            raise InvalidRequestError("within: it is for graceful=True; leave it out.")
        document["within"] = milliseconds("within", within)
    return (yield from act_on_run(client_id, "cancel", run_id, patience_s, document))
