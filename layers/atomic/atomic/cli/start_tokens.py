"""`atomic start-token`: a short-lived key for a page."""

import click

from atomic.cli.api import Api, calls_api


@click.command("start-token")
@click.option(
    "--workflow",
    "workflows",
    nargs=2,
    multiple=True,
    required=True,
    metavar="NAME URL",
    help="A workflow that the token may start. May be given several times.",
)
@click.option("--key-prefix", help="The keys of its runs begin with it (default: a new one).")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, max=24 * 60, min_open=True),
    default=15,
    show_default=True,
    help="Until the token expires.",
)
@click.option("--steps", is_flag=True, help="It may also read the steps of its runs.")
@calls_api
def command(
    api: Api, *, workflows: tuple[tuple[str, str], ...], key_prefix: str | None, minutes: float, steps: bool
) -> None:
    """Make a short-lived key that may start these workflows, and read what it started."""
    made = api.client.start_token(
        dict(workflows), key_prefix=key_prefix, expires_in=60 * minutes, steps=steps
    )
    api.show(made, f"token      {made.token}\nkeyPrefix  {made.key_prefix}\nexpiresAt  {made.expires_at}")
