"""1,000 interleavings of heartbeats with the expiry of their event, each of which writes the one row.

A sender posts heartbeats, now and then too late, on a store that takes its time; wake-ups may come twice.
"""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import pytest

import atomic.domain.event_steps
from atomic.domain.steps import Step, changed
from atomic.testing import LocalAtomic
from simulation.interleave import PAUSE_MAX_S, LawBroken
from simulation.planting import plant
from simulation.races import OF_THE_RUN, check_all

SEEDS: Final = 1_000
FOUND_WITHIN: Final = 300
HEARTBEAT_S: Final = 1.0
# A post and the processing of a wake-up take a few operations of the store, each with up to two pauses.
SLACK_S: Final = 24 * PAUSE_MAX_S
EVENT: Final = {**OF_THE_RUN, "kind": "event", "stepName": "e"}


@dataclass
class Played:
    """When heartbeats were sent and what was answered, and when the event ended and how, in seconds."""

    beats: list[tuple[float, float, int]]
    status: str
    error_kind: str | None
    ended_s: float


async def play(atomic: LocalAtomic, seed: int) -> Played:
    """Play one seed."""
    chance, loop = random.Random(seed), asyncio.get_running_loop()
    began_s, beats = loop.time(), list[tuple[float, float, int]]()
    document = {**EVENT, "heartbeat": int(HEARTBEAT_S * 1000), "timeout": 30_000}
    opening = asyncio.create_task(atomic.post("/me", document))
    await asyncio.sleep(SLACK_S)
    for _ in range(chance.randrange(6)):
        # Around the moment at which the event expires, or well before.
        around_s = HEARTBEAT_S + (chance.random() - 0.5) * SLACK_S
        await asyncio.sleep(chance.choice((around_s, chance.random() * HEARTBEAT_S)))
        sent_s = loop.time()
        reply = await atomic.post("/me/events", {**OF_THE_RUN, "name": "e", "heartbeat": True})
        beats.append((sent_s - began_s, loop.time() - began_s, reply.status))
    reply = await opening
    step = (await atomic.request("GET", f"/me/steps/{reply.json['id']}")).json
    return Played(beats, step["status"], step["errorKind"], loop.time() - began_s)


def _broken(played: Played) -> Iterator[str]:
    taken = [(sent_s, told_s) for sent_s, told_s, status in played.beats if status == 200]
    if (played.status, played.error_kind) != ("failed", "heartbeat_missed"):
        yield "the event did not expire"
    first_s, last_s = taken[-1] if taken else (0.0, 0.0)
    if played.ended_s < first_s + HEARTBEAT_S:
        yield "it expired although a heartbeat that was taken postponed that"
    if played.ended_s > max(last_s + HEARTBEAT_S, played.beats[-1][1] if played.beats else 0.0) + SLACK_S:
        yield "it did not expire in time"
    refused = [status for *_, status in played.beats if status != 200]
    if [status for *_, status in played.beats][len(taken) :] != refused or set(refused) - {409}:
        yield "a heartbeat was taken after one was refused"


def test_an_event_expires_when_and_only_when_it_is_not_heard() -> None:
    # Both sides won, and some events lived through several heartbeats.
    statuses = [[status for *_, status in played.beats] for played in check_all(play, _broken, SEEDS)]
    assert {status for each in statuses for status in each} == {200, 409}
    assert max(each.count(200) for each in statuses) >= 4


def _only_by_the_first(step: Step, now_ms: int) -> Step:
    """Expire by the time in the row at which it is due, whatever was heard."""
    return _after_due(replace(step, heartbeat_by_ms=step.due_at_ms), now_ms)


def _never_again(step: Step, now_ms: int) -> Step:
    """Look at the event once, and never again."""
    after = _after_due(step, now_ms)
    return after if after.is_settled else changed(step, due_at_ms=None)


_after_due = atomic.domain.event_steps.after_due
PLANTED: Final = {"heartbeats change nothing": _only_by_the_first, "it has one wake-up": _never_again}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_fault_is_found(planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, atomic.domain.event_steps, "after_due", PLANTED[planted])

    with pytest.raises(LawBroken, match="seed "):
        check_all(play, _broken, FOUND_WITHIN)
