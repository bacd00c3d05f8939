"""The SDK accepts the calls of both runtimes, first attempts and retries, and rejects forgeries."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import pytest
import requests

from atomic.protocol import ed25519, signatures
from atomic.sdk._endpoints.endpoint import Endpoint
from atomic.sdk._endpoints.serving import RawPath, Request
from both_runtimes import RUNTIMES, LockedRuntime
from forgeries import Signed, forgeries

PATHS: Final = ("/steps/mail", "/steps/pay")
RETRY: Final = {"count": 1, "backOff": 10, "strategy": "fixed", "jitter": "none"}


class Recorder:
    """Endpoints that record calls; each fails its first call."""

    def __init__(self) -> None:
        self.calls: list[Signed] = []
        self._came = threading.Condition()

    def wait_for(self, count: int) -> list[Signed]:
        """Wait for that many calls; return them."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.calls) >= count, 20), self.calls
        return self.calls

    def take(self, call: Signed) -> int:
        """Record a call; return its status."""
        with self._came:
            is_first = b'"attempt":1,' in call.body
            self.calls.append(call)
            self._came.notify_all()
        return 500 if is_first else 200

    @contextmanager
    def listening(self) -> Iterator[str]:
        """Serve; yield the base URL."""
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                self.send_response(recorder.take(Signed(headers, body, self.path.partition("?")[0])))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        server.server_close()


@dataclass(frozen=True)
class Recorded:
    """The calls of a runtime by client and path: first attempt and retry.

    `secret` belongs to the client `mine`.
    """

    secret: str
    calls: dict[tuple[str, str], list[Signed]]


@pytest.fixture(scope="module", params=RUNTIMES)
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    directory, recorder = tmp_path_factory.mktemp("signed"), Recorder()
    with recorder.listening() as base, RUNTIMES[request.param](directory) as runtime:
        made, calls = {}, {}
        for client in ("mine", "theirs"):
            made[client] = runtime.admin.create(client, base_urls=[base], ed25519=True)
            for path in PATHS:
                before = len(recorder.calls)
                _start(runtime, client, made[client][0], f"{base}{path}?x=1")
                calls[client, path] = recorder.wait_for(before + 2)[before:]
    return Recorded(made["mine"][1], calls)


def _start(runtime: LockedRuntime, client: str, api_key: str, url: str) -> None:
    """Start a step.

    Its first attempt is made while the caller waits; a timer or the invoker function makes the retry.
    """
    document = {
        "workflowName": "w", "idempotencyKey": url.rpartition("/")[2], "stepInvokeUrl": url,
        "payload": {"name": "é"}, "retry": RETRY, "timeout": 1_000,
    }  # fmt: skip
    headers = {"Authorization": f"Bearer {api_key}"}
    requests.post(f"{runtime.url}/{client}", json=document, headers=headers, timeout=20)
    runtime.drive()


def is_taken(given: str, call: Signed) -> bool:
    """Whether the SDK's endpoint accepts the call, with this secret or public key."""
    endpoint = Endpoint(lambda payload: payload, is_workflow=False, options={"secrets": [given]})
    request = Request(
        origin="http://app.example", at=RawPath("", call.path), headers=call.headers, body=call.body
    )
    answer = endpoint.answer(request)
    assert answer.status in {200, 401}, answer
    return answer.status == 200


@pytest.mark.parametrize("attempt", [0, 1], ids=["first attempt", "retry"])
@pytest.mark.parametrize("by_key", [False, True], ids=["secret", "public key"])
def test_the_sdk_takes_what_was_signed_and_no_forgery_of_it(
    recorded: Recorded, attempt: int, by_key: bool
) -> None:
    given = recorded.secret
    if by_key:
        given = ed25519.encode_public_key(ed25519.public_key(signatures.decode_secret(given)))
    call, elsewhere = (recorded.calls["mine", path][attempt] for path in PATHS)
    by_other = recorded.calls["theirs", PATHS[0]][attempt]
    assert f'"attempt":{attempt + 1},'.encode() in call.body
    forged = forgeries(call, by_other=by_other, elsewhere=elsewhere)
    assert len(forged) >= 40

    taken = [name for name, forgery in forged.items() if is_taken(given, forgery)]

    assert taken == []
    # The calls from which the forgeries were made are valid.
    assert is_taken(given, call)
    assert is_taken(given, elsewhere)
    assert not is_taken(given, by_other)
