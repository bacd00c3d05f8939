"""`atomic operator`: the keys by which clients are made and managed over the API."""

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
    say,
    say_new_key,
    store_options,
)
from atomic.cli.output import to_json
from atomic.domain.clients.records import OPERATOR_ID


@click.group()
def operator() -> None:
    """The keys by which clients are made and managed over the API. There are none until you make one."""


@operator.command("create-key")
@expires
@store_options
def create_key(**options: Any) -> None:
    """Make one more key beside those there are. It opens every client's settings, and no run."""
    with open_admin(options) as admin:
        api_key, _ = admin.create_operator_key(expires_at_ms=expiry_ms(admin, options))
    say_new_key(options, api_key)


@operator.command("list-keys")
@store_options
def list_keys(**options: Any) -> None:
    """List the keys; never a key itself."""
    with open_admin(options) as admin:
        keys = admin.known(OPERATOR_ID).keys
        if options["as_json"]:
            click.echo(to_json([key_document(key) for key in keys]))
        else:
            click.echo("\n".join(key_line(key, admin.now_ms()) for key in keys))


@operator.command("rotate-key")
@click.option("--key", "key_id", help="The key to replace: its middle part. Needed when there are several.")
@expires
@overlap
@store_options
def rotate_key(*, key_id: str | None, overlap_hours: float, **options: Any) -> None:
    """Make a key that takes the place of another, which ends after the overlap."""
    with open_admin(options) as admin:
        api_key, _ = admin.rotate_key(
            OPERATOR_ID,
            key_id=key_id,
            expires_at_ms=expiry_ms(admin, options),
            overlap_ms=int(overlap_hours * HOUR_MS),
        )
    say_new_key(options, api_key)


@operator.command("revoke-key")
@click.argument("key_id")
@store_options
def revoke_key(key_id: str, **options: Any) -> None:
    """Take a key away; KEY_ID is the middle part of the key. Servers know within a minute."""
    with open_admin(options) as admin:
        admin.revoke_key(OPERATOR_ID, key_id)
    say(options, revoked=key_id)
