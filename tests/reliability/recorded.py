"""Records histories of keys, as concurrent clients of a real server see them."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

from atomic.protocol import keys
from atomic.testing import ApiReply, EndpointCall, EndpointReply
from reliability.linearizability import (
    ABSENT,
    ATTACHED,
    CANCELLED,
    ENDED,
    LIVE,
    MISMATCH,
    REPLAYED,
    Operation,
)
from scenarios.runtime import Runtime

_TOGETHER: Final = 24
_LONG_S: Final = 10.0
_RETRY: Final = {"count": 5, "backOff": 5, "strategy": "fixed", "jitter": "none"}


class Recorder:
    """One key, its clients and its endpoint, which write one history."""

    def __init__(self, runtime: Runtime, key: str, seed: int) -> None:
        self.history: list[Operation] = []
        self._runtime, self._key = runtime, key
        self._chance = random.Random(seed)
        self._url = runtime.endpoint(f"/{key}", self._endpoint)
        self._run_id = keys.run_id(runtime.client, "w", key)
        self._loop = asyncio.get_running_loop()
        self._answers = 0

    async def record(self) -> list[Operation]:
        """Let 5 to 8 clients work on the key, with 40 operations at most."""
        await asyncio.gather(*(self._client() for _ in range(self._chance.randint(5, 8))))
        await self._look(wait_ms=2_000)
        return self.history

    async def _client(self) -> None:
        acts: list[Callable[[], Awaitable[None]]] = [self._start, self._look, self._cancel]
        for _ in range(self._chance.randint(2, 4)):
            await asyncio.sleep(self._chance.random() * 0.02)
            await self._chance.choices(acts, [6, 6, 1])[0]()

    async def _start(self) -> None:
        payload = self._chance.choices(["p", "q"], [5, 1])[0]
        document = {
            "workflowName": "w", "stepInvokeUrl": self._url, "idempotencyKey": self._key,
            "payload": payload, "retry": _RETRY, "timeout": self._chance.choice([1, 10, 5_000]),
        }  # fmt: skip
        headers = self._chance.choice([{}, {}, {"Prefer": "respond-async"}])
        begin = self._loop.time()
        reply = await self._reply_to(self._runtime.start(document, **headers))
        posted = Operation(kind="post", argument=payload, begin=begin)
        if reply is None:
            self.history.append(posted)
            return
        end = self._loop.time()
        self.history.append(replace(posted, result=_of_post(reply), end=end))
        if reply.status != 422:
            position = len(self.history) - 1
            seen = Operation(kind="read", result=_of_start(reply), begin=begin, end=end, after=position)
            self.history.append(seen)

    async def _look(self, wait_ms: int | None = None) -> None:
        wait_ms = self._chance.choice([0, 0, 5, 50]) if wait_ms is None else wait_ms
        begin = self._loop.time()
        reply = await self._runtime.get(f"/steps/{keys.root_of(self._run_id)}?wait={wait_ms}")
        read = Operation(kind="read", result=_of_look(reply), begin=begin, end=self._loop.time())
        self.history.append(read)

    async def _cancel(self) -> None:
        begin = self._loop.time()
        reply = await self._reply_to(self._runtime.post(f"/runs/{self._run_id}/cancel"))
        cancelled = Operation(kind="cancel", begin=begin)
        if reply is not None:
            cancelled = replace(cancelled, result=_of_cancel(reply), end=self._loop.time())
        self.history.append(cancelled)

    async def _reply_to(self, request: Awaitable[ApiReply]) -> ApiReply | None:
        """The reply; None if this client disconnects before it comes."""
        patience_s = self._chance.random() * 0.008 if self._chance.random() < 0.1 else _LONG_S
        try:
            return await asyncio.wait_for(request, patience_s)
        except TimeoutError:
            assert patience_s < _LONG_S, "no answer at all"
            return None

    async def _endpoint(self, call: EndpointCall) -> EndpointReply:
        await asyncio.sleep(self._chance.random() * 0.03)
        status = self._chance.choices([200, 503, 410], [6, 2, 1])[0]
        self._answers += 1
        body = f"{call.json['payload']}:{self._answers}"
        if status != 503:
            answer = Operation(kind="answer", argument=f"{body}:{status}", begin=self._loop.time())
            self.history.append(answer)
        return EndpointReply(status=status, json=body)


def _of_post(reply: ApiReply) -> str:
    if reply.status == 422:
        return MISMATCH
    return REPLAYED if "idempotency-replayed" in reply.headers else ATTACHED


def _of_start(reply: ApiReply) -> str:
    match reply.status:
        case 200:
            return f"{reply.json['response']}:200"
        case 424:
            return f"{reply.json['response']}:{reply.json['lastStatus']}"
        case 409:
            return CANCELLED
        case 202 | 504:
            return LIVE
    raise AssertionError(f"{reply.status}: {reply.body!r}")


def _of_look(reply: ApiReply) -> str:
    if reply.status == 404:
        return ABSENT
    assert reply.status == 200, reply.body
    step: dict[str, Any] = reply.json
    if step["status"] == "cancelled":
        return CANCELLED
    settled = step["status"] in {"succeeded", "failed"}
    return f"{step['response']}:{step['responseStatus']}" if settled else LIVE


def _of_cancel(reply: ApiReply) -> str:
    if reply.status == 404:
        return ABSENT
    assert reply.status == 200, reply.body
    return CANCELLED if reply.json["status"] == "cancelled" else ENDED


async def record_many(runtime: Runtime, number: int, seed: int) -> list[list[Operation]]:
    """Record the histories of that many keys, several at a time."""
    places = asyncio.Semaphore(_TOGETHER)

    async def one(at: int) -> list[Operation]:
        async with places:
            return await Recorder(runtime, f"k{seed}-{at}", seed + at).record()

    return await asyncio.gather(*(one(at) for at in range(number)))
