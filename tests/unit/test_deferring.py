"""A deferred step costs no attempt, no retry and no busy loop."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from atomic.adapters.memory.store import MemoryStepStore
from atomic.application.ports import EndpointRequest, StoreUnavailable
from atomic.domain.clients.client import Client, OpenRegistry
from atomic.domain.outcomes import EndpointResponse, NotMade, StepError
from atomic.protocol.error_kinds import ErrorKind
from atomic.testing import ApiReply, LocalAtomic, run

URL = "https://app.test/x"
ERROR = StepError(ErrorKind.RESOURCES_EXHAUSTED, "Too many open files")
CAP = 200


class Lacking:
    """An invoker that lacks resources until a given time, or a few times. It records when it was called."""

    def __init__(self, *, until_s: float = 0.0, times: int = 0, again_in_ms: int = 0) -> None:
        self.until_s, self.times, self.again_in_ms = until_s, times, again_in_ms
        self.asked_s: list[float] = []
        self.numbers: list[str] = []

    async def post(self, request: EndpointRequest) -> EndpointResponse:
        now_s = asyncio.get_running_loop().time()
        self.asked_s.append(now_s)
        if now_s < self.until_s or len(self.asked_s) <= self.times:
            return EndpointResponse(not_made=NotMade(ERROR, self.again_in_ms))
        self.numbers.append(request.headers["Atomic-Attempt"])
        return EndpointResponse(status=200, body=b'"done"')


class Writes(MemoryStepStore):
    """A store that counts writes."""

    written = 0

    async def replace(self, step: Any, expected_version: int) -> Any:
        self.written += 1
        return await super().replace(step, expected_version)


def on(invoker: Lacking, body: Callable[[LocalAtomic], Any], **changes: Any) -> None:
    async def main() -> None:
        async with LocalAtomic(**changes) as atomic:
            atomic.engine = replace(atomic.engine, invoker=invoker)
            atomic._api = replace(atomic._api, engine=atomic.engine)
            await body(atomic)

    run(main())


def document(key: str = "k", **members: Any) -> dict[str, Any]:
    return {
        "workflowName": "w",
        "stepInvokeUrl": URL,
        "idempotencyKey": key,
        "retry": {"count": 0},
        **members,
    }


async def step_of(atomic: LocalAtomic, reply: ApiReply) -> Any:
    return (await atomic.get(f"/me/steps/{reply.json['id']}")).json


def test_it_is_deferred_until_it_can_be_made_and_the_caller_keeps_waiting() -> None:
    invoker = Lacking(times=7)

    async def body(atomic: LocalAtomic) -> None:
        reply = await atomic.post("/me", document())
        assert (reply.status, reply.json["response"], reply.json["attempts"]) == (200, "done", 1)
        step = await step_of(atomic, reply)
        assert (step["retriesUsed"], [attempt["number"] for attempt in step["attemptLog"]]) == (0, [1])

    on(invoker, body)
    assert invoker.numbers == ["1"]
    gaps = [later - before for before, later in zip(invoker.asked_s, invoker.asked_s[1:], strict=False)]
    assert all(1 <= gap < 1.1 for gap in gaps)


def test_meanwhile_the_step_says_why_it_is_not_called() -> None:
    async def body(atomic: LocalAtomic) -> None:
        reply = await atomic.post("/me", document(timeout=5_000))
        assert (reply.status, reply.json["stepStatus"]) == (504, "pending")
        step = await step_of(atomic, reply)
        assert (step["error"], step["errorKind"]) == (
            "not called yet: Too many open files",
            "resources_exhausted",
        )
        assert (step["attempts"], step["attemptLog"]) == (0, [])

    on(Lacking(times=10**6), body)


def test_it_is_not_tried_before_it_can_be_made() -> None:
    invoker = Lacking(until_s=9.0, again_in_ms=9_000)

    async def body(atomic: LocalAtomic) -> None:
        assert (await atomic.post("/me", document())).status == 200

    on(invoker, body)
    assert len(invoker.asked_s) == 2


def test_a_deadline_ends_it() -> None:
    async def body(atomic: LocalAtomic) -> None:
        reply = await atomic.post("/me", document(deadline=3_500))
        assert (reply.status, reply.json["attempts"]) == (424, 0)
        assert "the deadline of 3500 ms is over" in reply.json["detail"]

    on(Lacking(times=10**6), body)


def test_the_rate_of_tries_does_not_grow_with_deferred_steps() -> None:
    """A dead endpoint with a thousand steps costs as much as one with a hundred."""
    invoker, store = Lacking(until_s=60.0), Writes()

    async def body(atomic: LocalAtomic) -> None:
        async def start(number: int) -> ApiReply:
            return await atomic.post("/me", document(f"k-{number}", timeout=100_000))

        replies = await asyncio.gather(*(start(number) for number in range(1_000)))
        assert {reply.status for reply in replies} == {200}

    on(invoker, body, store=store)
    looks = [sum(second <= at_s < second + 1 for at_s in invoker.asked_s) for second in range(1, 60)]
    assert max(looks) <= CAP + 1
    # Each try is a claim and its undoing.
    assert store.written <= 1_000 * 3 + 2 * CAP * 60


def test_an_unreadable_client_record_costs_no_retry() -> None:
    class Unreadable(OpenRegistry):
        reads = 0

        async def get(self, client_id: str) -> Client | None:
            self.reads += 1
            if 1 < self.reads < 20:
                raise StoreUnavailable("not now")
            return await super().get(client_id)

    invoker = Lacking()

    async def body(atomic: LocalAtomic) -> None:
        reply = await atomic.post("/me", document())
        assert (reply.status, reply.json["attempts"]) == (200, 1)

    on(invoker, body, clients=Unreadable(attempt_key=b""))
    assert len(invoker.asked_s) == 1
