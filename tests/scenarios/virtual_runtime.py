"""The embedded runtime in virtual time: a real `atomic serve` process whose clock the scenario moves.

Endpoints and callers live in real time. What is due on the server comes when the scenario has nothing to do
but to wait for it. While the scenario sleeps, the server's time passes as fast as its own.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from atomic.protocol.wire import from_rfc3339, to_rfc3339
from atomic.testing import ApiReply
from scenarios.embedded_runtime import AtomicServer, runtime_on
from scenarios.runtime import Runtime, Send

START: Final = "2026-01-01T00:00:00Z"
_TICK_S: Final = 0.005
# A pause of the scenario that is longer than what lies between two requests.
_NAP_S: Final = 0.008
# A caller that waits for less than this wants to see the time of its wait end, which is real.
_BRIEF_MS: Final = 1_000


class _Pump:
    """Moves the server's time for one scenario."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._now_ms = from_rfc3339(START)
        self._open = self._begun = self._brief = self._polls = 0
        self._has_asked_at_rest = False
        self._idle_s = self._followed_s = self._loop.time()

    def now_s(self) -> float:
        """The server's time."""
        return self._now_ms / 1000

    def around(self, send: Send) -> Send:
        """Requests, of which it then knows."""
        self.send = send

        async def counted(method: str, target: str, **more: Any) -> ApiReply:
            is_brief = _is_brief(more.get("body", b""), more.get("headers") or {})
            if not self._open and self._loop.time() - self._idle_s > _NAP_S:
                await self._follow()
            self._open += 1
            self._brief += is_brief
            self._begun += 1
            self._has_asked_at_rest = self._has_asked_at_rest and method == "GET"
            try:
                return await send(method, target, **more)
            finally:
                self._open -= 1
                self._brief -= is_brief
                self._idle_s = self._loop.time()

        return counted

    async def pause(self) -> None:
        """Wait before asking again. If it did not help to ask at rest, the next due thing happens."""
        self._polls += 1
        try:
            await self._tick()
            time = await self._time()
            if time["inFlight"]:
                self._has_asked_at_rest = False
            elif not self._has_asked_at_rest:
                self._has_asked_at_rest = True
            else:
                self._has_asked_at_rest = False
                await self._let_happen(time)
        finally:
            self._polls -= 1

    async def run(self) -> None:
        """Move the time while the scenario lasts."""
        while True:
            await self._tick()
            if self._polls or not (self._open or self._sleeps()):
                continue
            begun, time = self._begun, await self._time()
            if time["inFlight"] or self._polls or self._begun != begun:
                continue
            if self._brief or self._sleeps():
                await self._follow()
            elif 0 < self._open == time["waiting"]:
                await self._let_happen(time)

    async def _follow(self) -> None:
        """Let as much time pass as has passed here since the last request or the last time."""
        now_s = self._loop.time()
        passed_ms = round(1000 * (now_s - max(self._idle_s, self._followed_s)))
        self._followed_s = now_s
        if not (await self._time())["inFlight"]:
            await self._move(self._now_ms + passed_ms)

    def _sleeps(self) -> bool:
        """Whether the scenario or one of its endpoints sleeps."""
        timers = self._loop._scheduled  # type: ignore[attr-defined]
        return any(
            not timer.cancelled() and timer._callback.__name__ == "_set_result_unless_cancelled"
            for timer in timers
        )

    async def _tick(self) -> None:
        over = self._loop.create_future()
        timer = self._loop.call_later(_TICK_S, over.set_result, None)
        try:
            await over
        finally:
            timer.cancel()

    async def _let_happen(self, time: Mapping[str, Any]) -> None:
        if time["nextDue"] is not None:
            await self._move(from_rfc3339(time["nextDue"]))

    async def _time(self) -> dict[str, Any]:
        time: dict[str, Any] = (await self.send("GET", "/_dev/time")).json
        return time

    async def _move(self, to_ms: int) -> None:
        self._now_ms = max(self._now_ms, to_ms)
        target = {"to": to_rfc3339(self._now_ms)}
        moved = await self.send("POST", "/_dev/time/advance", body=json.dumps(target).encode())
        assert moved.status == 200, moved.body


def _is_brief(body: bytes, headers: Mapping[str, str]) -> bool:
    waits_ms = re.search(rb'"timeout": ?(\d+)', body)
    return (waits_ms is not None and int(waits_ms[1]) < _BRIEF_MS) or "wait=0" in headers.get("Prefer", "")


@asynccontextmanager
async def virtual_runtime_on(server: AtomicServer) -> AsyncIterator[Runtime]:
    """The runtime of a scenario on a server in virtual time, which nobody else uses meanwhile."""
    pump = _Pump()
    async with runtime_on(
        server, around=pump.around, pause=pump.pause, now_s=pump.now_s, is_virtual=True
    ) as runtime:
        # What other scenarios have left there would also fall due.
        assert (await pump.send("POST", "/_dev/reset")).status == 204
        moving = asyncio.create_task(pump.run())
        try:
            yield runtime
        finally:
            moving.cancel()
            await asyncio.gather(moving, return_exceptions=True)
