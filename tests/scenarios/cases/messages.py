"""Messages: results for the next event of a name that has none, in the order in which they arrive."""

import asyncio
from typing import Any

from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.cases.events import REFUSED, addressed
from scenarios.cases.results import results
from scenarios.cases.suspension import event_document
from scenarios.runtime import Runtime, always
from scenarios.starts import assert_problem, document, retries


async def send(runtime: Runtime, result: Any = None, **members: Any) -> ApiReply:
    """Post a message to the run `k`."""
    given = {"reject": members.pop("reject")} if "reject" in members else {"result": result}
    return await runtime.post("/events", addressed("reply", next=True, **given, **members))


def names(replies: list[ApiReply]) -> list[tuple[int, str, str]]:
    """The events that took the messages."""
    return [(reply.status, reply.json["name"], reply.json["was"]) for reply in replies]


class Talk:
    """A plain workflow that takes messages until one says `bye`, and answers with all of them."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.url = runtime.endpoint("/talk", self)

    def document(self) -> dict[str, Any]:
        """The start of the run."""
        return document(self.url, key="k", timeout=20_000, retry=retries(0))

    async def __call__(self, call: EndpointCall) -> EndpointReply:
        """Handle one call."""
        said: list[Any] = []
        while "bye" not in said:
            name = f"reply#{len(said) + 1}" if said else "reply"
            event = event_document(name, parent=call.json["stepId"], timeout=20)
            reply = await self._runtime.start(event)
            if reply.status != 200:
                assert reply.status == 504, reply
                return EndpointReply(status=504)
            said.append(reply.json["response"])
        return EndpointReply(json=said)


async def scenario_messages_are_taken_in_the_order_of_their_arrival(runtime: Runtime) -> None:
    early = [await send(runtime, said) for said in ("a", "b", "b")]
    talk = Talk(runtime)
    started = await runtime.start(talk.document(), Prefer="respond-async")
    await runtime.step_in(started.json["id"], "waiting")
    later = [await send(runtime, "c")]
    await runtime.step_in(started.json["id"], "waiting")
    later.append(await send(runtime, "bye"))

    ended = await runtime.step_in(started.json["id"], "succeeded")

    assert ended["response"] == ["a", "b", "b", "c", "bye"]
    assert names(early) == [(200, "reply", "early"), (200, "reply#2", "early"), (200, "reply#3", "early")]
    assert [reply.json["name"] for reply in later] == ["reply#4", "reply#5"]
    assert later[0].json["was"] == "open"
    # The run is over, and asks for no more.
    assert_problem(await send(runtime, "d"), 409, REFUSED)


async def scenario_the_same_id_twice_is_one_message(runtime: Runtime) -> None:
    first = [await send(runtime, "a", id="m-1"), await send(runtime, "a", id="m-2")]
    again = [await send(runtime, "a", id="m-2"), await send(runtime, "a", id="m-1")]
    other = await send(runtime, "b", id="m-1")
    third = await send(runtime, reject={"detail": "no"}, id="m-3")

    assert names(first) == [(200, "reply", "early"), (200, "reply#2", "early")]
    assert names(again) == [(200, "reply#2", "done"), (200, "reply", "done")]
    assert_problem(other, 409, REFUSED)
    assert names([third, await send(runtime, reject={"detail": "no"}, id="m-3")]) == [
        (200, "reply#3", "early"),
        (200, "reply#3", "done"),
    ]
    # Of another name or another run, it is another message.
    elsewhere = await runtime.post("/events", addressed("other", next=True, id="m-1"))
    assert elsewhere.json["name"] == "other"
    # A result without a message's id is compared as always.
    same = await runtime.post("/events", addressed("reply", result="a"))
    assert (same.status, same.json["was"]) == (200, "done")


async def scenario_a_message_goes_past_events_that_have_ended(runtime: Runtime) -> None:
    expired = await runtime.finish(event_document("reply", deadline=50))
    assert expired.status == 424
    opened = await runtime.start(event_document("reply#2"), Prefer="respond-async")
    await runtime.post(f"/steps/{opened.json['id']}/cancel")
    await runtime.post("/events", addressed("reply#3", result="by its number"))
    await runtime.start(event_document("reply#4"), Prefer="respond-async")

    told = [await send(runtime, "a", id="m"), await send(runtime, "b")]

    assert names(told) == [(200, "reply#4", "open"), (200, "reply#5", "early")]
    assert names([await send(runtime, "a", id="m")]) == [(200, "reply#4", "done")]


async def scenario_many_senders_at_once_lose_no_message(runtime: Runtime) -> None:
    sent = [f"m-{number}" for number in range(12)]
    talk = Talk(runtime)
    replies = await asyncio.gather(
        # Each id comes twice, and there are equal results without an id.
        *(send(runtime, said, id=said) for said in sent * 2),
        *(send(runtime, "same") for _ in range(4)),
    )
    await send(runtime, "bye")

    reply = await runtime.finish(talk.document())

    assert {reply.status for reply in replies} == {200}
    said = reply.json["response"]
    assert sorted(said) == sorted([*sent, *["same"] * 4, "bye"])
    for text, reply in zip([*sent * 2, *["same"] * 4], replies, strict=True):
        number = int(reply.json["name"].removeprefix("reply").removeprefix("#") or 1)
        assert said[number - 1] == text


async def scenario_messages_reach_a_nested_workflow(runtime: Runtime) -> None:
    root = await runtime.finish(document(runtime.endpoint("/gone", always(410)), key="k"))
    url = runtime.endpoint("/nested", always(410))
    nested = await runtime.finish(document(url, key="k-2", parent=root.json["id"], stepName="nested"))

    to_nested = {"parent": nested.json["id"], "name": "reply", "next": True}
    told = [await runtime.post("/events", {**to_nested, "result": said, "id": said}) for said in "ab"]

    assert names(told) == [(200, "reply", "early"), (200, "reply#2", "early")]
    assert {reply.json["parent"] for reply in told} == {nested.json["id"]}
    assert names([await send(runtime, "a", id="a")]) == [(200, "reply", "early")]


async def scenario_the_notes_of_messages_are_no_steps(runtime: Runtime) -> None:
    url = runtime.endpoint("/gone", always(410))
    root = await runtime.finish(document(url, key="k"))
    [call] = [seen.call for seen in runtime.calls(url)]
    told = [await send(runtime, said, id=said) for said in "abc"]

    run = (await runtime.get(f"/runs/{root.json['runId']}")).json
    listed = (await runtime.get("/runs?progress=true")).json["runs"]
    page = await results(runtime, call, "")

    assert sorted(step["id"] for step in run["steps"]) == sorted(reply.json["id"] for reply in told)
    assert listed[0]["progress"]["steps"] == {"succeeded": 3}
    assert page.json["steps"] == []


async def scenario_a_message_that_is_wrong_is_explained(runtime: Runtime) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        (addressed(id="m"), "id"),
        (addressed(next=True, id=""), "id"),
        (addressed(next=True, id="two words"), "id"),
        (addressed(next=True, id="m" * 256), "id"),
        (addressed(next=True, id=7), "id"),
        (addressed(next="yes"), "next"),
        (addressed(next=True, heartbeat=True), "next"),
        (addressed("reply#2", next=True), "name"),
    ]
    for body, field in wrong:
        reply = await runtime.post("/events", body)
        assert_problem(reply, 400, "invalid-request")
        assert [error["field"] for error in reply.json["errors"]] == [field], body
    assert (await send(runtime, "a", id="!" * 255)).status == 200
