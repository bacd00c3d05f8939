"""The user-creation application with a minimal fake of Atomic, and the parts of its demo without Atomic."""

import json
import mailbox
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from standardwebhooks import Webhook

from atomic.demo import app, servers, timeline
from atomic.demo.storage import Storage

SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSB1c2VyIGNyZWF0aW9uIHRlc3Q="
STEPS = "/workflows/userCreation"
USER = {"userId": 1, "userName": "ada"}
STEP_ID = "run_" + "0" * 32 + "-root"


class Reply(NamedTuple):
    status: int
    body: Any
    headers: dict[str, str]


def post(url: str, body: Any, headers: dict[str, str] | None = None) -> Reply:
    host, _, path = url.removeprefix("http://").partition("/")
    connection = HTTPConnection(host, timeout=10)
    try:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request("POST", f"/{path}", data, headers or {})
        response = connection.getresponse()
        return Reply(response.status, json.loads(response.read()), dict(response.headers))
    finally:
        connection.close()


def envelope(key: str = "k1", **payload: Any) -> dict[str, Any]:
    return {"idempotencyKey": key, "payload": payload or USER, "attempt": 1, "stepId": STEP_ID}


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[str]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class FakeAtomic(ThreadingHTTPServer):
    """Calls the URL until it answers 2xx, does not deduplicate, and keeps all posts."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), FakeAtomicHandler)
        self.posted: list[tuple[str, dict[str, str], Any]] = []
        self.answers: dict[str, tuple[int, Any]] = {}


class FakeAtomicHandler(BaseHTTPRequestHandler):
    server: FakeAtomic

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.posted.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        status, answer = self.server.answers.get(self._step(body)) or self._call(body)
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Idempotency-Replayed", "true")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None: ...

    @staticmethod
    def _step(body: Any) -> str:
        return str(body["stepInvokeUrl"]).rpartition("/")[2]

    @staticmethod
    def _call(body: Any) -> tuple[int, Any]:
        for _ in range(body["retry"]["count"] + 1):
            call = {k: body[k] for k in ("idempotencyKey", "payload")} | {"stepId": STEP_ID}
            reply = post(body["stepInvokeUrl"], call, {"Atomic-Attempt-Token": "1.token"})
            if reply.status == 200:
                return 200, {"status": "succeeded", "response": reply.body}
        return 424, {"status": 424}


@pytest.fixture
def atomic() -> Iterator[FakeAtomic]:
    server = FakeAtomic()
    with serving(server):
        yield server


StartApp = Callable[..., str]


@pytest.fixture
def start_app(atomic: FakeAtomic, tmp_path: Path) -> Iterator[StartApp]:
    stack: list[Any] = []

    def start(**changes: Any) -> str:
        atomic_url = f"http://127.0.0.1:{atomic.server_port}"
        given = {"port": 0, "data_dir": tmp_path, "atomic_url": atomic_url, "client_id": "acme"}
        running = serving(app.Server(app.Config(**given | changes)))
        stack.append(running)
        return running.__enter__()

    yield start
    for running in stack:
        running.__exit__(None, None, None)


@pytest.fixture
def url(start_app: StartApp) -> str:
    return start_app()


def users(folder: Path) -> list[tuple[int, str]]:
    db = sqlite3.connect(folder / "app.db")
    try:
        return db.execute("SELECT id, name FROM users ORDER BY id").fetchall()
    finally:
        db.close()


def mails(folder: Path) -> list[mailbox.mboxMessage]:
    box = mailbox.mbox(folder / "mailbox.mbox", create=False)
    try:
        return list(box)
    finally:
        box.close()


def events(folder: Path) -> list[Any]:
    return [json.loads(line) for line in (folder / "analytics.jsonl").read_text().splitlines()]


def test_the_workflow_is_started_with_exactly_the_json_of_the_user_creation(url: str, atomic: FakeAtomic):
    reply = post(f"{url}/users", {"userName": "ada"}, {"Idempotency-Key": "order-1"})
    assert reply.status == 200
    path, _, body = atomic.posted[0]
    assert path == "/acme"
    assert body == {
        "workflowName": "createUser",
        "stepInvokeUrl": f"{url}/workflows/userCreation/index",
        "idempotencyKey": "order-1",
        "payload": {"userName": "ada"},
        "timeout": 8000,
        "retry": {"count": 10, "backOff": 1000},
    }


def test_steps_are_posted_with_the_same_name_and_key_and_only_another_url(url: str, atomic: FakeAtomic):
    post(f"{url}/users", {"userName": "ada"}, {"Idempotency-Key": "order-1"})
    (_, first, start), *steps = atomic.posted
    assert "atomic-attempt-token" not in first
    assert {(path, headers["atomic-attempt-token"]) for path, headers, _ in steps} == {
        ("/acme/steps", "1.token")
    }
    start["parent"] = STEP_ID
    create, *parallel = [body for _, _, body in steps]
    assert create == start | {"stepInvokeUrl": f"{url}/workflows/userCreation/createUser"}
    assert sorted(parallel, key=lambda body: body["stepInvokeUrl"]) == [
        start | {"stepInvokeUrl": f"{url}/workflows/userCreation/{name}", "payload": USER}
        for name in ("sendAnalytics", "sendEmail")
    ]


def test_a_whole_run_answers_the_caller_and_happens_once(url: str, atomic: FakeAtomic, tmp_path: Path):
    for _ in range(2):
        reply = post(f"{url}/users", {"userName": "ada"}, {"Idempotency-Key": "order-1"})
    assert reply.body["response"]["user"] == USER
    assert reply.body["response"]["analytics"] == {"tracked": True}
    assert reply.headers["idempotency-replayed"] == "true"
    assert (len(users(tmp_path)), len(mails(tmp_path)), len(events(tmp_path))) == (1, 1, 1)


def test_without_a_key_of_the_caller_each_post_is_new(url: str, atomic: FakeAtomic, tmp_path: Path):
    post(f"{url}/users", {"userName": "ada"})
    post(f"{url}/users", {"userName": "ada"})
    assert users(tmp_path) == [(1, "ada"), (2, "ada")]


def test_the_trace_and_the_api_key_go_along(start_app: StartApp, atomic: FakeAtomic):
    url = start_app(api_key="ak_1")
    post(f"{url}{STEPS}/index", envelope(userName="ada"), {"traceparent": "00-a-b-01"})
    assert len(atomic.posted) == 3
    for _, headers, _ in atomic.posted:
        assert headers["traceparent"] == "00-a-b-01"
        assert headers["authorization"] == "Bearer ak_1"


@pytest.mark.parametrize("step", ["createUser", "sendEmail", "sendAnalytics"])
@pytest.mark.parametrize("status", [424, 504])
def test_a_step_without_a_result_makes_the_workflow_throw(
    url: str, atomic: FakeAtomic, step: str, status: int
):
    atomic.answers[step] = (status, {"status": status})
    reply = post(f"{url}{STEPS}/index", envelope(userName="ada"))
    assert reply.status == 500
    assert reply.body == {"error": f"{step}: Atomic answered {status}"}


def test_an_answer_that_is_not_200_is_passed_on(url: str, atomic: FakeAtomic):
    atomic.answers["index"] = (504, {"status": 504, "title": "Not finished in time"})
    reply = post(f"{url}/users", {"userName": "ada"})
    assert (reply.status, reply.body["title"]) == (504, "Not finished in time")


def test_an_unreachable_atomic_is_a_502(start_app: StartApp):
    url = start_app(atomic_url="http://127.0.0.1:1")
    assert post(f"{url}/users", {"userName": "ada"}).status == 502


@pytest.mark.parametrize("name", [None, 7, "", "a\nb", "x" * 101])
def test_a_bad_user_name_is_a_400(url: str, atomic: FakeAtomic, name: Any):
    assert post(f"{url}/users", {"userName": name}).status == 400
    assert atomic.posted == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"payload": {}}', b'{"idempotencyKey": "k"}'])
def test_a_body_that_is_not_atomics_is_a_400(url: str, body: bytes):
    assert post(f"{url}{STEPS}/createUser", body).status == 400


def test_odd_requests_are_refused(url: str):
    assert post(f"{url}/nowhere", {}).status == 404
    assert post(f"{url}/users", b"", {"Content-Length": "9999999"}).status == 413
    assert post(f"{url}/users", b"", {"Content-Length": "many"}).status == 411


def test_create_user_repeats_its_answer(url: str, tmp_path: Path):
    replies = [post(f"{url}{STEPS}/createUser", envelope(userName="ada")) for _ in range(3)]
    assert [reply.body for reply in replies] == [USER] * 3
    post(f"{url}{STEPS}/createUser", envelope("k2", userName="grace"))
    assert users(tmp_path) == [(1, "ada"), (2, "grace")]


def test_send_email_appends_one_readable_message_a_key(url: str, tmp_path: Path):
    odd = {"userId": 2, "userName": 'From "Ä" <x>'}
    first = [post(f"{url}{STEPS}/sendEmail", envelope()) for _ in range(3)]
    second = post(f"{url}{STEPS}/sendEmail", envelope("k2", **odd))
    messages = mails(tmp_path)
    assert [mail["Message-ID"] for mail in messages] == [
        first[0].body["messageId"],
        second.body["messageId"],
    ]
    assert first[0].body == first[1].body == first[2].body
    assert "Hello ada" in messages[0].as_string()


def test_send_analytics_is_refused_three_times_for_each_key(url: str, tmp_path: Path):
    for key in ("k1", "k2"):
        replies = [post(f"{url}{STEPS}/sendAnalytics", envelope(key)) for _ in range(6)]
        assert [reply.status for reply in replies] == [404, 404, 404, 200, 200, 200]
    assert [event["idempotencyKey"] for event in events(tmp_path)] == ["k1", "k2"]


@pytest.mark.parametrize("step", ["createUser", "sendEmail", "sendAnalytics"])
def test_sixteen_calls_at_once_with_one_key_do_it_once(url: str, tmp_path: Path, step: str):
    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda _: post(f"{url}{STEPS}/{step}", envelope()), range(16)))
    good = [reply.body for reply in replies if reply.status == 200]
    assert len(good) == (13 if step == "sendAnalytics" else 16)
    assert all(body == good[0] for body in good)
    count = {"createUser": users, "sendEmail": mails, "sendAnalytics": events}[step]
    assert len(count(tmp_path)) == 1


def test_many_keys_at_once_lose_and_mix_nothing(url: str, tmp_path: Path):
    keys = [f"k{n % 16}" for n in range(48)]
    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda key: post(f"{url}{STEPS}/sendEmail", envelope(key)), keys))
    assert {reply.status for reply in replies} == {200}
    sent = {reply.body["messageId"] for reply in replies}
    found = [mail["Message-ID"] for mail in mails(tmp_path)]
    assert len(found) == 16
    assert set(found) == sent


def test_a_torn_append_is_cut_off_and_done_again(start_app: StartApp, tmp_path: Path):
    url = start_app()
    post(f"{url}{STEPS}/sendEmail", envelope("k1"))
    whole = (tmp_path / "mailbox.mbox").read_bytes()
    with (tmp_path / "mailbox.mbox").open("ab") as file:
        file.write(whole[: len(whole) // 2])
    again = start_app()
    assert post(f"{again}{STEPS}/sendEmail", envelope("k1")).status == 200
    assert post(f"{again}{STEPS}/sendEmail", envelope("k2")).status == 200
    messages = mails(tmp_path)
    assert len(messages) == 2
    assert len({mail["Message-ID"] for mail in messages}) == 2


def test_an_append_that_was_written_but_not_committed_does_not_double(tmp_path: Path):
    storage = Storage(tmp_path)

    def die_after_the_append(db: sqlite3.Connection) -> None:
        storage.append(db, "file", b"one\n")
        raise RuntimeError("as if the process had died here")

    with pytest.raises(RuntimeError):
        storage.once("step", "k1", die_after_the_append)
    assert (tmp_path / "file").read_bytes() == b"one\n"
    storage.once("step", "k1", lambda db: storage.append(db, "file", b"one\n"))
    storage.once("step", "k2", lambda db: storage.append(db, "file", b"two\n"))
    assert (tmp_path / "file").read_bytes() == b"one\ntwo\n"
    storage.close()


def test_kills_in_the_middle_of_the_work_lose_and_double_nothing(tmp_path: Path):
    keys, done = [f"k{n}" for n in range(40)], 0
    for kill in range(4):
        with running_app(tmp_path) as (process, url):
            for number, key in enumerate(keys[done:]):
                if number == 8 and kill < 3:
                    threading.Timer(0.001 * kill, process.send_signal, [signal.SIGKILL]).start()
                try:
                    assert post(f"{url}{STEPS}/sendEmail", envelope(key)).status == 200
                except (OSError, ValueError):
                    break
                done += 1
    assert done == len(keys)
    found = [mail["Message-ID"] for mail in mails(tmp_path)]
    assert len(found) == len(set(found)) == len(keys)


@contextmanager
def running_app(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "atomic.demo.app", "--port", "0", "--data-dir", str(folder)]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().split()[-1]
        finally:
            process.kill()


@pytest.mark.parametrize("step", ["index", "createUser", "sendEmail", "sendAnalytics"])
def test_unsigned_calls_are_refused_when_a_secret_is_set(start_app: StartApp, step: str):
    url = start_app(signing_secret=SECRET)
    assert post(f"{url}{STEPS}/{step}", envelope()).status == 401
    assert post(f"{url}{STEPS}/{step}", envelope(), signature(envelope(key="k2"))).status == 401
    assert post(f"{url}{STEPS}/{step}", envelope(), signature(envelope(), age_s=310)).status == 401
    assert post(f"{url}{STEPS}/{step}", envelope(), signature(envelope(), age_s=-310)).status == 401
    odd = {"webhook-timestamp": "²", "webhook-signature": "v1,\xe9"}
    assert post(f"{url}{STEPS}/{step}", envelope(), odd).status == 401


def test_a_call_signed_by_the_reference_library_is_taken(start_app: StartApp):
    url = start_app(signing_secret=SECRET)
    headers = signature(envelope(userName="ada"), age_s=290)
    headers["webhook-signature"] = f"v1,b3RoZXI= {headers['webhook-signature']}"
    assert post(f"{url}{STEPS}/createUser", envelope(userName="ada"), headers).status == 200


def signature(body: Any, *, age_s: int = 0) -> dict[str, str]:
    data = json.dumps(body)
    moment = datetime.fromtimestamp(int(time.time()) - age_s, UTC)
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("msg_1", moment, data),
    }


def step_view(name: str, starts: list[tuple[int, int, int]], *, created: int, parent: str | None) -> Any:
    """A step as Atomic's API shows it; `starts` holds (began, ended, status) of its attempts."""
    log = [
        {
            "number": n,
            "startedAt": moment(began),
            "endedAt": moment(ended),
            "outcome": "x",
            "status": status,
        }
        for n, (began, ended, status) in enumerate(starts, 1)
    ]
    return {
        "stepInvokeUrl": f"http://127.0.0.1:1{STEPS}/{name}",
        "parent": parent,
        "status": "succeeded",
        "createdAt": moment(created),
        "finishedAt": moment(starts[-1][1]),
        "endpointKey": None,
        "attemptLog": log,
    }


