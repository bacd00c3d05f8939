"""The documents of counters, as `documents` has those about steps."""

from typing import Any, Final

from pydantic import Field

from atomic.protocol.wire import Document

_NAME: Final[Any] = Field(
    description="Null: the runs of all further workflows. 200 an hour have counters of their own."
)


class _Numbers(Document):
    """Numbers of runs, by what has become of them until now."""

    started: int
    succeeded: int
    failed: int
    cancelled: int
    retries: int = Field(
        description="Of all steps of the runs. Calls that follow a suspension are not among them."
    )
    duration_ms_p50: int | None = Field(
        description="The time from start to end that half of the runs which succeeded did not exceed, in "
        "milliseconds; null without any. It is interpolated between the shortest and the longest one, and "
        "exact or wrong by less than half of it."
    )
    duration_ms_p95: int | None = Field(description="The same for 95 % of them.")


class CounterDocument(_Numbers):
    """The runs of a workflow that were started in a span, and what has become of them until now."""

    began_at: str = Field(description="When the span began.")
    span_ms: int = Field(description="How long the span is, in milliseconds: an hour is 3600000.")
    workflow_name: str | None = _NAME
    live: int = Field(description="How many have not ended.")
    duration_ms_sum: int = Field(
        description="From start to end, of the runs that succeeded, in milliseconds. Divided by "
        "`succeeded`, it is their mean."
    )
    counted_at: str | None = Field(description="Null: now. On AWS, maintenance counts twice an hour.")


class CounterList(Document):
    """A page of counters: the newest span first, then by name."""

    counters: list[CounterDocument]
    span_ms: int = Field(
        description="How long their spans are: as asked for, or an hour where minutes are not kept."
    )
    next: str | None = Field(description="The path of the next page.")


class WorkflowDocument(_Numbers):
    """A workflow, and what became of its runs that were started from `countedFrom` on."""

    workflow_name: str | None = _NAME
    live: int = Field(description="How many of its runs of the last 31 days have not ended.")
    last_start_at: str | None = Field(description="When its newest run was started.")


class WorkflowList(Document):
    """A page of the workflows that were started in the last 31 days, by name."""

    workflows: list[WorkflowDocument]
    counted_from: str = Field(
        description="From when on runs are counted: `from`, rounded down to a minute or an hour."
    )
    next: str | None = Field(description="The path of the next page.")
