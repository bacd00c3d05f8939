"""`atomic hooks`: the URLs that are called when something happens to runs."""

import click

from atomic.cli.api import Api, calls_api
from atomic.protocol.enums import HOOK_EVENTS, HookEvent
from atomic.protocol.hook_documents import HookDocument


@click.group()
def hooks() -> None:
    """URLs that are called when something happens to runs."""


@hooks.command("list")
@calls_api
def list_(api: Api) -> None:
    """List hooks, by name."""
    found = api.client.hooks.all()
    api.show(found, "\n".join(map(_line, found)) or "no hooks")


@hooks.command("put")
@click.argument("name")
@click.argument("endpoint", metavar="URL")
@click.option(
    "--on",
    multiple=True,
    required=True,
    type=click.Choice(HOOK_EVENTS),
    help="Of what it is told; may be repeated.",
)
@click.option("--workflow", help="Only of this workflow.")
@calls_api
def put(api: Api, name: str, endpoint: str, *, on: tuple[HookEvent, ...], workflow: str | None) -> None:
    """Create or replace a hook."""
    found = api.client.hooks.put(name, endpoint, on, workflow_name=workflow)
    api.show(found, _line(found))


@hooks.command("delete")
@click.argument("name")
@calls_api
def delete(api: Api, name: str) -> None:
    """Delete a hook; deliveries that are under way go on."""
    api.client.hooks.delete(name)
    api.show({"deleted": name}, f"{name} is deleted")


def _line(hook: HookDocument) -> str:
    of = "" if hook.workflow_name is None else f" of {hook.workflow_name}"
    return f"{hook.name:<24}  {', '.join(hook.on)}{of} → {hook.url}"
