"""Schedules: put, read, pause, trigger, backfill, delete."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from typing import Final

from atomic.application import schedules as use_cases
from atomic.application.firing import last_root
from atomic.application.schedules import StartRefused
from atomic.domain import schedules as domain
from atomic.domain.cadence import AnyOf, At, Cadence, Cron, Every
from atomic.domain.clients.client import Client
from atomic.domain.cron import CronRefused
from atomic.domain.schedules import Plan, Schedule
from atomic.domain.zones import UnknownZone
from atomic.entrypoints.http_api.api import Api, read, refusal
from atomic.entrypoints.http_api.http import (
    ApiRequest,
    ApiResponse,
    Query,
    link_header,
    refuse_body,
)
from atomic.entrypoints.http_api.route import OF_BODIES, PAGE, Operation, Routes, in_header, in_query
from atomic.entrypoints.http_api.schedule_views import schedule_view
from atomic.entrypoints.http_api.starts import step_spec
from atomic.entrypoints.http_api.views import json_response, moment_view
from atomic.protocol import headers, keys, problems
from atomic.protocol.constants import SCHEDULE_PAYLOAD_MAX_BYTES
from atomic.protocol.requests import StartRequest
from atomic.protocol.schedules import (
    BackfillRequest,
    PauseRequest,
    ScheduleRequest,
    is_schedule_name,
)
from atomic.protocol.wire import to_rfc3339

routes = Routes()

_NEXT_SHOWN: Final = 5
_NEXT_MAX: Final = 100
_TO_CHANGE: Final = (*OF_BODIES, problems.PRECONDITION_FAILED)
_RUNS: Final = (*OF_BODIES, problems.TOO_MANY_REQUESTS, problems.STORAGE_FULL)


@routes.add(
    "PUT",
    "/{clientId}/schedules/{name}",
    Operation(
        id="putSchedule",
        summary="Create or replace a schedule",
        description="With the same times it goes on where it is; with others, from now on. `If-Match` with "
        "the `ETag` of an answer refuses a schedule that has changed since, `If-None-Match: *` one that is "
        "there.",
        query=(in_query("dryRun", "Only check it, and tell its next times.", type="boolean"),),
        headers=(
            in_header("If-Match", "The version that it must have, in quotation marks; `*`: it must exist."),
            in_header("If-None-Match", "`*`: it must not exist."),
        ),
        request=ScheduleRequest,
        answers=((200, "ScheduleDocument", "It was there."), (201, "ScheduleDocument", "It is new.")),
        refusals=(*_TO_CHANGE, problems.URL_NOT_ALLOWED, problems.TOO_MANY_SCHEDULES),
    ),
    scope="act",
    is_act=True,
)
async def put_schedule(api: Api, request: ApiRequest, client: Client, name: str) -> ApiResponse:
    """Create or replace a schedule."""
    query = Query(request)
    dry_run = query.flag("dryRun")
    query.refuse_rest()
    asked = await read(api, client, request, ScheduleRequest)
    wanted = _wanted(api, request, client, name, asked)
    if dry_run:
        shown = domain.positioned(wanted, api.engine.clock.now_ms())
        return json_response(200, schedule_view(shown, None, client, next_shown=_NEXT_SHOWN))
    schedule, is_new = await use_cases.put_schedule(
        api.engine, wanted, _expected(request), keeps_pause=asked.paused is None
    )
    return await _shown(api, client, schedule, status=201 if is_new else 200)


@routes.add(
    "GET",
    "/{clientId}/schedules",
    Operation(
        id="listSchedules",
        summary="List schedules, by name",
        query=PAGE,
        answers=((200, "ScheduleList", "A page of schedules, each with its next time."),),
        refusals=(problems.INVALID_REQUEST,),
    ),
    scope="read",
)
async def get_schedules(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """A page of the client's schedules."""
    query = Query(request)
    after = query.take("cursor", str, "") or ""
    limit = query.page_limit()
    query.refuse_rest()
    found = await api.engine.store.list_schedules(client.id, after=after, limit=limit)
    link = query.link(cursor=found[-1].name) if len(found) == limit else None
    shown = [schedule_view(each, await last_root(api.engine, each), client, next_shown=1) for each in found]
    return json_response(200, {"schedules": shown, "next": link}, link_header(link))


@routes.add(
    "GET",
    "/{clientId}/schedules/{name}",
    Operation(
        id="getSchedule",
        summary="Read a schedule, with its next times and its last run",
        answers=((200, "ScheduleDocument", "The schedule."),),
    ),
    scope="read",
)
async def get_schedule(api: Api, request: ApiRequest, client: Client, name: str) -> ApiResponse:
    """A schedule."""
    Query(request).refuse_rest()
    return await _shown(api, client, await use_cases.get_schedule(api.engine, client, name))


