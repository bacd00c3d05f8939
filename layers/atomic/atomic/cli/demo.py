"""`atomic demo`."""

import click

from atomic.cli import serving  # noqa: F401 - what the demo runs; without it, say what to install
from atomic.demo.run import play


@click.command()
def demo() -> None:
    """Run a workflow of three steps on this machine and show every call of it.

    Atomic and an application start on free loopback ports. On a terminal both stay up, with a dashboard to
    look at, until Ctrl-C; elsewhere the demo ends by itself.
    """
    raise SystemExit(play())