def moment(at_ms: int) -> str:
    return f"2026-11-23T07:38:{at_ms // 1000:02}.{at_ms % 1000:03}Z"


RUN = {
    "root": step_view("index", [(102, 900, 200)], created=102, parent=None),
    "steps": [
        step_view("createUser", [(110, 115, 200)], created=110, parent="root"),
        step_view("sendAnalytics", [(120, 122, 404), (500, 502, 200)], created=120, parent="root"),
    ],
}
BEGAN_MS = int(datetime.fromisoformat(moment(100)).timestamp() * 1000)


def test_the_timeline_has_every_call_in_order_with_its_times():
    calls = timeline.calls_of(RUN, began_ms=BEGAN_MS)
    assert [
        (call.who, call.what, call.at_ms, call.took_ms, call.attempt, call.status) for call in calls
    ] == [
        ("app → Atomic", "start index", 2, 798, None, "200"),
        ("Atomic → app", "index", 2, 798, 1, "200"),
        ("app → Atomic", "start createUser", 10, 5, None, "200"),
        ("Atomic → app", "createUser", 10, 5, 1, "200"),
        ("app → Atomic", "start sendAnalytics", 20, 382, None, "200"),
        ("Atomic → app", "sendAnalytics", 20, 2, 1, "404"),
        ("Atomic → app", "sendAnalytics", 400, 2, 2, "200"),
    ]
    assert timeline.attempts_of(RUN, "/sendAnalytics") == [404, 200]


