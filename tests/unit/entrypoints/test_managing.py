"""Managing clients where none are kept, and where their store does not answer."""

from collections.abc import Callable
from typing import Any

import pytest

from atomic.application.client_admin import ClientAdmin
from atomic.application.ports import StoreUnavailable
from atomic.testing import LocalAtomic, run

OWN = [
    ("GET", "/me/keys"),
    ("POST", "/me/keys/0123456789ab/rotate"),
    ("DELETE", "/me/keys/0123456789ab"),
    ("GET", "/me/secrets"),
    ("POST", "/me/secrets"),
    ("GET", "/me"),
]
OPERATORS = [
    ("GET", "/clients"),
    ("POST", "/clients"),
    ("PATCH", "/me"),
    ("POST", "/me/keys"),
]


@pytest.mark.parametrize(("method", "target"), OWN + OPERATORS)
def test_a_server_without_clients_says_so(method: str, target: str) -> None:
    async def main() -> None:
        async with LocalAtomic() as atomic:
            reply = await atomic.request(method, target)
            assert reply.status == 409
            assert reply.json["type"] == "urn:atomic:problem:client-conflict"
            assert "--dev" in reply.json["detail"]

    run(main())


@pytest.mark.parametrize(("method", "target"), OWN)
def test_a_store_that_does_not_answer_is_a_503(method: str, target: str) -> None:
    async def fail(work: Callable[[ClientAdmin], Any], /) -> Any:
        raise StoreUnavailable("the table is gone")

    async def main() -> None:
        async with LocalAtomic(manage=fail) as atomic:
            reply = await atomic.request(method, target)
            assert (reply.status, reply.headers["retry-after"]) == (503, "1")
            assert b"table" not in reply.body

    run(main())
