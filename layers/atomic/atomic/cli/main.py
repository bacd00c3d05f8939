"""`atomic serve` and `atomic clients`."""

from pathlib import Path

import click

from atomic import __version__
from atomic.adapters.sqlite.clients import create_client
from atomic.adapters.system import SystemClock
from atomic.entrypoints.embedded.logs import configure_logs
from atomic.entrypoints.embedded.server import ServeOptions, ServeRefusedError
from atomic.entrypoints.embedded.server import serve as run_server

_data_dir = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".atomic"),
    show_default=True,
    help="Where the server keeps its data.",
)


@click.group()
@click.version_option(__version__)
def main() -> None:
    """Durable workflows made of plain HTTP endpoints."""


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8787, show_default=True, help="Port to listen on; 0 takes a free one.")
@_data_dir
@click.option("--dev", is_flag=True, help="Loopback only; any client without a key; any URL.")
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning"]), default="info", show_default=True
)
def serve(host: str, port: int, data_dir: Path, dev: bool, log_level: str) -> None:
    """Run the server."""
    configure_logs(log_level)
    try:
        code = run_server(ServeOptions(host=host, port=port, data_dir=data_dir, dev=dev))
    except (ServeRefusedError, OSError) as refused:
        raise click.ClickException(str(refused)) from None
    raise SystemExit(code)


@main.group()
def clients() -> None:
    """The tenants of a server."""


@clients.command("create")
@click.argument("client_id")
@click.option("--base-url", "base_urls", multiple=True, required=True, help="URLs it may call begin so.")
@click.option("--starts-per-second", type=click.FloatRange(min=0, min_open=True), help="No limit without.")
@click.option("--allow-http", is_flag=True, help="Take base URLs without TLS.")
@_data_dir
def create(
    client_id: str,
    base_urls: tuple[str, ...],
    starts_per_second: float | None,
    allow_http: bool,
    data_dir: Path,
) -> None:
    """Make a client; its API key and signing secret are shown once."""
    insecure = [url for url in base_urls if not url.startswith("https://")]
    if insecure and not allow_http:
        raise click.ClickException(f"{insecure[0]} is not https; use https, or say --allow-http")
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        api_key, signing_secret = create_client(
            data_dir / "clients.db",
            client_id,
            base_urls=base_urls,
            starts_per_s=starts_per_second,
            now_ms=SystemClock().now_ms(),
        )
    except ValueError as refused:
        raise click.ClickException(str(refused)) from None
    click.echo(f"client:         {client_id}")
    click.echo(f"API key:        {api_key}")
    click.echo(f"signing secret: {signing_secret}")
    click.echo("Keep both now: the key is stored as a hash only and cannot be shown again.", err=True)
