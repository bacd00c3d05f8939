"""`atomic backup`."""

from pathlib import Path

import click

from atomic.cli.options import data_dir as data_dir_option
from atomic.entrypoints.embedded.backup import BackupRefusedError, back_up


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@data_dir_option
def backup(directory: Path, data_dir: Path) -> None:
    """Copy a data directory into DIRECTORY, which must be new or empty. The server may be running.

    The copy has the databases, the pepper and the secrets: all that a server needs to start on it. Keep it
    as secret as the data directory.
    """
    try:
        copied = back_up(data_dir, directory)
    except (BackupRefusedError, OSError) as refused:
        raise click.ClickException(str(refused)) from None
    for path in copied:
        click.echo(f"{path}  {path.stat().st_size} bytes")
    click.echo(
        "To restore it, stop the server, copy these files into an empty data directory, and start a server "
        "there. While two servers run on copies, both call the endpoints.",
        err=True,
    )
