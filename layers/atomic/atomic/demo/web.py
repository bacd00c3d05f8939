"""The little HTTP that the example needs: JSON in, JSON out, with the standard library alone.

Any framework can stand in for this file. `app.py` is the part to read.
"""

import base64
import hmac
import json
import socketserver
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

LOOPBACK: Final = "127.0.0.1"
BODY_MAX_BYTES: Final = 1024 * 1024
# All calls stay on this machine, so a proxy named by the environment has no business with them.
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class HttpError(Exception):
    """Answers the request with this status and text."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


@dataclass(frozen=True)
class Request:
    """What came in. Names in `headers` are lower case; `raw` is the body that was signed."""

    headers: Mapping[str, str]
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


@dataclass(frozen=True)
class Answer:
    """What goes out, or what a call brought back (then the names in `headers` are lower case)."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


Endpoint = Callable[[Request], Answer]


def post_json(url: str, body: Any, headers: Mapping[str, str], *, timeout_s: float) -> Answer:
    """Post JSON; every status is an answer. Raises HttpError 502 when no answer comes."""
    headers = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with _OPENER.open(request, timeout=timeout_s) as response:
            return Answer(response.status, json.load(response), _lower_case(response.headers))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, _json_or_text(error.read()), _lower_case(error.headers))
    except (OSError, HTTPException, ValueError) as error:
        raise HttpError(502, f"no answer from {url}: {error}") from None


def is_signed(secret: str, request: Request, *, now_s: float) -> bool:
    """Whether a Standard Webhooks 1.0 signature fits the body and is at most five minutes old."""
    message_id = request.headers.get("webhook-id", "")
    timestamp = request.headers.get("webhook-timestamp", "")
    if not (timestamp.isdecimal() and len(timestamp) < 12 and abs(now_s - int(timestamp)) <= 300):
        return False
    signed = f"{message_id}.{timestamp}.".encode() + request.raw
    digest = hmac.digest(base64.b64decode(secret.removeprefix("whsec_")), signed, "sha256")
    expected = b"v1," + base64.b64encode(digest)
    offered = request.headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(expected, one.encode()) for one in offered)


class JsonServer(ThreadingHTTPServer):
    """Answers `"POST /path"` by the endpoint of that name in `routes`, one thread a connection."""

    request_queue_size = 128

    def __init__(self, port: int, *, on_close: Callable[[], None]) -> None:
        super().__init__((LOOPBACK, port), _Handler)
        self.routes: Mapping[str, Endpoint] = {}
        self._on_close = on_close

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{LOOPBACK}:{self.server_port}"

    def server_bind(self) -> None:
        """Bind without asking DNS for the name of the loopback address, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = LOOPBACK, self.socket.getsockname()[1]

    def server_close(self) -> None:
        """Stop listening and let go of what the endpoints use."""
        super().server_close()
        self._on_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that closes the connection in the middle is nothing to print a traceback for."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: JsonServer
    protocol_version = "HTTP/1.1"
    # Unbuffered, http.server sends headers and body as two packets, and Nagle's algorithm holds the
    # second one back for 40 ms.
    wbufsize = -1
    disable_nagle_algorithm = True
    timeout = 60

    def do_POST(self) -> None:
        try:
            answer = self._answer()
        except HttpError as error:
            answer = Answer(error.status, {"error": str(error)})
        except Exception as error:
            answer = Answer(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": f"{type(error).__name__}: {error}"})
        self._send(answer)

    def do_GET(self) -> None:
        self.do_POST()

    def _answer(self) -> Answer:
        request = Request(_lower_case(self.headers), self._read_body())
        endpoint = self.server.routes.get(f"{self.command} {self.path}")
        if endpoint is None:
            raise HttpError(404, f"no endpoint {self.command} {self.path}")
        return endpoint(request)

    def _read_body(self) -> bytes:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal() or len(length) > 9:
            self.close_connection = True  # what follows on this connection cannot be told apart
            raise HttpError(411, "send a Content-Length")
        if int(length) > BODY_MAX_BYTES:
            self.close_connection = True
            raise HttpError(413, f"the body is over {BODY_MAX_BYTES} bytes")
        return self.rfile.read(int(length))

    def _send(self, answer: Answer) -> None:
        body = json.dumps(answer.body).encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _lower_case(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _json_or_text(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
