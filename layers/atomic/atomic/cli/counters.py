"""`atomic workflows` and `atomic counters`: what became of the runs of each workflow."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

from atomic.cli.api import Api, calls_api
from atomic.cli.options import MOMENTS, moment
from atomic.cli.output import table
from atomic.protocol.counter_documents import CounterDocument, WorkflowDocument

_NUMBERS: Final = ("started", "succeeded", "failed", "cancelled", "live", "retries")
_OTHERS: Final = "(other workflows)"


@click.command()
@click.option(
    "--from",
    "since",
    type=moment,
    metavar="TIME",
    help=f"Count runs from then on: {MOMENTS}. Default: this hour and the 23 before.",
)
@calls_api
def workflows(api: Api, *, since: datetime | None) -> None:
    """List workflows by name, with what became of their runs."""
    found = api.client.workflows(since=since)
    rows = [
        [each.workflow_name or _OTHERS, *_numbers(each), each.last_start_at or "never"] for each in found
    ]
    api.show(found, table(["workflow", *_HEAD, "last start"], rows) if rows else "no workflows")


@click.command()
@click.option(
    "--from",
    "since",
    type=moment,
    metavar="TIME",
    help=f"Hours from then on: {MOMENTS}. Default: a day ago; with --minutes, the last 8 hours.",
)
@click.option("--to", "before", type=moment, metavar="TIME", help="Only hours that began before then.")
@click.option("--workflow", "workflow_name", help="Only runs of this workflow.")
@click.option("--every", "hours", type=click.IntRange(min=1), help="Sum up so many hours.")
@click.option(
    "--minutes",
    type=click.IntRange(min=1, max=59),
    help="Count by so many minutes of an hour: 1, 5, 10 … They are kept for 8 hours, and not on AWS.",
)
@click.option("--all-workflows", is_flag=True, help="Sum up all workflows.")
@calls_api
def counters(
    api: Api, *, hours: int | None, minutes: int | None, all_workflows: bool, **wanted: Any
) -> None:
    """Count runs by workflow and by the hour or the minutes (UTC) of their start, the newest first."""
    if hours and minutes:
        raise click.UsageError("use --every or --minutes, not both")
    every = timedelta(hours=hours or 0, minutes=minutes or 0) or None
    found = api.client.counters(every=every, all_workflows=all_workflows, **wanted)
    others = "(all)" if all_workflows else _OTHERS
    rows = [
        [each.began_at[:16], _until(each), each.workflow_name or others, *_numbers(each)] for each in found
    ]
    api.show(found, table(["from (UTC)", "to", "workflow", *_HEAD], rows) if rows else "no runs")


_HEAD: Final = (*_NUMBERS, "p50 ms", "p95 ms")


def _until(counter: CounterDocument) -> str:
    """When the span ended: a time of the day, and a date as well after a day or more."""
    span = timedelta(milliseconds=counter.span_ms)
    ended = (datetime.fromisoformat(counter.began_at) + span).astimezone(UTC)
    return f"{ended:%H:%M}" if span < timedelta(days=1) else f"{ended:%Y-%m-%dT%H:%M}"


def _numbers(counts: WorkflowDocument | CounterDocument) -> list[str]:
    durations = (counts.duration_ms_p50, counts.duration_ms_p95)
    return [
        *(str(getattr(counts, name)) for name in _NUMBERS),
        *("–" if ms is None else str(ms) for ms in durations),
    ]
