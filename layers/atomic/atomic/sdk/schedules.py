"""Schedules: workflows that Atomic starts by itself, at times that `Cron`, `Every` or `At` give.

`client.schedules` puts, reads and changes them. `@users.workflow(schedule=Cron("0 9 * * 1-5"))` declares
one beside its function; the command `atomic schedules apply` puts what an application declares.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Unpack

from atomic.protocol.enums import CatchUp, Dst, Overlap, RunEvent
from atomic.protocol.schedule_documents import Backfilled, ScheduleDocument, Triggered
from atomic.sdk._wire import schedules as flows
from atomic.sdk._wire.api import Key, StepOptions, check_options, start_document
from atomic.sdk._wire.base_client import BaseClient
from atomic.sdk._wire.client_events import EventsOfAsyncClient, EventsOfClient
from atomic.sdk._wire.client_hooks import hooks_document
from atomic.sdk._wire.moments import moment
from atomic.sdk._wire.tags import tags_document
from atomic.sdk._wire.values import jsonable
from atomic.sdk.errors import InvalidRequestError
from atomic.sdk.retry import Seconds, milliseconds


@dataclass(frozen=True, kw_only=True)
class _Times(ABC):
    """What all schedules have.

    - `payload`: the input of each run (default None).
    - `name`: the name of the schedule, where it is declared at a workflow (default: that of the workflow).
    - `overlap`: what a time does while the run before goes on: "skip" (the default) leaves it out, "queue"
      keeps one until then, "cancel" cancels the run before, "allow" starts another one.
    - `catch_up`: which times are started that passed more than a minute ago, such as after an outage: the
      "last" (the default), "all" or "none"; none that passed longer ago than `catch_up_window`, which is a
      day by default.
    - `spread`: runs start up to so much later, each schedule by an amount of its own (default 0).
    - `until`: no run after this moment. `limit`: so many runs in all.
    - `pause_after_failures`: so many failed runs in a row pause the schedule.
    - `note`: a text for people.
    - `tags`, `hooks`: of each run, as in `Client.start` (default: none).

    Durations are seconds or timedeltas.
    """

    payload: Any = None
    name: str | None = None
    overlap: Overlap = "skip"
    catch_up: CatchUp = "last"
    catch_up_window: Seconds = 86_400
    spread: Seconds = 0
    until: datetime | None = None
    limit: int | None = None
    pause_after_failures: int | None = None
    note: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    hooks: Mapping[RunEvent, str] = field(default_factory=dict)

    @abstractmethod
    def times(self) -> dict[str, Any]:
        """The members of the wire that say when."""

    def document(
        self, workflow_name: str, url: str, *, payload: Any, paused: bool | None, options: StepOptions
    ) -> dict[str, Any]:
        """The body of the request. Raises InvalidRequestError and SerializationError."""
        start = start_document(workflow_name, url, payload, key="schedule", options=options)
        del start["idempotencyKey"]
        if self.tags:
            start["tags"] = tags_document(self.tags)
        if self.hooks:
            start["hooks"] = hooks_document(self.hooks)
        given: dict[str, Any] = {
            **self.times(),
            "start": start,
            "overlap": self.overlap,
            "catchUp": {
                "policy": self.catch_up,
                "window": milliseconds("catch_up_window", self.catch_up_window),
            },
            "spread": milliseconds("spread", self.spread),
            "limit": self.limit,
            "pauseAfterFailures": self.pause_after_failures,
            "note": self.note,
        }
        if paused is not None:
            given["paused"] = paused
        if self.until is not None:
            given["until"] = moment("until", self.until)
        return given


@dataclass(frozen=True)
class Cron(_Times):
    """Times of cron expressions, in a time zone.

    - `expressions`: one or several, each of five fields (minute, hour, day of the month, month, day of the
      week), such as "0 9 * * 1-5", or a name, such as "@daily". Fields have lists, ranges, steps, names,
      `L` and `#`.
    - `tz`: an IANA name, such as "Europe/Berlin" (default "UTC").
    - `dst`: when clocks are set, each time has one run ("once", the default), or is read literally.

    The rest is as in all schedules: `payload`, `name`, `overlap`, `catch_up`, `catch_up_window`, `spread`,
    `until`, `limit`, `pause_after_failures`, `note`.
    """

    expressions: str | Sequence[str]
    tz: str = field(default="UTC", kw_only=True)
    dst: Dst = field(default="once", kw_only=True)

    def times(self) -> dict[str, Any]:
        """The members of the wire that say when."""
        given = self.expressions
        crons = given if isinstance(given, str) else list(given)
        return {"cron": crons, "timeZone": self.tz, "dst": self.dst}


@dataclass(frozen=True)
class Every(_Times):
    """Times at a fixed distance. They are counted from 1970 on, whenever the schedule is put.

    - `period`: seconds, or a timedelta, from one time to the next: a second at least.
    - `phase`: so much later (default 0).

    The rest is as in all schedules; see `Cron`.
    """

    period: Seconds
    phase: Seconds = field(default=0, kw_only=True)

    def times(self) -> dict[str, Any]:
        """The members of the wire that say when."""
        return {"every": milliseconds("period", self.period), "phase": milliseconds("phase", self.phase)}


@dataclass(frozen=True)
class At(_Times):
    """Certain moments.

    - `moments`: one or several datetimes, with a time zone.

    The rest is as in all schedules; see `Cron`.
    """

    moments: datetime | Sequence[datetime]

    def times(self) -> dict[str, Any]:
        """The members of the wire that say when."""
        given = [self.moments] if isinstance(self.moments, datetime) else self.moments
        return {"at": [moment("moments", each) for each in given]}


Times = Cron | Every | At


class Schedules:
    """The schedules of a `Client`: `client.schedules`.

    Every method may raise `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
    """

    def __init__(self, client: EventsOfClient) -> None:
        self._client = client

    def put(
        self,
        name: str,
        times: Times,
        workflow_name: str,
        url: str,
        payload: Any = None,
        *,
        paused: bool | None = None,
        version: int | None = None,
        dry_run: bool = False,
        **options: Unpack[StepOptions],
    ) -> ScheduleDocument:
        """Create or replace a schedule. With the same times it goes on where it is.

        - `name`: letters, digits, `.`, `_` and `-`. The key of each run is the name and the time, such as
          "digest@2026-11-28T08:00:00Z".
        - `times`: a `Cron`, `Every` or `At`.
        - `workflow_name`, `url`, `payload`: of its runs, as in `Client.start`. A payload in `times` is used
          when this one is None.
        - `paused`: whether it waits to be resumed (default: as it is; a new one does not).
        - `version`: refuse one that has another version than this, or that exists, for 0 (default: any).
        - `dry_run`: only check it, and tell its `next` times (default False).
        - `retry`, `deadline`, `attempt_timeout`, `on_lost`, `flow`: of its runs, as in `Client.start`.

        Returns the schedule.

        Raises `InvalidRequestError`, `UrlNotAllowedError`, `TooLargeError`, `SerializationError`, and
        `RefusedError` for another version or too many schedules.
        """
        document = _document(self._client, times, workflow_name, url, payload, options, paused=paused)
        client = self._client
        return client.run_flow(
            flows.put(client.client_id, name, document, client.patience_s, version=version, dry_run=dry_run)
        )

    def get(self, name: str) -> ScheduleDocument:
        """Read a schedule, with its `next` times and its `last` run. Raises `NotFoundError`."""
        client = self._client
        return client.run_flow(flows.get(client.client_id, name, client.patience_s))

    def all(self) -> list[ScheduleDocument]:
        """All schedules of the client, by name."""
        client = self._client
        return client.run_flow(flows.all_of(client.client_id, client.patience_s))

    def delete(self, name: str) -> None:
        """Delete a schedule; its runs go on. Raises `NotFoundError`."""
        client = self._client
        client.run_flow(flows.delete(client.client_id, name, client.patience_s))

    def pause(self, name: str, note: str = "") -> ScheduleDocument:
        """Pause a schedule: it starts nothing until it is resumed. Raises `NotFoundError`."""
        client = self._client
        document = {"note": note}
        return client.run_flow(flows.act(client.client_id, name, "pause", client.patience_s, document))

    def resume(self, name: str) -> ScheduleDocument:
        """Resume a schedule, which goes on with its next time from now on. Raises `NotFoundError`."""
        client = self._client
        return client.run_flow(flows.act(client.client_id, name, "resume", client.patience_s))

    def next(self, name: str, *, count: int = 20, since: datetime | None = None) -> list[str]:
        """The next times of a schedule, `count` at most, from `since` on (default: now).

        Raises `NotFoundError` and `InvalidRequestError`.
        """
        client = self._client
        flow = flows.next_slots(client.client_id, name, client.patience_s, count=count, since=since)
        return client.run_flow(flow)

    def trigger(self, name: str, key: Key) -> Triggered:
        """Start a run now, whatever is paused or under way. The same `key` finds the same run.

        Raises `NotFoundError`, `InvalidRequestError` and `TooManyRequestsError`.
        """
        client = self._client
        return client.run_flow(flows.trigger(client.client_id, name, key, client.patience_s))

    def backfill(self, name: str, since: datetime, to: datetime, *, dry_run: bool = False) -> Backfilled:
        """Start the runs of the times from `since` on and before `to`; those that exist stay as they are.

        With `dry_run`, only tell the times, and which of them have a run. Raises `NotFoundError`,
        `InvalidRequestError` and `TooManyRequestsError`.
        """
        client = self._client
        return client.run_flow(
            flows.backfill(client.client_id, name, client.patience_s, since=since, to=to, dry_run=dry_run)
        )


class AsyncSchedules:
    """The schedules of an `AsyncClient`: the methods of `Schedules`, to be awaited."""

    def __init__(self, client: EventsOfAsyncClient) -> None:
        self._client = client

    async def put(
        self,
        name: str,
        times: Times,
        workflow_name: str,
        url: str,
        payload: Any = None,
        *,
        paused: bool | None = None,
        version: int | None = None,
        dry_run: bool = False,
        **options: Unpack[StepOptions],
    ) -> ScheduleDocument:
        """Create or replace a schedule. With the same times it goes on where it is. See `Schedules`."""
        document = _document(self._client, times, workflow_name, url, payload, options, paused=paused)
        client = self._client
        return await client.run_flow(
            flows.put(client.client_id, name, document, client.patience_s, version=version, dry_run=dry_run)
        )

    async def get(self, name: str) -> ScheduleDocument:
        """Read a schedule, with its `next` times and its `last` run. See `Schedules`."""
        client = self._client
        return await client.run_flow(flows.get(client.client_id, name, client.patience_s))

    async def all(self) -> list[ScheduleDocument]:
        """All schedules of the client, by name. See `Schedules`."""
        client = self._client
        return await client.run_flow(flows.all_of(client.client_id, client.patience_s))

    async def delete(self, name: str) -> None:
        """Delete a schedule; its runs go on. See `Schedules`."""
        client = self._client
        await client.run_flow(flows.delete(client.client_id, name, client.patience_s))

    async def pause(self, name: str, note: str = "") -> ScheduleDocument:
        """Pause a schedule: it starts nothing until it is resumed. See `Schedules`."""
        client = self._client
        document = {"note": note}
        return await client.run_flow(
            flows.act(client.client_id, name, "pause", client.patience_s, document)
        )

    async def resume(self, name: str) -> ScheduleDocument:
        """Resume a schedule, which goes on with its next time from now on. See `Schedules`."""
        client = self._client
        return await client.run_flow(flows.act(client.client_id, name, "resume", client.patience_s))

    async def next(self, name: str, *, count: int = 20, since: datetime | None = None) -> list[str]:
        """The next times of a schedule. See `Schedules`."""
        client = self._client
        flow = flows.next_slots(client.client_id, name, client.patience_s, count=count, since=since)
        return await client.run_flow(flow)

    async def trigger(self, name: str, key: Key) -> Triggered:
        """Start a run now; the same `key` finds the same run. See `Schedules`."""
        client = self._client
        return await client.run_flow(flows.trigger(client.client_id, name, key, client.patience_s))

    async def backfill(
        self, name: str, since: datetime, to: datetime, *, dry_run: bool = False
    ) -> Backfilled:
        """Start the runs of the times from `since` on and before `to`. See `Schedules`."""
        client = self._client
        return await client.run_flow(
            flows.backfill(client.client_id, name, client.patience_s, since=since, to=to, dry_run=dry_run)
        )


def _document(
    client: BaseClient,
    times: Times,
    workflow_name: str,
    url: str,
    payload: Any,
    options: StepOptions,
    *,
    paused: bool | None,
) -> dict[str, Any]:
    check_options(options, StepOptions)
    given = jsonable(times.payload if payload is None else payload, "the payload of the schedule")
    if client.codec is not None and given is not None:
        raise InvalidRequestError(
            "payload: a codec writes it for one run; a schedule has many. Leave it out."
        )
    for name in ("delay", "start_at", "start_by"):
        if name in options:
            raise InvalidRequestError(f"{name}: a schedule says when its runs begin; leave it out.")
    return times.document(workflow_name, url, payload=given, paused=paused, options=options)
