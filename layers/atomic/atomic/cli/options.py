"""Options that several commands share."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

import click

from atomic.protocol.enums import RUN_EVENTS, StatusName, WaitsFor
from atomic.protocol.tags import tag_members

Command = TypeVar("Command", bound=Callable[..., Any])

# What a time looks like, for help and errors.
MOMENTS: Final = "a time such as 2026-11-23T07:38:00Z"

data_dir = click.option(
    "--data-dir",
    envvar="ATOMIC_DATA_DIR",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".atomic"),
    show_default=True,
    show_envvar=True,
    help="Where the embedded server keeps its data.",
)


def moment(text: str) -> datetime:
    """A time with its offset from UTC. Raises BadParameter for any other text."""
    # Its offset may put it before the year 1 or after the year 9999 in UTC.
    with suppress(ValueError, OverflowError):
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    raise click.BadParameter(f"{text!r}: use {MOMENTS}")


def tags_of(texts: Sequence[str]) -> dict[str, str]:
    """Tags that are given as NAME:VALUE. Raises BadParameter."""
    if wrong := [text for text in texts if ":" not in text]:
        raise click.BadParameter(f"{wrong[0]!r}: use NAME:VALUE, such as customer:c-17")
    members = tag_members(texts)
    if len(members) < len(texts):
        raise click.BadParameter("give each name once")
    return members


def hooks_of(texts: Sequence[str]) -> dict[str, str]:
    """Hooks of a start that are given as EVENT=URL. Raises BadParameter."""
    if wrong := [text for text in texts if "=" not in text]:
        raise click.BadParameter(f"{wrong[0]!r}: use EVENT=URL, with one of {', '.join(RUN_EVENTS)}")
    members = {event: url for event, _, url in (text.partition("=") for text in texts)}
    if len(members) < len(texts):
        raise click.BadParameter("give each event once")
    return members


def moment_or_seconds(text: str) -> datetime | float:
    """The same, or a number of seconds."""
    with suppress(ValueError):
        return float(text)
    return moment(text)


TAG: Final = click.option(
    "--tag",
    multiple=True,
    metavar="NAME:VALUE",
    help="Only of runs with this tag; may be repeated for several.",
)
# They choose runs.
RUNS: Final = (
    click.option("--status", type=click.Choice(get_args(StatusName)), help="Only runs with this status."),
    click.option("--workflow", "workflow_name", help="Only runs of this workflow."),
    click.option("--key-prefix", help="Only runs whose idempotency key has this prefix."),
    click.option("--key-contains", help="Only runs with this text in their idempotency key."),
    TAG,
    click.option("--cause", help="Only runs that failed for this cause, by its id in `atomic causes`."),
    click.option(
        "--dismissed/--needs-action",
        default=None,
        help="Only failed runs: those that were dismissed, or those that need action.",
    ),
)
WAITS_FOR: Final = click.option(
    "--waits-for",
    type=click.Choice(get_args(WaitsFor)),
    help="Only live runs of which a step waits for this.",
)
# They choose by the error.
ERRORS: Final = (
    click.option("--error-kind", help="Only with this error, such as timed_out."),
    click.option("--response-status", type=int, help="Only those whose endpoint answered this last."),
)


def with_options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Give a command these options, in their order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
