"""What shows how far a bulk is, and what it would concern."""

from typing import Any

from pydantic import Field

from atomic.protocol.documents import RunSummary
from atomic.protocol.enums import BulkAction, StatusName
from atomic.protocol.wire import Document


class BulkCount(Document):
    """A dry run: how many runs fit, and some of them."""

    do: BulkAction
    runs: int
    is_all: bool = Field(description="False: at least so many. No more were counted.")
    sample: list[RunSummary] = Field(description="The newest of them, as in the list of runs.")


class BulkRefusal(Document):
    """A run to which it could not be done."""

    run_id: str
    reason: str


class BulkDocument(Document):
    """A bulk and how far it is. It is a run of its own, which can be paused and cancelled as such."""

    run_id: str
    do: BulkAction
    filter: dict[str, Any]
    note: str
    status: StatusName
    runs: int | None = Field(description="How many runs fitted when it began; null before.")
    is_all: bool | None = Field(description="False: `runs` is the least number.")
    done: int = Field(description="Runs to which it was done.")
    skipped: int = Field(description="Runs that it did not concern any more, or not yet when it began.")
    refused: int = Field(description="Runs to which it could not be done.")
    refusals: list[BulkRefusal] = Field(description="The first ones.")
    error: str | None
    created_at: str
    finished_at: str | None
