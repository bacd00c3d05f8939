"""Messages of several senders for the next event of a name: each is told once, whatever happens in between.

500 interleavings on a store that takes its time, and a post whose process ends at each of its operations.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import pytest

import atomic.application.messages
import atomic.domain.event_steps
from atomic.adapters.memory.store import MemoryStepStore
from atomic.application.ports import StoreUnavailable
from atomic.domain.steps import Step
from atomic.testing import ApiReply, EndpointCall, EndpointReply, LocalAtomic, run
from simulation.interleave import PAUSE_MAX_S, LawBroken
from simulation.planting import plant
from simulation.races import OF_THE_RUN, check_all

SEEDS: Final = 500
FOUND_WITHIN: Final = 200
# About as long as the posts of two messages take.
_AROUND_S: Final = 30 * PAUSE_MAX_S
# More than a post has.
_OPERATIONS_MAX: Final = 20
When = Literal["before", "after"]


async def send(atomic: LocalAtomic, result: Any, **members: Any) -> ApiReply:
    """Post a message."""
    document = {**OF_THE_RUN, "name": "e", "next": True, "result": result, **members}
    return await atomic.post("/me/events", document)


# --- interleavings ---


@dataclass
class Played:
    """What was sent in one seed, how the run ended, and what the senders were told."""

    sent: list[Any]
    run: ApiReply
    told: list[ApiReply]


class Talk:
    """A workflow that takes as many messages as are sent."""

    def __init__(self, atomic: LocalAtomic, chance: random.Random, number: int) -> None:
        self._atomic, self._chance, self._number = atomic, chance, number
        self.url = atomic.endpoint("/w", self)

    async def __call__(self, call: EndpointCall) -> EndpointReply:
        """Handle one call."""
        said: list[Any] = []
        while len(said) < self._number:
            name = f"e#{len(said) + 1}" if said else "e"
            event = {**OF_THE_RUN, "kind": "event", "stepName": name, "parent": call.json["stepId"]}
            reply = await self._atomic.post("/me", {**event, "timeout": self._chance.choice((1, 30))})
            if reply.status != 200:
                return EndpointReply(status=202, headers={"Atomic-Waiting-For": reply.json["id"]})
            said.append(reply.json["response"])
        return EndpointReply(json=said)


async def play(atomic: LocalAtomic, seed: int) -> Played:
    """Play one seed."""
    chance = random.Random(seed)

    async def later(result: Any, **members: Any) -> ApiReply:
        await asyncio.sleep(chance.random() * _AROUND_S)
        return await send(atomic, result, **members)

    ids = [f"m-{number}" for number in range(chance.randrange(4))]
    same = [1] * chance.randrange(1, 4)
    talk = Talk(atomic, chance, len(ids) + len(same))
    sent = [later(said, id=said) for said in ids * chance.choice((1, 2))]
    sent += [later(said) for said in same]
    begun = asyncio.create_task(_start(atomic, talk.url, chance.random() * _AROUND_S))
    told = await asyncio.gather(*sent)
    return Played([*ids, *same], await begun, told)


async def _start(atomic: LocalAtomic, url: str, after_s: float) -> ApiReply:
    await asyncio.sleep(after_s)
    document = {**OF_THE_RUN, "stepInvokeUrl": url, "retry": {"count": 0}, "timeout": 30_000}
    return await atomic.post("/me", document)


def _broken(played: Played) -> Iterator[str]:
    if any(each.status != 200 for each in played.told):
        yield f"a message was refused: {[each.status for each in played.told]}"
    elif played.run.status != 200:
        yield f"the workflow did not end: {played.run}"
    elif Counter(played.run.json["response"]) != Counter(played.sent):
        yield f"sent were {played.sent}, and the workflow was told {played.run.json['response']}"


def test_each_message_is_told_once() -> None:
    all_played = check_all(play, _broken, SEEDS)
    assert {reply.json["was"] for played in all_played for reply in played.told} == {
        "early",
        "open",
        "done",
    }


# --- a process ends ---


class DyingStore(MemoryStepStore):
    """A store whose process ends at one of its operations, before or after it takes effect."""

    def __init__(self, at: int, when: When) -> None:
        super().__init__()
        self.left, self._when = at, when
        self.is_armed = False

    async def create(self, step: Step) -> Step | None:
        """As in memory."""
        return await self._do(lambda: super(DyingStore, self).create(step))

    async def replace(self, step: Step, expected_version: int) -> Step | None:
        """As in memory."""
        return await self._do(lambda: super(DyingStore, self).replace(step, expected_version))

    async def get(self, step_id: str) -> Step | None:
        """As in memory."""
        return await self._do(lambda: super(DyingStore, self).get(step_id))

    def rows_of(self, message: str) -> list[str]:
        """The names of the events that have this message."""
        return [row.spec.step_name for row in self._rows.values() if row.message == message]

    async def _do(self, operation: Callable[[], Any]) -> Any:
        self.left -= self.is_armed
        if self.is_armed and self.left == 0 and self._when == "before":
            raise StoreUnavailable("ended")
        done = await operation()
        if self.is_armed and self.left == 0:
            raise StoreUnavailable("ended")
        return done


def check_death(at: int, when: When, *, beside: bool, is_open: bool) -> bool:
    """End a post at an operation, and post the message again; whether there was such an operation.

    `beside`: another sender posts in between. `is_open`: a handler has opened the next event. Raises
    LawBroken.
    """

    async def body() -> tuple[list[ApiReply], list[str], list[str], bool]:
        store = DyingStore(at, when)
        async with LocalAtomic(store=store) as atomic:
            await send(atomic, 1, id="first")
            if is_open:
                event = {**OF_THE_RUN, "kind": "event", "stepName": "e#2", "timeout": 1}
                await atomic.post("/me", event)
            store.is_armed = True
            replies = [await send(atomic, 1, id="m")]
            has_died, store.is_armed = store.left <= 0, False
            if beside:
                await send(atomic, 1, id="other")
            replies += [await send(atomic, 1, id="m") for _ in range(2)]
            return replies, store.rows_of("m"), store.rows_of("other"), has_died

    replies, named, others, has_died = run(body())
    statuses = [reply.status for reply in replies]
    wanted = {
        "answers": (statuses, [503 if has_died else 200, 200, 200]),
        "events of the message": ([reply.json["name"] for reply in replies[1:]], named * 2),
        "events of both messages": (sorted([*named, *others]), ["e#2", "e#3"][: 1 + beside]),
    }
    broken = [f"{what}: {found}, not {right}" for what, (found, right) in wanted.items() if found != right]
    if broken:
        raise LawBroken("\n".join([f"operation {at} {when}, {beside=}, {is_open=}", *broken]))
    return has_died


def check_deaths() -> int:
    """End the process at each operation; the number of them."""
    return sum(
        check_death(at, when, beside=beside, is_open=is_open)
        for beside in (False, True)
        for is_open in (False, True)
        for when in ("before", "after")
        for at in range(1, _OPERATIONS_MAX)
    )


def test_a_message_that_is_posted_again_after_its_process_ended_is_one_message() -> None:
    # A post has at least six operations: note and two events are read, the note and the event are written.
    assert check_deaths() >= 6 * 8


# --- planted faults ---

_slot_of = atomic.application.messages._Sender.slot_of
_send_noted = atomic.application.messages._send_noted


def _equal_results_are_one(step: Step, posted: Any) -> bool:
    return step.response == posted.response


async def _without_a_note(sender: Any, message: str) -> Any:
    """Find the next event each time, and forget which one it was."""
    slot = await sender.next_free(0)
    while (told := await sender.tell(slot)) is None:
        slot = await sender.next_free(slot.number)
    return told


async def _always_anew(sender: Any, noted: int) -> Any:
    """Look for the next event also when the message has one."""
    return await sender.next_free(0)


async def _give_up(sender: Any, slot: Any) -> Any:
    """Post the result whether or not another one was first."""
    engine, posted = sender.engine, replace(sender.posted, message="")
    spec = atomic.application.messages.numbered(sender.first, slot.number)
    return await atomic.application.messages.tell(engine, spec, slot.row, posted, sender.handler)


_MESSAGES, _SENDER = atomic.application.messages, atomic.application.messages._Sender
PLANTED: Final[dict[str, tuple[object, str, Callable[..., Any]]]] = {
    "an id has no note": (_MESSAGES, "_send_noted", _without_a_note),
    "a repeat takes another number": (_SENDER, "slot_of", _always_anew),
    "equal messages are one": (_SENDER, "tell", _give_up),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_fault_is_found(planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, *PLANTED[planted])

    def check_both() -> None:
        check_all(play, _broken, FOUND_WITHIN)
        check_deaths()

    with pytest.raises(LawBroken):
        check_both()
