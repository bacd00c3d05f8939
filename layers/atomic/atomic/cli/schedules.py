"""`atomic schedules`: put what an application declares, list, pause, trigger, backfill."""

import os
import sys
from datetime import datetime
from importlib import import_module
from typing import Any, Final
from uuid import uuid4

import click

from atomic.cli.api import Api, calls_api, fail, json_argument
from atomic.cli.options import MOMENTS, moment
from atomic.protocol.enums import CATCH_UPS, OVERLAPS
from atomic.protocol.schedule_documents import ScheduleDocument
from atomic.sdk._endpoints.endpoints import BaseEndpoints
from atomic.sdk._wire.transport import checked
from atomic.sdk.schedules import At, Cron, Every, Times

_MS_OF: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}


@click.group()
def schedules() -> None:
    """Workflows that Atomic starts by itself."""


@schedules.command("apply")
@click.argument("endpoints", metavar="MODULE:ENDPOINTS")
@click.option(
    "--base-url",
    envvar="ATOMIC_BASE_URL",
    required=True,
    show_envvar=True,
    help="Where Atomic reaches the application.",
)
@click.option("--dry-run", is_flag=True, help="Only check them, and tell their next times.")
@calls_api
def apply(api: Api, endpoints: str, *, base_url: str, dry_run: bool) -> None:
    """Put the schedules that the workflows of an application declare, such as `shop.app:users`."""
    declared = _endpoints(endpoints).scheduled()
    if not declared:
        raise click.ClickException(f"no workflow of {endpoints} has a schedule")
    root = checked("--base-url", base_url)
    put = [
        api.client.schedules.put(
            each.name, each.times, each.path.rpartition("/")[2], f"{root}/{each.path}", dry_run=dry_run
        )
        for each in declared
    ]
    api.show(put, "\n".join(map(_line, put)))


@schedules.command("put")
@click.argument("name")
@click.argument("workflow_name", metavar="WORKFLOW")
@click.argument("step_invoke_url", metavar="URL_OF_WORKFLOW")
@click.option("--cron", "crons", multiple=True, help="Five fields, or @daily; may be repeated.")
@click.option("--tz", default=None, help="The time zone of --cron (default: UTC).")
@click.option("--every", help="A fixed period, such as 30s, 15m, 6h or 1d.")
@click.option(
    "--at", "moments", type=moment, multiple=True, metavar="TIME", help=f"{MOMENTS}; may be repeated."
)
@click.option("--payload", default="null", help="JSON, @file, or - for standard input (default: null).")
@click.option("--overlap", type=click.Choice(OVERLAPS), default="skip")
@click.option("--catch-up", type=click.Choice(CATCH_UPS), default="last")
@click.option("--paused", is_flag=True, help="It waits to be resumed.")
@click.option("--note", default="", help="A text for people.")
@click.option("--dry-run", is_flag=True, help="Only check it, and tell its next times.")
@calls_api
def put(
    api: Api,
    name: str,
    workflow_name: str,
    step_invoke_url: str,
    *,
    payload: str,
    paused: bool,
    dry_run: bool,
    **options: Any,
) -> None:
    """Create or replace a schedule: give --cron, --every or --at."""
    given = json_argument(payload, "--payload")
    found = api.client.schedules.put(
        name, _times(options), workflow_name, step_invoke_url, given, paused=paused or None, dry_run=dry_run
    )
    api.show(found, _about(found))


@schedules.command("list")
@calls_api
def list_(api: Api) -> None:
    """List schedules, by name."""
    found = api.client.schedules.all()
    api.show(found, "\n".join(map(_line, found)) or "no schedules")


@schedules.command("show")
@click.argument("name")
@calls_api
def show(api: Api, name: str) -> None:
    """Show a schedule, with its next times and its last run."""
    found = api.client.schedules.get(name)
    api.show(found, _about(found))


@schedules.command("next")
@click.argument("name")
@click.option("--count", default=10, show_default=True, type=click.IntRange(1, 100))
@calls_api
def next_(api: Api, name: str, *, count: int) -> None:
    """Tell the next times of a schedule, also of one that is paused."""
    found = api.client.schedules.next(name, count=count)
    api.show(found, "\n".join(found) or "no times")


