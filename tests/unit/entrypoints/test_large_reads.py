"""The work of a large row on the event loop is queued and split, for reads as for writes."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from atomic.application.engine import SMALL_BYTES, LargeBodies
from atomic.domain.clients.client import Client, OpenRegistry
from atomic.testing import EndpointCall, EndpointReply, LocalAtomic, run
from scenarios.starts import document

ITEMS = 8_000
LARGE = [{"secret": number} for number in range(ITEMS)]
LARGE_BYTES = len(json.dumps(LARGE, separators=(",", ":")))


class Hiding(OpenRegistry):
    async def get(self, client_id: str) -> Client | None:
        return Client(id=client_id, redact=("secret",), redaction_key=b"key")


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of each queued piece of work."""
    noted: list[int] = []
    read = LargeBodies.read

    async def noting(bodies: LargeBodies, client_id: str, size: int, work: Callable[[], Any]) -> Any:
        if size > SMALL_BYTES:
            noted.append(size)
        return await read(bodies, client_id, size, work)

    monkeypatch.setattr(LargeBodies, "read", noting)
    return noted


async def echo(call: EndpointCall) -> EndpointReply:
    return EndpointReply(json=call.payload)


async def refuse(call: EndpointCall) -> EndpointReply:
    del call
    return EndpointReply(status=410)


def test_hiding_members_of_a_large_row_waits_for_its_turn(sizes: list[int]) -> None:
    async def main() -> None:
        async with LocalAtomic(clients=Hiding(attempt_key=b"")) as atomic:
            wanted = document(atomic.endpoint("/echo", echo), payload=LARGE)
            step = (await atomic.post("/me", wanted)).json
            refused = document(atomic.endpoint("/gone", refuse), payload=LARGE, key="gone")
            gone = (await atomic.post("/me", refused)).json
            event = {"workflowName": "w", "idempotencyKey": "early", "kind": "event", "stepName": "e"}
            opened = await atomic.request(
                "POST", "/me", body=json.dumps(event).encode(), headers={"Prefer": "respond-async"}
            )
            for reads in (
                atomic.get(f"/me/steps/{step['id']}"),
                atomic.get(f"/me/runs/{step['runId']}"),
                atomic.post(f"/me/steps/{opened.json['id']}/result", LARGE),
            ):
                sizes.clear()
                reply = await reads
                assert reply.status == 200
                assert b'"secret":0' not in reply.body
                assert sizes[-1] >= LARGE_BYTES
            sizes.clear()
            assert (await atomic.request("POST", f"/me/steps/{gone['id']}/redrive")).status == 200
            assert sizes == []  # its answer has no payload, so none is read

    run(main())


def test_a_page_of_many_small_rows_is_several_pieces(sizes: list[int]) -> None:
    """A page is 2 MB, and processing it in one piece would block the loop for seconds."""

    async def main() -> None:
        async with LocalAtomic(clients=Hiding(attempt_key=b"")) as atomic:
            root = (await atomic.post("/me", document(url := atomic.endpoint("/echo", echo)))).json
            small = LARGE[:500]
            await asyncio.gather(
                *(
                    atomic.post(
                        "/me", document(url, payload=small, stepName=f"s{position}", parent=root["id"])
                    )
                    for position in range(20)
                )
            )
            sizes.clear()
            page = await atomic.get(f"/me/runs/{root['runId']}")
            assert page.body.count(b"hmac-sha256:") == 20 * 2 * 500
            assert len(sizes) > 5
            assert max(sizes) < 2 * SMALL_BYTES

    run(main())


def test_finding_the_difference_of_large_payloads_waits_for_its_turn(sizes: list[int]) -> None:
    async def main() -> None:
        async with LocalAtomic(clients=Hiding(attempt_key=b"")) as atomic:
            url = atomic.endpoint("/echo", echo)
            await atomic.post("/me", document(url, payload=LARGE))
            sizes.clear()
            reply = await atomic.post("/me", document(url, payload=1))
            assert reply.status == 422
            assert reply.json["difference"] == "payload"
            assert sizes[-1] >= LARGE_BYTES

    run(main())
