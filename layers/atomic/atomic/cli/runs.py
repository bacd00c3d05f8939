"""`atomic runs`: list, show, export, erase."""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import click

from atomic.cli.api import Api, calls_api, fail
from atomic.cli.options import ERRORS, RUNS, WAITS_FOR, with_options
from atomic.cli.timeline import run_line, timeline
from atomic.protocol.enums import StatusName
from atomic.sdk._wire.lists import ExportFilter, filter_document
from atomic.sdk._wire.records import export_page, export_path

_LOOK_S = 0.5
_ENDS = {"succeeded": 0, "failed": 4, "cancelled": 5}


@click.group()
def runs() -> None:
    """The runs of a client."""


@runs.command("list")
@with_options(*RUNS)
@with_options(WAITS_FOR, *ERRORS)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1))
@calls_api
def list_(api: Api, *, status: StatusName | None, limit: int, **wanted: Any) -> None:
    """List runs, the newest first."""
    given: Any = {name: value for name, value in wanted.items() if value not in {None, ()}}
    found = api.client.runs(status=status, limit=limit, **given)
    api.show(found, "\n".join(run_line(run) for run in found) or "no runs")


@runs.command("show")
@click.argument("run_id", required=False)
@click.option("--watch", is_flag=True, help="Refresh until the run ends; its outcome gives the exit code.")
@calls_api
def show(api: Api, run_id: str | None, *, watch: bool) -> None:
    """Show a run (default: the newest) with its steps and their attempts."""
    run_id = run_id or _newest(api)
    shown = ""
    while True:
        run = api.client.get(run_id)
        text = timeline(run)
        if text != shown:
            if watch and sys.stdout.isatty():
                click.clear()
            api.show(run, text)
        if not watch:
            return
        if run.run.status in _ENDS:
            break
        shown = text
        time.sleep(_LOOK_S)
    if code := _ENDS[run.run.status]:
        fail(f"the run is {run.run.status}", code)


@runs.command("export")
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, allow_dash=True), help="The file; - prints."
)
@with_options(*RUNS)
@click.option("--created-after", help="Only runs created at or after this time: 2026-11-23T07:38:00Z.")
@click.option("--created-before", help="Only runs created before this time.")
@calls_api
def export(api: Api, *, out: str, status: StatusName | None, **wanted: Any) -> None:
    """Write runs to a file as JSON Lines: a line for each step, with payload and response.

    The file appears when it is complete.
    """
    given: Any = {name: value for name, value in wanted.items() if value not in {None, ()}}
    query = {**({"status": status} if status else {}), **filter_document(given, ExportFilter)}
    if out == "-":
        _write_export(api, query, sys.stdout.buffer)
        return
    part = Path(f"{out}.part")
    try:
        with part.open("wb") as file:
            lines = _write_export(api, query, file)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    api.show({"file": out, "steps": lines}, f"{lines} steps are in {out}")


def _write_export(api: Api, query: Mapping[str, str | Sequence[str]], file: IO[bytes]) -> int:
    """Write all pages; how many lines they have."""
    path: str | None = export_path(api.client.client_id, query)
    lines = 0
    while path is not None:
        page = api.client.run_flow(export_page(path, api.client.patience_s))
        file.write(page.lines)
        lines += page.lines.count(b"\n")
        path = page.next
    return lines


@runs.command("erase")
@click.argument("run_id")
@calls_api
def erase(api: Api, run_id: str) -> None:
    """Erase a run that has ended, with its payloads and responses. It needs a key with the scope admin."""
    api.client.erase(run_id)
    api.show({"erased": run_id}, f"{run_id} is erased")


def _newest(api: Api) -> str:
    newest = api.client.runs(limit=1)
    if not newest:
        fail("there are no runs yet", 1)
    return newest[0].run_id
