"""Every example is run by the commands in its own header."""

import json
import re
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from atomic import RunDocument
from docs.terminal import Terminal
from examples.commands import EXAMPLES, client_of, code_lines, commands_in, open_terminal


@pytest.fixture
def typed(tmp_path: Path) -> Iterator[Terminal]:
    """A terminal in a folder that holds only the examples."""
    with open_terminal(tmp_path) as opened:
        yield opened


def attempts(run: RunDocument) -> dict[str, list[int | None]]:
    """The outcomes of each step's attempts, by the end of its URL."""
    steps = [step for step in (run.root, *run.steps) if step.step_invoke_url]
    return {
        str(step.step_invoke_url).rpartition("/")[2]: [attempt.status for attempt in step.attempt_log]
        for step in steps
    }


needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="the examples' commands use curl")


@needs_curl
@pytest.mark.parametrize("name", ["users_fastapi.py", "users_flask.py", "users_django.py"])
def test_user_creation(typed: Terminal, name: str) -> None:
    *servers, curl = commands_in(name)
    assert len(servers) == 3
    for command in servers:
        typed.type(command)
    first, second = json.loads(typed.type(curl)), json.loads(typed.type(curl))
    assert first == second
    assert first["user"] == {"name": "ada", "id": 1}
    with sqlite3.connect(typed.folder / "users.db") as db:
        assert db.execute("SELECT name FROM users").fetchall() == [("ada",)]
    db.close()
    said = typed.logs()
    assert said.count("mail ada@example.com Message-ID: ") == 1
    assert f"Message-ID: {first['mail']}" in said
    assert said.count('event {"event": "userCreated", "user": 1}') == 1
    with client_of(typed) as client:
        [run] = client.runs()
        calls = attempts(client.get(run.run_id))
    refused = calls.pop("track")
    assert len(refused) == 3
    assert refused[-1] == 200
    # On a WSGI server the workflow waits less time than the collector's refusals take, so it is suspended.
    *suspended, created = calls.pop("create")
    assert (set(suspended) <= {202}, created) == (True, 200)
    assert calls == {"insert": [200], "welcome": [200]}


def test_an_order_and_one_that_is_taken_back(typed: Terminal) -> None:
    server, app, *orders = commands_in("order_saga.py")
    typed.type(server)
    typed.type(app)
    placed, refused = [json.loads(typed.type(order)) for order in orders]
    assert placed == {"placed": True}
    assert refused == {"placed": False, "because": "a whale does not fit into a parcel"}
    with sqlite3.connect(typed.folder / "orders.db") as db:
        entries = db.execute("SELECT entry, item FROM book ORDER BY rowid").fetchall()
    db.close()
    cup = [(entry, "cup") for entry in ("reserved", "charged", "shipped")]
    whale = [(entry, "whale") for entry in ("reserved", "charged", "refunded", "released")]
    assert entries == cup + whale


def test_a_hundred_steps_side_by_side(typed: Terminal) -> None:
    *servers, start = commands_in("fan_out.py")
    for command in servers:
        typed.type(command)
    assert json.loads(typed.type(start)) == {"thumbnails": 100, "bytes": 10 * 13 + 90 * 14}
    with client_of(typed) as client:
        [run] = client.runs()
        steps = client.get(run.run_id).steps
    assert len(steps) == 100
    assert sorted(step.attempts for step in steps) == [1] * 90 + [2] * 10


@needs_curl
def test_a_slow_report(typed: Terminal) -> None:
    *servers, curl = commands_in("slow_report.py")
    for command in servers:
        typed.type(command)
    told = typed.type(curl)
    assert told.startswith("HTTP/1.1 202")
    found = re.search(r"(?i)^location: (\S+)", told, re.MULTILINE)
    assert found is not None
    step = poll(typed, found[1])
    assert step["response"] == {"report": "November was a good month."}
    with client_of(typed) as client:
        run = client.get(step["runId"])
    assert {step.kind for step in run.steps} == {"timer"}
    assert [attempt.outcome for attempt in run.root.attempt_log][-1] == "succeeded"
    assert {attempt.outcome for attempt in run.root.attempt_log[:-1]} == {"suspended"}


def poll(typed: Terminal, location: str) -> Any:
    """Read the step until it has ended."""
    url = typed.moved("http://127.0.0.1:8787") + location
    until = time.monotonic() + 30
    while time.monotonic() < until:
        step = json.loads(subprocess.run(["curl", "-s", url], capture_output=True, check=True).stdout)
        if step["status"] == "succeeded":
            return step
        time.sleep(0.2)
    raise AssertionError(step)


def test_every_example_is_run() -> None:
    tests = "".join(source.read_text() for source in Path(__file__).parent.glob("test_*.py"))
    run = set(re.findall(r"\w+\.py", tests))
    # services.py is no example.
    assert {source.name for source in EXAMPLES.glob("*.py")} <= run | {"services.py", "users_lambda.py"}


def test_examples_to_copy_are_short() -> None:
    assert (
        code_lines(
            "'A docstring.'\n\n# A comment\ndef f():\n    'Another.'\n    return (\n        1\n    )"
        )
        == 4
    )
    for name in ("order.py", "agent.py", "subscription.py"):
        assert code_lines((EXAMPLES / name).read_text()) <= 60, name
