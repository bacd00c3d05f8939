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
        "milliseconds, interpolated; null without any."
    )
    duration_ms_p95: int | None = Field(description="The same for 95 % of them.")


class CounterDocument(_Numbers):
    """The runs of a workflow that were started in an hour, and what has become of them until now."""

    hour: str = Field(description="When the hour began.")
    workflow_name: str | None = _NAME
    live: int = Field(description="How many have not ended.")
    duration_ms_sum: int = Field(
        description="From start to end, of the runs that succeeded, in milliseconds. Divided by "
        "`succeeded`, it is their mean."
    )
    counted_at: str | None = Field(description="Null: now. On AWS, maintenance counts twice an hour.")


class CounterList(Document):
    """A page of counters: the newest hour first, then by name."""

    counters: list[CounterDocument]
    next: str | None = Field(description="The path of the next page.")


class WorkflowDocument(_Numbers):
    """A workflow, and what became of its runs that were started in this hour and the 23 before."""

    workflow_name: str | None = _NAME
    live: int = Field(description="How many of its runs of the last 31 days have not ended.")
    last_start_at: str | None = Field(description="When its newest run was started.")


class WorkflowList(Document):
    """A page of the workflows that were started in the last 31 days, by name."""

    workflows: list[WorkflowDocument]
    next: str | None = Field(description="The path of the next page.")
