"""`atomic clients`: the clients of a server or of a deployed stack."""

from collections.abc import Iterator
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
from atomic.protocol.client_records import SCOPES_DEFAULT, ClientRecord, LimitChanges, Quota, is_live
from atomic.protocol.client_rules import refuse_unusual
from atomic.protocol.enums import SCOPES

_starts = click.option(
    "--starts-per-second", type=click.FloatRange(min=0, min_open=True), help="No limit without."
)
_redact = click.option(
    "--redact", multiple=True, help="A member of payloads and answers that readers see as a hash."
)
_stored = click.option(
    "--stored-bytes", type=click.IntRange(min=1), help="Payloads and answers. No limit without."
)
_live = click.option("--live-steps", type=click.IntRange(min=1), help="No limit without.")
_base_url = click.option(
    "--base-url", "base_urls", multiple=True, required=True, help="URLs it may call begin so."
)
_allow_http = click.option("--allow-http", is_flag=True, help="Take base URLs without TLS.")
_allow_ip = click.option("--allow-ip", is_flag=True, help="Take base URLs with an IP address for a host.")


@click.group()
def clients() -> None:
    """The clients of a server or of a deployed stack."""


@clients.command("create")
@click.argument("client_id")
@_base_url
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(SCOPES), default=SCOPES_DEFAULT,
    show_default=True, help="What its key may do.",
)  # fmt: skip
@click.option("--ed25519", is_flag=True, help="Sign by Ed25519, too; its public keys are published.")
@_redact
@_allow_http
@_allow_ip
@expires
@_starts
@_live
@_stored
@store_options
def create(client_id: str, *, base_urls: tuple[str, ...], scopes: tuple[str, ...], **options: Any) -> None:
    """Make a client; its API key and signing secret are shown once."""
    with open_admin(options) as admin:
        refuse_unusual(base_urls, allow_http=options["allow_http"], allow_ip=options["allow_ip"])
        api_key, secret = admin.create(
            client_id,
            base_urls=base_urls,
            limits=Quota(**_limits(options)),
            scopes=scopes,
            expires_at_ms=expiry_ms(admin, options),
            ed25519=options["ed25519"],
            redact=options["redact"],
        )
    say(options, clientId=client_id, apiKey=api_key, signingSecret=secret)
    click.echo("Keep both now: the key is stored as a hash only and cannot be shown again.", err=True)


@clients.command("list")
@store_options
def show(**options: Any) -> None:
    """List clients with their base URLs, keys and limits; never a key or a secret itself."""
    with open_admin(options) as admin:
        found = [record for id_ in admin.store.ids() if (record := admin.store.load(id_)) is not None]
        if options["as_json"]:
            click.echo(to_json([_document(record) for record in found]))
        else:
            click.echo("\n".join(line for record in found for line in _described(record, admin.now_ms())))


@clients.command("add-key")
@click.argument("client_id")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(SCOPES), required=True, help="What it may do."
)
@expires
@store_options
def add_key(client_id: str, *, scopes: tuple[str, ...], **options: Any) -> None:
    """Make one more API key beside those there are."""
    with open_admin(options) as admin:
        api_key, _ = admin.add_key(client_id, scopes=scopes, expires_at_ms=expiry_ms(admin, options))
    say_new_key(options, api_key)


@clients.command("rotate")
@click.argument("client_id")
@click.option("--key", "key_id", help="The key to replace: its middle part. Needed when there are several.")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="Those of the old key without."
)
@expires
@overlap
@store_options
def rotate(
    client_id: str, *, key_id: str | None, scopes: tuple[str, ...], overlap_hours: float, **options: Any
) -> None:
    """Make an API key that takes the place of another, which ends after the overlap."""
    with open_admin(options) as admin:
        api_key, _ = admin.rotate_key(
            client_id,
            key_id=key_id,
            scopes=scopes or None,
            expires_at_ms=expiry_ms(admin, options),
            overlap_ms=int(overlap_hours * HOUR_MS),
        )
    say_new_key(options, api_key)


