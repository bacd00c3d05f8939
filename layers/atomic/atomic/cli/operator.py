"""`atomic operator`: the keys that make and manage clients over the API."""

from pathlib import Path
from typing import Any

import click

from atomic.cli.client_store import (
    HOUR_MS,
    expires,
    expiry_ms,
    key_document,
    key_line,
    open_admin,
    overlap,
    refusals,
    say,
    say_new_key,
    store_options,
)
from atomic.cli.options import data_dir as data_dir_option
from atomic.cli.output import to_json
from atomic.domain.clients.records import OPERATOR_ID


@click.group()
def operator() -> None:
    """The operator's keys, which make and manage clients over the API. At first there are none."""


@operator.command("create-key")
@expires
@store_options
def create_key(**options: Any) -> None:
    """Make another key. It can manage all clients, and cannot read or change runs."""
    with open_admin(options) as admin:
        api_key, _ = admin.create_operator_key(expires_at_ms=expiry_ms(admin, options))
    say_new_key(options, api_key)


@operator.command("list-keys")
@store_options
def list_keys(**options: Any) -> None:
    """List the ids of the keys. The keys themselves are not shown."""
    with open_admin(options) as admin:
        keys = admin.known(OPERATOR_ID).keys
        if options["as_json"]:
            click.echo(to_json([key_document(key) for key in keys]))
        else:
            click.echo("\n".join(key_line(key, admin.now_ms()) for key in keys))


@operator.command("rotate-key")
@click.option(
    "--key", "key_id", help="The id (middle part) of the key to replace. Required if there are several."
)
@expires
@overlap
@store_options
def rotate_key(*, key_id: str | None, overlap_hours: float, **options: Any) -> None:
    """Make a key that replaces another, which expires after the overlap."""
    with open_admin(options) as admin:
        api_key, _ = admin.rotate_key(
            OPERATOR_ID,
            key_id=key_id,
            expires_at_ms=expiry_ms(admin, options),
            overlap_ms=int(overlap_hours * HOUR_MS),
        )
    say_new_key(options, api_key)


@operator.command("pepper")
@store_options
def pepper(**options: Any) -> None:
    """List whose keys are hashed under another pepper than the current one: they were not used since."""
    with open_admin(options) as admin:
        others = admin.under_other_peppers()
    if options["as_json"]:
        click.echo(to_json(others))
    else:
        click.echo("\n".join(others) or "all keys are under the current pepper")


@operator.command("rotate-pepper")
@data_dir_option
def rotate_pepper(data_dir: Path) -> None:
    """Make another pepper for a data directory whose server is stopped. All keys stay valid."""
    with refusals("server"):
        from atomic.entrypoints.embedded import client_admin

        client_admin.rotate_pepper(data_dir)
    click.echo("Start the server again. Each key is hashed under the new pepper at its next use.")


@operator.command("end-pepper")
@data_dir_option
def end_pepper(data_dir: Path) -> None:
    """Forget the pepper of before the last rotation, unless a live key needs it. Stop the server first."""
    with refusals("server"):
        from atomic.entrypoints.embedded import client_admin

        client_admin.end_pepper(data_dir)
    click.echo("Start the server again. Only the current pepper counts.")


@operator.command("revoke-key")
@click.argument("key_id")
@store_options
def revoke_key(key_id: str, **options: Any) -> None:
    """Revoke a key. KEY_ID is the middle part of the key. Takes effect within a minute."""
    with open_admin(options) as admin:
        admin.revoke_key(OPERATOR_ID, key_id)
    say(options, revoked=key_id)
