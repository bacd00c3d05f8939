"""`atomic start`."""

import json
import sys
import time
from datetime import datetime
from typing import Any, get_args

import click

from atomic.cli.api import Api, calls_api, json_argument
from atomic.cli.options import MOMENTS, hooks_of, moment, moment_or_seconds, tags_of
from atomic.cli.timeline import goes_on
from atomic.protocol.enums import OnBusy
from atomic.sdk import Debounce, NotFinishedError, Singleton, StepDocument, StepOutcome

_LOOK_S = 2.0


@click.command()
@click.argument("workflow_name")
@click.argument("endpoint_url")
@click.option("--key", required=True, help="The idempotency key.")
@click.option("--payload", default="null", show_default=True, help="JSON, @file, or - for standard input.")
@click.option(
    "--timeout", default=60.0, show_default=True, help="How long to wait, in seconds; 0 does not wait."
)
@click.option("--delay", type=float, help="For how many seconds it does not start yet.")
@click.option("--at", type=moment, metavar="TIME", help=f"When it starts, in place of --delay: {MOMENTS}.")
@click.option(
    "--by",
    type=moment_or_seconds,
    metavar="TIME",
    help="By when it must have started: a time, or seconds after its start.",
)
@click.option("--singleton", metavar="KEY", help="One run of this key goes on at a time.")
@click.option(
    "--on-busy",
    type=click.Choice(get_args(OnBusy)),
    help="While another run has the key of --singleton (default: attach to it).",
)
@click.option("--debounce", metavar="KEY", help="Of a burst of starts of this key only the last one runs.")
@click.option("--quiet", type=float, help="With --debounce: for how many seconds no other start may come.")
@click.option(
    "--max", "longest", type=float, help="With --debounce: how many seconds the burst may take at most."
)
@click.option(
    "--tag", "tags", multiple=True, metavar="NAME:VALUE", help="A tag of the run; may be repeated."
)
@click.option(
    "--hook",
    "hooks",
    multiple=True,
    metavar="EVENT=URL",
    help="A URL to call when the run has ended or is paused, such as run.failed=URL; may be repeated.",
)
@click.option("--retry", type=click.IntRange(0, 1000), help="How many times to retry a failed attempt.")
@calls_api
def start(
    api: Api,
    workflow_name: str,
    endpoint_url: str,
    *,
    key: str,
    payload: str,
    timeout: float,
    retry: int | None,
    delay: float | None,
    at: datetime | None,
    by: datetime | float | None,
    tags: tuple[str, ...],
    hooks: tuple[str, ...],
    **shared: Any,
) -> None:
    """Start a workflow (or attach to it) and print its response."""
    value = json_argument(payload, "--payload")
    if delay is not None and at is not None:
        raise click.UsageError("give --at or --delay, and not both")
    given = {"retry": retry, "delay": delay, "start_at": at, "start_by": by, **_shared_key(**shared)}
    given["tags"] = tags_of(tags) if tags else None
    given["hooks"] = hooks_of(hooks) if hooks else None
    more: Any = {name: value for name, value in given.items() if value is not None}
    outcome: StepOutcome = api.client.start(workflow_name, endpoint_url, value, key=key, timeout=0, **more)
    other = outcome.attached_to
    if timeout > 0 and (outcome.status != "succeeded" or outcome.continued_as):
        outcome = _wait(api, outcome.continued_as or outcome.id, timeout)
    if other is not None:
        click.echo(f"The answer of {other.run_id}, key {other.idempotency_key}:", err=True)
    if outcome.status == "succeeded" and outcome.continued_as is None:
        api.show(outcome, json.dumps(outcome.response, indent=2, ensure_ascii=False))
    else:
        api.show(outcome, f"{outcome.run_id} is {outcome.status}{goes_on(outcome)}")


def _shared_key(
    *,
    singleton: str | None,
    on_busy: OnBusy | None,
    debounce: str | None,
    quiet: float | None,
    longest: float | None,
) -> dict[str, Any]:
    """The options for the key that the run shares. Raises UsageError for parts without a key."""
    if singleton is None and on_busy is not None:
        raise click.UsageError("give --on-busy with --singleton")
    if (debounce is None) != (quiet is None) or (debounce is None and longest is not None):
        raise click.UsageError("give --debounce and --quiet together; --max goes with them")
    return {
        "singleton": None if singleton is None else Singleton(singleton, on_busy or "attach"),
        "debounce": None if debounce is None or quiet is None else Debounce(debounce, quiet, longest),
    }


def _wait(api: Api, step_id: str, timeout_s: float) -> StepDocument:
    began_s = time.monotonic()
    shown = ""
    try:
        while True:
            left_s = max(0.0, timeout_s - (time.monotonic() - began_s))
            try:
                return api.client.wait(step_id, timeout=min(_LOOK_S, left_s))
            except NotFinishedError as late:
                # Of a run that goes on as others, the last one.
                step_id = late.step_id or step_id
                waited_s = time.monotonic() - began_s
                if waited_s >= timeout_s:
                    raise
            if sys.stderr.isatty():
                shown = f"{api.client.step(step_id).status}, {waited_s:.0f} s …"
                click.echo(f"\r{shown}\x1b[K", nl=False, err=True)
    finally:
        if shown:
            click.echo("\r\x1b[K", nl=False, err=True)  # the output is the answer alone