@routes.add(
    "DELETE",
    "/{clientId}/schedules/{name}",
    Operation(
        id="deleteSchedule",
        summary="Delete a schedule",
        description="Its runs go on.",
        answers=((200, "DeletedSchedule", "It is gone."),),
        refusals=(problems.INVALID_REQUEST,),
    ),
    scope="act",
    is_act=True,
)
async def delete_schedule(api: Api, request: ApiRequest, client: Client, name: str) -> ApiResponse:
    """Delete a schedule; its runs go on."""
    refuse_body(request)
    await use_cases.delete_schedule(api.engine, client, name)
    return json_response(200, {"deleted": name})


@routes.add(
    "GET",
    "/{clientId}/schedules/{name}/next",
    Operation(
        id="nextSlots",
        summary="Tell the next times of a schedule",
        description="Also of one that is paused.",
        query=(
            in_query("count", "How many.", type="integer", minimum=1, maximum=_NEXT_MAX),
            in_query("from", "From this moment on; by default now.", type="string", format="date-time"),
        ),
        answers=((200, "NextSlots", "The times."),),
        refusals=(problems.INVALID_REQUEST,),
    ),
    scope="read",
)
async def get_next(api: Api, request: ApiRequest, client: Client, name: str) -> ApiResponse:
    """The next slots of a schedule."""
    query = Query(request)
    count = query.number("count", 20, least=1, most=_NEXT_MAX)
    since_ms = query.moment("from")
    query.refuse_rest()
    schedule = await use_cases.get_schedule(api.engine, client, name)
    after_ms = api.engine.clock.now_ms() if since_ms is None else since_ms - 1
    slots = islice(domain.slots_ms(schedule.plan, after_ms), count)
    return json_response(200, {"next": [to_rfc3339(slot) for slot in slots]})


@routes.add(
    "POST",
    "/{clientId}/schedules/{name}/pause",
    Operation(
        id="pauseSchedule",
        summary="Pause a schedule",
        description="It starts nothing until it is resumed; its runs go on.",
        request=PauseRequest,
        needs_body=False,
        answers=((200, "ScheduleDocument", "The schedule as it stands now."),),
        refusals=_TO_CHANGE,
    ),
    scope="act",
    is_act=True,
)
async def post_pause(api: Api, request: ApiRequest, client: Client, name: str) -> ApiResponse:
    """Pause a schedule."""
    asked = await read(api, client, request, PauseRequest)

    def pause(schedule: Schedule, now_ms: int) -> Schedule:
        is_same = schedule.paused and asked.note in {"", schedule.note}
        return schedule if is_same else domain.paused(schedule, asked.note, now_ms)

    return await _shown(api, client, await use_cases.change_schedule(api.engine, client, name, pause))


@routes.add(
    "POST",
    "/{clientId}/schedules/{name}/resume",
    Operation(
        id="resumeSchedule",
        summary="Resume a schedule that is paused",
        description="It goes on with its next time from now on; backfill starts the runs of others.",
        answers=((200, "ScheduleDocument", "The schedule as it stands now."),),
        refusals=_TO_CHANGE,
    ),
    scope="act",
    is_act=True,
)
async def post_resume(api: Api, request: ApiRequest, client: Client, name: str) -> ApiResponse:
    """Resume a schedule."""
    refuse_body(request)

    def resume(schedule: Schedule, now_ms: int) -> Schedule:
        return domain.resumed(schedule, now_ms) if schedule.paused else schedule

    return await _shown(api, client, await use_cases.change_schedule(api.engine, client, name, resume))


@routes.add(
    "POST",
    "/{clientId}/schedules/{name}/trigger",
    Operation(
        id="triggerSchedule",
        summary="Start a run of a schedule now",
        description="Also while it is paused, and whatever its last run does. Its times stay as they are.",
        headers=(in_header("Idempotency-Key", "Required: the same one finds the same run."),),
        answers=((200, "Triggered", "The run existed."), (201, "Triggered", "The run was started.")),
        refusals=_RUNS,
    ),
    scope="act",
    is_act=True,
)
async def post_trigger(api: Api, request: ApiRequest, client: Client, name: str) -> ApiResponse:
    """Start a run of a schedule now."""
    refuse_body(request)
    key = headers.parse_idempotency_key(request.headers.get(headers.IDEMPOTENCY_KEY, ""))
    if not keys.is_idempotency_key(f"{name}@now-{key}") or not key:
        raise problems.invalid("Idempotency-Key", "required; use 1 to 100 visible ASCII characters")
    try:
        run = await use_cases.trigger(api.engine, client, name, key)
    except StartRefused as error:
        raise refusal(api, client, error.refused) from None
    return json_response(201 if run.created else 200, {"runId": run.run_id, "created": run.created})


