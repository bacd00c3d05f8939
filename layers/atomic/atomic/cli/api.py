"""Shared by the commands that call the API: its options, the exit codes of errors, printing.

Exit codes for scripts: 0 done · 1 refused · 2 wrong usage · 3 not finished in time · 4 the step failed ·
5 cancelled · 6 no answer.
"""

import sys
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol

import click

from atomic.cli.output import to_json
from atomic.protocol import keys
from atomic.protocol.strict_json import read_json
from atomic.sdk import (
    AtomicError,
    CancelledError,
    Client,
    NoAnswerError,
    NotFinishedError,
    StepFailedError,
    UnavailableError,
)

_EXIT_CODES: Final[tuple[tuple[type[AtomicError], int], ...]] = (
    (NotFinishedError, 3),
    (StepFailedError, 4),
    (CancelledError, 5),
    (NoAnswerError, 6),
    (UnavailableError, 6),
)

_url = click.option("--url", envvar="ATOMIC_URL", show_envvar=True, help="The URL of Atomic.")
_client = click.option(
    "--client", "client_id", envvar="ATOMIC_CLIENT_ID", show_envvar=True, help="The id of the client."
)
_api_key = click.option(
    "--api-key", envvar="ATOMIC_API_KEY", show_envvar=True, help="An API key of the client."
)
_patience = click.option(
    "--patience",
    default=5.0,
    show_default=True,
    help="How long to retry when the server does not answer or answers 503, in seconds.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@dataclass(frozen=True, slots=True)
class Api:
    """The client to call with, and whether to print JSON instead of text."""

    client: Client
    as_json: bool

    def show(self, document: Any, text: str) -> None:
        """Print the document as JSON, or the text."""
        show(document, text, as_json=self.as_json)


class _ApiFunction(Protocol):
    """A command's function; its first argument is the Api."""

    __name__: str

    def __call__(self, api: Api, /, *args: Any, **options: Any) -> None: ...


def show(document: Any, text: str, *, as_json: bool) -> None:
    """Print the document as JSON, or the text."""
    click.echo(to_json(document) if as_json else text)


def fail(message: str, exit_code: int) -> NoReturn:
    """End the command."""
    click.echo(f"Error: {message}", err=True)
    raise click.exceptions.Exit(exit_code)


def json_argument(text: str, argument: str) -> Any:
    """Read an argument as strictly as the server: `json.loads` would silently drop what it refuses."""
    try:
        if text == "-":
            return read_json(sys.stdin.buffer.read().removeprefix(BOM_UTF8))
        if text.startswith("@"):
            return read_json(Path(text[1:]).read_bytes().removeprefix(BOM_UTF8))
        return read_json(text)
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{error}; give JSON, @file or -", param_hint=argument) from None


def api_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that `opened_api` takes to a command."""
    for option in (_json, _patience, _api_key, _client, _url):
        command = option(command)
    return command


@contextmanager
def opened_api(options: dict[str, Any]) -> Iterator[Api]:
    """The API that the options name; they are taken out of `options`. Errors end the command."""
    as_json, url = options.pop("as_json"), options.pop("url")
    named = {name: options.pop(name) for name in ("client_id", "api_key", "patience")}
    with reported(), Client(url, **named) as client, reported(f"{client.connection.url}/docs"):
        yield Api(client, as_json)


def calls_api(function: _ApiFunction) -> Any:
    """Add the options of the API to a command, whose first argument is then an Api."""

    @api_options
    @wraps(function)
    def command(**options: Any) -> None:
        with opened_api(options) as api:
            function(api, **options)

    return command


@contextmanager
def reported(docs: str = "") -> Iterator[None]:
    """End the command with the message, the code and the exit code of what the SDK raises.

    `docs` is the URL of the server's page, which has a part about each code.
    """
    try:
        yield
    except AtomicError as error:
        # A server that does not answer shows no page.
        link = f"\nHelp: {docs}#{error.code}" if docs and not isinstance(error, NoAnswerError) else ""
        fail(f"{error}{_run_of(error)}\nCode: {error.code}{link}", exit_code_of(error))
    except ValueError as wrong:
        fail(str(wrong), 1)


def _run_of(error: AtomicError) -> str:
    """The command that shows the run in which a step failed, as a line; empty for other errors."""
    if not isinstance(error, StepFailedError) or error.step_id is None:
        return ""
    return f"\nShow the run: atomic runs show {keys.run_of(error.step_id)}"


def exit_code_of(error: AtomicError) -> int:
    """The exit code for an error."""
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), 1)
