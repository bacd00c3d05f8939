"""`atomic causes`: why runs failed."""

from typing import get_args

import click

from atomic.cli.api import Api, calls_api
from atomic.protocol.cause_documents import CauseDocument
from atomic.protocol.enums import CauseState


@click.command()
@click.option(
    "--state",
    type=click.Choice(get_args(CauseState)),
    default="open",
    show_default=True,
    help="Runs that need action, those that were dismissed, or steps that failed and need none.",
)
@click.option("--workflow", "workflow_name", help="Only of this workflow.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1))
@calls_api
def causes(api: Api, *, state: CauseState, workflow_name: str | None, limit: int) -> None:
    """Count failed runs by why they failed, the most frequent cause first."""
    found = api.client.causes(state=state, workflow_name=workflow_name, limit=limit)
    lines = [_line(cause, "" if found.is_all else "at least ") for cause in found.causes]
    if found.more:
        lines.append("there are more causes: raise --limit")
    api.show(found, "\n".join(lines) or "nothing")


def _line(cause: CauseDocument, least: str) -> str:
    where = f"{cause.workflow_name} {cause.step_name or ''}".rstrip()
    return f"{cause.id}  {least}{cause.count}  {where}: {cause.text}  last created {cause.last_created_at}"
