"""`atomic clients`: the tenants of a server or of a deployed stack."""

from pathlib import Path

import click

from atomic.adapters.sqlite.clients import create_client
from atomic.adapters.system import SystemClock
from atomic.cli.options import data_dir
from atomic.cli.output import to_json
from atomic.protocol.urls import parse_url, with_ascii_host


@click.group()
def clients() -> None:
    """The tenants of a server or of a deployed stack."""


@clients.command("create")
@click.argument("client_id")
@click.option("--base-url", "base_urls", multiple=True, required=True, help="URLs it may call begin so.")
@click.option("--starts-per-second", type=click.FloatRange(min=0, min_open=True), help="No limit without.")
@click.option("--allow-http", is_flag=True, help="Take base URLs without TLS.")
@click.option("--allow-ip", is_flag=True, help="Take base URLs with an IP address for a host.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_dir
@click.option(
    "--table", help="The table of a stack on AWS instead; the credentials are those of the AWS CLI."
)
def create(
    client_id: str,
    *,
    base_urls: tuple[str, ...],
    starts_per_second: float | None,
    allow_http: bool,
    allow_ip: bool,
    as_json: bool,
    data_dir: Path,
    table: str | None,
) -> None:
    """Make a client; its API key and signing secret are shown once."""
    try:
        _refuse_unusual(base_urls, allow_http=allow_http, allow_ip=allow_ip)
        if table is None:
            api_key, secret = _create_embedded(data_dir, client_id, base_urls, starts_per_second)
        else:
            # The AWS parts are an extra, and most servers have no use for them.
            from atomic.entrypoints.aws import operators

            api_key, secret = operators.create_client(
                table, client_id, base_urls=base_urls, starts_per_s=starts_per_second
            )
    except (ValueError, OSError) as refused:
        raise click.ClickException(str(refused)) from None
    if as_json:
        click.echo(to_json({"clientId": client_id, "apiKey": api_key, "signingSecret": secret}))
    else:
        click.echo(f"client:         {client_id}\nAPI key:        {api_key}\nsigning secret: {secret}")
    click.echo("Keep both now: the key is stored as a hash only and cannot be shown again.", err=True)


def _refuse_unusual(base_urls: tuple[str, ...], *, allow_http: bool, allow_ip: bool) -> None:
    for url in base_urls:
        parts = parse_url(with_ascii_host(url))
        if parts.scheme != "https" and not allow_http:
            raise ValueError(f"{url} is not https; use https, or say --allow-http")
        if parts.is_literal and not allow_ip:
            raise ValueError(f"{url} has an address for a host; use a name, or say --allow-ip")


def _create_embedded(
    data_dir: Path, client_id: str, base_urls: tuple[str, ...], starts_per_s: float | None
) -> tuple[str, str]:
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return create_client(
        data_dir / "clients.db",
        client_id,
        base_urls=base_urls,
        starts_per_s=starts_per_s,
        now_ms=SystemClock().now_ms(),
    )
