"""600 interleavings of an event's result, the end of its deadline, and redrives of its run.

The workflow fails when its event has expired. Results are posted around this moment, and an operator
redrives the run, which opens the event again.
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest

import atomic.application.redrive
import atomic.application.results
from atomic.application.commit import Committed, commit
from atomic.application.engine import Engine
from atomic.domain.events import Redriven
from atomic.domain.steps import Step
from atomic.protocol.enums import Status
from atomic.testing import ApiReply, EndpointCall, EndpointReply, LocalAtomic
from simulation.interleave import PAUSE_MAX_S, LawBroken
from simulation.planting import plant
from simulation.races import OF_THE_RUN, check_all, is_always_the_same

SEEDS: Final = 600
FOUND_WITHIN: Final = 200
DEADLINE_S: Final = 1.0
# The results and the redrives of one seed come within so many seconds around the end of the deadline.
_AROUND_S: Final = 24 * PAUSE_MAX_S
# A run that is redriven has ended again by then.
_ENDED_S: Final = DEADLINE_S + 5.0


@dataclass
class Played:
    """What the senders and the operator of one seed were told, and how the run has ended after all."""

    told: list[ApiReply]
    redrives: list[ApiReply]
    root: dict[str, Any]


class Race:
    """A workflow that waits for an event, those who post its result, and an operator."""

    def __init__(self, atomic: LocalAtomic, seed: int) -> None:
        self._chance = random.Random(seed)
        self._atomic = atomic
        self._url = atomic.endpoint("/w", self._workflow)

    async def play(self) -> Played:
        """Start the run, let all post around the end of the deadline, and redrive what has failed."""
        document = {**OF_THE_RUN, "stepInvokeUrl": self._url, "retry": {"count": 0}, "timeout": 0}
        started = await self._atomic.post("/me", document)
        root = started.json["id"]
        told = asyncio.gather(*(self._send() for _ in range(2)))
        redrives = await asyncio.gather(*(self._redrive(root) for _ in range(2)))
        ended = await self._ended(root)
        if ended["status"] == "failed":
            redrives.append(await self._atomic.request("POST", f"/me/steps/{root}/redrive"))
            ended = await self._ended(root)
        return Played(await told, redrives, ended)

    async def _send(self) -> ApiReply:
        await self._pause()
        return await self._atomic.post("/me/events", {**OF_THE_RUN, "name": "e", "result": "a"})

    async def _redrive(self, root: str) -> ApiReply:
        await self._pause()
        return await self._atomic.request("POST", f"/me/steps/{root}/redrive")

    async def _pause(self) -> None:
        await asyncio.sleep(DEADLINE_S + (self._chance.random() - 0.3) * _AROUND_S)

    async def _ended(self, root: str) -> dict[str, Any]:
        await asyncio.sleep(_ENDED_S)
        found: dict[str, Any] = (await self._atomic.get(f"/me/steps/{root}")).json
        return found

    async def _workflow(self, call: EndpointCall) -> EndpointReply:
        event = {"kind": "event", "stepName": "e", "parent": call.json["stepId"], "timeout": 0}
        reply = await self._atomic.post("/me", {**OF_THE_RUN, **event, "deadline": int(1000 * DEADLINE_S)})
        if reply.status == 200:
            return EndpointReply(json=reply.json["response"])
        if reply.status == 424:
            return EndpointReply(status=500, json=reply.json)
        return EndpointReply(status=202, headers={"Atomic-Waiting-For": reply.json["id"]})


async def play(atomic: LocalAtomic, seed: int) -> Played:
    """Play one seed."""
    return await Race(atomic, seed).play()


def _broken(played: Played) -> Iterator[str]:
    said = [(reply.status, reply.json.get("was")) for reply in played.told]
    root = (played.root["status"], played.root["response"])
    if any(status not in {200, 409} for status, _ in said):
        yield f"a sender was told {said}"
    if any(reply.status not in {200, 409} for reply in played.redrives):
        yield f"the operator was told {[reply.status for reply in played.redrives]}"
    if any(status == 200 for status, _ in said):
        if root != ("succeeded", "a"):
            yield f"a result was taken ({said}), and the run is {root}"
    elif played.root["status"] != "failed":
        yield f"no result was taken ({said}), and the run is {root}"


def test_a_result_that_was_taken_is_told_also_beside_redrives() -> None:
    played = check_all(play, _broken, SEEDS)
    # All of these orders came about: before the end, after it, and after a redrive.
    assert {reply.status for each in played for reply in each.told} == {200, 409}
    again = [each for each in played if each.root["generation"] > 1]
    assert {each.root["status"] for each in again} == {"succeeded", "failed"}


async def _write_over(engine: Engine, step: Step, event: Redriven) -> Committed:
    """A redrive that opens each event again, also one that has a result."""
    after, effects = await commit(engine, step, event)
    for other in await engine.store.outline(step.spec.run_id) if step.is_root else ():
        row = await engine.store.get(other.id)
        if row is not None and row.status is Status.SUCCEEDED:
            opened = replace(row, status=Status.PENDING, response=None, version=row.version + 1)
            await engine.store.replace(opened, row.version)
    return Committed(after, effects)


PLANTED: Final[dict[str, tuple[object, str, Callable[..., Any]]]] = {
    "an expired event counts as one that has the result": (
        atomic.application.results,
        "has_result",
        is_always_the_same,
    ),
    "a redrive forgets a result": (atomic.application.redrive, "commit", _write_over),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_fault_is_found(planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, *PLANTED[planted])
    with pytest.raises(LawBroken, match="seed "):
        check_all(play, _broken, FOUND_WITHIN)
