"""The request to pause a run, and what a paused run and a step at rest show."""

from typing import Any, Final

from pydantic import Field

from atomic.protocol.wire import Document, MomentIfGiven, RunNote, WireModel, without_default


class RunPauseRequest(WireModel):
    """`POST /{clientId}/runs/{runId}/pause`: why, and for how long. Both may be left out."""

    note: RunNote = Field(default="", description="For people: why the run is paused.")
    until: MomentIfGiven = Field(
        default=None,
        json_schema_extra=without_default,
        description="The run goes on by itself at this time.",
    )


class PauseDocument(Document):
    """The pause of a run. Nothing of the run is called meanwhile."""

    since: str
    until: str | None = Field(description="When it ends by itself; null: when the run is resumed.")
    note: str
    by: str | None = Field(
        description="The step because of which the run is paused: one of its own has used its last retry "
        "(`retry.then`) and waits for a resume. Otherwise the step that has started the run, or the root "
        "that the run goes on for, whose run was paused; null when the run itself was."
    )


class RestDocument(Document):
    """The rest of a step: it came due while its run was paused."""

    since: str
    exhausted: bool = Field(
        description="Its retries are used up (`retry.then`), so it needs a person: a resume of its run "
        "gives it a fresh budget of attempts."
    )


# Members of a summary that only few steps have.
PAUSED: Final[Any] = Field(default=None, description="Of the root of a paused run.")
RESTS: Final[Any] = Field(default=None, description="Of a step that rests, because its run is paused.")
