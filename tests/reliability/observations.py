"""Records what callers were told and what endpoints did, and compares both with the rows.

Whatever happened to the server, the three must agree.
"""

import asyncio
import os
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson

from atomic.adapters.sqlite.store import SqliteStepStore
from atomic.application.run_query import RunQuery
from atomic.domain.steps import Step
from atomic.protocol.enums import Status
from atomic.testing import EndpointCall, EndpointReply
from scenarios.runtime import Runtime

STEPS_MAX: Final = 3
_RETRY: Final = {"count": 200, "backOff": 30, "strategy": "fixed"}
_ACKNOWLEDGED: Final = frozenset({200, 202, 504})


@dataclass(slots=True)
class Observations:
    """The observations of callers by key, and of endpoints by path and key."""

    acknowledged: set[str] = field(default_factory=set)
    told: dict[str, Any] = field(default_factory=dict)
    told_otherwise: list[str] = field(default_factory=list)
    calls: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    answered: dict[tuple[str, str], list[Any]] = field(default_factory=lambda: defaultdict(list))

    def tell(self, key: str, outcome: Any) -> None:
        """A caller got the outcome. It must equal the first one."""
        if self.told.setdefault(key, outcome) != outcome:
            self.told_otherwise.append(key)

    def problems(self, rows: dict[tuple[str, str], Step]) -> list[str]:
        """Where the observations and the rows disagree; `rows` are by path and key as well."""
        found = [f"{key}: two outcomes were told" for key in self.told_otherwise]
        found += [
            f"{key}: acknowledged, but no caller got an outcome"
            for key in self.acknowledged - set(self.told)
        ]
        for key, outcome in self.told.items():
            places = ["/flow", *(f"/step{number}" for number in range(len(outcome["steps"])))]
            for path, expected in zip(places, [outcome, *outcome["steps"]], strict=True):
                found += (
                    f"{key} {path}: {problem}"
                    for problem in self._of_row(rows.get((path, key)), path, key, expected)
                )
        return found

    def _of_row(self, row: Step | None, path: str, key: str, expected: Any) -> Iterator[str]:
        if row is None:
            yield "the row is lost"
            return
        said = None if row.response is None else orjson.loads(row.response.text)
        if row.status is not Status.SUCCEEDED or said != expected:
            yield f"told {expected}, the row says {row.status} {said}"
        if expected not in self.answered[path, key]:
            yield "no endpoint ever answered this"
        calls = self.calls[path, key]
        if len(calls) != len(set(calls)):
            yield f"an attempt was made twice: {calls}"
        if max(calls, default=0) > row.attempt_count:
            yield f"attempts {calls} were made, the row knows of {row.attempt_count}"


class Application:
    """A workflow of one to three steps, which are slow and sometimes fail, and its callers."""

    def __init__(self, runtime: Runtime, seed: int) -> None:
        self.observed = Observations()
        self.client = runtime.client
        self._runtime = runtime
        self._chance = random.Random(seed)
        self._flow = runtime.endpoint("/flow", self._run_flow)
        self._steps = [runtime.endpoint(f"/step{number}", self._run_step) for number in range(STEPS_MAX)]

    async def call(self, key: str, after_s: float = 0.0) -> None:
        """Post until the run has an outcome: without waiting, with a short wait, or with a long one."""
        await asyncio.sleep(after_s)
        document = _document(self._flow, key, self._chance.randint(1, STEPS_MAX))
        while key not in self.observed.told:
            prefer = self._chance.choice(["respond-async", "wait=1", "wait=20"])
            try:
                reply = await self._runtime.start(document, Prefer=prefer)
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(0.05)
                continue
            assert reply.status in _ACKNOWLEDGED | {503}, (reply.status, reply.body)
            if reply.status in _ACKNOWLEDGED:
                self.observed.acknowledged.add(key)
            if reply.status == 200:
                self.observed.tell(key, reply.json["response"])
            else:
                await asyncio.sleep(0.05)

    async def ask_again(self, key: str) -> None:
        """Post once more, which replays the outcome."""
        reply = await self._runtime.start(_document(self._flow, key, len(self.observed.told[key]["steps"])))
        assert reply.headers.get("idempotency-replayed") == "true", (key, reply.status, reply.body)
        self.observed.tell(key, reply.json["response"])

    async def _run_flow(self, call: EndpointCall) -> EndpointReply:
        key = self._note_call("/flow", call)
        results = []
        for url in self._steps[: call.payload]:
            reply = await self._runtime.start(_document(url, key, call.payload))
            if reply.status != 200:
                return EndpointReply(status=500)
            results.append(reply.json["response"])
        return self._answer("/flow", key, {"steps": results, "token": os.urandom(8).hex()})

    async def _run_step(self, call: EndpointCall) -> EndpointReply:
        path = call.url[call.url.rindex("/") :]
        key = self._note_call(path, call)
        await asyncio.sleep(self._chance.random() * 0.05)
        if self._chance.random() < 0.2:
            return EndpointReply(status=503)
        return self._answer(path, key, os.urandom(8).hex())

    def _note_call(self, path: str, call: EndpointCall) -> str:
        key: str = call.json["idempotencyKey"]
        self.observed.calls[path, key].append(call.attempt)
        return key

    def _answer(self, path: str, key: str, outcome: Any) -> EndpointReply:
        self.observed.answered[path, key].append(outcome)
        return EndpointReply(json=outcome)


def _document(url: str, key: str, steps: int) -> dict[str, Any]:
    names = {"workflowName": "w", "stepInvokeUrl": url, "idempotencyKey": key}
    return {**names, "payload": steps, "retry": _RETRY}


async def rows_of(data_dir: Path, client: str) -> dict[tuple[str, str], Step]:
    """All rows of the client by path and key, read from the file of a stopped server."""

    def broken(message: str) -> None:
        raise AssertionError(message)

    store = await SqliteStepStore.open(data_dir / "atomic.db", on_fatal=broken)
    try:
        roots = await store.list(RunQuery(client_id=client, limit=1_000_000))
        rows = [row for root in roots for row in await store.run(root.spec.run_id, after=None, limit=100)]
    finally:
        await store.close()
    return {(row.spec.url[row.spec.url.rindex("/") :], row.spec.idempotency_key): row for row in rows}
