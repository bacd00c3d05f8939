"""How the embedded server reads a request's body."""

from typing import Any

import pytest

from atomic.adapters.prometheus.telemetry import PrometheusTelemetry
from atomic.domain.clients.client import OpenRegistry
from atomic.entrypoints.embedded.browsers import BrowserCheck
from atomic.entrypoints.embedded.http import AsgiApp
from atomic.entrypoints.http_api.api import Api
from atomic.protocol.constants import BODY_MAX_BYTES
from atomic.testing import LocalAtomic, run

Message = dict[str, Any]


def part(size: int, *, more: bool) -> Message:
    return {"type": "http.request", "body": b"1" * size, "more_body": more}


class Caller:
    """Sends the messages one by one, and keeps the answer."""

    def __init__(self, *messages: Message, length: int | None = None) -> None:
        self.left = list(messages)
        self.answers: list[Message] = []
        named = [] if length is None else [(b"content-length", str(length).encode())]
        self.scope = {
            "method": "POST",
            "path": "/me/steps/x/result",
            "query_string": b"",
            "http_version": "1.1",
            "headers": [(b"host", b"localhost"), *named],
        }

    async def receive(self) -> Message:
        return self.left.pop(0)

    async def send(self, message: Message) -> None:
        self.answers.append(message)

    def status(self, clients: OpenRegistry | None = None, networks: tuple[str, ...] = ()) -> int:
        """Post; return the status of the answer."""

        async def main() -> None:
            async with LocalAtomic(clients=clients) as atomic:
                api = Api(engine=atomic.engine)
                app = AsgiApp(api, PrometheusTelemetry(), BrowserCheck(), networks)
                await app(self.scope, self.receive, self.send)

        run(main())
        status: int = self.answers[0]["status"]
        return status


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("172.28.0.7", 404), ("127.0.0.1", 404), ("::1", 404), ("::ffff:172.28.0.7", 404),
        ("172.29.0.7", 403), ("192.168.1.9", 403), ("8.8.8.8", 403), ("::ffff:8.8.8.8", 403),
    ],
)  # fmt: skip
def test_without_keys_a_container_answers_its_own_network_alone(source: str, status: int) -> None:
    caller = Caller(part(1, more=False))
    caller.scope["client"] = (source, 4711)
    assert caller.status(networks=("172.28.0.0/24",)) == status


def test_any_caller_is_answered_where_no_network_is_named() -> None:
    caller = Caller(part(1, more=False))
    caller.scope["client"] = ("8.8.8.8", 4711)
    assert caller.status() == 404


@pytest.mark.parametrize("size", [BODY_MAX_BYTES - 1, BODY_MAX_BYTES])
def test_a_body_comes_in_parts(size: int) -> None:
    assert Caller(part(size - 1, more=True), part(1, more=False)).status() == 404


def test_a_body_that_is_too_large_is_read_to_its_end_so_that_the_caller_gets_413() -> None:
    caller = Caller(part(BODY_MAX_BYTES, more=True), part(1, more=True), part(9, more=False), length=1)
    assert caller.status() == 413
    assert caller.left == []


def test_a_listed_page_sees_the_413() -> None:
    page = "http://localhost:5173"
    caller = Caller(part(BODY_MAX_BYTES, more=True), part(9, more=False))
    caller.scope["headers"] = [(b"host", b"localhost"), (b"origin", page.encode())]
    assert caller.status(OpenRegistry(attempt_key=b"", origins=(page,))) == 413
    headers = dict(caller.answers[0]["headers"])
    assert headers[b"access-control-allow-origin"] == page.encode()
    assert headers[b"connection"] == b"close"


def test_but_not_for_ever() -> None:
    caller = Caller(*[part(BODY_MAX_BYTES, more=True)] * 100)
    assert caller.status() == 413
    assert len(caller.left) > 80


def test_a_body_that_says_it_is_huge_is_not_read() -> None:
    caller = Caller(part(1, more=False), length=100 * BODY_MAX_BYTES)
    assert caller.status() == 413
    assert len(caller.left) == 1


def test_half_a_body_is_no_request() -> None:
    """`12` of `123` is valid JSON as well, but must not become the result of a step."""
    assert Caller(part(2, more=True), {"type": "http.disconnect"}, length=3).status() == 413
