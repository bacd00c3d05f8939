"""Managing clients where none are kept, and where their store does not answer."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from atomic.application.client_admin import ClientAdmin
from atomic.application.ports import StoreUnavailable
from atomic.protocol.api_keys import key_id_of
from atomic.testing import LocalAtomic, run
from scenarios.memory_home import MemoryClients
from scenarios.starts import Gate, document

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


@pytest.mark.parametrize("revoked_after_s", [5, 20])
def test_a_key_that_is_revoked_while_its_request_hangs_gets_no_answer(revoked_after_s: int) -> None:
    clients = MemoryClients()
    api_key, _ = clients.admin.create("acme", base_urls=["https://app.test/"])
    key_id = key_id_of(api_key)
    assert key_id is not None
    headers = {"Authorization": f"Bearer {api_key}"}

    async def main() -> None:
        async with LocalAtomic(clients=clients, manage=clients.manage) as atomic:
            gate = Gate()
            body = json.dumps(document(atomic.endpoint("/slow", gate), attemptTimeout=200_000)).encode()
            later = {**headers, "Prefer": "respond-async"}
            step = await atomic.request("POST", "/acme", body=body, headers=later)
            target = f"/acme/steps/{step.json['id']}?wait=100000"
            hanging = asyncio.create_task(atomic.request("GET", target, headers=headers))
            await asyncio.sleep(revoked_after_s)
            clients.admin.revoke_key("acme", key_id)
            await asyncio.sleep(60 - revoked_after_s)
            gate.open()
            assert (await hanging).status == 401

    run(main())
