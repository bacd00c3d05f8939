"""What an operator does to a run or to one step: the routes, the commands and the dashboard's buttons.

Each is a `POST` to `/{clientId}/runs/{runId}/NAME` or `/{clientId}/steps/{stepId}/NAME`, for a key with the
scope `act`. The cancel, the pause, the restart and the dismissal of a run, and `due`, take a body, which
may be left out. Each answers with the run or the step as it is then; a restart, with the new run. A
repeated action changes nothing.
"""

from dataclasses import dataclass
from typing import Final, Literal

from atomic.protocol.enums import KINDS, Kind, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One action. `summary` is a line for lists, without a full stop. `effect` is one or more sentences.

    `done`: the word for a run or step after the action. It is a status if the action has its own status.
    `states`: the states in which the action changes something, of a run those of its root; None means every
    live state, of a run that of any of its steps. `roots`: an action on a step that may also be done to the
    root of a run. `needs_run`: the action needs a run that may go on, so the run is live or has failed.
    `kinds`: the kinds of steps that have the action. `label`: what a button says in place of the name.
    `paused`: the run has to be paused for it, or must not be. `root_effect`: what the dashboard says in
    place of `effect` before it is done to a root.
    """

    name: str
    of: Literal["run", "step"]
    summary: str
    effect: tuple[str, ...]
    done: str
    states: tuple[Status, ...] | None = None
    roots: bool = False
    needs_run: bool = False
    kinds: tuple[Kind, ...] = KINDS
    label: str = ""
    paused: bool | None = None
    root_effect: tuple[str, ...] = ()


ACTIONS: Final = (
    Action(
        name="redrive",
        of="step",
        summary="Give a dead letter a fresh budget of attempts",
        effect=(
            "It gets a fresh budget of attempts; its endpoint gets the same key and payload again.",
            "Its failed ancestors are redriven with it, so that the run goes on.",
            "With a root, every failed step of its run is redriven.",
        ),
        root_effect=(
            "Every failed step of it gets a fresh budget of attempts.",
            "Endpoints get the same keys and payloads again.",
            "What has succeeded stays as it is.",
        ),
        done="redriven",
        states=(Status.FAILED,),
        roots=True,
        needs_run=True,
    ),
    Action(
        name="restart",
        of="run",
        summary="Start a run again, as another run with the same payload",
        effect=(
            "The new run begins anew: what has succeeded is called again as well, under other keys.",
            "This run stays as it is. To let it go on where it failed, redrive it.",
        ),
        done="restarted",
        states=(Status.SUCCEEDED, Status.FAILED, Status.CANCELLED),
    ),
    Action(
        name="due",
        of="step",
        summary="Make a step due now, or at another time: retry now, skip a sleep, reschedule",
        effect=(
            "When it is due, its next attempt is made; a timer is done.",
            "No attempt or retry is used up, and its limits stay: its deadline, and those of its client.",
        ),
        done="due",
        states=(Status.PENDING, Status.RETRYING),
        roots=True,
        kinds=("http", "timer"),
        label="Run now",
    ),
    Action(
        name="pause",
        of="run",
        summary="Pause a run: nothing of it is called until it is resumed",
        effect=(
            "Attempts that are under way end and are recorded; what comes due meanwhile rests.",
            "Timers and events still end, and deadlines go on.",
            "The runs that it waits for are paused with it.",
        ),
        done="paused",
        paused=False,
    ),
    Action(
        name="resume",
        of="run",
        summary="Let a paused run go on",
        effect=(
            "What rests goes on, and the runs that were paused with it.",
            "A step that has used up its retries gets a fresh budget of attempts.",
        ),
        done="resumed",
        paused=True,
    ),
    Action(
        name="dismiss",
        of="run",
        summary="Dismiss a failed run: it needs no action any more",
        effect=(
            "It stays as it is, and is not counted among the runs that need action.",
            "A redrive of the run clears it.",
        ),
        done="dismissed",
        states=(Status.FAILED,),
    ),
    Action(
        name="cancel",
        of="run",
        summary="Cancel a run and its live steps",
        effect=("Every live step ends as cancelled; what has ended stays as it is.",),
        done="cancelled",
    ),
    Action(
        name="cancel",
        of="step",
        summary="Cancel one step and the live steps below it",
        effect=(
            "It ends as cancelled, with the live steps below it.",
            "Its run goes on: the workflow is told, and may go on without it.",
        ),
        done="cancelled",
    ),
)


def named(of: Literal["run", "step"], name: str) -> Action:
    """The action of this name on a run or on a step. Raises StopIteration for any other name."""
    return next(action for action in ACTIONS if (action.of, action.name) == (of, name))
