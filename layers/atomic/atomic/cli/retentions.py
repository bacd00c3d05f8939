"""`atomic retention`: for how long the runs of single workflows are kept."""

import click

from atomic.cli.api import Api, calls_api
from atomic.protocol.workflow_states import WorkflowState


@click.group()
def retention() -> None:
    """For how long the runs of single workflows are kept."""


@retention.command("list")
@calls_api
def list_(api: Api) -> None:
    """List the workflows that have retentions of their own, by name."""
    found = api.client.retentions()
    api.show(found, "\n".join(map(_line, found)) or "no workflow has a retention of its own")


@retention.command("set")
@click.argument("workflow")
@click.argument("days", type=click.IntRange(min=1))
@calls_api
def set_(api: Api, workflow: str, days: int) -> None:
    """Keep the runs of a workflow that begin from now on for so many days after their end.

    It needs a key with the scope admin.
    """
    found = api.client.set_retention(workflow, days)
    api.show(found, _line(found))


@retention.command("clear")
@click.argument("workflow")
@calls_api
def clear(api: Api, workflow: str) -> None:
    """Keep the runs of a workflow for as long as the server keeps others.

    It needs a key with the scope admin.
    """
    found = api.client.clear_retention(workflow)
    api.show(found, _line(found))


def _line(found: WorkflowState) -> str:
    days = "1 day" if found.retention_days == 1 else f"{found.retention_days} days"
    return f"{found.workflow_name} is kept for {days}"
