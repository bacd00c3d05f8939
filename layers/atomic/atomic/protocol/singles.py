"""Starts that share a key, of which only some run: singletons and debounce, on the wire."""

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from atomic.protocol.enums import OnBusy
from atomic.protocol.flow import FlowKeyName
from atomic.protocol.wire import Document, PositiveDuration, WireModel


class SingletonOptions(WireModel):
    """At most one run goes on under the key."""

    key: FlowKeyName
    on_busy: OnBusy = Field(
        default="attach",
        description="While another run has the key: `attach` gives the answer of that run, `skip` answers "
        "409 `busy`, `cancel` cancels that run first, and with `queue` the runs wait in line.",
    )


class DebounceOptions(WireModel):
    """Of the starts of a burst only the last one runs."""

    key: FlowKeyName
    quiet: PositiveDuration = Field(description="It runs when so long no other start has come.")
    max: PositiveDuration | None = Field(
        default=None, description="So long after the first start of the burst, at the latest."
    )


def _in_order(asked: DebounceOptions | None) -> DebounceOptions | None:
    if asked is not None and asked.max is not None and asked.max < asked.quiet:
        raise PydanticCustomError("debounce_max", "max: use a time that is not below quiet")
    return asked


Debounced = Annotated[DebounceOptions | None, AfterValidator(_in_order)]


class SingletonDocument(Document):
    """The key that a run shares, and what it did while another run had it."""

    key: str
    on_busy: OnBusy


class DebounceDocument(Document):
    """The key of a burst, and its times in milliseconds."""

    key: str
    quiet: int
    max: int | None


class AttachedTo(Document):
    """The run whose answer this is, in place of that of the run that was started."""

    run_id: str
    workflow_name: str
    idempotency_key: str
