"""The commands that call the API, on a real server."""

import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from answering import Answering
from atomic.cli.main import main
from atomic.sdk import Client
from scenarios.embedded_runtime import AtomicServer, create_client
from sdk.shop import shop

Cli = Callable[..., Result]


@pytest.fixture
def app_url() -> Iterator[str]:
    with shop(lambda payload: payload > 100) as url:
        yield url


@pytest.fixture
def cli(atomic_url: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Cli:
    """Run `atomic` as a fresh client; `code` is the expected exit code."""
    monkeypatch.setenv("ATOMIC_URL", atomic_url)
    name = re.sub(r"[^A-Za-z0-9_-]", "-", request.node.name.replace("test_", ""))
    monkeypatch.setenv("ATOMIC_CLIENT_ID", name[:60])

    def run(*arguments: str, code: int = 0, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(main, arguments, input=stdin)
        assert result.exit_code == code, result.output
        return result

    return run


def run_id_of(cli: Cli) -> str:
    [run] = json.loads(cli("runs", "list", "--json").stdout)
    found: str = run["runId"]
    return found


def test_a_workflow_from_the_command_line(cli: Cli, app_url: str, atomic_url: str) -> None:
    started = cli("start", "order", f"{app_url}/order", "--key", "k", "--payload", "42")
    assert json.loads(started.stdout) == {"paid": 42}
    again = cli("start", "order", f"{app_url}/order", "--key", "k", "--payload", "-", "--json", stdin="42")
    assert json.loads(again.stdout)["status"] == "succeeded"
    other = cli("start", "order", f"{app_url}/order", "--key", "k", "--payload", "43", code=1)
    assert "other payload" in other.stderr or "another payload" in other.stderr
    assert other.stderr.endswith(f"\nCode: payload-mismatch\nHelp: {atomic_url}/docs#payload-mismatch\n")


def test_a_failed_workflow_names_the_command_that_shows_its_run(
    cli: Cli, app_url: str, atomic_url: str
) -> None:
    start = ("start", "order", f"{app_url}/order", "--key", "k", "--payload", "420", "--retry", "0")
    # The second time the answer is stored.
    for _ in range(2):
        said = cli(*start, code=4).stderr
        assert said.endswith(f"\nCode: step-failed\nHelp: {atomic_url}/docs#step-failed\n")
        [command] = re.findall(r"^Show the run: atomic (.+)$", said, re.MULTILINE)
        assert command.split() == ["runs", "show", run_id_of(cli)]
        assert "failed" in cli(*command.split()).stdout


def test_an_unknown_run_is_told_once(cli: Cli, atomic_url: str) -> None:
    said = cli("runs", "show", "run_unknown", code=1).stderr
    assert said == (
        "Error: This client has nothing with this id or at this path. Check both, and that the client's id "
        "is your own. ATOMIC_CLIENT_ID names the client.\nCode: not-found\n"
        f"Help: {atomic_url}/docs#not-found\n"
    )


def test_runs_are_tagged_and_found(cli: Cli, app_url: str) -> None:
    for key in ("k-1", "k-2"):
        tags = ("--tag", f"of:{key}", "--tag", "env:x:y")
        cli("start", "order", f"{app_url}/order", "--key", key, "--payload", "42", *tags)
    [run] = json.loads(cli("runs", "list", "--tag", "env:x:y", "--tag", "of:k-1", "--json").stdout)
    assert run["tags"] == {"of": "k-1", "env": "x:y"}
    assert "key k-1  of:k-1  env:x:y" in cli("runs", "show", run["runId"]).stdout
    assert cli("runs", "list", "--tag", "of:k").stdout == "no runs\n"
    [found] = json.loads(
        cli("runs", "list", "--key-contains", "-2", "--response-status", "200", "--json").stdout
    )
    assert found["idempotencyKey"] == "k-2"
    assert cli("runs", "list", "--waits-for", "event").stdout == "no runs\n"
    assert cli("dead-letters", "--error-kind", "timed_out").stdout == "no dead letters\n"
    assert "name:value" in cli("runs", "list", "--tag", "of", code=1).stderr
    wrong = cli("start", "order", f"{app_url}/order", "--key", "k", "--tag", "of", code=2)
    assert "NAME:VALUE, such as customer:c-17" in wrong.stderr
    twice = cli(
        "start", "order", f"{app_url}/order", "--key", "k", "--tag", "of:1", "--tag", "of:2", code=2
    )
    assert "give each name once" in twice.stderr


def test_the_timeline_of_a_run(cli: Cli, app_url: str) -> None:
    cli("start", "order", f"{app_url}/order", "--key", "k", "--payload", "42")
    assert "succeeded  order  k" in cli("runs", "list", "--workflow", "order").stdout
    assert cli("runs", "list", "--status", "failed").stdout == "no runs\n"
    shown = cli("runs", "show", run_id_of(cli)).stdout
    assert cli("runs", "show").stdout == shown
    root, attempt, below, _ = [line.strip() for line in shown.splitlines()[1:]]
    assert root.endswith("/order  succeeded")
    assert attempt.startswith("#1 succeeded 200")
    assert below.endswith("/pay  succeeded")


@pytest.mark.parametrize(
    ("unused", "says"),
    [
        ("0", ""),
        ("1", ", code changed? 1 result was not used"),
        ("2", ", code changed? 2 results were not used"),
    ],
)
def test_the_timeline_shows_builds_and_whether_the_code_changed(cli: Cli, unused: str, says: str) -> None:
    endpoint = Answering(
        lambda _path, _call: (200, 1), {"Atomic-Build": "abc-1", "Atomic-Unused-Results": unused}
    )
    cli("start", "order", f"{endpoint.url}/order", "--key", "k")
    endpoint.close()
    _, root, attempt = cli("runs", "show").stdout.splitlines()
    assert root.endswith(f"/order  succeeded{says}")
    assert re.fullmatch(r" +#1 succeeded 200 \d+ ms, build abc-1", attempt)


def test_a_call_is_answered_later(cli: Cli) -> None:
    later = Answering(lambda _path, _call: (202, 0), {"Atomic-Answer-Within": "60000"})
    with Client() as client:
        client.start("order", f"{later.url}/order", key="k", on_lost="fail", timeout=0)
        while not later.headers or client.step(f"{run_id_of(cli)}-root").answer_by is None:
            time.sleep(0.01)
    _, root, _ = cli("runs", "show").stdout.splitlines()
    assert re.search(r"running, to be answered by 2\S+Z, fails if an attempt is lost$", root)
    step_id, token = f"{run_id_of(cli)}-root", later.headers[0]["atomic-attempt-token"]

    refused = cli("answer", step_id, "--token", "wrong", code=1).stderr
    assert "Atomic-Attempt-Token" in refused
    assert "base-urls" not in refused
    cli("answer", step_id, "{", "--token", token, code=2)
    answered = cli("answer", step_id, '{"paid": 42}', "--token", token)
    again = cli("answer", step_id, '{"paid": 42}', "--token", token)
    other = cli("answer", step_id, "1", "--token", token, "--status", "500", "--no-retry", code=1)

    later.close()
    assert answered.stdout == again.stdout == f"{step_id} is succeeded\n"
    assert "Attempt 1 ended without this answer" in other.stderr
    assert cli("runs", "show").stdout.splitlines()[1].endswith("succeeded, fails if an attempt is lost")


def test_an_answer_may_be_a_failure_with_a_name(cli: Cli) -> None:
    failing = Answering(lambda _path, _call: (500, 0), {"Atomic-Error-Type": "OutOfStock"})
    cli("start", "order", f"{failing.url}/order", "--key", "k", "--retry", "0", code=4)
    failing.close()
    _, root, attempt = cli("runs", "show").stdout.splitlines()
    assert root.endswith("failed: the endpoint answered 500 [OutOfStock]")
    assert attempt.endswith("(the endpoint answered 500 [OutOfStock])")


def test_a_start_token(cli: Cli, app_url: str) -> None:
    url = f"{app_url}/order"
    shown = cli("start-token", "--workflow", "order", url, "--key-prefix", "u:", "--minutes", "5").stdout
    made = json.loads(cli("start-token", "--workflow", "order", url, "--json").stdout)
    assert re.match(r"token {6}ast_\S+\nkeyPrefix {2}u:\nexpiresAt {2}20", shown)
    assert made["workflows"] == {"order": url}
    token, key = made["token"], f"{made['keyPrefix']}1"
    cli("start", "order", url, "--key", key, "--payload", "1", "--api-key", token)
    refused = cli("start", "order", url, "--key", "other", "--api-key", token, code=1).stderr
    assert "idempotencyKey: begin it with" in refused


def test_dead_letters_and_redrive(cli: Cli, app_url: str) -> None:
    failed = cli("start", "order", f"{app_url}/order", "--key", "k", "--payload", "500", code=4)
    assert "fix its endpoint and redrive it" in failed.stderr
    assert failed.stderr.count("the endpoint answered 500 and forbade a retry: too much (step http") == 1
    shown = cli("runs", "show", run_id_of(cli), "--watch", code=4).stdout
    assert "/pay  failed: the endpoint answered 500 and forbade a retry: too much" in shown
    assert (
        "failed at attempt 1: the endpoint answered 500 and forbade a retry: too much"
        in cli("dead-letters").stdout
    )
    pay, root = json.loads(cli("dead-letters", "--json").stdout)
    assert (pay["responseStatus"], pay["notRedrivableReason"]) == (500, None)
    assert root["id"].endswith("-root")
    assert cli("redrive", "--workflow", "order").stdout.strip() in {"1 redriven", "2 redriven"}
    assert f"{pay['id']} is " in cli("redrive", pay["id"]).stdout
    assert f"{root['id']} is " in cli("redrive", root["runId"]).stdout
    cli("redrive", code=2)


def test_without_runs_there_is_none_to_show(cli: Cli) -> None:
    assert "there are no runs yet" in cli("runs", "show", code=1).stderr


def test_cancelling(cli: Cli, app_url: str) -> None:
    late = cli("start", "approval", f"{app_url}/approval", "--key", "k", "--timeout", "0.5", code=3)
    assert "The step goes on" in late.stderr
    run_id = run_id_of(cli)
    assert "add --graceful" in cli("cancel", run_id, "--within", "5", code=2).stderr
    assert cli("cancel", run_id).stdout == f"{run_id} is cancelled\n"
    cli("runs", "show", run_id, "--watch", code=5)
    cli("start", "approval", f"{app_url}/approval", "--key", "k", code=5)


def test_a_run_is_restarted(cli: Cli, app_url: str) -> None:
    cli("start", "order", f"{app_url}/order", "--key", "k", "--payload", "42")
    first = run_id_of(cli)
    again = cli("restart", first).stdout
    assert re.fullmatch(r"run_\w{32} is \w+, key k/2\n", again)
    assert cli("restart", f"{first}-root").stdout.split()[0] == again.split()[0]
    other = cli("restart", first, "--payload", "43", "--key", "edited", "--json")
    assert json.loads(other.stdout)["restartOf"] == first
    shown = cli("runs", "show", json.loads(other.stdout)["runId"]).stdout
    assert f"key edited, restart of {first}\n" in shown
    assert "in its place" in cli("restart", first, "--payload", "44", code=1).stderr
    moved = cli("restart", first, "--endpoint", f"{app_url}/order?moved", "--key", "moved", "--json")
    assert json.loads(moved.stdout)["stepInvokeUrl"] == f"{app_url}/order?moved"
    assert "give JSON" in cli("restart", first, "--payload", "{", code=2).stderr
    assert "give the id of a run" in cli("restart", f"{first}-{'0' * 32}", code=2).stderr


def test_times_of_starts(cli: Cli, app_url: str) -> None:
    order = ("start", "order", f"{app_url}/order", "--payload", "42", "--timeout", "0", "--key")
    for key, later in (("a", ("--delay", "3600")), ("b", ("--at", "2027-05-01T09:00:00+02:00"))):
        started = json.loads(cli(*order, key, *later, "--json").stdout)
        assert (started["status"], started["attempts"]) == ("pending", 0)
        moved = cli("due", started["id"], "--at", "2027-04-01T09:00:00Z").stdout
        assert moved == f"{started['id']} is pending, due at 2027-04-01T09:00:00.000Z\n"
        cli("due", started["runId"])
        cli("start", "order", f"{app_url}/order", "--payload", "42", "--key", key)
        ended = cli("due", started["id"], code=1)
        assert "The step is succeeded already" in ended.stderr
    late = cli(*order[:-3], "--key", "c", "--by", "2001-01-01T00:00:00Z", "--delay", "0.1", code=4)
    assert "The step failed before its first attempt" in late.stderr
    in_time = json.loads(cli(*order, "d", "--by", "60", "--at", "2027-05-01T09:00:00Z", "--json").stdout)
    shown = json.loads(cli("runs", "show", in_time["runId"], "--json").stdout)["root"]
    assert (shown["startAt"], shown["startBy"]) == ("2027-05-01T09:00:00.000Z", "2027-05-01T09:01:00.000Z")
    assert "and not both" in cli(*order, "e", "--at", "2027-05-01T09:00:00Z", "--delay", "1", code=2).stderr
    for wrong in ("tomorrow", "2027-05-01T09:00:00", "0001-01-01T00:00:00+14:00"):
        assert "use a time such as 2026-11-23T07:38:00Z" in cli(*order, "e", "--at", wrong, code=2).stderr
        assert "use a time such as 2026-11-23T07:38:00Z" in cli("due", "x", "--at", wrong, code=2).stderr


def test_a_cancel_says_where_a_run_goes_on(cli: Cli, app_url: str) -> None:
    start = ("start", "rounds", f"{app_url}/rounds", "--key", "k", "--payload", "true")
    cli(*start, "--timeout", "1", code=3)
    new, old = json.loads(cli("runs", "list", "--json").stdout)
    gone_on = f"{old['runId']} is succeeded, and goes on as {new['runId']}\n"
    assert cli("cancel", old["runId"]).stdout == cli(*start, "--timeout", "0").stdout == gone_on
    assert gone_on.partition(" is ")[2] in cli("runs", "show", old["runId"]).stdout
    assert cli("cancel", new["runId"]).stdout == f"{new['runId']} is cancelled\n"
    # The old run has succeeded before, and the new one says how it ended.
    cli(*start, code=5)


def test_without_waiting_the_state_is_printed(cli: Cli, app_url: str) -> None:
    told = cli("start", "approval", f"{app_url}/approval", "--key", "k", "--timeout", "0").stdout
    assert told.split(" is ")[1].strip() in {"pending", "running", "waiting"}


def test_while_waiting_a_terminal_shows_the_state(cli: Cli, app_url: str) -> None:
    terminal, side = pty.openpty()
    command = [sys.executable, "-m", "atomic.cli", "start", "approval", f"{app_url}/approval"]
    command += ["--key", "k", "--timeout", "2.5"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=side, check=False)
    os.close(side)
    said = os.read(terminal, 10_000).decode()
    os.close(terminal)
    assert done.returncode == 3
    progress, _, end = said.partition("\r\x1b[K")
    assert progress == "\rwaiting, 2 s …\x1b[K"
    assert "The step goes on" in end


def test_the_shell_completes_commands_and_options(cli: Cli) -> None:
    for words, expected in (("atomic ru", "plain,runs"), ("atomic runs show --w", "plain,--watch")):
        asked = {"_ATOMIC_COMPLETE": "bash_complete", "COMP_WORDS": words}
        asked["COMP_CWORD"] = str(words.count(" "))
        atomic = Path(sys.executable).with_name("atomic")
        told = subprocess.run(
            [str(atomic)], env={**os.environ, **asked}, capture_output=True, text=True, check=False
        )
        assert told.stdout.splitlines() == [expected]


def test_a_client_as_a_document(cli: Cli, tmp_path: Path) -> None:
    at = ["--base-url", "https://app.example/", "--data-dir", str(tmp_path)]
    made = json.loads(cli("clients", "create", "acme", "--json", *at).stdout)
    assert made["clientId"] == "acme"
    assert made["apiKey"]
    assert made["signingSecret"].startswith("whsec_")


def test_wrong_usage_says_what_is_right(cli: Cli, app_url: str) -> None:
    wrong = cli("start", "order", f"{app_url}/order", "--key", "k", "--payload", "{", code=2)
    assert "give JSON, @file or -" in wrong.stderr
    assert "No such command" in cli("strat", code=2).stderr
    assert "ATOMIC_CLIENT_ID" in cli("runs", "show", "run_1", code=1).stderr


ATOMIC = [sys.executable, "-m", "atomic.cli"]


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        ('{"a":1,"a":2}', "the member 'a' appears twice in one object"),
        ("[" * 5000 + "]" * 5000, "nested deeper than 64 levels"),
        ("18446744073709551616", "beyond 64 bit"),
        ("1e999", "beyond the range of a double"),
        ("NaN", "NaN is not JSON"),
        (b'"\xff"', "not UTF-8 at byte 1"),
        ("@/", "Is a directory"),
    ],
)
def test_a_payload_is_read_as_strictly_as_by_the_server(cli: Cli, payload: str | bytes, says: str) -> None:
    if isinstance(payload, bytes):
        at = ("start", "w", "http://127.0.0.1:1/x", "--key", "k", "--payload", "-")
        refused = subprocess.run([*ATOMIC, *at], input=payload, capture_output=True, check=False)
        assert (refused.returncode, says in refused.stderr.decode()) == (2, True)
        return
    for given in (payload, "-"):
        if given == payload or not payload.startswith("@"):
            at = ("start", "w", "http://127.0.0.1:1/x", "--key", "k", "--payload", given)
            refused_here = cli(*at, code=2, stdin=payload)
            assert says in refused_here.stderr
            assert "give JSON, @file or -" in refused_here.stderr
    assert json.loads(cli("runs", "list", "--json").stdout) == []


