"""kill -9 under load: nothing acknowledged is lost, no outcome changes, the server is back at once."""

import asyncio
import os
import random
from pathlib import Path
from typing import Any

import aiohttp

from atomic.testing import EndpointCall, EndpointReply
from scenarios.embedded_home import AtomicServer, home_on
from scenarios.home import Home

RUNS = 300
KILLS = 8


def document(url: str, key: str) -> dict[str, Any]:
    retry = {"count": 20, "backOff": 50, "strategy": "fixed"}
    return {"workflowName": "w", "stepInvokeUrl": url, "idempotencyKey": key, "retry": retry}


class Ledger:
    """What the callers were told: the outcome of each key, and the keys that were acknowledged."""

    def __init__(self, home: Home, seed: int) -> None:
        self.home = home
        self.outcomes: dict[str, Any] = {}
        self.acknowledged: set[str] = set()
        self.changed: list[str] = []
        self._random = random.Random(seed)
        self.step = home.endpoint("/step", self._step)
        self.flow = home.endpoint("/flow", self._flow)

    async def caller(self, key: str) -> None:
        """Post until the run has an outcome, half of the time without hanging."""
        while key not in self.outcomes:
            prefer = self._random.choice(["respond-async", "wait=2"])
            try:
                reply = await self.home.start(document(self.flow, key), Prefer=prefer)
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(0.05)
                continue
            if reply.status in {200, 202, 504}:
                self.acknowledged.add(key)
            if reply.status == 200:
                self.note(key, reply.json["response"])

    def note(self, key: str, outcome: Any) -> None:
        """Write down an outcome; it must be the one that was told before."""
        if self.outcomes.setdefault(key, outcome) != outcome:
            self.changed.append(key)

    async def _flow(self, call: EndpointCall) -> EndpointReply:
        reply = await self.home.start(document(self.step, call.json["idempotencyKey"]))
        if reply.status != 200:
            return EndpointReply(status=500)
        return EndpointReply(json={"step": reply.json["response"], "token": os.urandom(8).hex()})

    async def _step(self, call: EndpointCall) -> EndpointReply:
        await asyncio.sleep(self._random.random() * 0.05)
        return EndpointReply(json=os.urandom(8).hex())


def test_kill_9_loses_nothing(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    server = AtomicServer(tmp_path / "data")
    server.start()
    restarts = asyncio.run(load_and_kills(server, seed))
    print(f"restart to healthy, seconds: {[round(seconds, 2) for seconds in restarts]}")
    assert server.stop() == 0


async def load_and_kills(server: AtomicServer, seed: int) -> list[float]:
    async with home_on(server) as home:
        ledger = Ledger(home, seed)
        callers = asyncio.gather(*(spread(ledger, number) for number in range(RUNS)))
        restarts = []
        chance = random.Random(seed)
        for _ in range(KILLS):
            await asyncio.sleep(0.1 + chance.random() * 0.3)
            server.kill()
            restarts.append(await asyncio.to_thread(server.start))
        await asyncio.wait_for(callers, 60)
        assert ledger.acknowledged == set(ledger.outcomes)
        for key in ledger.outcomes:
            reply = await home.start(document(ledger.flow, key))
            assert reply.headers["idempotency-replayed"] == "true"
            ledger.note(key, reply.json["response"])
            assert reply.json["response"]["step"] == await outcome_of_step(home, ledger, key)
        assert ledger.changed == []
        return restarts


async def spread(ledger: Ledger, number: int) -> None:
    await asyncio.sleep(number * 0.01)
    await ledger.caller(f"k{number}")


async def outcome_of_step(home: Home, ledger: Ledger, key: str) -> Any:
    return (await home.start(document(ledger.step, key))).json["response"]


def test_a_step_in_the_middle_of_a_call_is_called_again_with_the_same_key(tmp_path: Path) -> None:
    server = AtomicServer(tmp_path / "data")
    server.start()

    async def main() -> None:
        async with home_on(server) as home:
            called = asyncio.Event()

            async def handler(call: EndpointCall) -> EndpointReply:
                called.set()
                if call.attempt == 1:
                    await asyncio.sleep(60)
                return EndpointReply(json={"attempt": call.attempt})

            url = home.endpoint("/once", handler)
            posted = await home.start(document(url, "k-1"), Prefer="respond-async")
            assert posted.status == 202
            await called.wait()
            server.kill()
            await asyncio.to_thread(server.start)
            step = await home.step_in(posted.json["id"], "succeeded")
            assert step["response"] == {"attempt": 2}
            assert step["retriesUsed"] == 0
            assert [attempt["outcome"] for attempt in step["attemptLog"]] == ["no_answer", "succeeded"]
            assert home.calls(url)[0].call.json["idempotencyKey"] == "k-1"

    asyncio.run(main())
    assert server.stop() == 0


def test_timers_survive_a_restart(tmp_path: Path) -> None:
    server = AtomicServer(tmp_path / "data")
    server.start()

    async def main() -> None:
        async with home_on(server) as home:

            async def ok(call: EndpointCall) -> EndpointReply:
                return EndpointReply(json="ok")

            delayed = {**document(home.endpoint("/ok", ok), "k-1"), "delay": 1500}
            posted = await home.start(delayed, Prefer="respond-async")
            server.kill()
            await asyncio.to_thread(server.start)
            assert home.seen == []
            metrics = (await home.request("GET", "/metrics")).body
            assert b"\natomic_live_steps 1.0\n" in metrics
            await home.step_in(posted.json["id"], "succeeded")
            assert len(home.seen) == 1

    asyncio.run(main())
    assert server.stop() == 0
