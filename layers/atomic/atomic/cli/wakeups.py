"""`atomic send-wakeups`."""

from typing import Any

import click

from atomic.cli.client_store import extra


@click.command()
@click.option("--table", required=True, help="The table of a stack on AWS.")
@click.option("--queue-url", required=True, help="The output QueueUrl of the stack.")
@click.option("--long-queue-url", required=True, help="The output LongQueueUrl of the stack.")
@click.option(
    "--rate", "per_s", type=click.FloatRange(min=0, min_open=True), default=100, show_default=True,
    help="How many wake-ups to send in a second.",
)  # fmt: skip
@click.option("--from", "cursor", help="Where to go on, as an earlier call has printed it.")
def send_wakeups(**options: Any) -> None:
    """Send a wake-up for every live step of a table on AWS.

    A restored table has steps, and no messages. The command reads the whole table. It may be repeated.
    """
    with extra("aws"):
        from atomic.entrypoints.aws import live_steps
    table, done = options.pop("table"), None
    try:
        for done in live_steps.send_wakeups(table, **options):
            if done.cursor is not None:
                click.echo(f"{_said(done)}; goes on with --from {done.cursor}", err=True)
    except ValueError as refused:
        raise click.ClickException(str(refused)) from None
    click.echo(_said(done))


def _said(done: Any) -> str:
    return f"{done.sent} wake-ups for the live steps among {done.read} rows"
