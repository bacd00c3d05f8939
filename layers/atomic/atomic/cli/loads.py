"""`atomic endpoints` and `atomic limits`: how endpoints do, and what is used of the client's limits."""

import click

from atomic.cli.api import Api, calls_api
from atomic.cli.output import table
from atomic.protocol.endpoint_documents import EndpointDocument, UsageDocument

_HEAD = ("origin", "attempts", "failed", "p50 ms", "p95 ms", "under way", "at once", "waiting")


@click.command()
@calls_api
def endpoints(api: Api) -> None:
    """List the origins that were called in the last 15 minutes, the one that failed most first."""
    found = api.client.endpoints()
    rows = [_row(each) for each in found]
    api.show(found, table(_HEAD, rows) if rows else "no attempts in the last 15 minutes")


@click.command()
@calls_api
def limits(api: Api) -> None:
    """Show the limits of the client, and what is used of them."""
    found = api.client.limits()
    each = {
        "starts a second": found.starts_per_second,
        "live steps": found.live_steps,
        "stored bytes": found.stored_bytes,
    }
    api.show(found, "\n".join(f"{name:<16} {_used(usage)}" for name, usage in each.items()))


def _row(found: EndpointDocument) -> list[str]:
    numbers = (found.duration_ms_p50, found.duration_ms_p95, found.under_way)
    most = "any" if found.limit is None else str(found.limit)
    return [
        found.origin or "(others)",
        str(found.attempts),
        str(found.failed),
        *("–" if number is None else str(number) for number in numbers),
        f"{most}, slowed" if found.slowed else most,
        str(found.waiting),
    ]


def _used(usage: UsageDocument) -> str:
    if usage.limit is None:
        return "no limit"
    most = f"{usage.limit:g}" if usage.limit % 1 else f"{usage.limit:.0f}"
    return f"at most {most}" if usage.used is None else f"{usage.used} of {most}"
