"""`atomic serve`."""

from typing import Any

import click

from atomic.cli.options import data_dir
from atomic.entrypoints.embedded.logs import configure_logs
from atomic.entrypoints.embedded.server import ServeOptions, ServeRefusedError
from atomic.entrypoints.embedded.server import serve as run_server


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8787, show_default=True, help="Port to listen on; 0 takes a free one.")
@data_dir
@click.option(
    "--dev", is_flag=True, help="For development: loopback only, no API keys, and steps may call any URL."
)
@click.option("--allow-private", is_flag=True, help="Let steps call this machine and private networks.")
@click.option(
    "--allow-host", multiple=True, help="A host name by which browsers and clients reach the server."
)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning"]), default="info", show_default=True
)
def serve(*, allow_host: tuple[str, ...], log_level: str, **options: Any) -> None:
    """Run the server."""
    configure_logs(log_level)
    try:
        code = run_server(ServeOptions(allowed_hosts=allow_host, **options))
    except (ServeRefusedError, OSError) as refused:
        raise click.ClickException(str(refused)) from None
    raise SystemExit(code)
