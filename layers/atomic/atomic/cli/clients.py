"""`atomic clients`: the clients of a server or of a deployed stack."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
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
from atomic.domain.clients.client import SCOPES_DEFAULT
from atomic.domain.clients.quota import LIMITS, Quota, quota_view, words_of
from atomic.domain.clients.records import ClientRecord, is_live
from atomic.domain.clients.rules import refuse_unusual
from atomic.protocol.enums import SCOPES

_redact = click.option(
    "--redact", multiple=True, help="A member of payloads and responses to show as a hash to readers."
)
_base_url = click.option(
    "--base-url",
    "base_urls",
    multiple=True,
    required=True,
    help="A prefix of the URLs that the client may call.",
)
_origin = click.option(
    "--origin", "origins", multiple=True, help="An origin of pages that may call the API, by CORS."
)
_role = click.option(
    "--role", "roles", multiple=True, help="ARN of an IAM role whose signed requests need no key (on AWS)."
)
_allow_http = click.option("--allow-http", is_flag=True, help="Accept base URLs without TLS.")
_allow_ip = click.option("--allow-ip", is_flag=True, help="Accept base URLs whose host is an IP address.")


def _quota_options(command: Callable[..., None]) -> Callable[..., None]:
    """One option for each limit."""
    for name, limit in reversed(LIMITS.items()):
        kind = click.IntRange(min=1) if limit.is_whole else click.FloatRange(min=0, min_open=True)
        text = f"{limit.help} Maximum (default: unlimited).".strip()
        command = click.option(f"--{name.replace('_', '-')}", type=kind, help=text)(command)
    return command


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
@click.option("--ed25519", is_flag=True, help="Sign with Ed25519, too; the public keys are published.")
@click.option("--no-callbacks", is_flag=True, help="Its events have no callback URLs.")
@_origin
@_role
@_redact
@_allow_http
@_allow_ip
@expires
@_quota_options
@store_options
def create(client_id: str, *, base_urls: tuple[str, ...], scopes: tuple[str, ...], **options: Any) -> None:
    """Make a client; its API key and signing secret are shown once."""
    with open_admin(options) as admin:
        refuse_unusual(base_urls, allow_http=options["allow_http"], allow_ip=options["allow_ip"])
        api_key, secret = admin.create(
            client_id,
            base_urls=base_urls,
            quota=_quota(options),
            scopes=scopes,
            expires_at_ms=expiry_ms(admin, options),
            ed25519=options["ed25519"],
            redact=options["redact"],
            callbacks=not options["no_callbacks"],
            origins=options["origins"],
            roles=options["roles"],
        )
    say(options, clientId=client_id, apiKey=api_key, signingSecret=secret)
    click.echo("Save both now: only a hash of the key is stored, and neither can be shown again.", err=True)


@clients.command("list")
@store_options
def show(**options: Any) -> None:
    """List clients with their base URLs, limits and the ids of their keys. Secrets are not shown."""
    with open_admin(options) as admin:
        found = [record for id_ in admin.store.ids() if (record := admin.store.load(id_)) is not None]
        if options["as_json"]:
            click.echo(to_json([_document(record) for record in found]))
        else:
            click.echo("\n".join(line for record in found for line in _described(record, admin.now_ms())))


@clients.command("add-key")
@click.argument("client_id")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    required=True,
    help="What the key may do.",
)
@expires
@store_options
def add_key(client_id: str, *, scopes: tuple[str, ...], **options: Any) -> None:
    """Make another API key. The existing ones stay valid."""
    with open_admin(options) as admin:
        api_key, _ = admin.add_key(client_id, scopes=scopes, expires_at_ms=expiry_ms(admin, options))
    say_new_key(options, api_key)


@clients.command("rotate")
@click.argument("client_id")
@click.option(
    "--key", "key_id", help="The id (middle part) of the key to replace. Required if there are several."
)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    help="What the new key may do (default: the same as the old one).",
)
@expires
@overlap
@store_options
def rotate(
    client_id: str, *, key_id: str | None, scopes: tuple[str, ...], overlap_hours: float, **options: Any
) -> None:
    """Make an API key that replaces another, which expires after the overlap."""
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
    """Make a new signing secret. Both sign until the old one expires after the overlap."""
    with open_admin(options) as admin:
        secret = admin.rotate_secret(client_id, overlap_ms=int(overlap_hours * HOUR_MS))
    say(options, signingSecret=secret.text)


@clients.command("revoke")
@click.argument("client_id")
@click.argument("key_id")
@store_options
def revoke(client_id: str, key_id: str, **options: Any) -> None:
    """Revoke an API key. KEY_ID is the middle part of the key. Takes effect within a minute."""
    with open_admin(options) as admin:
        admin.revoke_key(client_id, key_id)
    say(options, revoked=key_id)


@clients.command("limits")
@click.argument("client_id")
@_quota_options
@store_options
def limits(client_id: str, **options: Any) -> None:
    """Set the limits of a client. A limit that is left out is removed."""
    with open_admin(options) as admin:
        changed = admin.change(client_id, quota=asdict(_quota(options)))
    say(options, **quota_view(changed.quota))


@clients.command("redact")
@click.argument("client_id")
@_redact
@store_options
def redact(client_id: str, *, redact: tuple[str, ...], **options: Any) -> None:
    """Set which members readers see as a hash, such as `--redact email --redact card.number`."""
    with open_admin(options) as admin:
        admin.change(client_id, redact=redact)
    say(options, redacted=redact)


@clients.command("callbacks")
@click.argument("client_id")
@click.argument("state", type=click.Choice(["on", "off"]))
@store_options
def callbacks(client_id: str, *, state: str, **options: Any) -> None:
    """Say whether the events of a client have callback URLs. If not, those that exist are refused, too."""
    with open_admin(options) as admin:
        changed = admin.change(client_id, callbacks=state == "on")
    say(options, callbacks=changed.callbacks)


@clients.command("origins")
@click.argument("client_id")
@_origin
@store_options
def origins(client_id: str, *, origins: tuple[str, ...], **options: Any) -> None:
    """Set the origins whose pages may call the API, as in `--origin https://shop.example`."""
    with open_admin(options) as admin:
        changed = admin.change(client_id, origins=origins)
    say(options, origins=changed.origins)


@clients.command("roles")
@click.argument("client_id")
@_role
@store_options
def roles(client_id: str, *, roles: tuple[str, ...], **options: Any) -> None:
    """Set the roles and users of IAM whose signed requests need no key. For stacks on AWS."""
    with open_admin(options) as admin:
        changed = admin.change(client_id, roles=roles)
    say(options, roles=changed.roles)


@clients.command("base-urls")
@click.argument("client_id")
@_base_url
@_allow_http
@_allow_ip
@store_options
def base_urls(client_id: str, *, base_urls: tuple[str, ...], **options: Any) -> None:
    """Set which URLs a client may call. Later attempts at other URLs fail."""
    with open_admin(options) as admin:
        refuse_unusual(base_urls, allow_http=options["allow_http"], allow_ip=options["allow_ip"])
        changed = admin.change(client_id, base_urls=base_urls)
    say(options, baseUrls=changed.base_urls)


def _quota(options: dict[str, Any]) -> Quota:
    return Quota(**{limit: options[limit] for limit in LIMITS})


def _document(record: ClientRecord) -> dict[str, Any]:
    """A client, without its secrets."""
    return {
        "clientId": record.id,
        "baseUrls": record.base_urls,
        "keys": [key_document(key) for key in record.keys],
        **quota_view(record.quota),
        "redacted": record.redact,
        "callbacks": record.callbacks,
        "origins": record.origins,
        "roles": record.roles,
    }


def _described(record: ClientRecord, now_ms: int) -> Iterator[str]:
    yield record.id
    yield from (f"  base URL  {url}" for url in record.base_urls)
    yield from (f"  key       {key_line(key, now_ms)}" for key in record.keys)
    live = sum(is_live(secret, now_ms) for secret in record.secrets)
    yield f"  signing   {live} live secret{'s' if live != 1 else ''}"
    if record.redact:
        yield f"  redacted  {' '.join(record.redact)}"
    if not record.callbacks:
        yield "  callbacks off"
    yield from (f"  role      {role}" for role in record.roles)
    yield from (f"  origin    {origin}" for origin in record.origins)
    yield f"  limits    {_limits_line(record.quota)}"


def _limits_line(quota: Quota) -> str:
    return ", ".join(f"{words_of(name)}: {_most(value)}" for name, value in asdict(quota).items())


def _most(value: float | None) -> str:
    if value is None:
        return "any"
    return str(value) if isinstance(value, int) else f"{value:g}"
