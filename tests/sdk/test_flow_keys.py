"""What operators see and pin of shared limits: in both clients, and from the command line."""

import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from click.testing import CliRunner, Result

from answering import Answering
from atomic.cli.main import main
from atomic.sdk import Client, Flow, InvalidRequestError, NotFoundError

Call = Callable[..., Any]


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Endpoints answer once it is set."""
    opened = threading.Event()
    yield opened
    opened.set()


@pytest.fixture
def url(gate: threading.Event) -> Iterator[str]:
    def answer(_path: str, _call: Any) -> tuple[int, str]:
        gate.wait(30)
        return 200, "done"

    endpoint = Answering(answer)
    yield endpoint.url
    gate.set()
    endpoint.close()


@pytest.fixture
def call(call_part: Call) -> Call:
    """Call a method of a client's flow keys."""
    return partial(call_part, "flow_keys")


def start(atomic_url: str, client_id: str, url: str, number: int, flow: Flow) -> str:
    with Client(atomic_url, client_id=client_id) as client:
        return client.start("mail", url, key=number, timeout=0, flow=flow).id


def until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        threading.Event().wait(0.02)
    raise AssertionError


def test_a_key_is_seen_pinned_and_paused(
    call: Call, atomic_url: str, client_id: str, url: str, gate: threading.Event
) -> None:
    assert call("all") == []
    with pytest.raises(NotFoundError):
        call("get", "smtp")
    flow = Flow("smtp", concurrency=2, rate=(100, 1.0))
    steps = [start(atomic_url, client_id, url, number, flow) for number in range(4)]
    until(lambda: call("get", "smtp").running == 2 and call("get", "smtp").queued == 2)
    seen = call("get", "smtp")
    assert (seen.concurrency, seen.paused, seen.oldest is None) == (2, False, False)
    assert (seen.pace.limit, seen.pace.per) == (100, 1000)
    assert call("all") == [seen] or call("all")[0].key == "smtp"

    pinned = call("pin", "smtp", concurrency=3, rate=(50, 2.0))
    assert (pinned.concurrency, pinned.pinned.concurrency) == (3, 3)
    assert (pinned.pinned.rate.limit, pinned.pinned.rate.per) == (50, 2000)
    until(lambda: bool(call("get", "smtp").running == 3))
    inside = call("steps", "smtp")
    assert {step.id for step in (*inside.running, *inside.queued)} == set(steps)
    assert (len(inside.running), inside.queued[0].workflow_name) == (3, "mail")
    assert (len(call("steps", "smtp", limit=1).running), inside.queued[0].priority) == (1, 0)
    with pytest.raises(NotFoundError):
        call("steps", "unknown")
    paused = call("pause", "smtp", note="the host is slow")
    assert (paused.paused, paused.note) == (True, "the host is slow")
    gate.set()
    until(lambda: bool(call("get", "smtp").running == 0))
    assert call("get", "smtp").queued == 1
    resumed = call("resume", "smtp")
    assert (resumed.paused, resumed.note) == (False, "")
    with Client(atomic_url, client_id=client_id) as client:
        assert {client.wait(step).status for step in steps} == {"succeeded"}
    free = call("unpin", "smtp")
    assert (free.concurrency, free.pinned.concurrency, free.pinned.rate) == (2, None, None)


def test_an_empty_pin_is_refused(call: Call) -> None:
    with pytest.raises(InvalidRequestError, match="concurrency, rate"):
        call("pin", "smtp")
    for wrong in ((1,), 10):
        with pytest.raises(InvalidRequestError, match="rate: give how many and in what time"):
            call("pin", "smtp", rate=wrong)


def test_keys_from_the_command_line(
    atomic_url: str,
    client_id: str,
    url: str,
    gate: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ATOMIC_URL", atomic_url)
    monkeypatch.setenv("ATOMIC_CLIENT_ID", client_id)

    def cli(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, ["flow", *arguments])
        assert result.exit_code == code, result.output
        return result

    assert cli("list").stdout == "no keys\n"
    cli("show", "smtp", code=1)
    cli("pin", "smtp", code=2)
    assert "0 running of 1, 0 queued, concurrency pinned" in cli("pin", "smtp", "--concurrency", "1").stdout
    assert cli("steps", "smtp").stdout == "no steps\n"
    step = start(atomic_url, client_id, url, 1, Flow("smtp", concurrency=5, fair="ada"))
    until(lambda: "1 running of 1" in cli("show", "smtp").stdout)
    assert f"running   {step}  mail 1, priority 0, fair ada, since 2" in cli("steps", "smtp").stdout
    assert ", paused (slow host)" in cli("pause", "smtp", "--note", "slow host").stdout
    assert ", paused\n" in cli("pause", "smtp").stdout.replace(", concurrency pinned", "")
    assert "paused" not in cli("resume", "smtp").stdout
    rated = cli("pin", "smtp", "--rate", "10", "1.5").stdout
    assert ", 10 in 1500 ms," in rated
    assert json.loads(cli("unpin", "smtp", "--json").stdout)["concurrency"] == 5
    gate.set()
    with Client(atomic_url, client_id=client_id) as client:
        assert client.wait(step).status == "succeeded"