def test_the_lines_are_aligned_and_as_wide_as_a_terminal():
    lines = timeline.lines_of(timeline.calls_of(RUN, began_ms=BEGAN_MS), timeline.plain)
    heading, *rest = lines
    column = heading.index("answer")
    assert [line[column : column + 3] for line in rest] == ["200"] * 5 + ["404", "200"]
    assert max(map(len, lines)) <= 98
    narrow = timeline.lines_of(timeline.calls_of(RUN, began_ms=BEGAN_MS), timeline.plain, bar_width=0)
    assert max(map(len, narrow)) <= 78
    assert "\x1b" not in "".join(lines)
    assert "\x1b[32m" in "".join(timeline.lines_of(timeline.calls_of(RUN, began_ms=0), timeline.paint))


def test_a_server_that_does_not_come_up_is_named_and_its_log_shown(tmp_path: Path):
    log = tmp_path / "server.log"
    command = [sys.executable, "-c", "import sys; sys.exit('no room')"]
    ready = servers.running("it", command, servers.free_port(), log)
    with pytest.raises(servers.DemoFailed, match="it ended with status 1"), ready:
        pytest.fail("it was never ready")
    assert servers.tails([log, tmp_path / "none.log"]).endswith("--- the end of server.log ---\nno room")


def test_a_server_is_ended_whatever_happens(tmp_path: Path):
    port = servers.free_port()
    command = [sys.executable, "-m", "atomic.demo.app", "--port", str(port), "--data-dir", str(tmp_path)]
    ready = servers.running("app.py", command, port, tmp_path / "log")
    with pytest.raises(RuntimeError), ready as child:
        raise RuntimeError("anything")
    assert child.process.returncode == -signal.SIGTERM
