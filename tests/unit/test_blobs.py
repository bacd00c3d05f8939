"""How often large texts are stored and read: once, and only by who needs them."""

import json
import random
import string
from collections import Counter
from collections.abc import Awaitable, Callable

from atomic.adapters.memory.store import MemoryStepStore
from atomic.domain.blobs import Place
from atomic.testing import EndpointCall, EndpointReply, LocalAtomic, run
from scenarios.starts import document

LARGE = "".join(random.Random(1).choices(string.ascii_letters, k=200_000))
RETRY = {"count": 3, "backOff": 10, "strategy": "fixed", "jitter": "none"}


class Counting(MemoryStepStore):
    """Counts what is done."""

    def __init__(self) -> None:
        super().__init__()
        self.done: Counter[str] = Counter()

    async def put_blob(self, step_id: str, digest: str, text: bytes, until_ms: int) -> Place:
        """Store a text."""
        self.done["put"] += 1
        return await super().put_blob(step_id, digest, text, until_ms)

    async def get_blob(self, step_id: str, digest: str, place: Place) -> bytes | None:
        """Read a text."""
        self.done["get"] += 1
        return await super().get_blob(step_id, digest, place)


def counted(test: Callable[[LocalAtomic, Counter[str]], Awaitable[None]]) -> Callable[[], None]:
    """Run the test on an engine whose store counts."""

    def ran() -> None:
        async def main() -> None:
            store = Counting()
            async with LocalAtomic(store=store) as atomic:
                await test(atomic, store.done)

        run(main())

    ran.__name__, ran.__doc__ = test.__name__, test.__doc__
    return ran


async def echo(call: EndpointCall) -> EndpointReply:
    return EndpointReply(json=call.payload)


@counted
async def test_a_small_step_stores_and_reads_no_text(atomic: LocalAtomic, done: Counter[str]) -> None:
    url = atomic.endpoint("/echo", echo)
    for _ in range(2):
        assert (await atomic.post("/me", document(url, payload="x" * 4_000))).status == 200
    assert not done


@counted
async def test_a_step_that_works_at_once_stores_two_texts_and_reads_none(
    atomic: LocalAtomic, done: Counter[str]
) -> None:
    reply = await atomic.post("/me", document(atomic.endpoint("/echo", echo), payload=LARGE))
    assert reply.json["response"] == LARGE
    assert done == {"put": 2}


@counted
async def test_a_retry_reads_the_payload_and_stores_nothing_again(
    atomic: LocalAtomic, done: Counter[str]
) -> None:
    seen = []

    async def thrice(call: EndpointCall) -> EndpointReply:
        seen.append(call.payload)
        return EndpointReply(status=503 if len(seen) < 3 else 200, json="done")

    wanted = document(atomic.endpoint("/thrice", thrice), payload=LARGE, retry=RETRY)
    assert (await atomic.post("/me", wanted)).status == 200
    assert seen == [LARGE] * 3
    assert done == {"put": 1, "get": 2}


@counted
async def test_who_looks_at_a_step_or_waits_for_it_reads_no_payload(
    atomic: LocalAtomic, done: Counter[str]
) -> None:
    event = {"workflowName": "w", "idempotencyKey": "k", "kind": "event", "stepName": "e", "payload": LARGE}
    opened = await atomic.request("POST", "/me", body=dumps(event), headers={"Prefer": "respond-async"})
    for path in ("/me/runs", "/me/dead-letters", "/me/stats", "/me/runs?progress=true"):
        assert (await atomic.get(path)).status == 200
    for _ in range(3):
        waiting = await atomic.request("POST", "/me", body=dumps(event), headers={"Prefer": "wait=1"})
        assert waiting.status == 504
    assert done == {"put": 1}
    for expected in (1, 2):
        await atomic.get(f"/me/steps/{opened.json['id']}")
        assert done["get"] == expected


@counted
async def test_what_was_posted_before_is_recognised_by_its_digest(
    atomic: LocalAtomic, done: Counter[str]
) -> None:
    told = [
        await atomic.post(
            "/me/events",
            {"workflowName": "w", "idempotencyKey": "k", "name": "e", "result": LARGE[number:]},
        )
        for number in (0, 0, 1)
    ]
    assert [reply.status for reply in told] == [200, 200, 409]
    assert done["get"] == 0


def dumps(body: object) -> bytes:
    return json.dumps(body).encode()
