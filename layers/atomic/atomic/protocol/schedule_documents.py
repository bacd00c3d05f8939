"""The answers about schedules, as `protocol.documents` has the others."""

from typing import Any

from pydantic import Field

from atomic.protocol.enums import Dst, Overlap
from atomic.protocol.wire import Document


class LastRun(Document):
    """The run that a schedule started last."""

    run_id: str
    scheduled_at: str
    status: str | None = Field(default=None, description="Null once the run is deleted.")


class ScheduleDocument(Document):
    """A schedule as it stands."""

    name: str
    version: int = Field(description="Counts writes; also the `ETag`.")
    cron: list[str] | None
    every: int | None
    phase: int
    at: list[str] | None
    time_zone: str
    dst: Dst
    start: dict[str, Any] = Field(description="As requested, with what is in force by default.")
    overlap: Overlap
    catch_up: dict[str, Any]
    spread: int
    until: str | None
    limit: int | None
    pause_after_failures: int | None
    paused: bool
    note: str
    created_at: str
    updated_at: str
    next: list[str] = Field(description="The next slots; empty when paused or over.")
    due_at: str | None = Field(description="When the next run starts: its slot and the spread.")
    last: LastRun | None
    queued: str | None = Field(description="The slot whose run begins when the last one has ended.")
    started: int
    skipped: int = Field(description="Slots without a run, because the run before went on.")
    missed: int = Field(description="Slots that passed too long ago when they were found; at least.")
    failures: int = Field(description="Failed runs in a row, as far as the schedule has looked.")
    refused: str | None = Field(description="Why the due run cannot be started just now.")


class ScheduleList(Document):
    """A page of schedules, by name."""

    schedules: list[ScheduleDocument]
    next: str | None = Field(description="Path of the next page.")


class NextSlots(Document):
    """The next times of a schedule."""

    next: list[str]


class Triggered(Document):
    """A run that was started by hand."""

    run_id: str
    created: bool = Field(description="False if the same trigger has started it before.")


class BackfilledSlot(Document):
    """A slot of a backfill."""

    scheduled_at: str
    run_id: str | None = Field(description="Null in a dry run if it has no run yet.")
    created: bool


class Backfilled(Document):
    """A page of a backfill."""

    slots: list[BackfilledSlot]
    started: int = Field(description="0 in a dry run.")
    existing: int
    next: str | None = Field(description="What `from` is for the rest; null when all slots are done.")


class DeletedSchedule(Document):
    """A schedule that was deleted."""

    deleted: str
