"""Schedules whose last run goes on in another way: as another run, or once more after it failed."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from atomic.protocol.wire import to_rfc3339
from atomic.testing import EndpointCall, EndpointReply, LocalAtomic, run
from atomic.testing.virtual_time import EPOCH_MS

MINUTE_MS = 60_000
# Behind the second slot.
UNTIL = to_rfc3339(EPOCH_MS + 5 * MINUTE_MS // 2)
DONE = EndpointReply(status=200, json=None)


async def ask(atomic: LocalAtomic, method: str, path: str, document: Any = None, **headers: str) -> Any:
    body = b"" if document is None else json.dumps(document).encode()
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    reply = await atomic.request(method, f"/me{path}", body=body, headers=given)
    assert reply.status < 300, reply.body
    return reply.json


async def put(atomic: LocalAtomic, url: str, **members: Any) -> None:
    """A schedule with two runs, a minute apart."""
    start = {"workflowName": "digest", "stepInvokeUrl": url, "retry": {"count": 0}}
    await ask(
        atomic, "PUT", "/schedules/digest", {"start": start, "every": MINUTE_MS, "until": UNTIL, **members}
    )


async def shown(atomic: LocalAtomic) -> Any:
    return await ask(atomic, "GET", "/schedules/digest")


async def until(atomic: LocalAtomic, condition: Callable[[Any], bool]) -> Any:
    for _ in range(1_000):
        now = await shown(atomic)
        if condition(now):
            return now
        await asyncio.sleep(1)
    raise AssertionError(now)


class GoingOn:
    """A workflow whose first run goes on as another one, which lasts until it is told to end."""

    def __init__(self, atomic: LocalAtomic) -> None:
        self._atomic = atomic
        self.ends = asyncio.Event()
        self.calls: list[str] = []
        self.url = atomic.endpoint("/digest", self._digest)
        self._following = atomic.endpoint("/following", self._follow)

    async def _digest(self, call: EndpointCall) -> EndpointReply:
        self.calls.append(call.json["idempotencyKey"])
        if len(self.calls) > 1:
            return DONE
        document = {
            "workflowName": "digest",
            "idempotencyKey": "following",
            "stepInvokeUrl": self._following,
            "continues": call.json["stepId"],
            "attemptTimeout": 900_000,
        }
        token = {"Atomic_Attempt_Token": call.headers["atomic-attempt-token"], "Prefer": "respond-async"}
        following = await ask(self._atomic, "POST", "/steps", document, **token)
        await asyncio.sleep(10)
        return EndpointReply(status=202, headers={"Atomic-Continue-As": following["id"]})

    async def _follow(self, _: EndpointCall) -> EndpointReply:
        await self.ends.wait()
        return DONE


def test_the_last_queued_slot_waits_for_the_run_that_goes_on() -> None:
    """The schedule has no other slot that would look at it."""

    async def main() -> None:
        async with LocalAtomic() as atomic:
            work = GoingOn(atomic)
            await put(atomic, work.url, overlap="queue")
            await until(atomic, lambda now: now["queued"] is not None)
            await asyncio.sleep(300)
            assert ((await shown(atomic))["started"], len(work.calls)) == (1, 1)
            work.ends.set()
            over = await until(atomic, lambda now: now["started"] == 2)
            assert (over["queued"], over["dueAt"], over["skipped"]) == (None, None, 0)

    run(main())


def test_a_run_that_goes_on_as_another_one_is_cancelled_for_the_next() -> None:
    async def main() -> None:
        async with LocalAtomic() as atomic:
            work = GoingOn(atomic)
            await put(atomic, work.url, overlap="cancel")
            await until(atomic, lambda now: now["started"] == 2)
            runs = (await ask(atomic, "GET", "/runs"))["runs"]
            assert {run["idempotencyKey"].partition("@")[0]: run["status"] for run in runs} == {
                "following": "cancelled",
                "digest": "succeeded",
            }
            assert len(work.calls) == 2

    run(main())


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_slot_is_queued_behind_a_run_that_was_redriven(is_lost: bool) -> None:
    """Also when the wake-up at its end is lost: the queued slot is looked at from time to time."""

    async def main() -> None:
        async with LocalAtomic() as atomic:
            ends, calls = asyncio.Event(), list[str]()

            async def digest(call: EndpointCall) -> EndpointReply:
                calls.append(call.json["idempotencyKey"])
                if len(calls) == 1:
                    return EndpointReply(status=400, json=None)
                if len(calls) == 2:
                    await ends.wait()
                return DONE

            start = {"attemptTimeout": 900_000}
            url = atomic.endpoint("/digest", digest)
            await put(
                atomic,
                url,
                overlap="queue",
                start={"workflowName": "digest", "stepInvokeUrl": url, "retry": {"count": 0}, **start},
            )
            failed = await until(
                atomic, lambda now: bool(now["last"]) and now["last"]["status"] == "failed"
            )
            await ask(atomic, "POST", f"/steps/{failed['last']['runId']}-root/redrive")
            await until(atomic, lambda now: now["queued"] is not None)
            if is_lost:
                await _forget_waiters(atomic, f"{failed['last']['runId']}-root")
            ends.set()
            over = await until(atomic, lambda now: now["started"] == 2)
            assert (over["queued"], over["last"]["status"] in {"running", "succeeded"}) == (None, True)
            assert len(calls) == 3

    run(main())


async def _forget_waiters(atomic: LocalAtomic, root_id: str) -> None:
    store = atomic.engine.store
    root = await store.get(root_id)
    assert root is not None
    assert await store.replace(replace(root, waiters=(), version=root.version + 1), root.version) is None
