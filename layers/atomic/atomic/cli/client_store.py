"""Shared by `atomic clients` and `atomic operator`: opening the client store, and printing results."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import click

from atomic.application.client_admin import ClientAdmin
from atomic.application.ports import StoreUnavailable
from atomic.cli.options import data_dir
from atomic.cli.output import to_json
from atomic.domain.clients.quota import LIMITS, member_of, words_of
from atomic.domain.clients.records import StoredKey, is_live
from atomic.protocol.wire import to_rfc3339

HOUR_MS: Final = 3600 * 1000
_DAY_MS: Final = 24 * HOUR_MS
# A hundred years: RFC 3339 cannot write moments much further away.
_DAYS_MAX: Final = 36_525
_LABELS: Final = {
    "clientId": "client",
    "apiKey": "API key",
    "signingSecret": "signing secret",
    **{member_of(limit): words_of(limit) for limit in LIMITS},
}

_table = click.option(
    "--table", help="Use the DynamoDB table of a stack on AWS instead, with the credentials of the AWS CLI."
)
expires = click.option(
    "--expires-in-days",
    type=click.FloatRange(min=0, max=_DAYS_MAX, min_open=True),
    help="Days until the key expires (default: never).",
)
overlap = click.option(
    "--overlap-hours", type=click.FloatRange(min=0, max=24 * _DAYS_MAX), default=24.0, show_default=True,
    help="How long the old one stays valid, in hours.",
)  # fmt: skip
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def store_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that `open_admin` and `say` read to a command."""
    return data_dir(_table(_json(command)))


@contextmanager
def open_admin(options: dict[str, Any]) -> Iterator[ClientAdmin]:
    """The client store of the data directory or of the table. An error of it ends the command."""
    with refusals("server" if options["table"] is None else "aws"), _open(options) as admin:
        yield admin


@contextmanager
def refusals(name: str) -> Iterator[None]:
    """An error of a store, or the lack of its extra, ends the command."""
    with extra(name):
        try:
            yield
        except (ValueError, OSError, StoreUnavailable) as refused:
            raise click.ClickException(str(refused)) from None


def _open(options: dict[str, Any]) -> AbstractContextManager[ClientAdmin]:
    # Each needs another extra, and few installations have both.
    if options["table"] is not None:
        from atomic.entrypoints.aws import client_admin

        return client_admin.admin(options["table"], os.environ)
    from atomic.entrypoints.embedded import client_admin as embedded

    return embedded.admin(options["data_dir"], os.environ)


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Import what needs an extra of the package; say which one if it is missing."""
    try:
        yield
    except ModuleNotFoundError as missing:
        raise click.ClickException(
            f"{missing.name} is not installed: pip install 'atomic-workflows[{name}]'"
        ) from None


def say(options: dict[str, Any], **document: Any) -> None:
    """Print the result."""
    if options["as_json"]:
        click.echo(to_json(document))
        return
    for name, value in document.items():
        click.echo(f"{_LABELS.get(name, name) + ':':<18} {'no limit' if value is None else value}")


def say_new_key(options: dict[str, Any], api_key: str) -> None:
    """Print a new key, which cannot be shown again."""
    say(options, apiKey=api_key)
    click.echo("Save it now: only its hash is stored, so it cannot be shown again.", err=True)


def expiry_ms(admin: ClientAdmin, options: dict[str, Any]) -> int | None:
    """When a new key expires, by the option `expires`; None for never."""
    days = options["expires_in_days"]
    return None if days is None else admin.now_ms() + int(days * _DAY_MS)


def key_document(key: StoredKey) -> dict[str, Any]:
    """The metadata of a key, without the secret."""
    return {
        "id": key.id,
        "scopes": key.scopes,
        "expiresAt": key.expires_at_ms and to_rfc3339(key.expires_at_ms),
    }


def key_line(key: StoredKey, now_ms: int) -> str:
    """The same as one line of text."""
    state = "" if is_live(key, now_ms) else ", ended"
    until = "" if key.expires_at_ms is None else f", until {to_rfc3339(key.expires_at_ms)}"
    return f"{key.id}: {' '.join(key.scopes)}{until}{state}"
