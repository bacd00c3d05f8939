"""`atomic clients`: the clients of a server or of a deployed stack."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import click

from atomic.application.client_admin import ClientAdmin
from atomic.cli.options import data_dir
from atomic.cli.output import to_json
from atomic.protocol.client_records import SCOPES, SCOPES_DEFAULT, ClientRecord, Limits, is_live
from atomic.protocol.timestamps import to_rfc3339
from atomic.protocol.urls import parse_url, with_ascii_host

_HOUR_MS: Final = 3600 * 1000
_DAY_MS: Final = 24 * _HOUR_MS
_KEEP_IT: Final = "Keep it now: it is stored as a hash only and cannot be shown again."
_LABELS: Final = {
    "clientId": "client",
    "apiKey": "API key",
    "signingSecret": "signing secret",
    "startsPerSecond": "starts a second",
    "liveSteps": "live steps",
    "storedBytes": "stored bytes",
}

_table = click.option(
    "--table", help="The table of a stack on AWS instead; the credentials are those of the AWS CLI."
)
_expires = click.option(
    "--expires-in-days", type=click.FloatRange(min=0, min_open=True), help="The key ends by itself."
)
_overlap = click.option(
    "--overlap-hours", type=click.FloatRange(min=0), default=24.0, show_default=True,
    help="How long the old one stays good.",
)  # fmt: skip
_starts = click.option(
    "--starts-per-second", type=click.FloatRange(min=0, min_open=True), help="No limit without."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_redact = click.option(
    "--redact", multiple=True, help="A member of payloads and answers that readers see as a hash."
)
_stored = click.option(
    "--stored-bytes", type=click.IntRange(min=1), help="Payloads and answers. No limit without."
)
_live = click.option("--live-steps", type=click.IntRange(min=1), help="No limit without.")


def _kept_somewhere(command: Callable[..., None]) -> Callable[..., None]:
    return data_dir(_table(_json(command)))


@click.group()
def clients() -> None:
    """The clients of a server or of a deployed stack."""


@clients.command("create")
@click.argument("client_id")
@click.option("--base-url", "base_urls", multiple=True, required=True, help="URLs it may call begin so.")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(SCOPES), default=SCOPES_DEFAULT,
    show_default=True, help="What its key may do.",
)  # fmt: skip
@click.option("--ed25519", is_flag=True, help="Sign by Ed25519, too; its public keys are published.")
@_redact
@click.option("--allow-http", is_flag=True, help="Take base URLs without TLS.")
@click.option("--allow-ip", is_flag=True, help="Take base URLs with an IP address for a host.")
@_expires
@_starts
@_live
@_stored
@_kept_somewhere
def create(client_id: str, *, base_urls: tuple[str, ...], scopes: tuple[str, ...], **options: Any) -> None:
    """Make a client; its API key and signing secret are shown once."""
    with _admin(options) as admin:
        _refuse_unusual(base_urls, allow_http=options["allow_http"], allow_ip=options["allow_ip"])
        api_key, secret = admin.create(
            client_id,
            base_urls=base_urls,
            limits=_limits(options),
            scopes=scopes,
            expires_at_ms=_expiry_ms(admin, options),
            ed25519=options["ed25519"],
            redact=options["redact"],
        )
    _say(options, clientId=client_id, apiKey=api_key, signingSecret=secret)
    click.echo("Keep both now: the key is stored as a hash only and cannot be shown again.", err=True)


@clients.command("list")
@_kept_somewhere
def show(**options: Any) -> None:
    """List clients with their base URLs, keys and limits; never a key or a secret itself."""
    with _admin(options) as admin:
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
@_expires
@_kept_somewhere
def add_key(client_id: str, *, scopes: tuple[str, ...], **options: Any) -> None:
    """Make one more API key beside those there are."""
    with _admin(options) as admin:
        api_key, _ = admin.add_key(client_id, scopes=scopes, expires_at_ms=_expiry_ms(admin, options))
    _say(options, apiKey=api_key)
    click.echo(_KEEP_IT, err=True)


@clients.command("rotate")
@click.argument("client_id")
@click.option("--key", "key_id", help="The key to replace: its middle part. Needed when there are several.")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="Those of the old key without."
)
@_expires
@_overlap
@_kept_somewhere
def rotate(
    client_id: str, *, key_id: str | None, scopes: tuple[str, ...], overlap_hours: float, **options: Any
) -> None:
    """Make an API key that takes the place of another, which ends after the overlap."""
    with _admin(options) as admin:
        api_key, _ = admin.rotate_key(
            client_id,
            key_id=key_id,
            scopes=scopes or None,
            expires_at_ms=_expiry_ms(admin, options),
            overlap_ms=int(overlap_hours * _HOUR_MS),
        )
    _say(options, apiKey=api_key)
    click.echo(_KEEP_IT, err=True)


@clients.command("rotate-secret")
@click.argument("client_id")
@_overlap
@_kept_somewhere
def rotate_secret(client_id: str, *, overlap_hours: float, **options: Any) -> None:
    """Make a second signing secret; both sign until the old one ends after the overlap."""
    with _admin(options) as admin:
        secret = admin.rotate_secret(client_id, overlap_ms=int(overlap_hours * _HOUR_MS))
    _say(options, signingSecret=secret.text)


@clients.command("revoke")
@click.argument("client_id")
@click.argument("key_id")
@_kept_somewhere
def revoke(client_id: str, key_id: str, **options: Any) -> None:
    """Take an API key away; KEY_ID is the middle part of the key. Servers know within a minute."""
    with _admin(options) as admin:
        admin.revoke_key(client_id, key_id)
    _say(options, revoked=key_id)


@clients.command("limits")
@click.argument("client_id")
@_starts
@_live
@_stored
@_kept_somewhere
def limits(client_id: str, **options: Any) -> None:
    """Set what a client may use; what is left out has no limit."""
    with _admin(options) as admin:
        admin.change_limits(client_id, _limits(options))
    _say(
        options,
        startsPerSecond=options["starts_per_second"],
        liveSteps=options["live_steps"],
        storedBytes=options["stored_bytes"],
    )


@clients.command("redact")
@click.argument("client_id")
@_redact
@_kept_somewhere
def redact(client_id: str, *, redact: tuple[str, ...], **options: Any) -> None:
    """Set which members readers see as a hash, as in `--redact email --redact card.number`."""
    with _admin(options) as admin:
        admin.change_redaction(client_id, redact)
    _say(options, redacted=redact)


@contextmanager
def _admin(options: dict[str, Any]) -> Iterator[ClientAdmin]:
    """The clients of the data directory, or of the table; what they refuse ends the command."""
    try:
        with _open(options) as admin:
            yield admin
    except (ValueError, OSError) as refused:
        raise click.ClickException(str(refused)) from None


def _open(options: dict[str, Any]) -> AbstractContextManager[ClientAdmin]:
    # Each is an extra, and whoever has the one seldom needs the other.
    extra = "server" if options["table"] is None else "aws"
    try:
        if extra == "aws":
            from atomic.entrypoints.aws import operators

            return operators.admin(options["table"], os.environ.get("ATOMIC_KEY_PEPPER", "").encode())
        from atomic.entrypoints.embedded import operators as embedded

        return embedded.admin(options["data_dir"])
    except ModuleNotFoundError as missing:
        raise click.ClickException(
            f"{missing.name} is not installed: pip install 'atomic-workflows[{extra}]'"
        ) from None


def _refuse_unusual(base_urls: tuple[str, ...], *, allow_http: bool, allow_ip: bool) -> None:
    unusual = []
    for url in base_urls:
        parts = parse_url(with_ascii_host(url))
        if parts.scheme != "https" and not allow_http:
            unusual.append(f"{url} is not https; use https, or say --allow-http")
        if parts.is_literal and not allow_ip:
            unusual.append(f"{url} has an address for a host; use a name, or say --allow-ip")
    if unusual:
        raise ValueError("\n".join(unusual))


def _say(options: dict[str, Any], **document: Any) -> None:
    """Print what came of it."""
    if options["as_json"]:
        click.echo(to_json(document))
        return
    for name, value in document.items():
        click.echo(f"{_LABELS.get(name, name) + ':':<15} {'no limit' if value is None else value}")


def _limits(options: dict[str, Any]) -> Limits:
    return Limits(
        starts_per_s=options["starts_per_second"],
        live_steps=options["live_steps"],
        stored_bytes=options["stored_bytes"],
    )


def _expiry_ms(admin: ClientAdmin, options: dict[str, Any]) -> int | None:
    days = options["expires_in_days"]
    return None if days is None else admin.now_ms() + int(days * _DAY_MS)


def _document(record: ClientRecord) -> dict[str, Any]:
    """A client without what is secret."""
    return {
        "clientId": record.id,
        "baseUrls": record.base_urls,
        "keys": [
            {
                "id": key.id,
                "scopes": key.scopes,
                "expiresAt": key.expires_at_ms and to_rfc3339(key.expires_at_ms),
            }
            for key in record.keys
        ],
        "startsPerSecond": record.limits.starts_per_s,
        "liveSteps": record.limits.live_steps,
        "storedBytes": record.limits.stored_bytes,
        "redacted": record.redact,
    }


def _described(record: ClientRecord, now_ms: int) -> Iterator[str]:
    yield record.id
    yield from (f"  base URL  {url}" for url in record.base_urls)
    for key in record.keys:
        state = "" if is_live(key, now_ms) else ", ended"
        until = "" if key.expires_at_ms is None else f", until {to_rfc3339(key.expires_at_ms)}"
        yield f"  key       {key.id}: {' '.join(key.scopes)}{until}{state}"
    live = sum(is_live(secret, now_ms) for secret in record.secrets)
    yield f"  signing   {live} live secret{'s' if live != 1 else ''}"
    if record.redact:
        yield f"  redacted  {' '.join(record.redact)}"
    yield f"  limits    {_limits_line(record.limits)}"


def _limits_line(limits: Limits) -> str:
    rate = "any" if limits.starts_per_s is None else f"{limits.starts_per_s:g}"
    live = "any" if limits.live_steps is None else str(limits.live_steps)
    stored = "any" if limits.stored_bytes is None else str(limits.stored_bytes)
    return f"starts per second: {rate}, live steps: {live}, stored bytes: {stored}"
