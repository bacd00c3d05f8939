"""The request to dismiss a failed run, and what the run shows of its failure."""

from typing import Any, Final

from pydantic import Field

from atomic.protocol.wire import Document, RunNote, WireModel


class DismissRequest(WireModel):
    """`POST /{clientId}/runs/{runId}/dismiss`: why. It may be left out."""

    note: RunNote = Field(default="", description="For people: why the run needs no action.")


class RunCauseDocument(Document):
    """Why a run failed."""

    id: str = Field(description="The cause, as in the list of causes: other runs may have the same.")
    step_id: str = Field(description="The step because of which the run failed; the root if no other.")


class DismissalDocument(Document):
    """A failed run needs no action any more."""

    at: str
    note: str


# Members of a summary that only the root of a failed run has.
CAUSE: Final[Any] = Field(default=None, description="Of the root of a failed run.")
DISMISSED: Final[Any] = Field(
    default=None, description="Of the root of a failed run that was dismissed. A redrive clears it."
)
