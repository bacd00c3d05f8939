"""The documents of the audit log, as `documents` has those about steps."""

from pydantic import Field

from atomic.protocol.enums import ActorKind
from atomic.protocol.wire import Document


class ActDocument(Document):
    """What an operator did, or tried to do. It never has the body of the request."""

    id: str
    at: str
    action: str = Field(description="The operation's id in this description, such as `cancelRun`.")
    target: dict[str, str] = Field(
        description="The ids in the request's path, such as `runId`, and what the request has made or done."
    )
    by: str | None = Field(description="The id of the key, or the ARN of the caller.")
    by_kind: ActorKind = Field(description="`anybody`: this server needs no keys.")
    source: str | None = Field(description="The address that the request came from.")
    user_agent: str | None
    request_id: str | None = Field(description="Of API Gateway, or the header `X-Request-Id`.")
    status: int | None = Field(description="Of the answer; null when there was none.")


class ActList(Document):
    """A page of the audit log, the newest first."""

    acts: list[ActDocument]
    next: str | None = Field(description="The path of the next page.")
