"""The flows that read what is kept beside the runs."""

from collections.abc import Mapping
from datetime import datetime

from atomic.protocol.audit_documents import ActDocument, ActList
from atomic.sdk._wire.lists import list_some
from atomic.sdk._wire.moments import moment
from atomic.sdk._wire.transport import Flow


def act_filter(
    action: str | None, by: str | None, since: datetime | None, before: datetime | None
) -> dict[str, str]:
    """A filter of the audit log with the wire's names. Raises InvalidRequestError for wrong moments."""
    query = {"action": action or "", "by": by or ""}
    query["from"] = "" if since is None else moment("since", since)
    query["before"] = "" if before is None else moment("before", before)
    return {name: text for name, text in query.items() if text}


def acts(
    client_id: str, query: Mapping[str, str], limit: int, patience_s: float
) -> Flow[list[ActDocument]]:
    """The newest acts that match the filter, at most `limit`."""
    return (
        yield from list_some(client_id, "audit", query, ActList, lambda page: page.acts, limit, patience_s)
    )
