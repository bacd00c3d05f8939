"""Options that several commands share."""

from pathlib import Path

import click

data_dir = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".atomic"),
    show_default=True,
    help="Where the embedded server keeps its data.",
)