def test_a_byte_order_mark_in_front_of_a_payload_does_no_harm(
    cli: Cli, app_url: str, tmp_path: Path
) -> None:
    (tmp_path / "payload.json").write_bytes(b"\xef\xbb\xbf42")
    for payload in (f"@{tmp_path / 'payload.json'}", "-"):
        done = cli(
            "start", "order", f"{app_url}/order", "--key", "k", "--payload", payload, stdin="\ufeff42"
        )
        assert json.loads(done.stdout) == {"paid": 42}


@pytest.mark.parametrize(
    "arguments", ["--help", "--version", "runs --help", "runs list", "runs list --json", "doctor"]
)
def test_output_to_a_full_disk_is_an_error_without_traceback(cli: Cli, arguments: str) -> None:
    with open("/dev/full", "wb") as full:
        command = [*ATOMIC, *arguments.split()]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1, "Error: cannot write the output: No space left on device\n"
    )  # fmt: skip


def test_unprintable_output_is_an_error_without_traceback(cli: Cli, app_url: str) -> None:
    cli("start", "café", f"{app_url}/order", "--key", "k", "--payload", "42")
    done = subprocess.run(
        [*ATOMIC, "runs", "list"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    # Some terminals are written to as UTF-8 regardless.
    assert "Traceback" not in done.stderr
    assert done.returncode == 0 or done.stderr.startswith("Error: cannot write the output: ")


def test_a_closed_output_pipe_ends_the_command_silently(cli: Cli, app_url: str) -> None:
    cli("start", "order", f"{app_url}/order", "--key", "k" * 255, "--payload", "42")
    command = f"{' '.join(ATOMIC)} runs list --json | head -c 1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[", "")


def test_doctor_when_all_is_well(cli: Cli, app_url: str) -> None:
    found = cli("doctor", "--endpoint", f"{app_url}/pay")
    assert found.stdout.count("ok  ") == 3


def test_doctor_leaves_nothing_behind(cli: Cli, app_url: str) -> None:
    """The endpoint requires a number, and doctor sends none, so a step would become a dead letter."""
    found = cli("doctor", "--endpoint", f"{app_url}/pay")
    assert "it answered 400" in found.stdout
    assert json.loads(cli("runs", "list", "--json").stdout) == []
    assert cli("dead-letters").stdout == "no dead letters\n"


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("--url", "http://127.0.0.1:9", "--patience", "0"), "Check ATOMIC_URL"),
        (("--client", "no such"), "Check"),
        (("--endpoint", "http://127.0.0.1:9/x"), "is it running"),
    ],
)
def test_doctor_says_what_to_do(cli: Cli, arguments: tuple[str, ...], advice: str) -> None:
    found = cli("doctor", *arguments, code=1)
    assert "FAIL" in found.stdout
    assert advice in found.stdout


