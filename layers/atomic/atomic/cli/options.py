"""Options that several commands share."""

from pathlib import Path

import click

data_dir = click.option(
    "--data-dir",
    envvar="ATOMIC_DATA_DIR",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".atomic"),
    show_default=True,
    show_envvar=True,
    help="Where the embedded server keeps its data.",
)
