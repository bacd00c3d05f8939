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
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from atomic.demo.storage import Storage
from atomic.demo.web import Answer, Endpoint, HttpError, JsonServer, Request, is_signed, post_json

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


@dataclass(frozen=True)
class Call:
    """What Atomic posts to a workflow or a step."""

    key: str
    payload: dict[str, Any]
    trace: Mapping[str, str]


class UserCreation:
    """The application, one method for each endpoint."""

    def __init__(self, config: Config, storage: Storage, own_url: str) -> None:
        self._config = config
        self._storage = storage
        self._own_url = own_url

    def routes(self) -> dict[str, Endpoint]:
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
        answer = self._post_to_atomic("index", key, payload, _trace(request))
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
        answer = self._post_to_atomic(name, call.key, payload, call.trace)
        if answer.status != 200:
            raise HttpError(500, f"{name}: Atomic answered {answer.status}")
        return answer.body["response"]

    def _post_to_atomic(self, name: str, key: str, payload: Any, headers: Mapping[str, str]) -> Answer:
        """The whole protocol: call this URL with this key until it succeeds, and give me its answer."""
        config = self._config
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
        url = f"{config.atomic_url}/{config.client_id}"
        # Atomic answers 504 by itself when the time is over; waiting longer guards against its silence.
        return post_json(url, body, headers, timeout_s=TIMEOUT_MS / 1000 + 5)

    def _read_call(self, request: Request) -> Call:
        secret = self._config.signing_secret
        if secret and not is_signed(secret, request, now_s=time.time()):
            raise HttpError(401, "the signature is missing, wrong or too old")
        body = request.json_object()
        key, payload = body.get("idempotencyKey"), body.get("payload")
        if not isinstance(key, str) or not key or not isinstance(payload, dict):
            raise HttpError(400, "send idempotencyKey and payload, as Atomic does")
        return Call(key, payload, _trace(request))


def _trace(request: Request) -> dict[str, str]:
    traceparent = request.headers.get("traceparent")
    return {"traceparent": traceparent} if traceparent else {}


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


def build_server(config: Config) -> ThreadingHTTPServer:
    """The application, bound to its port; `serve_forever()` runs it, `server_close()` ends it."""
    storage = Storage(config.data_dir)
    server = JsonServer(config.port, on_close=storage.close)
    server.routes = UserCreation(config, storage, server.url).routes()
    return server


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
    server = build_server(read_config())
    print(f"user creation listens on http://127.0.0.1:{server.server_port}", flush=True)
    with server, suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    main()
