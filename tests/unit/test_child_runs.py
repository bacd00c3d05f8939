"""Child runs where operations of the store take time or fail, and where a start is refused."""

import asyncio
import json
from dataclasses import replace
from typing import Any

from atomic.adapters.memory.store import MemoryStepStore
from atomic.application.ports import StoreUnavailable
from atomic.application.process_wakeup import process_wakeup
from atomic.domain.clients.client import Client
from atomic.domain.clients.quota import Quota
from atomic.domain.steps import Step, settled
from atomic.domain.transitions import WAITERS_MAX, begin
from atomic.protocol import keys
from atomic.protocol.enums import Status
from atomic.testing import ApiReply, EndpointCall, EndpointReply, LocalAtomic, run
from atomic.testing.endpoints import EndpointHandler
from contract.builders import a_spec


class SlowStore(MemoryStepStore):
    """Each read and write takes a while. `refuses`: how often the next reads of a step fail."""

    def __init__(self) -> None:
        super().__init__()
        self.refuses: dict[str, int] = {}

    async def get(self, step_id: str) -> Step | None:
        await asyncio.sleep(0.01)
        if self.refuses.get(step_id, 0) > 0:
            self.refuses[step_id] -= 1
            raise StoreUnavailable
        return await super().get(step_id)

    async def replace(self, step: Step, expected_version: int) -> Step | None:
        await asyncio.sleep(0.01)
        return await super().replace(step, expected_version)


def a_start(url: str, key: str, **members: Any) -> dict[str, Any]:
    return {
        "workflowName": "w",
        "stepInvokeUrl": url,
        "idempotencyKey": key,
        "retry": {"count": 0},
        **members,
    }


def a_link(call: EndpointCall, url: str, key: str) -> dict[str, Any]:
    run_of_link = {"workflowName": "w", "idempotencyKey": key}
    link = a_start(url, call.json["idempotencyKey"], kind="run", run=run_of_link)
    return {**link, "parent": call.json["stepId"]}


async def posted(atomic: LocalAtomic, document: dict[str, Any], **headers: str) -> ApiReply:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return await atomic.request("POST", "/me", body=json.dumps(document).encode(), headers=given)


def test_of_two_links_that_close_a_cycle_at_the_same_time_not_both_pass() -> None:
    """`one` and `other` exist, and each links the other: neither link has created its run."""

    async def main() -> None:
        async with LocalAtomic(store=SlowStore()) as atomic:
            both, told = asyncio.Barrier(2), dict[str, ApiReply]()

            async def links(call: EndpointCall) -> EndpointReply:
                key = call.json["idempotencyKey"]
                await both.wait()
                link = a_link(call, url, {"one": "other", "other": "one"}[key])
                told[key] = await posted(atomic, {**link, "timeout": 3_000})
                return EndpointReply(json=1)

            url = atomic.endpoint("/links", links)
            replies = await asyncio.gather(
                *(posted(atomic, a_start(url, key, attemptTimeout=9_000)) for key in ("one", "other"))
            )
            # A link that passed has settled with its run, so no run waits for ever.
            assert [reply.status for reply in replies] == [200, 200]
            types = {reply.json.get("type", "").rpartition(":")[2] for reply in told.values()}
            assert "run-cycle" in types
            assert types <= {"run-cycle", ""}

    run(main())


def test_a_run_that_fails_at_once_is_redriven_once_with_its_link() -> None:
    async def main() -> None:
        async with LocalAtomic(store=SlowStore()) as atomic:

            async def broken(_: EndpointCall) -> EndpointReply:
                return EndpointReply(status=500)

            async def links(call: EndpointCall) -> EndpointReply:
                told = await posted(atomic, a_link(call, child, "child"))
                return EndpointReply(status=500 if told.status == 424 else 200, json=told.json)

            child = atomic.endpoint("/broken", broken)
            failed = await posted(atomic, a_start(atomic.endpoint("/links", links), "k"))
            link = failed.json["response"]
            for number, step_id in enumerate((link["id"], failed.json["id"]), 2):
                assert (await atomic.request("POST", f"/me/steps/{step_id}/redrive")).status == 200
                await asyncio.sleep(5)
                found = (await atomic.get(f"/me/steps/{link['childRunId']}-root")).json
                assert (found["status"], found["generation"]) == ("failed", number)

    run(main())