def test_doctor_looks_at_secrets(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOMIC_SIGNING_SECRET", "whsec_short")
    assert "atomic clients create" in cli("doctor", code=1).stdout
    monkeypatch.setenv("ATOMIC_SIGNING_SECRET", "whsec_" + "A" * 32)
    [_, secret] = json.loads(cli("doctor", "--json").stdout)
    assert secret == {"check": "ATOMIC_SIGNING_SECRET", "ok": True, "advice": "set; secrets: 1"}


def test_doctor_on_a_locked_server(tmp_path_factory: pytest.TempPathFactory) -> None:
    data = tmp_path_factory.mktemp("locked") / "data"
    metadata = "http://169.254.169.254/"
    key = create_client(data, "acme", "--base-url", "http://127.0.0.1:1/app", "--base-url", metadata)
    server = AtomicServer(data, dev=False)
    server.start()
    try:
        at = ["doctor", "--url", server.url, "--client", "acme"]
        refused = CliRunner().invoke(main, at)
        assert (refused.exit_code, "Set ATOMIC_API_KEY" in refused.stdout) == (1, True)
        assert CliRunner().invoke(main, [*at, "--api-key", key]).exit_code == 0
        foreign = CliRunner().invoke(main, [*at, "--api-key", key, "--endpoint", "http://127.0.0.1:2/"])
        assert "base URL" in foreign.stdout
        guarded = CliRunner().invoke(main, [*at, "--api-key", key, "--endpoint", metadata])
        assert "--allow-private" in guarded.stdout
    finally:
        server.stop()


def test_without_the_server_parts_the_client_commands_work() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['apsw', 'uvicorn', 'httptools', 'orjson']))\n"
        "from atomic.cli.main import main; main()"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True
    )
    assert "dead-letters" in told.stdout
    assert "Not installed: pip install 'atomic-workflows[server]'" in told.stdout
    for command in (["serve", "--dev"], ["demo"]):
        run = subprocess.run(
            [sys.executable, "-c", code, *command], capture_output=True, text=True, check=False
        )
        assert run.returncode == 1
        assert "pip install 'atomic-workflows[server]'" in run.stderr


