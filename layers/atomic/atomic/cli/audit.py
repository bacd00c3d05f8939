"""`atomic audit`: what operators did."""

from datetime import datetime

import click

from atomic.cli.api import Api, calls_api
from atomic.cli.options import MOMENTS, moment
from atomic.protocol.audit_documents import ActDocument


@click.command()
@click.option("--action", help="Only this operation, such as cancelRun.")
@click.option("--by", help="Only what this key did (its id, the middle part), or this ARN.")
@click.option("--from", "since", type=moment, metavar="TIME", help=f"Only from then on: {MOMENTS}.")
@click.option("--before", type=moment, metavar="TIME", help="Only before then.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1))
@calls_api
def audit(
    api: Api,
    *,
    action: str | None,
    by: str | None,
    since: datetime | None,
    before: datetime | None,
    limit: int,
) -> None:
    """List what operators did, the newest first. It needs a key with the scope admin."""
    found = api.client.audit(action=action, by=by, since=since, before=before, limit=limit)
    api.show(found, "\n".join(map(_line, found)) or "nothing")


def _line(act: ActDocument) -> str:
    what = " ".join([act.action, *act.target.values()])
    by = act.by or act.by_kind
    return f"{act.at}  {what}  {act.status or 'no answer'}  by {by} from {act.source or '?'}"