def test_a_read_that_fails_does_not_cost_the_outcome_of_an_attempt() -> None:
    """The root that goes on has to be read before the outcome is known."""

    async def main() -> None:
        store = SlowStore()
        async with LocalAtomic(store=store) as atomic:

            async def rounds(call: EndpointCall) -> EndpointReply:
                if call.json["idempotencyKey"] == "next":
                    return EndpointReply(json="done")
                following = {**a_start(url, "next"), "continues": call.json["stepId"]}
                token = call.headers["atomic-attempt-token"]
                told = await posted(atomic, following, Atomic_Attempt_Token=token)
                store.refuses[told.json["id"]] = 3
                return EndpointReply(status=202, headers={"Atomic-Continue-As": told.json["id"]})

            url = atomic.endpoint("/rounds", rounds)
            reply = await posted(atomic, a_start(url, "first", onLost="fail"))
            assert (reply.status, reply.json["attempts"]) == (200, 1)
            assert reply.json["continuedAs"]

    run(main())


async def works(_: EndpointCall) -> EndpointReply:
    return EndpointReply(json=7)


def works_after(held: asyncio.Event) -> EndpointHandler:
    """An endpoint that answers when the event is set."""

    async def holds(call: EndpointCall) -> EndpointReply:
        await held.wait()
        return await works(call)

    return holds


def waits_for(atomic: LocalAtomic, child: str) -> EndpointHandler:
    """A handler that starts the run `child`, and is suspended until it has ended."""

    async def links(call: EndpointCall) -> EndpointReply:
        told = await posted(atomic, a_link(call, child, "child"), Prefer="respond-async")
        if told.status == 202:
            return EndpointReply(status=202, headers={"Atomic-Waiting-For": told.json["id"]})
        return EndpointReply(json=told.json["response"])

    return links


class OneClient:
    """One client that may have three live steps."""

    callback_keys = ()

    def __init__(self) -> None:
        self._client = Client(id="me", quota=Quota(live_steps=3), attempt_keys=(b"k",))

    async def authenticate(self, api_key: str | None, client_id: str) -> Client | None:
        return self._client

    async def get(self, client_id: str) -> Client | None:
        return self._client


def test_a_run_that_may_not_be_started_yet_is_started_later() -> None:
    """The client may have three live steps: its run has no room until another one has ended."""

    async def main() -> None:
        async with LocalAtomic(clients=OneClient()) as atomic:
            held, child = asyncio.Event(), atomic.endpoint("/works", works)

            async with asyncio.TaskGroup() as running:
                holds = atomic.endpoint("/holds", works_after(held))
                running.create_task(posted(atomic, a_start(holds, "held")))
                url = atomic.endpoint("/links", waits_for(atomic, child))
                root = running.create_task(posted(atomic, a_start(url, "k", timeout=200_000)))
                await asyncio.sleep(9)
                found = await atomic.get(f"/me/runs/{keys.run_id('me', 'w', 'k')}")
                [link] = found.json["steps"]
                assert (link["status"], link["errorKind"]) == ("waiting", "start_refused")
                held.set()
            assert root.result().json["response"] == 7

    run(main())