def test_events_are_told_and_listed(cli: Cli, app_url: str) -> None:
    early = cli("events", "send", "approval", "early", "approval", '{"by": "ada"}')
    assert early.stdout == "approval is succeeded: no handler has asked for it yet\n"
    started = cli("start", "approval", f"{app_url}/approval", "--key", "early")
    assert json.loads(started.stdout) == {"by": "ada"}
    again = cli("events", "send", "approval", "early", "approval", "-", stdin='{"by": "ada"}')
    assert again.stdout == "approval is succeeded: it was so before\n"
    cli("events", "reject", "approval", "early", "approval", "no", code=1)

    cli("start", "approval", f"{app_url}/approval", "--key", "k", "--timeout", "0.5", code=3)
    listed = cli("events", "list", "approval", "k", "--open").stdout
    assert re.fullmatch(r"pending    approval  run_\w+-\w+\n", listed)
    message = ("events", "send", "talk", "k", "reply", "1", "--next", "--id", "m-1")
    assert cli(*message).stdout == "reply is succeeded: no handler has asked for it yet\n"
    assert cli(*message).stdout == "reply is succeeded: it was so before\n"
    assert cli("events", "send", "talk", "k", "reply", "1", "--next").stdout.startswith("reply#2 is")
    cli("events", "send", "talk", "k", "reply", "--next", "--number", "2", code=1)
    assert cli("events", "heartbeat", "approval", "k", "approval").stdout == "approval is open\n"
    cli("events", "heartbeat", "approval", "early", "approval", code=1)
    rejected = cli("events", "reject", "approval", "k", "approval", "The budget is spent.")
    assert rejected.stdout == "approval is failed: it was open\n"
    failed = cli("start", "approval", f"{app_url}/approval", "--key", "k", code=4)
    assert "The budget is spent." in failed.stderr
    assert cli("events", "list", "approval", "k", "--open").stdout == "no events\n"
    assert "failed     approval" in cli("events", "list", "approval", "k").stdout
    assert cli("events", "list", "approval", "early").stdout.endswith(': {"by": "ada"}\n')
    assert "has begun" in cli("events", "list", "approval", "unknown", code=1).stderr
    cli("events", "send", "approval", "k", "approval", "{", code=2)
