"""What callers were promised by a server, and a load of runs whose callers keep all of it.

A promise is an API key, the id of a run that was acknowledged, or the outcome of one that has ended.
"""

import asyncio
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import orjson

from atomic.domain.steps import Step
from atomic.protocol.enums import Status
from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.runtime import Runtime

PARTS: Final = 2
_RETRY: Final = {"count": 200, "backOff": 30, "strategy": "fixed"}
# The texts of every fourth run are so long that they are stored beside its rows.
_LONG: Final = 6_000


@dataclass(slots=True)
class Promises:
    """Step ids and outcomes of runs by their idempotency keys, and API keys by client."""

    taken: dict[str, str] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)
    api_keys: dict[str, str] = field(default_factory=dict)

    def copy(self) -> "Promises":
        """These promises, as they are now."""
        return Promises(dict(self.taken), dict(self.told), dict(self.api_keys))

    def broken_in(self, rows: dict[tuple[str, str], Step]) -> Iterator[str]:
        """Promises that the rows of a stopped server do not keep; `rows` are by path and key."""
        for key, step_id in self.taken.items():
            row = rows.get(("/flow", key))
            if row is None or row.id != step_id:
                yield f"{key}: {step_id} was acknowledged, and is lost"
        for key, outcome in self.told.items():
            places = ["/flow", *(f"/part{number}" for number in range(PARTS))]
            for path, expected in zip(places, [outcome, *outcome["parts"]], strict=True):
                row = rows.get((path, key))
                said = row and row.response and orjson.loads(row.response.text)
                if row is None or row.status is not Status.SUCCEEDED or said != expected:
                    yield f"{key} {path}: told {expected}, the row says {row and row.status} {said}"


class Load:
    """Runs of two steps, which are slow and sometimes fail, and their callers.

    Every third caller leaves as soon as its run is acknowledged, and the run begins somewhat later.
    `called` has the keys of the runs whose endpoints were called.
    """

    def __init__(self, runtime: Runtime, seed: int) -> None:
        self.promises = Promises()
        self.called: set[str] = set()
        self.problems: list[str] = []
        self._runtime = runtime
        self._chance = random.Random(seed)
        self._flow = runtime.endpoint("/app/flow", self._run_flow)
        self._parts = [runtime.endpoint(f"/app/part{number}", self._run_part) for number in range(PARTS)]

    async def call(self, number: int, after_s: float) -> None:
        """Post a run until it is acknowledged, or has an outcome."""
        await asyncio.sleep(after_s)
        key = f"k{number}"
        while key not in self.promises.told and not (number % 3 == 0 and key in self.promises.taken):
            prefer = "respond-async" if number % 3 == 0 else self._chance.choice(["wait=1", "wait=20"])
            try:
                self._note(key, await self._runtime.start(self.document(key), Prefer=prefer))
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(0.05)

    async def ask_again(self, key: str) -> None:
        """Wait for the end of a run that was acknowledged, post it once more, and compare the answers."""
        replayed = key in self.promises.told
        if not replayed:
            await self._runtime.step_in(self.promises.taken[key], "succeeded")
        reply = await self._runtime.start(self.document(key))
        if reply.headers.get("idempotency-replayed") != "true":
            self.problems.append(f"{key}: it was run once more: {reply.status} {reply.body!r}")
        self._note(key, reply)

    def document(self, key: str) -> dict[str, Any]:
        """The start of a run."""
        number = int(key[1:])
        more = {"delay": number % 8 * 100} if number % 3 == 0 else {}
        return {**_post(self._flow, key), **more}

    def _note(self, key: str, reply: ApiReply) -> None:
        if reply.status in {200, 202}:
            if self.promises.taken.setdefault(key, reply.json["id"]) != reply.json["id"]:
                self.problems.append(f"{key}: another id was told: {reply.json['id']}")
        elif reply.status not in {503, 504}:
            self.problems.append(f"{key}: {reply.status} {reply.body!r}")
        if reply.status == 200:
            outcome = reply.json["response"]
            if self.promises.told.setdefault(key, outcome) != outcome:
                self.problems.append(f"{key}: another outcome was told: {outcome}")

    async def _run_flow(self, call: EndpointCall) -> EndpointReply:
        key: str = call.json["idempotencyKey"]
        self.called.add(key)
        parts = []
        for url in self._parts:
            reply = await self._runtime.start(_post(url, key))
            if reply.status != 200:
                return EndpointReply(status=500)
            parts.append(reply.json["response"])
        return EndpointReply(json={"parts": parts, "token": os.urandom(8).hex()})

    async def _run_part(self, call: EndpointCall) -> EndpointReply:
        self.called.add(call.json["idempotencyKey"])
        await asyncio.sleep(self._chance.random() * 0.05)
        if self._chance.random() < 0.2:
            return EndpointReply(status=503)
        return EndpointReply(json=os.urandom(8).hex())


def _post(url: str, key: str) -> dict[str, Any]:
    names = {"workflowName": "w", "stepInvokeUrl": url, "idempotencyKey": key}
    length = _LONG if int(key[1:]) % 4 == 0 else 1
    return {**names, "payload": f"{key} " * length, "retry": _RETRY}
