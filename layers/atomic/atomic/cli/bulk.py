"""`atomic bulk`: the same act on all runs that fit a filter."""

import time
from typing import Any, Final, get_args

import click

from atomic.cli.api import Api, calls_api, fail
from atomic.cli.options import ERRORS, RUNS, WAITS_FOR, with_options
from atomic.protocol.bulk_documents import BulkDocument
from atomic.protocol.enums import BulkAction

_LOOK_S: Final = 0.5


@click.command()
@click.argument("do", metavar="|".join(get_args(BulkAction)), type=click.Choice(get_args(BulkAction)))
@with_options(*RUNS, WAITS_FOR, *ERRORS)
@click.option("--created-after", help="Only runs created at or after this time: 2026-11-23T07:38:00Z.")
@click.option("--created-before", help="Only runs created before this time.")
@click.option("--note", default="", help="Why, for people.")
@click.option("--key", help="The same command with the same key goes on with the first one.")
@click.option("--dry-run", is_flag=True, help="Do nothing: only count the runs.")
@calls_api
def bulk(api: Api, do: BulkAction, *, note: str, key: str | None, dry_run: bool, **wanted: Any) -> None:
    """Do the same to all runs that fit; at least one filter is required.

    It is shown how far it is, until it ends. It goes on without this command, as a run: `atomic cancel`
    stops it.
    """
    given: Any = {name: value for name, value in wanted.items() if value not in {None, ()}}
    if dry_run:
        found = api.client.bulk.count(do, **given)
        keys = ", ".join(run.idempotency_key for run in found.sample)
        such = f", such as {keys}" if keys else ""
        api.show(found, f"{do}: {'' if found.is_all else 'at least '}{found.runs} runs{such}")
        return
    begun = api.client.bulk.start(do, note=note, key=key, **given)
    shown = ""
    while True:
        now = api.client.bulk.get(begun.run_id)
        if (line := _line(now)) != shown and (now.finished_at or not api.as_json):
            api.show(now, line)
        if now.finished_at is not None:
            break
        shown = line
        time.sleep(_LOOK_S)
    if now.status != "succeeded":
        fail(f"the bulk is {now.status}", 4)


def _line(bulk: BulkDocument) -> str:
    of = "" if bulk.runs is None else f" of {'' if bulk.is_all else 'at least '}{bulk.runs}"
    parts = [f"{bulk.run_id} is {bulk.status}: {bulk.done}{of} done"]
    parts += [f"{bulk.skipped} skipped"] if bulk.skipped else []
    parts += [f"{bulk.refused} refused"] if bulk.refused else []
    return ", ".join([*parts, *(f"{each.run_id}: {each.reason}" for each in bulk.refusals)])
