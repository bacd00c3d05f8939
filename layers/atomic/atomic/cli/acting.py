"""`atomic cancel`, `atomic redrive`, `atomic dead-letters`."""

from typing import Any

import click

from atomic.cli.api import Api, calls_api
from atomic.cli.output import to_json
from atomic.protocol import keys
from atomic.sdk import DeadLetter


@click.command()
@click.argument("step_or_run_id", metavar="RUN_OR_STEP")
@calls_api
def cancel(api: Api, step_or_run_id: str) -> None:
    """Cancel a run and its live steps, or one step and the live steps below it.

    The id of a root step means its run.
    """
    is_step = keys.is_step_id(step_or_run_id) and keys.position_of(step_or_run_id) != keys.ROOT
    if is_step:
        step = api.client.cancel_step(step_or_run_id)
        api.show(step, f"{step.id} is {step.status}")
        return
    run_id = step_or_run_id.removesuffix(f"-{keys.ROOT}")
    run = api.client.cancel(run_id)
    api.show(run, f"{run.run_id} is {run.status}")


@click.command()
@click.argument("step_id", metavar="STEP_OR_RUN", required=False)
@click.option("--workflow", "workflow_name", help="All dead letters of this workflow.")
@click.option("--key-prefix", help="All whose idempotency key has this prefix.")
@click.option("--created-after", help="All created at or after this time, such as 2026-11-23T07:38:00Z.")
@click.option("--created-before", help="All created before this time.")
@calls_api
def redrive(api: Api, step_id: str | None, **wanted: Any) -> None:
    """Redrive one dead letter, or all that match the filters: each gets a fresh budget of attempts.

    The id of a run means its root step.
    """
    given: Any = {name: value for name, value in wanted.items() if value is not None}
    if (step_id is None) is not bool(given):
        raise click.UsageError("give the id of a step, or a filter such as --workflow")
    if step_id is not None:
        if keys.is_run_id(step_id):
            step_id = keys.root_of(step_id)
        step = api.client.redrive(step_id)
        api.show(step, f"{step.id} is {step.status}")
        return
    redriven = api.client.redrive_all(**given)
    click.echo(to_json(redriven) if api.as_json else f"{len(redriven)} redriven")


@click.command("dead-letters")
@click.option("--workflow", "workflow_name", help="Only those of this workflow.")
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(min=1), help="How many to list at most."
)
@calls_api
def dead_letters(api: Api, *, workflow_name: str | None, limit: int) -> None:
    """List the steps that failed, the newest first."""
    given: Any = {} if workflow_name is None else {"workflow_name": workflow_name}
    found = api.client.dead_letters(limit=limit, **given)
    api.show(found, "\n".join(_line(letter) for letter in found) or "no dead letters")


def _line(letter: DeadLetter) -> str:
    name = letter.step_invoke_url or letter.step_name
    why = letter.not_redrivable_reason
    over = f" (not redrivable: {why})" if why else ""
    return f"{letter.id}  {name}  failed at attempt {letter.attempts}{over}: {letter.error}"