def test_a_run_that_may_not_be_started_yet_is_started_also_when_its_starter_has_ended() -> None:
    async def main() -> None:
        async with LocalAtomic(clients=OneClient()) as atomic:
            held, child = asyncio.Event(), atomic.endpoint("/works", works)

            async def links(call: EndpointCall) -> EndpointReply:
                told = await posted(atomic, a_link(call, child, "child"), Prefer="respond-async")
                return EndpointReply(json=told.json)

            async with asyncio.TaskGroup() as running:
                url = atomic.endpoint("/holds", works_after(held))
                long = {"attemptTimeout": 200_000}
                running.create_task(posted(atomic, a_start(url, "held", **long)))
                await asyncio.sleep(1)
                root = await posted(atomic, a_start(atomic.endpoint("/links", links), "k"))
                link = root.json["response"]
                assert (root.status, link["errorKind"]) == (200, "start_refused")
                # Somebody else takes the room that the starter has left, as soon as it is counted again.
                await asyncio.sleep(0.5)
                running.create_task(posted(atomic, a_start(url, "too", **long)))
                await asyncio.sleep(90)
                found = (await atomic.get(f"/me/steps/{link['id']}")).json
                assert (found["status"], found["errorKind"]) == ("waiting", "start_refused")
                held.set()
            await asyncio.sleep(90)
            child_root = (await atomic.get(f"/me/steps/{link['childRunId']}-root")).json
            assert (child_root["status"], child_root["response"]) == ("succeeded", 7)

    run(main())


class InterruptedStore(MemoryStepStore):
    """The first root of a run that a link starts cannot be written."""

    def __init__(self) -> None:
        super().__init__()
        self.interrupted = 0

    async def create(self, step: Step) -> Step | None:
        if step.spec.started_by and not self.interrupted:
            self.interrupted += 1
            raise StoreUnavailable
        return await super().create(step)


def test_a_run_whose_start_was_interrupted_is_started_also_when_its_starter_has_ended() -> None:
    async def main() -> None:
        store = InterruptedStore()
        async with LocalAtomic(store=store) as atomic:
            child = atomic.endpoint("/works", works)

            async def links(call: EndpointCall) -> EndpointReply:
                return EndpointReply(json=(await posted(atomic, a_link(call, child, "child"))).status)

            root = await posted(atomic, a_start(atomic.endpoint("/links", links), "k"))
            assert (root.json["response"], store.interrupted) == (503, 1)
            await asyncio.sleep(90)
            child_root = keys.root_of(keys.run_id("me", "w", "child"))
            assert (await atomic.get(f"/me/steps/{child_root}")).json["response"] == 7

    run(main())


def test_more_links_than_a_row_can_name_wait_for_one_run() -> None:
    async def main() -> None:
        async with LocalAtomic() as atomic:
            held, links = asyncio.Event(), WAITERS_MAX + 2

            child = atomic.endpoint("/holds", works_after(held))
            url = atomic.endpoint("/waits", waits_for(atomic, child))
            await posted(atomic, a_start(child, "child", attemptTimeout=200_000), Prefer="respond-async")
            starts = [a_start(url, f"k-{number}") for number in range(links)]
            roots = [await posted(atomic, start, Prefer="respond-async") for start in starts]
            await asyncio.sleep(10)
            root = await atomic.engine.store.get(keys.root_of(keys.run_id("me", "w", "child")))
            assert root is not None
            assert len(root.waiters) == WAITERS_MAX
            held.set()
            await asyncio.sleep(120)
            ends = [(await atomic.get(f"/me/steps/{reply.json['id']}")).json for reply in roots]
            assert [end["response"] for end in ends] == [7] * links

    run(main())


def test_a_cancel_that_a_crash_has_kept_from_the_next_run_is_passed_on_later() -> None:
    """The process ended between the end of the old root and the request to the new one."""

    async def main() -> None:
        async with LocalAtomic() as atomic:
            store, now_ms = atomic.engine.store, atomic.engine.clock.now_ms()
            old, new = (begin(a_spec(key=key), keys.ROOT, now_ms, "n") for key in ("k", "k/2"))
            ended = settled(old, Status.SUCCEEDED, now_ms, continued_as=new.id)
            await store.create(replace(ended, cancel_by_ms=now_ms + 60_000))
            await store.create(new)

            await process_wakeup(atomic.engine, old.id)

            told = await store.get(new.id)
            assert told is not None
            assert (told.cancelling != "", told.cancel_by_ms) == (True, now_ms + 60_000)

    run(main())
