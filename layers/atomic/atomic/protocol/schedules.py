"""The requests about schedules. Durations are integer milliseconds, moments RFC 3339."""

import re
from typing import Annotated, Any, Final

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from atomic.protocol.constants import DURATION_MAX_MS, NAME_MAX_CHARS
from atomic.protocol.enums import CatchUp, Dst, OnLost, Overlap
from atomic.protocol.flow import FlowEntries
from atomic.protocol.requests import NewName, RunHooks, Url
from atomic.protocol.tags import Tags
from atomic.protocol.wire import (
    Duration,
    Moment,
    PositiveDuration,
    RetryOptions,
    WireModel,
)

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_CRONS_MAX: Final = 16
_TIMES_MAX: Final = 100
_NOTE_MAX_CHARS: Final = 1000
EVERY_MIN_MS: Final = 1000
BACKFILL_MAX: Final = 100


def is_schedule_name(text: str) -> bool:
    """Whether the text may name a schedule."""
    return _NAME.fullmatch(text) is not None


CronText = Annotated[str, Field(min_length=1, max_length=NAME_MAX_CHARS)]
Note = Annotated[str, Field(max_length=_NOTE_MAX_CHARS)]


class ScheduledStart(WireModel):
    """The run that a schedule starts: as a start of its own, without key and wait."""

    workflow_name: NewName
    step_invoke_url: Url
    payload: Any = None
    retry: RetryOptions = RetryOptions()
    deadline: PositiveDuration | None = None
    attempt_timeout: PositiveDuration | None = None
    on_lost: OnLost = "repeat"
    flow: FlowEntries = Field(default_factory=list)
    tags: Tags = Field(default_factory=dict)
    hooks: RunHooks = Field(default_factory=dict)


class CatchUpOptions(WireModel):
    """Which slots are started that passed more than a minute ago, such as after an outage."""

    policy: CatchUp = Field(
        default="last", description="The last one, all, or none; the rest counts as `missed`."
    )
    window: Duration = Field(default=86_400_000, description="None that passed longer ago than this.")


class ScheduleRequest(WireModel):
    """`PUT /{clientId}/schedules/{name}`: start a run at each of these times."""

    cron: CronText | list[CronText] | None = Field(
        default=None,
        description="Five fields, or a name as `@daily`; several expressions give all their times.",
    )
    every: Annotated[int, Field(ge=EVERY_MIN_MS, le=DURATION_MAX_MS)] | None = Field(
        default=None, description="A fixed period in milliseconds, counted from 1970 on and `phase`."
    )
    phase: Duration = Field(default=0, description="Of `every`: how much later (milliseconds).")
    at: Annotated[list[Moment], Field(min_length=1, max_length=_TIMES_MAX)] | None = Field(
        default=None, description="These moments."
    )
    time_zone: Annotated[str, Field(min_length=1, max_length=64)] = Field(
        default="UTC", description="Of `cron`: an IANA name, such as `Europe/Berlin`."
    )
    dst: Dst = Field(
        default="once",
        description="Of `cron`, when clocks are set: each time has one run, or it is read literally.",
    )
    start: ScheduledStart
    overlap: Overlap = Field(
        default="skip", description="What a slot does while the run before goes on, suspended or not."
    )
    catch_up: CatchUpOptions = CatchUpOptions()
    spread: Duration = Field(
        default=0,
        description="Runs start up to so much later (milliseconds), each by an amount of its own.",
    )
    until: Moment | None = Field(default=None, description="No run after this moment.")
    limit: Annotated[int, Field(ge=1)] | None = Field(default=None, description="So many runs in all.")
    pause_after_failures: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None, description="So many failed runs in a row pause the schedule."
    )
    paused: bool | None = Field(
        default=None, description="Left out: as it is before. A new one is not paused."
    )
    note: Note = ""

    @field_validator("cron", mode="before")
    @classmethod
    def _is_one_or_several(cls, given: object) -> object:
        # Otherwise each alternative is refused by itself, under a name that is no member.
        several = given if isinstance(given, list) else [given]
        if given is None or (
            1 <= len(several) <= _CRONS_MAX
            and all(isinstance(each, str) and 1 <= len(each) <= NAME_MAX_CHARS for each in several)
        ):
            return given
        raise PydanticCustomError(
            "crons",
            "use an expression such as `0 8 * * MON-FRI`, or a list of 1 to {most}; each has 1 to {chars}"
            " characters",
            {"most": _CRONS_MAX, "chars": NAME_MAX_CHARS},
        )

    @model_validator(mode="after")
    def _has_one_cadence(self) -> "ScheduleRequest":
        given = [name for name in ("cron", "every", "at") if getattr(self, name) is not None]
        if len(given) != 1:
            raise PydanticCustomError("cadence", "cron: give one of `cron`, `every` and `at`")
        belongs = {"phase": "every", "time_zone": "cron", "dst": "cron"}
        for name in self.model_fields_set & belongs.keys():
            if getattr(self, belongs[name]) is None:
                member = type(self).model_fields[name].alias
                raise PydanticCustomError(
                    "member_surplus",
                    "{member}: it belongs to `{of}`; leave it out",
                    {"member": member, "of": belongs[name]},
                )
        return self


class PauseRequest(WireModel):
    """`POST …/schedules/{name}/pause`."""

    note: Note = Field(default="", description="Why, for others.")


class BackfillRequest(WireModel):
    """`POST …/schedules/{name}/backfill`: start the runs of slots that have passed."""

    since: Moment = Field(alias="from", description="The first moment.")
    to: Moment = Field(description="The moment behind the last one; no later than now.")
    dry_run: bool = Field(default=False, description="Only tell the slots, and which of them have a run.")
    limit: Annotated[int, Field(ge=1, le=BACKFILL_MAX)] = BACKFILL_MAX
