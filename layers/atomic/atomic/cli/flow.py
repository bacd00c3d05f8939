"""`atomic flow`: the limits that steps share, as they are now, and what operators pin."""

from collections.abc import Iterator, Sequence

import click

from atomic.cli.api import Api, calls_api
from atomic.protocol.flow import FlowKeyDocument, FlowStepDocument


@click.group()
def flow() -> None:
    """The limits that steps share by a key."""


@flow.command("list")
@calls_api
def list_(api: Api) -> None:
    """List the keys that steps have named lately."""
    found = api.client.flow_keys.all()
    api.show(found, "\n".join(map(_line, found)) or "no keys")


@flow.command("show")
@click.argument("key")
@calls_api
def show(api: Api, key: str) -> None:
    """Show how many attempts of a key are under way, and how many steps wait."""
    found = api.client.flow_keys.get(key)
    api.show(found, _line(found))


@flow.command("pin")
@click.argument("key")
@click.option("--concurrency", type=click.IntRange(min=1), help="How many attempts at a time.")
@click.option("--rate", type=(int, float), metavar="COUNT SECONDS", help="How many begin in a time.")
@calls_api
def pin(api: Api, key: str, *, concurrency: int | None, rate: tuple[int, float] | None) -> None:
    """Set the limits of a key, whatever its steps say."""
    if concurrency is None and rate is None:
        raise click.UsageError("give --concurrency, --rate or both")
    found = api.client.flow_keys.pin(key, concurrency=concurrency, rate=rate)
    api.show(found, _line(found))


@flow.command("unpin")
@click.argument("key")
@calls_api
def unpin(api: Api, key: str) -> None:
    """Let the limits be those that the steps of a key say again."""
    found = api.client.flow_keys.unpin(key)
    api.show(found, _line(found))


@flow.command("steps")
@click.argument("key")
@calls_api
def steps(api: Api, key: str) -> None:
    """List the steps that have a slot of a key, and the first in its line."""
    found = api.client.flow_keys.steps(key)
    lines = [*_steps("running", found.running), *_steps("queued", found.queued)]
    api.show(found, "\n".join(lines) or "no steps")


@flow.command("pause")
@click.argument("key")
@click.option("--note", default="", help="Why, for people.")
@calls_api
def pause(api: Api, key: str, *, note: str) -> None:
    """Let nothing new in; what is inside goes on to its end."""
    found = api.client.flow_keys.pause(key, note=note)
    api.show(found, _line(found))


@flow.command("resume")
@click.argument("key")
@calls_api
def resume(api: Api, key: str) -> None:
    """Let steps in again."""
    found = api.client.flow_keys.resume(key)
    api.show(found, _line(found))


def _steps(state: str, found: Sequence[FlowStepDocument]) -> Iterator[str]:
    for step in found:
        name = f"{step.workflow_name} {step.idempotency_key} {step.step_name or ''}".rstrip()
        fair = f", fair {step.fair}" if step.fair else ""
        yield f"{state:<8}  {step.id}  {name}, priority {step.priority}{fair}, since {step.since or '–'}"


def _line(key: FlowKeyDocument) -> str:
    most = "no limit" if key.concurrency is None else f"of {key.concurrency}"
    pace = "" if key.pace is None else f", {key.pace.limit} in {key.pace.per} ms"
    since = "" if key.oldest is None else f" since {key.oldest}"
    state = ", paused" if key.paused else ""
    state += f" ({key.note})" if key.note else ""
    pins = {"concurrency": key.pinned.concurrency, "rate": key.pinned.rate}
    pinned = "".join(f", {name} pinned" for name, value in pins.items() if value is not None)
    return f"{key.key:<24}  {key.running} running {most}{pace}, {key.queued} queued{since}{state}{pinned}"