@clients.command("rotate-secret")
@click.argument("client_id")
@overlap
@store_options
def rotate_secret(client_id: str, *, overlap_hours: float, **options: Any) -> None:
    """Make a second signing secret; both sign until the old one ends after the overlap."""
    with open_admin(options) as admin:
        secret = admin.rotate_secret(client_id, overlap_ms=int(overlap_hours * HOUR_MS))
    say(options, signingSecret=secret.text)


@clients.command("revoke")
@click.argument("client_id")
@click.argument("key_id")
@store_options
def revoke(client_id: str, key_id: str, **options: Any) -> None:
    """Take an API key away; KEY_ID is the middle part of the key. Servers know within a minute."""
    with open_admin(options) as admin:
        admin.revoke_key(client_id, key_id)
    say(options, revoked=key_id)


@clients.command("limits")
@click.argument("client_id")
@_starts
@_live
@_stored
@store_options
def limits(client_id: str, **options: Any) -> None:
    """Set what a client may use; what is left out has no limit."""
    with open_admin(options) as admin:
        admin.change(client_id, limits=_limits(options))
    say(
        options,
        startsPerSecond=options["starts_per_second"],
        liveSteps=options["live_steps"],
        storedBytes=options["stored_bytes"],
    )


@clients.command("redact")
@click.argument("client_id")
@_redact
@store_options
def redact(client_id: str, *, redact: tuple[str, ...], **options: Any) -> None:
    """Set which members readers see as a hash, as in `--redact email --redact card.number`."""
    with open_admin(options) as admin:
        admin.change(client_id, redact=redact)
    say(options, redacted=redact)


@clients.command("base-urls")
@click.argument("client_id")
@_base_url
@_allow_http
@_allow_ip
@store_options
def base_urls(client_id: str, *, base_urls: tuple[str, ...], **options: Any) -> None:
    """Set which URLs a client may call; attempts at others fail from then on."""
    with open_admin(options) as admin:
        refuse_unusual(base_urls, allow_http=options["allow_http"], allow_ip=options["allow_ip"])
        changed = admin.change(client_id, base_urls=base_urls)
    say(options, baseUrls=changed.base_urls)


def _limits(options: dict[str, Any]) -> LimitChanges:
    return {
        "starts_per_s": options["starts_per_second"],
        "live_steps": options["live_steps"],
        "stored_bytes": options["stored_bytes"],
    }


def _document(record: ClientRecord) -> dict[str, Any]:
    """A client without what is secret."""
    return {
        "clientId": record.id,
        "baseUrls": record.base_urls,
        "keys": [key_document(key) for key in record.keys],
        "startsPerSecond": record.limits.starts_per_s,
        "liveSteps": record.limits.live_steps,
        "storedBytes": record.limits.stored_bytes,
        "redacted": record.redact,
    }


def _described(record: ClientRecord, now_ms: int) -> Iterator[str]:
    yield record.id
    yield from (f"  base URL  {url}" for url in record.base_urls)
    yield from (f"  key       {key_line(key, now_ms)}" for key in record.keys)
    live = sum(is_live(secret, now_ms) for secret in record.secrets)
    yield f"  signing   {live} live secret{'s' if live != 1 else ''}"
    if record.redact:
        yield f"  redacted  {' '.join(record.redact)}"
    yield f"  limits    {_limits_line(record.limits)}"


def _limits_line(limits: Quota) -> str:
    rate = "any" if limits.starts_per_s is None else f"{limits.starts_per_s:g}"
    live = "any" if limits.live_steps is None else str(limits.live_steps)
    stored = "any" if limits.stored_bytes is None else str(limits.stored_bytes)
    return f"starts per second: {rate}, live steps: {live}, stored bytes: {stored}"