@schedules.command("pause")
@click.argument("name")
@click.option("--note", default="", help="Why, for others.")
@calls_api
def pause(api: Api, name: str, *, note: str) -> None:
    """Pause a schedule: it starts nothing until it is resumed."""
    found = api.client.schedules.pause(name, note)
    api.show(found, _line(found))


@schedules.command("resume")
@click.argument("name")
@calls_api
def resume(api: Api, name: str) -> None:
    """Resume a schedule, which goes on with its next time from now on."""
    found = api.client.schedules.resume(name)
    api.show(found, _line(found))


@schedules.command("trigger")
@click.argument("name")
@click.option("--key", help="The same key finds the same run (default: a new one).")
@calls_api
def trigger(api: Api, name: str, *, key: str | None) -> None:
    """Start a run of a schedule now."""
    run = api.client.schedules.trigger(name, key or str(uuid4()))
    api.show(run, f"{run.run_id} {'was started' if run.created else 'exists'}")


@schedules.command("backfill")
@click.argument("name")
@click.option(
    "--from", "since", type=moment, required=True, metavar="TIME", help=f"The first moment: {MOMENTS}."
)
@click.option("--to", type=moment, required=True, metavar="TIME", help="The moment behind the last one.")
@click.option("--dry-run", is_flag=True, help="Only tell the times, and which of them have a run.")
@calls_api
def backfill(api: Api, name: str, *, since: datetime, to: datetime, dry_run: bool) -> None:
    """Start the runs of times that have passed; those that exist stay as they are."""
    made = api.client.schedules.backfill(name, since, to, dry_run=dry_run)
    lines = [
        f"{slot.scheduled_at}  {'started' if slot.created else 'exists' if slot.run_id else 'not started'}"
        for slot in made.slots
    ]
    api.show(made, "\n".join([*lines, f"{made.started} started, {made.existing} existed"]))


@schedules.command("delete")
@click.argument("name")
@calls_api
def delete(api: Api, name: str) -> None:
    """Delete a schedule; its runs go on."""
    api.client.schedules.delete(name)
    api.show({"deleted": name}, f"{name} is deleted")


def _endpoints(named: str) -> BaseEndpoints:
    module, _, name = named.partition(":")
    # As `python -m` does; an installed command does not look here by itself.
    sys.path.insert(0, os.getcwd())
    try:
        found = getattr(import_module(module), name or "endpoints")
    except (ImportError, AttributeError) as error:
        raise click.ClickException(f"{named}: {error}") from None
    if not isinstance(found, BaseEndpoints):
        fail(f"{named} is no Endpoints", 1)
    return found


def _times(options: dict[str, Any]) -> Times:
    crons, every, moments = options.pop("crons"), options.pop("every"), options.pop("moments")
    tz = options.pop("tz")
    if sum(map(bool, (crons, every, moments))) != 1 or (tz and not crons):
        raise click.UsageError("give one of --cron (with --tz), --every and --at")
    if crons:
        return Cron(crons, tz=tz or "UTC", **options)
    if every:
        return Every(_seconds(every), **options)
    return At(moments, **options)


def _seconds(text: str) -> float:
    number = text.rstrip("mshd")
    try:
        return float(number) * _MS_OF[text[len(number) :]]
    except (ValueError, KeyError):
        raise click.BadParameter("use a number with a unit, such as 30s", param_hint="--every") from None


def _line(schedule: ScheduleDocument) -> str:
    state = "paused" if schedule.paused else schedule.next[0] if schedule.next else "over"
    last = "" if schedule.last is None else f"  last {schedule.last.status}"
    return f"{schedule.name:<24}  {state:<24}{last}"


def _about(schedule: ScheduleDocument) -> str:
    when = schedule.cron or (f"every {schedule.every} ms" if schedule.every else schedule.at)
    lines = [
        f"{schedule.name}: {when} {schedule.time_zone if schedule.cron else ''}".rstrip(),
        f"starts {schedule.start['workflowName']} at {schedule.start['stepInvokeUrl']}",
        f"{schedule.started} started, {schedule.skipped} skipped, {schedule.missed} missed",
    ]
    if schedule.paused:
        lines.append(f"paused {schedule.note}".rstrip())
    if schedule.last is not None:
        lines.append(f"last   {schedule.last.scheduled_at}  {schedule.last.status}  {schedule.last.run_id}")
    return "\n".join([*lines, *(f"next   {each}" for each in schedule.next)])
