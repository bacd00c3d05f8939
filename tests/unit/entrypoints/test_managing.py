"""The client API on a server without stored clients, and with a store that does not answer."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from atomic.application.client_admin import ClientAdmin
from atomic.application.ports import StoreUnavailable
from atomic.domain.clients.api_keys import key_id_of
from atomic.entrypoints.http_api.views import problem_response
from atomic.protocol.problems import not_found
from atomic.testing import LocalAtomic, run
from scenarios.memory_runtime import MemoryClients
from scenarios.runtime import answer_ok
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
            assert reply.status == 404
            assert reply.json["type"] == "urn:atomic:problem:not-found"
            assert "--dev" in reply.json["detail"]
            assert "POST to /{clientId}" in reply.json["detail"]

    run(main())


def test_without_keys_a_refusal_names_the_owner() -> None:
    """An application with a wrong ATOMIC_CLIENT_ID posts steps to a run of another client."""

    async def main() -> None:
        async with LocalAtomic() as atomic:
            wanted = document(atomic.endpoint("/ok", answer_ok))
            body, headers = json.dumps(wanted).encode(), {"Prefer": "respond-async"}
            root = (await atomic.request("POST", "/me", body=body, headers=headers)).json
            child = json.dumps({**wanted, "parent": root["id"]}).encode()
            asked = [
                await atomic.request("POST", "/other", body=child),
                await atomic.request("GET", f"/other/steps/{root['id']}"),
                await atomic.request("GET", f"/other/runs/{root['runId']}"),
                await atomic.request("POST", f"/other/runs/{root['runId']}/cancel"),
            ]
            assert {reply.status for reply in asked} == {404}
            [detail] = {reply.json["detail"] for reply in asked}
            assert detail.startswith(
                "This belongs to the client 'me', but the request is for 'other': use the same"
            )

    run(main())


def test_with_keys_a_refusal_does_not_name_the_owner() -> None:
    clients = MemoryClients()
    keys = {
        name: clients.admin.create(name, base_urls=["https://app.test/"])[0] for name in ("alpha", "beta")
    }

    async def main() -> None:
        async with LocalAtomic(clients=clients, manage=clients.manage) as atomic:

            async def ask(name: str, method: str, path: str, document: Any = None) -> Any:
                body = b"" if document is None else json.dumps(document).encode()
                headers = {"Authorization": f"Bearer {keys[name]}", "Prefer": "respond-async"}
                return await atomic.request(method, f"/{name}{path}", body=body, headers=headers)

            wanted = document("https://app.test/ok")
            root = (await ask("alpha", "POST", "", wanted)).json
            for path in (f"/steps/{root['id']}", f"/runs/{root['runId']}"):
                reply = await ask("beta", "GET", path)
                assert (reply.status, reply.body) == (404, problem_response(not_found()).body)
            reply = await ask("beta", "POST", "", {**wanted, "parent": root["id"]})
            assert (reply.status, reply.body) == (404, problem_response(not_found()).body)

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
def test_a_key_that_is_revoked_while_its_request_waits_gets_no_answer(revoked_after_s: int) -> None:
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
            waiting = asyncio.create_task(atomic.request("GET", target, headers=headers))
            await asyncio.sleep(revoked_after_s)
            clients.admin.revoke_key("acme", key_id)
            await asyncio.sleep(60 - revoked_after_s)
            gate.open()
            assert (await waiting).status == 401

    run(main())
