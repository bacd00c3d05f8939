"""User creation as plain HTTP endpoints: no SDK, nothing but the standard library.

`POST /users` starts the workflow, Atomic calls the workflow, the workflow posts its steps to Atomic,
and Atomic calls each of them until it answers 2xx. Every endpoint is a few lines.
"""

import argparse
import hashlib
import json
import os
import sqlite3
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage, Message
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from atomic.demo.signed import is_signed
from atomic.demo.storage import Storage

LOOPBACK: Final = "127.0.0.1"
BODY_MAX_BYTES: Final = 1024 * 1024
# Every call stays on this machine, so a proxy named by the environment is not used.
OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
WORKFLOW_NAME: Final = "createUser"
PATH: Final = "/workflows/userCreation"
TIMEOUT_MS: Final = 8000
REFUSED_CALLS: Final = 3


@dataclass(frozen=True)
class Config:
    """Where things are; `port` 0 takes any free one."""

    port: int
    data_dir: Path
    atomic_url: str
    client_id: str
    retry_back_off_ms: int = 1000
    api_key: str | None = None
    signing_secret: str | None = None


class HttpError(Exception):
    """Answers the request with this status and text."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Request(NamedTuple):
    """A request to an endpoint. The signature is over `raw`."""

    headers: Message
    raw: bytes

    def json_object(self) -> dict[str, Any]:
        """The body as a JSON object. Raises HttpError 400 when it is none."""
        try:
            body = json.loads(self.raw)
        except (ValueError, RecursionError):
            raise HttpError(400, "the body is not JSON") from None
        if not isinstance(body, dict):
            raise HttpError(400, "the body is not a JSON object")
        return body


class Answer(NamedTuple):
    """What an endpoint answers, or what a server answered us."""

    status: int
    body: Any
    headers: Mapping[str, str] | Message = MappingProxyType({})


@dataclass(frozen=True)
class Call:
    """What Atomic posts to a workflow or a step."""

    key: str
    payload: dict[str, Any]
    step_id: str
    headers: Mapping[str, str]


class UserCreation:
    """The application, one method for each endpoint."""

    def __init__(self, config: Config, storage: Storage, own_url: str) -> None:
        self._config = config
        self._storage = storage
        self._own_url = own_url

    def routes(self) -> dict[str, Callable[[Request], Answer]]:
        """Which endpoint answers what."""
        return {
            "GET /health": lambda _: Answer(200, {"status": "ok"}),
            "POST /users": self.users,
            f"POST {PATH}/index": self.workflow,
            f"POST {PATH}/createUser": self.create_user,
            f"POST {PATH}/sendEmail": self.send_email,
            f"POST {PATH}/sendAnalytics": self.send_analytics,
        }

    def users(self, request: Request) -> Answer:
        """The client app: start the workflow, wait for its answer, pass it on."""
        key = request.headers.get("idempotency-key") or str(uuid.uuid4())
        payload = {"userName": _user_name(request.json_object())}
        answer = self._post_to_atomic("index", key, payload, _passed_on(request))
        passed_on = ("idempotency-replayed", "retry-after")
        headers = {name: answer.headers[name] for name in passed_on if name in answer.headers}
        return Answer(answer.status, answer.body, headers)

    def workflow(self, request: Request) -> Answer:
        """The workflow: one step, then two at once. When one throws, Atomic calls this again later,
        and the steps that are done answer from memory."""
        call = self._read_call(request)
        user = self._step("createUser", call, call.payload)
        with ThreadPoolExecutor() as pool:
            email = pool.submit(self._step, "sendEmail", call, user)
            analytics = pool.submit(self._step, "sendAnalytics", call, user)
        return Answer(200, {"user": user, "email": email.result(), "analytics": analytics.result()})

    def create_user(self, request: Request) -> Answer:
        """Insert the user, in one transaction with the key."""
        call = self._read_call(request)

        def insert(db: sqlite3.Connection) -> dict[str, Any]:
            name = _user_name(call.payload)
            row = db.execute("INSERT INTO users (name) VALUES (?)", (name,))
            return {"userId": row.lastrowid, "userName": name}

        return Answer(200, self._storage.once("createUser", call.key, insert))

    def send_email(self, request: Request) -> Answer:
        """Append to a mailbox. A real mail service takes the key instead, as its own idempotency key."""
        call = self._read_call(request)

        def send(db: sqlite3.Connection) -> dict[str, Any]:
            message_id = f"<{hashlib.sha256(call.key.encode()).hexdigest()[:32]}@user-creation.example>"
            self._storage.append(db, "mailbox.mbox", _welcome(call.payload, message_id))
            return {"messageId": message_id}

        return Answer(200, self._storage.once("sendEmail", call.key, send))

    def send_analytics(self, request: Request) -> Answer:
        """Append a line, but only after three refusals: this service is down when it is needed."""
        call = self._read_call(request)
        if self._storage.count_call("sendAnalytics", call.key) <= REFUSED_CALLS:
            return Answer(404, {"error": "the analytics service is not there yet"})

        def track(db: sqlite3.Connection) -> dict[str, Any]:
            event = {"event": "userCreated", "idempotencyKey": call.key, **call.payload}
            self._storage.append(db, "analytics.jsonl", json.dumps(event).encode() + b"\n")
            return {"tracked": True}

        return Answer(200, self._storage.once("sendAnalytics", call.key, track))

    def _step(self, name: str, call: Call, payload: dict[str, Any]) -> Any:
        """The response of a step, however often Atomic must call it. Throws when it is not there yet."""
        answer = self._post_to_atomic(name, call.key, payload, call.headers, parent=call.step_id)
        if answer.status != 200:
            raise HttpError(500, f"{name}: Atomic answered {answer.status}")
        return answer.body["response"]

    def _post_to_atomic(
        self, name: str, key: str, payload: Any, headers: Mapping[str, str], parent: str | None = None
    ) -> Answer:
        """The whole protocol: call this URL with this key until it succeeds, and give me its answer."""
        config = self._config
        url = f"{config.atomic_url}/{config.client_id}"
        body = {
            "workflowName": WORKFLOW_NAME,
            "stepInvokeUrl": f"{self._own_url}{PATH}/{name}",
            "idempotencyKey": key,
            "payload": payload,
            "timeout": TIMEOUT_MS,
            "retry": {"count": 10, "backOff": config.retry_back_off_ms},
        }
        if config.api_key:
            headers = {**headers, "Authorization": f"Bearer {config.api_key}"}
        if parent:  # the step whose handler posts this
            body["parent"] = parent
            url += "/steps"
        # Atomic answers 504 by itself when the time is over; waiting longer guards against its silence.
        return post_json(url, body, headers, timeout_s=TIMEOUT_MS / 1000 + 5)

    def _read_call(self, request: Request) -> Call:
        secret = self._config.signing_secret
        if secret and not is_signed(secret, request.headers, request.raw):
            raise HttpError(401, "the signature is missing, wrong or too old")
        body = request.json_object()
        key, payload, step_id = (body.get(name) for name in ("idempotencyKey", "payload", "stepId"))
        if not (isinstance(key, str) and key and isinstance(payload, dict) and isinstance(step_id, str)):
            raise HttpError(400, "send idempotencyKey, payload and stepId, as Atomic does")
        return Call(key, payload, step_id, _passed_on(request))


def _passed_on(request: Request) -> dict[str, str]:
    """What a post to Atomic takes over from the call: the trace, and the proof that there is one."""
    headers = request.headers
    return {name: headers[name] for name in ("traceparent", "atomic-attempt-token") if name in headers}


def _user_name(payload: Mapping[str, Any]) -> str:
    name = payload.get("userName")
    if not isinstance(name, str) or not name.isprintable() or not 1 <= len(name) <= 100:
        raise HttpError(400, "userName: send 1 to 100 printable characters")
    return name


def _welcome(user: Mapping[str, Any], message_id: str) -> bytes:
    """A message as mbox files keep it: a `From ` line before it, an empty one behind."""
    message = EmailMessage()
    message.set_unixfrom(f"From welcome@user-creation.example {time.asctime(time.gmtime())}")
    message["From"] = "welcome@user-creation.example"
    message["To"] = Address(_user_name(user), f"user-{user['userId']}", "user-creation.example")
    message["Subject"] = "Welcome"
    message["Message-ID"] = message_id
    message.set_content(f"Hello {_user_name(user)}, your account is ready.\n")
    return message.as_bytes(unixfrom=True) + b"\n"


def post_json(url: str, body: Any, headers: Mapping[str, str], *, timeout_s: float) -> Answer:
    """Post JSON; every status is an answer. Raises HttpError 502 when no JSON comes back."""
    headers = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        try:
            response = OPENER.open(request, timeout=timeout_s)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            return Answer(response.status, json.load(response), response.headers)
    except (OSError, HTTPException, ValueError) as error:
        raise HttpError(502, f"no answer from {url}: {error}") from None


def answered(
    routes: Mapping[str, Callable[[Request], Answer]], name: str, read: Callable[[], Request]
) -> Answer:
    """What the endpoint answers; what it raises is an answer, too."""
    try:
        request = read()
        if name not in routes:
            raise HttpError(404, f"no endpoint {name}")
        return routes[name](request)
    except HttpError as error:
        return Answer(error.status, {"error": str(error)})
    except Exception as error:
        return Answer(500, {"error": f"{type(error).__name__}: {error}"})


class Server(ThreadingHTTPServer):
    """The application on its port; `serve_forever()` runs it, `server_close()` ends it."""

    request_queue_size = 128  # the default of 5 refuses callers that come at once

    def __init__(self, config: Config) -> None:
        super().__init__((LOOPBACK, config.port), Handler)
        self.storage = Storage(config.data_dir)
        own_url = f"http://{LOOPBACK}:{self.server_port}"
        self.routes = UserCreation(config, self.storage, own_url).routes()

    def server_close(self) -> None:
        """Stop listening, and close the database."""
        super().server_close()
        self.storage.close()


class Handler(BaseHTTPRequestHandler):
    """JSON in, JSON out, one thread a request."""

    server: Server
    timeout = 60

    def do_POST(self) -> None:
        answer = answered(self.server.routes, f"{self.command} {self.path}", self._read)
        body = json.dumps(answer.body).encode()
        self.send_response(answer.status)
        for name, value in {**answer.headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.do_POST()

    def _read(self) -> Request:
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal():
            raise HttpError(411, "send a Content-Length")
        if len(length) > 9 or int(length) > BODY_MAX_BYTES:
            raise HttpError(413, f"the body is over {BODY_MAX_BYTES} bytes")
        return Request(self.headers, self.rfile.read(int(length)))


def read_config(arguments: list[str] | None = None) -> Config:
    """Flags first, then the environment, then defaults."""
    env = os.environ.get
    parser = argparse.ArgumentParser(description="User creation on plain HTTP endpoints.")
    parser.add_argument("--port", type=int, default=env("PORT", "3000"))
    parser.add_argument("--data-dir", type=Path, default=env("DATA_DIR", ".user-creation"))
    parser.add_argument("--atomic-url", default=env("ATOMIC_URL", "http://127.0.0.1:8787"))
    parser.add_argument("--client-id", default=env("ATOMIC_CLIENT_ID", "demo"))
    parser.add_argument("--retry-back-off-ms", type=int, default=env("RETRY_BACK_OFF_MS", "1000"))
    parser.add_argument("--api-key", default=env("ATOMIC_API_KEY"))
    parser.add_argument("--signing-secret", default=env("ATOMIC_SIGNING_SECRET"))
    return Config(**vars(parser.parse_args(arguments)))


def main() -> None:
    """Serve until Ctrl-C. A kill at any moment is fine: see `storage.py`."""
    server = Server(read_config())
    print(f"user creation listens on http://{LOOPBACK}:{server.server_port}", flush=True)
    with server, suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    main()
