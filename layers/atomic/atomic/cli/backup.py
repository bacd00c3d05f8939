"""`atomic backup` and `atomic restore`."""

from pathlib import Path

import click

from atomic.cli.options import data_dir as data_dir_option
from atomic.entrypoints.embedded.backup import BackupRefusedError, back_up
from atomic.entrypoints.embedded.restore import RestoreRefusedError
from atomic.entrypoints.embedded.restore import restore as restore_backup


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
        f"To restore it into an empty data directory: atomic restore {directory} --data-dir DIRECTORY",
        err=True,
    )


@click.command()
@click.argument("directory", metavar="BACKUP", type=click.Path(path_type=Path))
@data_dir_option
@click.option(
    "--partial",
    is_flag=True,
    help="Also a backup that lacks files, has those of two servers, or has damaged rows; runs or clients "
    "may be missing.",
)
def restore(directory: Path, data_dir: Path, *, partial: bool) -> None:
    """Copy BACKUP into a data directory that is new or empty, so that a server can start there. What a
    restore left that was cut off is replaced.

    A backup that is damaged, or not whole, is refused.
    """
    try:
        restored = restore_backup(directory, data_dir, is_partial=partial)
    except (RestoreRefusedError, OSError) as refused:
        raise click.ClickException(str(refused)) from None
    click.echo(f"{data_dir}  {restored.runs} runs  {restored.clients} clients")
    if restored.left_out:
        click.echo(
            f"{len(restored.left_out)} runs are left out, because a row of them is damaged; repeated "
            f"starts of them call endpoints again: {' '.join(restored.left_out)}",
            err=True,
        )
    click.echo(
        "Start a server there. While two servers run on copies of one directory, both call the endpoints.",
        err=True,
    )
