"""`atomic events`: tell a workflow's events, and list them."""

import json
from typing import Any, Final

import click

from atomic.cli.api import Api, calls_api, json_argument
from atomic.protocol import keys
from atomic.protocol.documents import EventOutcome, StepDocument
from atomic.protocol.enums import LIVE
from atomic.sdk.errors import NotFoundError

_WAS: Final = {
    "open": "it was open",
    "early": "no handler has asked for it yet",
    "done": "it was so before",
}


@click.group()
def events() -> None:
    """The events of a run, which workflows wait for."""


def _addressed(function: Any) -> Any:
    """Add the address of an event to a command."""
    for decorate in (
        click.option("--parent", help="The id of the step whose workflow waits, if that is not the root."),
        click.option("--number", default=1, show_default=True, help="Which event of this name."),
        click.argument("name"),
        click.argument("key"),
        click.argument("workflow_name", metavar="WORKFLOW"),
    ):
        function = decorate(function)
    return function


@events.command("send")
@_addressed
@click.argument("result", default="null")
@click.option("--next", "is_next", is_flag=True, help="Tell the first event of this name without a result.")
@click.option("--id", "message_id", help="With --next: sent again with this id, it is the same message.")
@calls_api
def send(
    api: Api,
    workflow_name: str,
    key: str,
    name: str,
    result: str,
    *,
    number: int,
    parent: str | None,
    is_next: bool,
    message_id: str | None,
) -> None:
    """Give an event its RESULT (JSON, @file, or - for standard input; default: null)."""
    value = json_argument(result, "RESULT")
    event = api.client.signal(
        workflow_name, key, name, value, number=number, parent=parent, next=is_next, id=message_id
    )
    _show(api, event)


@events.command("reject")
@_addressed
@click.argument("detail")
@calls_api
def reject(
    api: Api, workflow_name: str, key: str, name: str, detail: str, *, number: int, parent: str | None
) -> None:
    """Reject an event: its workflow is told DETAIL, which says why."""
    _show(api, api.client.reject(workflow_name, key, name, detail, number=number, parent=parent))


@events.command("heartbeat")
@_addressed
@calls_api
def heartbeat(
    api: Api, workflow_name: str, key: str, name: str, *, number: int, parent: str | None
) -> None:
    """Say that somebody is at work on an open event, so that it does not expire."""
    event = api.client.heartbeat(workflow_name, key, name, number=number, parent=parent)
    api.show(event, f"{event.name} is open")


@events.command("list")
@click.argument("workflow_name", metavar="WORKFLOW")
@click.argument("key")
@click.option("--open", "only_open", is_flag=True, help="Only events that have no result yet.")
@calls_api
def list_(api: Api, workflow_name: str, key: str, *, only_open: bool) -> None:
    """List the events of a run. A run that has not begun is not found."""
    try:
        run = api.client.get(keys.run_id(api.client.client_id, workflow_name, key))
    except NotFoundError:
        raise click.ClickException(
            f"No run {workflow_name!r} with the key {key!r} has begun. Once it has, its events are listed, "
            "also those that were told before."
        ) from None
    found = [step for step in run.steps if step.kind == "event"]
    found = [step for step in found if step.status in LIVE or not only_open]
    api.show(found, "\n".join(_line(step, run.root) for step in found) or "no events")


def _show(api: Api, event: EventOutcome) -> None:
    api.show(event, f"{event.name} is {event.status}: {_WAS[event.was]}")


def _line(step: StepDocument, root: StepDocument) -> str:
    """An event: its name if others can tell it by that, and its id."""
    is_named = step.parent == root.id and step.idempotency_key == root.idempotency_key
    limits = {"until": step.deadline_at, "heartbeat by": step.heartbeat_by} if step.status in LIVE else {}
    until = "".join(f", {word} {at}" for word, at in limits.items() if at)
    result = f": {json.dumps(step.response)}" if step.status == "succeeded" else ""
    name = step.step_name if is_named else f"({step.step_name})"
    return (
        f"{step.status:<9}  {name}  {step.id}{until}{result or (f': {step.error}' if step.error else '')}"
    )
