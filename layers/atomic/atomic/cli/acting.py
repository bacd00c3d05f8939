"""`atomic dead-letters`, `atomic redrive`, and the commands of the other actions (`protocol.actions`)."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import click

from atomic.cli.api import Api, calls_api, json_argument
from atomic.cli.options import ERRORS, MOMENTS, TAG, moment, with_options
from atomic.cli.timeline import goes_on
from atomic.protocol import keys
from atomic.protocol.actions import ACTIONS
from atomic.protocol.workflow_states import WorkflowState
from atomic.sdk import Client, DeadLetter
from atomic.sdk._wire.api import act_on_run, act_on_step

_SAME: Final = "The ids of a run and of its root step mean the same."
_OPTIONS: Final = {
    "cancel": (
        # The last one that is added is shown first.
        click.option("--within", type=float, help="For how many seconds it may do so (default: 60)."),
        click.option("--graceful", is_flag=True, help="Let the workflow undo what it did before it ends."),
    ),
    "pause": (
        click.option("--until", type=moment, metavar="TIME", help=f"When it goes on by itself: {MOMENTS}."),
        click.option("--note", default="", help="Why, for people."),
        click.option("--workflow", help="All runs of this workflow, in place of one run."),
    ),
    "dismiss": (
        click.option("--undo", is_flag=True, help="Take the dismissal back."),
        click.option("--note", default="", help="Why, for people."),
    ),
    "resume": (click.option("--workflow", help="This workflow, in place of one run."),),
    "restart": (
        click.option(
            "--endpoint", metavar="URL", help="Another endpoint, such as that of a repaired deployment."
        ),
        click.option("--key", help="The key of the new run (default: that of the run with a number)."),
        click.option("--payload", help="Another payload: JSON, @file, or - for standard input."),
    ),
    "due": (
        click.option(
            "--at", type=moment, metavar="TIME", help=f"When it is due (default: now): {MOMENTS}."
        ),
    ),
}


def command_of(name: str) -> click.Command:
    """The command for the actions of this name."""
    own = [action for action in ACTIONS if action.name == name]
    says = [f"{action.summary}. {' '.join(action.effect)}" for action in own]

    @calls_api
    def act(api: Api, given_id: str | None, *, workflow: str | None = None, **options: Any) -> None:
        if (given_id is None) is (workflow is None):
            raise click.UsageError("give the id of a run, or --workflow with the name of a workflow")
        if workflow is not None:
            found = _OF_WORKFLOWS[name](api.client, workflow, **options)
            api.show(found, _line_of_workflow(found))
        elif given_id is not None:
            _act(api, name, given_id, **options)

    act = with_options(*_OPTIONS.get(name, ()))(act)
    metavar = "_OR_".join(action.of for action in own).upper()
    act = click.argument("given_id", metavar=metavar, required=name not in _OF_WORKFLOWS)(act)
    return click.command(name, help="\n\n".join([*says, _SAME]))(act)


def _act(
    api: Api,
    name: str,
    given_id: str,
    *,
    graceful: bool = False,
    within: float | None = None,
    at: datetime | None = None,
    **of_run: Any,
) -> None:
    """Do the action to the run or to the step that the id means."""
    client, objects = api.client, {action.of for action in ACTIONS if action.name == name}
    is_child = keys.is_step_id(given_id) and keys.position_of(given_id) != keys.ROOT
    if is_child and "step" not in objects:
        raise click.UsageError("give the id of a run")
    run_id = given_id.removesuffix(f"-{keys.ROOT}")
    if graceful or within is not None:
        if is_child:
            raise click.UsageError("--graceful and --within are for a run: give its id")
        if not graceful:
            raise click.UsageError("--within is for a graceful cancel: add --graceful, or leave it out")
        cancelled = client.cancel(run_id, graceful=graceful, within=within)
        by = "" if cancelled.cancel_by is None else f", and ends as cancelled by {cancelled.cancel_by}"
        api.show(cancelled, f"{cancelled.run_id} is {cancelled.status}{by}")
    elif name in _OF_RUNS:
        _OF_RUNS[name](api, run_id, **of_run)
    elif is_child or "run" not in objects:
        step_id = given_id if is_child else keys.root_of(run_id)
        if name == "due":
            step = client.due(step_id, at=at)
        else:
            step = client.run_flow(act_on_step(client.client_id, name, step_id, client.patience_s))
        due = f", due at {step.due_at}" if name == "due" and step.due_at else ""
        api.show(step, f"{step.id} is {step.status}{due}")
    else:
        run = client.run_flow(act_on_run(client.client_id, name, run_id, client.patience_s))
        api.show(run, f"{run.run_id} is {run.status}{goes_on(run)}")


def _pause(api: Api, run_id: str, *, note: str, until: datetime | None) -> None:
    paused = api.client.pause(run_id, note=note, until=until)
    ends = f" until {paused.paused.until}" if paused.paused and paused.paused.until else ""
    api.show(paused, f"{paused.run_id} is {paused.status}, and paused{ends}")


def _restart(api: Api, run_id: str, *, payload: str | None, key: str | None, endpoint: str | None) -> None:
    given = {} if payload is None else {"payload": json_argument(payload, "--payload")}
    new = api.client.restart(run_id, key=key, url=endpoint, **given)
    api.show(new, f"{new.run_id} is {new.status}, key {new.idempotency_key}")


def _dismiss(api: Api, run_id: str, *, note: str, undo: bool) -> None:
    if undo and note:
        raise click.UsageError("--note is for a dismissal: leave it out with --undo")
    run = api.client.undismiss(run_id) if undo else api.client.dismiss(run_id, note=note)
    api.show(run, f"{run.run_id} is {run.status}, and {'needs action' if undo else 'dismissed'}")


def _line_of_workflow(found: WorkflowState) -> str:
    if found.paused is None:
        return f"{found.workflow_name} is not paused"
    ends = f" until {found.paused.until}" if found.paused.until else ""
    note = f": {found.paused.note}" if found.paused.note else ""
    return f"{found.workflow_name} is paused since {found.paused.since}{ends}{note}"


@click.command("paused-workflows")
@calls_api
def paused_workflows(api: Api) -> None:
    """List the workflows that are paused, by name."""
    found = api.client.paused_workflows()
    api.show(found, "\n".join(map(_line_of_workflow, found)) or "no workflow is paused")


# Actions on whole workflows.
_OF_WORKFLOWS: Final[dict[str, Callable[..., WorkflowState]]] = {
    "pause": Client.pause_workflow,
    "resume": Client.resume_workflow,
}
# Actions on runs that have options.
_OF_RUNS: Final[dict[str, Callable[..., None]]] = {
    "pause": _pause,
    "dismiss": _dismiss,
    "restart": _restart,
}


@click.command()
@click.argument("step_id", metavar="STEP_OR_RUN", required=False)
@click.option("--workflow", "workflow_name", help="All dead letters of this workflow.")
@click.option("--key-prefix", help="All whose idempotency key has this prefix.")
@click.option("--created-after", help="All created at or after this time, such as 2026-11-23T07:38:00Z.")
@click.option("--created-before", help="All created before this time.")
@with_options(TAG)
@calls_api
def redrive(api: Api, step_id: str | None, **wanted: Any) -> None:
    """Redrive one dead letter, or all that match the filters: each gets a fresh budget of attempts.

    The id of a run means its root step.
    """
    given: Any = {name: value for name, value in wanted.items() if value not in {None, ()}}
    if (step_id is None) is not bool(given):
        raise click.UsageError("give the id of a step, or a filter such as --workflow")
    if step_id is not None:
        _act(api, "redrive", step_id)
    else:
        redriven = api.client.redrive_all(**given)
        api.show(redriven, f"{len(redriven)} redriven")


@click.command("dead-letters")
@click.option("--workflow", "workflow_name", help="Only those of this workflow.")
@click.option("--cause", help="Only those with this cause, by its id in `atomic causes`.")
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(min=1), help="How many to list at most."
)
@with_options(TAG, *ERRORS)
@calls_api
def dead_letters(api: Api, *, limit: int, **wanted: Any) -> None:
    """List the steps that failed, the newest first."""
    given: Any = {name: value for name, value in wanted.items() if value is not None}
    found = api.client.dead_letters(limit=limit, **given)
    api.show(found, "\n".join(_line(letter) for letter in found) or "no dead letters")


def _line(letter: DeadLetter) -> str:
    name = letter.step_invoke_url or letter.step_name
    why = letter.not_redrivable_reason
    over = f" (not redrivable: {why})" if why else ""
    return f"{letter.id}  {name}  failed at attempt {letter.attempts}{over}: {letter.error}"
