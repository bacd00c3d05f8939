"""Hooks of a client: in both clients, and from the command line, on a real server."""

import json
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from click.testing import CliRunner, Result

from answering import Answering
from atomic.cli.main import main
from atomic.sdk import Client, InvalidRequestError, NotFoundError
from atomic.sdk.errors import RefusedError

Call = Callable[..., Any]
URL = "http://127.0.0.1:1/told"


@pytest.fixture
def call(call_part: Call) -> Call:
    """Call a method of a client's hooks."""
    return partial(call_part, "hooks")


def test_hooks_in_a_client(call: Call) -> None:
    put = call("put", "pager", URL, ["step.failed", "run.failed"], workflow_name="billing")

    assert (put.name, put.url, put.on) == ("pager", URL, ["run.failed", "step.failed"])
    assert put.workflow_name == "billing"
    assert call("get", "pager") == put
    assert call("put", "pager", URL, "run.paused").on == ["run.paused"]
    call("put", "mail", URL, ["run.succeeded"])
    assert [hook.name for hook in call("all")] == ["mail", "pager"]
    call("delete", "pager")
    for method in ("get", "delete"):
        with pytest.raises(NotFoundError):
            call(method, "pager")


def test_what_is_refused(call: Call) -> None:
    with pytest.raises(InvalidRequestError, match="on"):
        call("put", "pager", URL, [])
    with pytest.raises(InvalidRequestError, match="name: use 1 to 64 letters"):
        call("put", "-x", URL, ["run.failed"])
    for number in range(10):
        call("put", f"h{number}", URL, ["run.failed"])
    with pytest.raises(RefusedError, match="10 hooks at most"):
        call("put", "one-more", URL, ["run.failed"])


def test_a_hook_from_the_command_line(atomic_url: str, client_id: str) -> None:
    told, heard = threading.Event(), list[dict[str, Any]]()

    def answer(path: str, call: Any) -> tuple[int, str]:
        if path == "/told":
            heard.append(call["payload"])
            told.set()
        return 200, "done"

    def atomic(*arguments: str) -> Result:
        options = ["--url", atomic_url, "--client", client_id]
        return CliRunner().invoke(main, ["hooks", *arguments, *options])

    endpoint = Answering(answer)
    url = f"{endpoint.url}/told"
    assert atomic("list").output == "no hooks\n"
    put = atomic("put", "mail", url, "--on", "run.succeeded", "--on", "run.failed", "--workflow", "w")
    assert put.output == f"{'mail':<24}  run.succeeded, run.failed of w → {url}\n"
    with Client(atomic_url, client_id=client_id) as client:
        run = client.start("w", f"{endpoint.url}/works", key="k")
    assert told.wait(20)
    endpoint.close()
    assert [(each["event"], each["runId"]) for each in heard] == [("run.succeeded", run.run_id)]

    assert [hook["name"] for hook in json.loads(atomic("list", "--json").output)] == ["mail"]
    assert atomic("delete", "mail").output == "mail is deleted\n"
    assert atomic("delete", "mail").exit_code == 1
    assert atomic("put", "mail", url).exit_code == 2
