"""Words that must never appear in a log: one for every field that anyone but the operator can fill.

The fields of callers are derived from the API's description; those of endpoints are listed here.
"""

import json
import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from atomic.entrypoints.http_api.openapi import openapi

MARK: Final = "cnry"


def canary(name: str) -> str:
    """A word that names its field. It is valid in ids, headers, URLs and JSON."""
    return MARK + "".join(letter for letter in name if letter.isascii() and letter.isalnum()) + "9z"


@dataclass(frozen=True)
class Sent:
    """A request of a caller; `target` is a quoted path of the server."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def requests_of(known: Mapping[str, str]) -> Iterator[Sent]:
    """Every operation, with a canary in every part of the request; `known` holds path parameters."""
    for path, methods in openapi()["paths"].items():
        for method, operation in methods.items():
            yield from _requests_of(method.upper(), path, operation, known)


def _requests_of(
    method: str, path: str, operation: dict[str, Any], known: Mapping[str, str]
) -> Iterator[Sent]:
    name, target = operation["operationId"], path.format_map(known)
    lost = path.format_map({each: canary(f"{name}-{each}") for each in known})
    yield Sent(method, lost)
    yield Sent(method, f"{target}/{canary(f'{name}-path')}")
    yield Sent(method, target, headers=_headers(name))
    yield Sent(method, f"{target}?{canary(f'{name}-query')}={canary(f'{name}-queried')}")
    for parameter in operation["parameters"]:
        word = canary(f"{name}-{parameter['name']}")
        if parameter["in"] == "query":
            yield Sent(method, f"{target}?{parameter['name']}={word}")
        elif parameter["in"] == "header":
            yield Sent(method, target, {parameter["name"]: word}, b"{}")
    if method != "GET":
        for body in _bodies(name, operation):
            yield Sent(method, target, {"Content-Type": "application/json"}, body)


def _headers(name: str) -> dict[str, str]:
    names = ("Cookie", "User-Agent", "Content-Type", "X-Forwarded-For", "Referer", "tracestate", "Accept")
    return {"Authorization": f"Bearer {canary(f'{name}-key')}"} | {
        each: canary(f"{name}-{each}") for each in names
    }


def _bodies(name: str, operation: dict[str, Any]) -> Iterator[bytes]:
    """Invalid JSON, JSON but no object, an unknown member, and each known member with an invalid value."""
    word = canary(f"{name}-body")
    yield word.encode()
    yield json.dumps([word]).encode()
    yield json.dumps({word: {word: word}}).encode()
    for media in operation.get("requestBody", {}).get("content", {}).values():
        model = media["schema"].get("$ref", "").rpartition("/")[2]
        for member in openapi()["components"]["schemas"].get(model, {}).get("properties", {}):
            word = canary(f"{name}-{member}")
            yield json.dumps({member: word}).encode()
            yield json.dumps({member: {word: [word]}}).encode()


# By the path of a step's URL, the bytes that its endpoint writes.
_HEAD: Final = f"X-{canary('header-name')}: {canary('header')}\r\nConnection: close\r\n"
ANSWERS: Final = {
    "reason": f"HTTP/1.1 500 {canary('reason')}\r\n{_HEAD}Content-Length: 0\r\n\r\n",
    "text": f"HTTP/1.1 500 No\r\n{_HEAD}Content-Type: text/plain; x={canary('charset')}\r\n\r\n"
    f"{canary('text')}: {canary('text-after-colon')}",
    "json": f'HTTP/1.1 500 No\r\n{_HEAD}\r\n{{"error":"{canary("error")}","{canary("member")}":1}}',
    "type": f"HTTP/1.1 500 No\r\n{_HEAD}Content-Type: {canary('type')}\r\n\r\n\udcff{canary('bytes')}",
    "redirect": f"HTTP/1.1 302 Found\r\n{_HEAD}Location: http://{canary('location')}.invalid/\r\n\r\n",
    "retry-after": f"HTTP/1.1 503 No\r\n{_HEAD}Retry-After: {canary('retry-after')}\r\n\r\n",
    "no-retry": f"HTTP/1.1 500 No\r\n{_HEAD}Atomic-No-Retry: {canary('no-retry')}\r\n\r\n",
    "waiting": f"HTTP/1.1 202 Accepted\r\n{_HEAD}Atomic-Waiting-For: {canary('waiting-for')}\r\n\r\n",
    "no-http": f"{canary('no-http')} {canary('no-http-too')}\r\n\r\n",
    "bad-header": f"HTTP/1.1 200 OK\r\n{canary('bad-header')}\r\n\r\n",
    "bad-chunk": f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{canary('bad-chunk')}\r\n",
    "broken-off": f"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{canary('broken-off')}",
    "status": f"HTTP/1.1 {canary('status')} No\r\n\r\n",
    "build": f"HTTP/1.1 200 OK\r\n{_HEAD}Atomic-Build: {canary('build')}\r\n"
    f"Atomic-Unused-Results: {canary('unused-results')}\r\n\r\n",
    "success": f'HTTP/1.1 200 OK\r\n{_HEAD}\r\n{{"{canary("result")}":"{canary("result-value")}"}}',
}


@contextmanager
def endpoints() -> Iterator[str]:
    """The URL below which `ANSWERS` are given."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            path = self.rfile.readline().split()[1].decode().split("/")[1]
            length = 0
            while (line := self.rfile.readline()) not in {b"\r\n", b""}:
                if line.lower().startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            self.rfile.read(length)
            with suppress(OSError):
                self.wfile.write(ANSWERS[path].encode(errors="surrogateescape"))

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def starts(base_url: str) -> Iterator[dict[str, Any]]:
    """Starts that reach each endpoint, with a canary in every member of a valid start."""
    for path in ANSWERS:
        yield {
            "workflowName": canary("workflowName"),
            "stepName": canary("stepName"),
            "idempotencyKey": f"{path}-{canary('idempotencyKey')}",
            "stepInvokeUrl": f"{base_url}{path}/{canary('url-path')}?{canary('url-name')}={canary('url')}",
            "payload": {canary("payload-name"): [canary("payload")]},
            "retry": {"count": 1, "backOff": 1, "jitter": "none"},
        }
    yield {
        "workflowName": canary("event"), "kind": "event", "stepName": canary("event-name"),
        "idempotencyKey": f"event-{canary('event-key')}",
    }  # fmt: skip
