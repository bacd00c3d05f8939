"""No text of callers or endpoints is in the output of either runtime, at any log level."""

import json
import socket
import sqlite3
import traceback
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import requests
from botocore.exceptions import EndpointConnectionError

from atomic.application.client_admin import ClientAdmin
from atomic.entrypoints.aws.logs import InvocationFailed
from atomic.entrypoints.log_policy import FIELDS
from atomic.protocol.enums import SCOPES
from both_runtimes import RUNTIMES, Functions, LockedRuntime
from canaries import MARK, Sent, canary, endpoints, requests_of, starts
from contract.aws import PEPPER
from unit.aws.test_handlers import batch

# The operator alone chooses client ids, so they may be logged.
CLIENT, MADE = f"{canary('client')}-1", f"{canary('client')}-2"
# What the formatters of the runtimes add to `log_policy.FIELDS`.
FRAME: Final = {"level", "logger", "message", "time", "location", "timestamp", "service", "stage", "name"}


class Caller:
    """A caller with API keys that puts canaries everywhere."""

    def __init__(self, runtime: LockedRuntime, base_url: str, session: requests.Session) -> None:
        self._runtime = runtime
        self.base_url = base_url
        self.api_key, self.signing_secret = runtime.admin.create(
            CLIENT, base_urls=[base_url], scopes=SCOPES
        )
        self.operator_key, _ = runtime.admin.create_operator_key()
        self._session = session

    def ask(self, sent: Sent, api_key: str = "") -> requests.Response:
        """Send it."""
        headers = {"Authorization": f"Bearer {api_key or self.api_key}", "Prefer": "wait=0", **sent.headers}
        url = self._runtime.url + sent.target
        return self._session.request(sent.method, url, headers=headers, data=sent.body, timeout=30)

    def create(self) -> list[str]:
        """Create a client over the API; return its key and secret."""
        settings = {
            "clientId": MADE,
            "redact": [canary("redact")],
            "baseUrls": [f"https://{canary('base-url')}.example/"],
        }
        answer = self.ask(Sent("POST", "/clients", body=json.dumps(settings).encode()), self.operator_key)
        return [answer.json()["apiKey"], answer.json()["signingSecret"]]

    def start(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Start a step, and wait for it for a moment."""
        headers = {"Prefer": "wait=1", "traceparent": canary("traceparent")}
        body = json.dumps(document).encode()
        answer = self.ask(Sent("POST", f"/{CLIENT}", headers, body))
        assert answer.status_code in {200, 424, 504}, answer.text
        return dict(answer.json())


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets in the operator's environment."""
    for name in ("ATOMIC_SIGNING_SECRET", "ATOMIC_API_KEY", "SOME_TOKEN"):
        monkeypatch.setenv(name, canary(name))


@pytest.mark.parametrize("name", RUNTIMES)
@pytest.mark.usefixtures("environment")
def test_no_canary_reaches_a_line(name: str, tmp_path: Path) -> None:
    with (
        endpoints() as base_url,
        RUNTIMES[name](tmp_path, "debug") as runtime,
        requests.Session() as session,
    ):
        caller = Caller(runtime, base_url, session)
        started = [caller.start(document) for document in starts(base_url)]
        for _ in range(3):
            runtime.drive()
        shown = caller.create()
        statuses = ask_everything(caller, runtime.admin, started)
        if runtime.functions:
            break_aws(caller, runtime.functions)
        else:
            # On AWS the gateway rejects malformed HTTP.
            speak_no_http(runtime.url)
            break_clients(caller, tmp_path / "data")
    output = runtime.output()

    assert statuses >= {200, 201, 400, 401, 404, 409}
    lines = [json.loads(line) for line in output.splitlines()]
    said = {line.get("message") for line in lines}
    assert {"attempt ended without success", "step failed", "unexpected error"} <= said, said
    assert leaks(lines) == []
    shown += [caller.api_key, caller.operator_key, caller.signing_secret, PEPPER.decode()]
    for secret in shown:
        assert secret.rpartition("_")[2] not in output


def ask_everything(caller: Caller, admin: ClientAdmin, started: list[dict[str, Any]]) -> set[int]:
    """Send every request with canaries, by the client's and the operator's key; return the statuses."""
    _, victim = admin.add_key(CLIENT, scopes=["read"])
    event = started[-1]
    known = {
        "clientId": CLIENT, "client": CLIENT, "runId": event["runId"], "stepId": event["id"],
        "keyId": victim.id, "token": event["callbackUrl"].rpartition("/")[2],
        "key": "shared", "name": "nightly", "workflowName": canary("workflow-in-path"),
    }  # fmt: skip
    result = json.dumps({canary("result-name"): canary("posted-result")}).encode()
    assert caller.ask(Sent("POST", f"/{CLIENT}/steps/{event['id']}/result", body=result)).status_code == 200
    answers = [caller.ask(sent) for sent in requests_of(known)]
    answers += [caller.ask(sent, caller.operator_key) for sent in requests_of(known) if is_managing(sent)]
    answers.append(caller.ask(Sent("POST", f"/{CLIENT}", body=canary("large").encode() * 200_000)))
    answers.append(caller.ask(Sent("GET", "/health", {"Origin": f"http://{canary('origin')}"})))
    return {answer.status_code for answer in answers}


def is_managing(sent: Sent) -> bool:
    """Whether the operator's key may be used for the request."""
    return sent.method != "GET" and ("/runs" not in sent.target and "/steps" not in sent.target)


def speak_no_http(url: str) -> None:
    """Send malformed and oversized HTTP."""
    word = canary("no-http-request").encode()
    for said in (
        word + b"\r\n\r\n",
        word.upper() + b" / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /health HTTP/1.1\r\n" + word + b"\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: " + word + b".example\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + word * 4000 + b"\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + word + b"\r\n",
        b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + word + b"\r\n\r\n",
        b"GET /" + word + b"%ff%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ):
        address = urlsplit(url)
        with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
            connection.sendall(said)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass


def break_clients(caller: Caller, data_dir: Path) -> None:
    """Store an unreadable client record; the parser's error message quotes it."""
    record = json.dumps({"keys": [], "secrets": [], "limits": {canary("record"): 1}})
    with closing(sqlite3.connect(data_dir / "clients.db", isolation_level=None)) as database:
        database.execute("INSERT INTO client_records VALUES (?, 1, ?)", (canary("record-id"), record))
        assert caller.ask(Sent("GET", "/clients"), caller.operator_key).status_code == 500
        database.execute("DELETE FROM client_records WHERE id = ?", (canary("record-id"),))


def break_aws(caller: Caller, functions: Functions) -> None:
    """Make AWS answer with errors that quote the request, and deliver an invalid message."""
    document = next(starts(caller.base_url)) | {"idempotencyKey": canary("broken")}
    sent = Sent("POST", f"/{CLIENT}", {"Prefer": "respond-async"}, json.dumps(document).encode())
    assert caller.ask(sent).status_code == 202
    wakeups = functions.account.received(functions.account.queue_url)
    assert functions.invoker(batch(canary("message")), None) == {"batchItemFailures": []}
    for error in (EndpointConnectionError(endpoint_url=canary("aws")), RuntimeError(canary("failure"))):
        with failing(functions, error):
            assert caller.ask(Sent("GET", f"/{CLIENT}/stats")).status_code in {500, 503}
            assert functions.invoker(batch(*wakeups), None)["batchItemFailures"]
            # Lambda itself logs an exception that leaves a handler.
            with pytest.raises(InvocationFailed) as raised:
                functions.maintenance({"work": "sweep"}, None)
            assert MARK not in "".join(traceback.format_exception(raised.value))


@contextmanager
def failing(functions: Functions, error: Exception) -> Iterator[None]:
    """Every request to the table raises the error."""

    def fail(**_: Any) -> None:
        raise error

    events = [each.runtime.clients[0].meta.events for each in functions.all]
    for event in events:
        event.register("before-call.*.*", fail, unique_id="failing")
    yield
    for event in events:
        event.unregister("before-call.*.*", unique_id="failing")


def leaks(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines that contain a canary."""
    return [line for line in lines if not _is_clean(line)]


def _is_clean(line: dict[str, Any]) -> bool:
    if "_aws" in line:
        return MARK not in json.dumps(line)
    rest = {name: value for name, value in line.items() if name != "clientId"}
    names_client = line.get("clientId", CLIENT) in {CLIENT, MADE}
    return names_client and MARK not in json.dumps(rest) and line.keys() <= FIELDS | FRAME
