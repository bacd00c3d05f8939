"""The pause of a run, as a flow."""

from datetime import datetime

from atomic.protocol.documents import RunSummary
from atomic.sdk._wire.api import act_on_run
from atomic.sdk._wire.moments import moment
from atomic.sdk._wire.transport import Flow


def pause(
    client_id: str, run_id: str, patience_s: float, *, note: str, until: datetime | None
) -> Flow[RunSummary]:
    """Pause a run, until it is resumed or until a moment."""
    document = {"note": note} if note else {}
    if until is not None:
        document["until"] = moment("until", until)
    return (yield from act_on_run(client_id, "pause", run_id, patience_s, document))
