"""The documents of the list of causes, as `documents` has those about steps."""

from pydantic import Field

from atomic.protocol.documents import ErrorKindName
from atomic.protocol.wire import Document


class CauseSample(Document):
    """A failed step with this cause: of a list of runs, the root of the run."""

    id: str
    run_id: str
    idempotency_key: str
    created_at: str


class CauseDocument(Document):
    """What failures have in common, and how many there are."""

    id: str = Field(description="For the filter `cause` of runs and dead letters.")
    workflow_name: str
    step_name: str | None = Field(
        description="The step that failed; the path of its URL if it has no name; null for a root."
    )
    error_kind: ErrorKindName | None
    error_type: str | None
    response_status: int | None = Field(description="What its endpoint answered last.")
    text: str = Field(
        description="The beginning of the error, with `#` for ids, numbers, times, addresses, quotations."
    )
    count: int
    first_created_at: str = Field(description="When the oldest of them was created.")
    last_created_at: str = Field(description="When the newest of them was created.")
    samples: list[CauseSample] = Field(description="The newest three.")


class CauseList(Document):
    """The causes of failures, that of the most first."""

    causes: list[CauseDocument]
    more: bool = Field(description="There are more causes than `limit`.")
    is_all: bool = Field(
        description="False: only the newest failures were counted, and the numbers are the least ones."
    )