@routes.add(
    "POST",
    "/{clientId}/schedules/{name}/backfill",
    Operation(
        id="backfillSchedule",
        summary="Start the runs of times that have passed",
        description="A time whose run exists is left alone, so a backfill may be repeated for as long as "
        "its runs are kept. The runs start at once, whatever the overlap says.",
        request=BackfillRequest,
        answers=((200, "Backfilled", "A page of slots."),),
        refusals=_RUNS,
    ),
    scope="act",
    is_act=True,
)
async def post_backfill(api: Api, request: ApiRequest, client: Client, name: str) -> ApiResponse:
    """Start the runs of slots that have passed."""
    asked = await read(api, client, request, BackfillRequest)
    if asked.since >= asked.to:
        raise problems.invalid("to", "use a moment after `from`")
    if asked.to > api.engine.clock.now_ms():
        raise problems.invalid("to", "use a moment that has passed; later runs are started by themselves")
    schedule = await use_cases.get_schedule(api.engine, client, name)
    try:
        page = await use_cases.backfill(
            api.engine,
            schedule,
            from_ms=asked.since,
            to_ms=asked.to,
            limit=asked.limit,
            dry_run=asked.dry_run,
        )
    except StartRefused as error:
        raise refusal(api, client, error.refused) from None
    started = sum(slot.created for slot in page.slots)
    shown = {
        "slots": [
            {"scheduledAt": to_rfc3339(slot.slot_ms), "runId": slot.run_id, "created": slot.created}
            for slot in page.slots
        ],
        "started": started,
        "existing": sum(slot.run_id is not None for slot in page.slots) - started,
        "next": moment_view(page.next_ms),
    }
    return json_response(200, shown)


async def _shown(api: Api, client: Client, schedule: Schedule, status: int = 200) -> ApiResponse:
    shown = schedule_view(schedule, await last_root(api.engine, schedule), client, next_shown=_NEXT_SHOWN)
    return json_response(status, shown, {"etag": f'"{schedule.version}"'})


def _wanted(api: Api, request: ApiRequest, client: Client, name: str, asked: ScheduleRequest) -> Schedule:
    """The schedule that a request asks for. Raises Problem."""
    if not is_schedule_name(name):
        raise problems.invalid(
            "name", "use 1 to 128 letters, digits, `.`, `_` and `-`, a letter or digit first"
        )
    now_ms = api.engine.clock.now_ms()
    start = asked.start
    given = {member: getattr(start, member) for member in start.model_fields_set}
    message = StartRequest(**given, idempotency_key=name)
    # Headers of this request are not for the runs.
    spec = step_spec(api, replace(request, headers={}), client, message)
    if len(spec.payload) > SCHEDULE_PAYLOAD_MAX_BYTES:
        raise problems.too_long("start.payload", SCHEDULE_PAYLOAD_MAX_BYTES)
    return Schedule(
        client_id=client.id,
        name=name,
        plan=Plan(
            cadence=_cadence(asked),
            overlap=asked.overlap,
            catch_up=asked.catch_up.policy,
            catch_up_window_ms=asked.catch_up.window,
            spread_ms=asked.spread,
            until_ms=asked.until,
            limit=asked.limit,
            pause_after_failures=asked.pause_after_failures,
        ),
        start=spec,
        note=asked.note,
        paused=bool(asked.paused),
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
    )


def _cadence(asked: ScheduleRequest) -> Cadence:
    """The times that a request asks for. Raises Problem 400."""
    if asked.every is not None:
        return Every(timedelta(milliseconds=asked.every), domain.at_moment(asked.phase))
    if asked.at is not None:
        return At(tuple(map(domain.at_moment, asked.at)))
    given = [asked.cron] if isinstance(asked.cron, str) else asked.cron or []
    try:
        crons = tuple(Cron(each, asked.time_zone, asked.dst) for each in given)
    except CronRefused as wrong:
        raise problems.invalid("cron", str(wrong)) from None
    except UnknownZone as wrong:
        raise problems.invalid("timeZone", str(wrong)) from None
    return crons[0] if len(crons) == 1 else AnyOf(crons)


def _expected(request: ApiRequest) -> Callable[[int], bool]:
    """Whether a schedule may have a version, 0 for none, by the request's headers. Raises Problem 400."""
    there, absent = request.headers.get("if-match"), request.headers.get("if-none-match")
    if absent not in {None, "*"}:
        raise problems.invalid("If-None-Match", "use `*`, or `If-Match` with the ETag of an answer")
    if absent is not None:
        return lambda version: version == 0 and there is None
    if there is None:
        return lambda _version: True
    if there == "*":
        return lambda version: version != 0
    digits = there.removeprefix('"').removesuffix('"')
    if not digits.isascii() or not digits.isdigit() or len(digits) > 15:
        raise problems.invalid("If-Match", "use the ETag of an answer, unchanged")
    return lambda version: version == int(digits)
