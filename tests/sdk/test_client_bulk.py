"""Bulks: in both clients, and from the command line, on a real server."""

import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from click.testing import CliRunner, Result

from answering import Answering
from atomic.cli.main import main
from atomic.sdk import Client, InvalidRequestError, NotFoundError, PayloadMismatchError, StepFailedError

Call = Callable[..., Any]


@pytest.fixture
def call(call_part: Call) -> Call:
    """Call a method of a client's bulks."""
    return partial(call_part, "bulk")


def fail_some(url: str, client_id: str, keys: list[str], **options: Any) -> None:
    """Start runs that fail."""
    endpoint = Answering(lambda _path, _call: (410, b"gone"))
    try:
        with Client(url, client_id=client_id) as client:
            for key in keys:
                with pytest.raises(StepFailedError):
                    client.start("w", f"{endpoint.url}/gone", key=key, retry=0, **options)
    finally:
        endpoint.close()


def until_ended(call: Call, run_id: str) -> Any:
    deadline_s = time.monotonic() + 30
    while (found := call("get", run_id)).finished_at is None:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    return found


def test_a_bulk_in_a_client(call: Call, atomic_url: str, client_id: str) -> None:
    fail_some(atomic_url, client_id, ["k-1", "k-2"], tags={"outage": "1"})
    fail_some(atomic_url, client_id, ["other"])

    counted = call("count", "restart", tag="outage:1", response_status=410)
    begun = call("start", "restart", note="mended", key="b-1", tag=["outage:1"], response_status=410)
    found = until_ended(call, begun.run_id)
    again = call("start", "restart", note="mended", key="b-1", tag=["outage:1"], response_status=410)

    assert (counted.do, counted.runs, counted.is_all) == ("restart", 2, True)
    assert {run.idempotency_key for run in counted.sample} == {"k-1", "k-2"}
    assert (found.status, found.runs, found.done, found.refused) == ("succeeded", 2, 2, 0)
    assert found.filter == {"tag": ["outage:1"], "responseStatus": 410}
    assert (again.run_id, again.note) == (begun.run_id, "mended")
    assert (
        call("start", "cancel", key_prefix="none").run_id
        != call("start", "cancel", key_prefix="none").run_id
    )
    with pytest.raises(PayloadMismatchError):
        call("start", "restart", key="b-1", tag="outage:2")


def test_what_is_refused(call: Call) -> None:
    with pytest.raises(InvalidRequestError, match="give at least one condition"):
        call("start", "cancel")
    with pytest.raises(InvalidRequestError, match="status: redrive changes only runs that are failed"):
        call("count", "redrive", status="succeeded")
    with pytest.raises(InvalidRequestError, match="key_suffix"):
        call("count", "redrive", key_suffix="x")
    with pytest.raises(NotFoundError):
        call("get", "run_" + 32 * "e")


def test_a_bulk_from_the_command_line(atomic_url: str, client_id: str) -> None:
    fail_some(atomic_url, client_id, ["k-1", "k-2"])

    def command(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["bulk", *arguments, "--url", atomic_url, "--client", client_id])

    dry = command("redrive", "--workflow", "w", "--dry-run")
    done = command("redrive", "--workflow", "w", "--note", "mended", "--key", "b-1")
    again = command("redrive", "--workflow", "w", "--note", "mended", "--key", "b-1", "--json")
    empty = command("redrive")

    assert (dry.exit_code, dry.output) == (0, "redrive: 2 runs, such as k-2, k-1\n")
    assert done.exit_code == 0
    assert done.output.splitlines()[-1].endswith(" is succeeded: 2 of 2 done")
    found = json.loads(again.output)
    assert (found["status"], found["done"]) == ("succeeded", 2)
    assert done.output.splitlines()[-1].startswith(found["runId"])
    assert (empty.exit_code, "give at least one condition" in empty.output) == (1, True)
