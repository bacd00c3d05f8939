"""`atomic answer`: answer a call whose endpoint answers later."""

from typing import Any

import click

from atomic.cli.api import Api, calls_api, json_argument
from atomic.protocol import headers
from atomic.sdk._wire import answers


@click.command()
@click.argument("step_id", metavar="STEP")
@click.argument("body", default="null")
@click.option("--token", required=True, help="The Atomic-Attempt-Token of the call.")
@click.option(
    "--status",
    default=200,
    show_default=True,
    type=click.IntRange(200, 599),
    help="The status that the endpoint would have answered with.",
)
@click.option("--no-retry", is_flag=True, help="With a status of a failure: the step is not retried.")
@calls_api
def answer(api: Api, step_id: str, body: str, *, token: str, status: int, no_retry: bool) -> None:
    """Answer a call of STEP with BODY (JSON, @file, or - for standard input; default: null)."""
    document: dict[str, Any] = {"status": status, "body": json_argument(body, "BODY")}
    if no_retry:
        document["headers"] = {headers.NO_RETRY: "true"}
    client = api.client
    flow = answers.answer(client.client_id, f"{step_id}/{token}", document, client.patience_s)
    step = client.run_flow(flow)
    api.show(step, f"{step.id} is {step.status}")
