"""1,000 interleavings of the result of an event and its opening, both of which write one row and then look.

Results come by name, by two senders, around the moment in which a workflow asks for the event: before the
run, before the wait, while its handler is told that the event is open, and while it suspends.
"""

import asyncio
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import pytest

import atomic.application.results
import atomic.application.start
from atomic.application.engine import Engine
from atomic.domain.steps import Step
from atomic.testing import ApiReply, EndpointCall, EndpointReply, LocalAtomic
from simulation.interleave import PAUSE_MAX_S, LawBroken
from simulation.planted import leave_no_waiter
from simulation.planting import plant
from simulation.races import OF_THE_RUN, WITHIN_S, check_all, is_always_the_same

SEEDS: Final = 1_000
FOUND_WITHIN: Final = 300
# A handful of operations of the store, each of which takes up to two pauses.
_AROUND_S: Final = 12 * PAUSE_MAX_S
Sent = Literal["one result", "the same twice", "two results", "a rejection"]
SENT: Final[dict[Sent, list[dict[str, Any]]]] = {
    "one result": [{"result": "a"}],
    "the same twice": [{"result": "a"}, {"result": "a"}],
    "two results": [{"result": "a"}, {"result": "b"}],
    "a rejection": [{"reject": {"detail": "no"}}],
}


@dataclass
class Played:
    """What the workflow and the senders of one seed were told."""

    sent: Sent
    run: ApiReply | None
    told: list[ApiReply]


class Race:
    """A workflow that asks for an event, and those who post its result."""

    def __init__(self, atomic: LocalAtomic, seed: int) -> None:
        self.chance = random.Random(seed)
        self._atomic = atomic
        self._names_parent = bool(seed % 2)
        self._url = atomic.endpoint("/w", self._workflow)

    async def send(self, body: dict[str, Any]) -> ApiReply:
        """Post a result at a random moment."""
        await self._pause()
        return await self._atomic.post("/me/events", {**OF_THE_RUN, "name": "e", **body})

    async def start(self) -> ApiReply | None:
        """Start the run at a random moment; None when it does not end in time."""
        await self._pause()
        document = {**OF_THE_RUN, "stepInvokeUrl": self._url, "retry": {"count": 0}, "timeout": 30_000}
        try:
            async with asyncio.timeout(WITHIN_S):
                return await self._atomic.post("/me", document)
        except TimeoutError:
            return None

    async def _pause(self) -> None:
        await asyncio.sleep(self.chance.random() * _AROUND_S)

    async def _workflow(self, call: EndpointCall) -> EndpointReply:
        """It asks without waiting, or waits for a moment, or for so long that it is told meanwhile."""
        wait_ms = self.chance.choice((0, 1, 30))
        event = {**OF_THE_RUN, "kind": "event", "stepName": "e"}
        event |= {"timeout": wait_ms} if wait_ms else {}
        event |= {"parent": call.json["stepId"]} if self._names_parent else {}
        reply = await self._atomic.request(
            "POST",
            "/me",
            body=json.dumps(event).encode(),
            headers={} if wait_ms else {"Prefer": "respond-async"},
        )
        if reply.status in {200, 424}:
            return EndpointReply(json=reply.json["response"])
        if wait_ms and self.chance.random() < 0.5:
            # A plain handler that was told 504: it fails, and is called again.
            return EndpointReply(status=500)
        return EndpointReply(status=202, headers={"Atomic-Waiting-For": reply.json["id"]})


async def play(atomic: LocalAtomic, seed: int) -> Played:
    """Play one seed."""
    race = Race(atomic, seed)
    sent = race.chance.choice(tuple(SENT))
    reply, *told = await asyncio.gather(race.start(), *map(race.send, SENT[sent]))
    return Played(sent, reply, [each for each in told if each is not None])


def _broken(played: Played) -> Iterator[str]:
    """Check the law; return a line for each violation."""
    said = [(reply.status, reply.json.get("was")) for reply in played.told]
    if played.run is None or played.run.status != 200:
        yield f"the workflow did not end within {WITHIN_S} s: {played.run}; the senders were told {said}"
        return
    posted = [body.get("result", body.get("reject")) for body in SENT[played.sent]]
    taken = [result for result, (status, _) in zip(posted, said, strict=True) if status == 200]
    # Two equal results within a millisecond write equal rows, so both may be told that they were the first.
    first = {was for status, was in said if status == 200} - {"done"}
    if first not in ({"open"}, {"early"}):
        yield f"not exactly one result was the first: {said}"
    if any(status not in {200, 409} for status, _ in said) or taken != [
        result for result in posted if result == played.run.json["response"]
    ]:
        yield f"the workflow was told {played.run.json['response']!r}, and the senders {said}"


def test_each_result_is_told_once_and_to_its_workflow() -> None:
    was = {reply.json["was"] for played in check_all(play, _broken, SEEDS) for reply in played.told}
    # All of these orders came about.
    assert was == {"early", "open", "done"}


async def _write_over(engine: Engine, event: Step, forgotten: Step | None, handler: Step | None) -> None:
    """A look, and then a write without a condition."""
    existing = await engine.store.get(event.id)
    if existing is None:
        await engine.store.create(event)
    else:
        await engine.store.replace(event, existing.version)


_RESULTS, _START = atomic.application.results, atomic.application.start
PLANTED: Final[dict[str, tuple[object, str, Callable[..., Any]]]] = {
    "an early result overwrites the opening": (_RESULTS, "_create", _write_over),
    "another result counts as the same": (_RESULTS, "has_result", is_always_the_same),
    "a handler that is told that the event is open is not woken": (
        _START,
        "register_waiter",
        leave_no_waiter,
    ),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_fault_is_found(planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, *PLANTED[planted])

    with pytest.raises(LawBroken, match="seed "):
        check_all(play, _broken, FOUND_WITHIN)
