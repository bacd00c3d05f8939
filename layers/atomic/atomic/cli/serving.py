"""`atomic serve`."""

from pathlib import Path

import click

from atomic.cli.options import data_dir
from atomic.entrypoints.embedded.logs import configure_logs
from atomic.entrypoints.embedded.server import ServeOptions, ServeRefusedError
from atomic.entrypoints.embedded.server import serve as run_server


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8787, show_default=True, help="Port to listen on; 0 takes a free one.")
@data_dir
@click.option("--dev", is_flag=True, help="Loopback only; any client without a key; any URL.")
@click.option("--allow-private", is_flag=True, help="Steps may call this machine and private networks.")
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning"]), default="info", show_default=True
)
def serve(*, host: str, port: int, data_dir: Path, dev: bool, allow_private: bool, log_level: str) -> None:
    """Run the server."""
    configure_logs(log_level)
    try:
        options = ServeOptions(
            host=host, port=port, data_dir=data_dir, dev=dev, allow_private=allow_private
        )
        code = run_server(options)
    except (ServeRefusedError, OSError) as refused:
        raise click.ClickException(str(refused)) from None
    raise SystemExit(code)
