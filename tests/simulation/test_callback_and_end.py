"""1,000 interleavings of results that come to a callback URL with the end of the deadline and a cancel.

All of them write the row of one event, while its handler is told that it is open. Scanners open the URL.
"""

import asyncio
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

import atomic.application.results
import atomic.application.start
from atomic.protocol import keys
from atomic.testing import ApiReply, EndpointCall, EndpointReply, LocalAtomic
from simulation.interleave import PAUSE_MAX_S, LawBroken
from simulation.planted import leave_no_waiter
from simulation.planting import plant
from simulation.races import OF_THE_RUN, WITHIN_S, check_all, is_always_the_same

SEEDS: Final = 1_000
FOUND_WITHIN: Final = 300
_AROUND_S: Final = 12 * PAUSE_MAX_S
_DEADLINE_MS: Final = 150
_RUN: Final = keys.run_id("me", "w", "k")


@dataclass
class Played:
    """What the senders and the caller of one seed were told, and what the event is in the end."""

    is_cancelled: bool
    run: ApiReply | None = None
    told: list[tuple[str, ApiReply]] = field(default_factory=list)
    urls: set[str] = field(default_factory=set)
    pages: list[int] = field(default_factory=list)
    event: dict[str, Any] = field(default_factory=dict)


class Race:
    """A workflow that opens an event, and all who act on it."""

    def __init__(self, atomic: LocalAtomic, seed: int) -> None:
        self.chance = random.Random(seed)
        self._atomic = atomic
        self._expires = self.chance.random() < 0.4
        self.played = Played(is_cancelled=self.chance.random() < 0.3)
        self._url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._endpoint = atomic.endpoint("/w", self._workflow)

    async def play(self) -> Played:
        """Let all of them act; what they were told."""
        sent = self.chance.choice((["1"], ["1", "1"], ["1", "2"], ["1", "2", "reject"]))
        acts = [self._send(body) for body in sent]
        acts += [self._look(), self._cancel()]
        self.played.run, *_ = await asyncio.gather(self._start(), *acts)
        read = await self._atomic.request("GET", f"/me/runs/{_RUN}")
        [self.played.event] = read.json["steps"]
        return self.played

    async def _start(self) -> ApiReply | None:
        document = {**OF_THE_RUN, "stepInvokeUrl": self._endpoint, "retry": {"count": 0}, "timeout": 30_000}
        try:
            async with asyncio.timeout(WITHIN_S):
                return await self._atomic.post("/me", document)
        except TimeoutError:
            return None

    async def _send(self, body: str) -> None:
        url = await self._url
        await self._pause()
        target, sent = (f"{url}/reject", b"") if body == "reject" else (url, body.encode())
        self.played.told.append((body, await self._atomic.request("POST", target, body=sent)))

    async def _look(self) -> None:
        url = await self._url
        for method in ("GET", "HEAD"):
            await self._pause()
            self.played.pages.append((await self._atomic.request(method, url)).status)

    async def _cancel(self) -> None:
        await self._url
        await self._pause()
        if self.played.is_cancelled:
            await self._atomic.request("POST", f"/me/runs/{_RUN}/cancel")

    async def _pause(self) -> None:
        await asyncio.sleep(self.chance.random() * _AROUND_S)

    async def _workflow(self, call: EndpointCall) -> EndpointReply:
        event = {**OF_THE_RUN, "kind": "event", "stepName": "e"}
        event |= {"parent": call.json["stepId"], "timeout": self.chance.choice((1, 30))}
        event |= {"deadline": _DEADLINE_MS} if self._expires else {}
        reply = await self._atomic.request("POST", "/me/steps", body=json.dumps(event).encode())
        if "callbackUrl" in reply.json:
            self.played.urls.add(reply.json["callbackUrl"])
            if not self._url.done():
                self._url.set_result(reply.json["callbackUrl"])
        if reply.status in {200, 424}:
            return EndpointReply(json=reply.json.get("response"))
        if self.chance.random() < 0.5:
            # A plain handler that was told 504: it fails, and is called again.
            return EndpointReply(status=500)
        return EndpointReply(status=202, headers={"Atomic-Waiting-For": reply.json.get("id", "*")})


async def play(atomic: LocalAtomic, seed: int) -> Played:
    """Play one seed."""
    return await Race(atomic, seed).play()


def _broken(played: Played) -> Iterator[str]:
    if len(played.urls) != 1:
        yield f"the URL was {played.urls}"
    if set(played.pages) != {200}:
        yield f"pages: {played.pages}"
    status, response = played.event["status"], played.event["response"]
    winner = "reject" if played.event["errorKind"] == "event_rejected" else json.dumps(response)
    is_answered = status == "succeeded" or winner == "reject"
    for body, reply in played.told:
        if reply.status != (200 if is_answered and body == winner else 410):
            yield f"{body} was told {reply.status}, and the event is {status} with {winner}"
    if played.run is None:
        yield "the run did not end in time"
    elif not (played.is_cancelled and played.run.status == 409) and (
        (played.run.status, played.run.json.get("response")) != (200, response)
    ):
        yield f"the run ended with {played.run.body!r}"


def test_of_all_who_end_an_event_one_does() -> None:
    all_played = check_all(play, _broken, SEEDS)
    ends = {played.event["errorKind"] or played.event["status"] for played in all_played}
    # All of these ends came about.
    assert ends == {"succeeded", "event_rejected", "event_expired", "cancelled"}


PLANTED: Final[dict[str, tuple[object, str, Callable[..., Any]]]] = {
    "another result counts as the same": (atomic.application.results, "has_result", is_always_the_same),
    "a handler that is told that the event is open is not woken": (
        atomic.application.start,
        "register_waiter",
        leave_no_waiter,
    ),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_fault_is_found(planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, *PLANTED[planted])

    with pytest.raises(LawBroken, match="seed "):
        check_all(play, _broken, FOUND_WITHIN)
