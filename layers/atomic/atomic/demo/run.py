"""`atomic demo`: Atomic and the user-creation app on this machine, one user, every call that it took."""

import json
import os
import shutil
import signal
import sqlite3
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, Final

from atomic.demo.app import LOOPBACK, Answer, HttpError, post_json
from atomic.demo.servers import ENDINGS, Child, DemoFailed, expect, free_port, get_json, running, tails
from atomic.demo.timeline import BAR_WIDTH, Call, Paint, attempts_of, calls_of, lines_of, paint, plain

CLIENT_ID: Final = "demo"
# The user creation's 1000 ms would do as well; the demo need not take that long.
BACK_OFF_MS: Final = 400
WIDTH_WITHOUT_BARS: Final = 78


@dataclass(frozen=True)
class Stage:
    """Everything that runs, and how to print."""

    atomic: Child
    app: Child
    folder: Path
    style: Paint

    @property
    def children(self) -> tuple[Child, Child]:
        """Both servers."""
        return self.atomic, self.app


def play() -> int:
    """Run the demo; the exit status."""
    for number in ENDINGS:
        signal.signal(number, _leave)  # so that the servers are ended and their data removed
    on_terminal = sys.stdout.isatty()
    style = paint if on_terminal and not os.environ.get("NO_COLOR") else plain
    try:
        with TemporaryDirectory(prefix="atomic-demo-") as folder:
            _play(Path(folder), style, stay=on_terminal)
    except DemoFailed as failure:
        print(f"\n{style('The demo failed:', 'red')} {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    return 0


def _play(folder: Path, style: Paint, *, stay: bool) -> None:
    logs = [folder / "atomic.log", folder / "app.log"]
    try:
        began = time.monotonic()
        with _atomic(folder, logs[0]) as atomic, _app(folder, logs[1], atomic) as app:
            stage = Stage(atomic, app, folder, style)
            _introduce(stage, time.monotonic() - began)
            _tell(stage)
            if stay:
                _stay(stage)
    except (DemoFailed, HttpError, OSError, ValueError, LookupError, TypeError) as failure:
        # An answer of another shape than expected is a failure of the demo too.
        reason = str(failure) if isinstance(failure, DemoFailed | HttpError) else repr(failure)
        raise DemoFailed(reason + tails(logs)) from failure


def _introduce(stage: Stage, took_s: float) -> None:
    style = stage.style
    _say(style("User creation: a workflow of plain HTTP endpoints", "bold"))
    _say(f"  Atomic  {stage.atomic.url}   (both ready after {took_s:.1f} s)", gap=True)
    _say(f"  app     {stage.app.url}   python -m atomic.demo.app, standard library only")


def _tell(stage: Stage) -> None:
    style, key = stage.style, f"demo-{uuid.uuid4().hex[:12]}"
    _say(
        style("One user. You post it to the app; the app starts the workflow and waits.", "bold"), gap=True
    )
    began_ms = time.time_ns() // 1_000_000
    first, first_ms = _post_user(stage, key)
    _show_answer(stage, first, first_ms, key)
    run = _read_run(stage, first.body["runId"])
    _show_calls(stage, run, began_ms, first_ms)
    _say(style("The same again, with the same key.", "bold"), gap=True)
    second, second_ms = _post_user(stage, key)
    _show_replay(stage, second, second_ms, first, run)
    _show_effects(stage)


def _post_user(stage: Stage, key: str) -> tuple[Answer, int]:
    began = time.monotonic()
    headers = {"Idempotency-Key": key}
    answer = post_json(f"{stage.app.url}/users", {"userName": "ada"}, headers, timeout_s=20)
    took_ms = round((time.monotonic() - began) * 1000)
    expect(answer.status == 200, f"POST /users answered {answer.status}: {json.dumps(answer.body)}")
    return answer, took_ms


def _show_answer(stage: Stage, answer: Answer, took_ms: int, key: str) -> None:
    response = answer.body["response"]
    _say(f'  POST /users {{"userName": "ada"}}   Idempotency-Key: {key}', gap=True)
    _say(f"  {stage.style(str(answer.status), 'green')} after {took_ms} ms, and its response:")
    for name, value in response.items():
        _say(f"      {name:<9}  {json.dumps(value)}")


def _show_calls(stage: Stage, run: dict[str, Any], began_ms: int, took_ms: int) -> None:
    _say(stage.style("Every call of that run, as Atomic keeps it.", "bold"), gap=True)
    posted = Call("you → app", "POST /users", 0, took_ms, "200")
    _say("")
    room = shutil.get_terminal_size((120, 24)).columns - WIDTH_WITHOUT_BARS
    calls = [posted, *calls_of(run, began_ms=began_ms)]
    for line in lines_of(calls, stage.style, min(room, BAR_WIDTH)):
        _say(f"  {line}")
    refused = attempts_of(run, "/sendAnalytics")
    expect(
        refused == [404, 404, 404, 200], f"sendAnalytics answered {refused}, not 404 three times, then 200"
    )
    for name in ("/index", "/createUser", "/sendEmail"):
        expect(attempts_of(run, name) == [200], f"{name} answered {attempts_of(run, name)}, not 200 once")
    _say(
        "  sendEmail and sendAnalytics ran side by side. sendAnalytics answered 404 three times and",
        gap=True,
    )
    _say(
        f"  was called again each time (back-off {BACK_OFF_MS} ms, doubled, with jitter) while you waited."
    )


def _show_replay(
    stage: Stage, answer: Answer, took_ms: int, first: Answer, run_before: dict[str, Any]
) -> None:
    run = _read_run(stage, answer.body["runId"])
    calls = len(calls_of(run, began_ms=0)) - len(calls_of(run_before, began_ms=0))
    replayed = answer.headers.get("Idempotency-Replayed")
    expect(replayed == "true", f"the repeated post carries Idempotency-Replayed: {replayed}")
    expect(calls == 0, f"the repeated post made {calls} calls")
    expect(answer.body["response"] == first.body["response"], "the repeated post has another response")
    status = stage.style(str(answer.status), "green")
    _say(f"  {status} after {took_ms} ms, the same response, Idempotency-Replayed: true", gap=True)
    _say("  Atomic called nothing: the answer came from memory.")


def _show_effects(stage: Stage) -> None:
    data = stage.folder / "app"
    database = sqlite3.connect(data / "app.db")
    try:
        users = database.execute("SELECT COUNT(*) FROM users").fetchone()[0]
    finally:
        database.close()
    mails = (data / "mailbox.mbox").read_text().count("Message-ID: ")
    events = len((data / "analytics.jsonl").read_text().splitlines())
    expect((users, mails, events) == (1, 1, 1), f"{users} users, {mails} mails, {events} events are left")
    _say(f"  Left behind by both posts: {users} user, {mails} mail, {events} analytics event.")


def _stay(stage: Stage) -> None:
    atomic, app = stage.atomic.url, stage.app.url
    _say(stage.style("Both keep running. Have a look:", "bold"), gap=True)
    _say(f"  dashboard  {atomic}/dashboard#/{CLIENT_ID}/runs", gap=True)
    _say(f"  API        {atomic}/docs")
    _say(f"  the runs   curl -s {atomic}/{CLIENT_ID}/runs")
    _say(f"""  one more   curl -s {app}/users -d '{{"userName": "grace"}}'""")
    _say("  Ctrl-C ends both and removes their data.", gap=True)
    try:
        while True:
            for child in stage.children:
                expect(child.process.poll() is None, f"{child.name} has ended by itself")
            time.sleep(0.5)
    except KeyboardInterrupt:
        _say("Bye.", gap=True)


def _read_run(stage: Stage, run_id: str) -> dict[str, Any]:
    run: dict[str, Any] = get_json(f"{stage.atomic.url}/{CLIENT_ID}/runs/{run_id}")
    return run


@contextmanager
def _atomic(folder: Path, log: Path) -> Iterator[Child]:
    port = free_port()
    command = [sys.executable, "-m", "atomic.cli", "serve", "--host", LOOPBACK, "--port", str(port)]
    command += ["--data-dir", str(folder / "atomic"), "--dev"]
    with running("atomic serve", command, port, log) as child:
        yield child


@contextmanager
def _app(folder: Path, log: Path, atomic: Child) -> Iterator[Child]:
    port = free_port()
    command = [sys.executable, "-m", "atomic.demo.app", "--port", str(port)]
    command += ["--data-dir", str(folder / "app"), "--atomic-url", atomic.url]
    command += ["--client-id", CLIENT_ID, "--retry-back-off-ms", str(BACK_OFF_MS)]
    with running("app.py", command, port, log) as child:
        yield child


def _say(text: str, *, gap: bool = False) -> None:
    print(f"\n{text}" if gap else text, flush=True)


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)
