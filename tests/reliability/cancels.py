"""Cancels on a real server: interrupted by a kill or a SIGTERM, and concurrent with posts of the run.

`python -m reliability.cancels CANCELS POSTS [SEED]` runs a campaign.
"""

import asyncio
import itertools
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import apsw

from atomic.application.engine import FRESH_MS
from atomic.protocol import keys
from atomic.protocol.wire import from_rfc3339
from atomic.testing import EndpointCall, EndpointReply
from scenarios.embedded_runtime import AtomicServer, runtime_on
from scenarios.runtime import Runtime

# The number of runs that are cancelled at the same time, and the steps of each.
RUNS_AT_ONCE: Final = 10
STEPS: Final = 24
_AGAIN: Final = {"count": 1000, "backOff": 50, "strategy": "fixed", "jitter": "none"}
_HOUR_MS: Final = 3_600_000
_CANCELLED: Final = "SELECT count(*) FROM steps WHERE is_root = 1 AND status = 'cancelled'"
_CUT_OFF: Final = """
SELECT count(*) FROM steps AS root WHERE is_root = 1 AND status = 'cancelled' AND EXISTS (
    SELECT 1 FROM steps WHERE id > substr(root.id, 1, instr(root.id, '-'))
    AND id < substr(root.id, 1, instr(root.id, '-') - 1) || '.' AND finished_at_ms IS NULL
)
"""
# How long a call may take to reach its endpoint, and a restarted server to end the remaining steps.
_UNDER_WAY_S: Final = 0.25
_ENDED_WITHIN_S: Final = 20.0


@dataclass(slots=True)
class Calls:
    """The times at which the steps of each run were called and at which its cancel was answered."""

    answered_s: dict[str, float] = field(default_factory=dict)
    late: list[str] = field(default_factory=list)

    def answered(self, run_id: str) -> None:
        """A cancel or a read has said that the run is cancelled."""
        self.answered_s.setdefault(run_id, asyncio.get_running_loop().time())

    async def fail(self, call: EndpointCall) -> EndpointReply:
        """An endpoint that never succeeds."""
        run_id = call.json["runId"]
        late_s = asyncio.get_running_loop().time() - self.answered_s.get(run_id, float("inf"))
        if late_s > _UNDER_WAY_S:
            self.late.append(f"{call.json['stepId']} was called {late_s:.3f} s after its cancel")
        return EndpointReply(status=500)


async def _wait(_: EndpointCall) -> EndpointReply:
    await asyncio.sleep(120)
    return EndpointReply()


async def cut_off(directory: Path, *, cancels: int, seed: int) -> tuple[int, list[str]]:
    """Stop the server until that many cancels were interrupted; return how many were, and the problems."""
    chance, server, calls = random.Random(seed), AtomicServer(directory / "data"), Calls()
    server.start()
    cut, problems, serial = 0, list[str](), itertools.count()
    async with runtime_on(server) as runtime:
        urls = runtime.endpoint("/hang", _wait), runtime.endpoint("/fail", calls.fail)
        while cut < cancels:
            names = [f"k{next(serial)}" for _ in range(RUNS_AT_ONCE)]
            run_ids = await asyncio.gather(*(_run_of_many(runtime, urls, name) for name in names))
            cancelling = [asyncio.create_task(_cancel(runtime, run_id, calls)) for run_id in run_ids]
            end = server.kill if chance.random() < 0.8 else server.stop
            cut += await asyncio.to_thread(_end_in_the_middle, server, end, chance.random() * 0.03)
            await asyncio.gather(*cancelling, return_exceptions=True)
            await asyncio.to_thread(server.start)
            problems += await _what_goes_on(runtime, run_ids, calls)
    server.stop()
    return cut, [*problems, *calls.late]


def _end_in_the_middle(server: AtomicServer, end: Callable[[], object], after_s: float) -> int:
    """Stop the server just after the first root is cancelled; return how many cancels that interrupted."""
    rows = apsw.Connection(str(server.data_dir / "atomic.db"), flags=apsw.SQLITE_OPEN_READONLY)
    before = rows.execute(_CANCELLED).get
    while rows.execute(_CANCELLED).get == before:
        time.sleep(0.0005)
    time.sleep(after_s)
    end()
    cut: int = rows.execute(_CUT_OFF).get
    rows.close()
    return cut


async def _run_of_many(runtime: Runtime, urls: Sequence[str], key: str) -> str:
    """A run whose steps wait in every possible way."""
    wait_url, fail_url = urls
    common = {"workflowName": "w", "idempotencyKey": key}
    root = {**common, "stepInvokeUrl": wait_url, "attemptTimeout": 120_000}
    root_id = (await runtime.start(root, Prefer="respond-async")).json["id"]
    ways: Sequence[dict[str, Any]] = (
        {"stepInvokeUrl": fail_url, "retry": _AGAIN},
        {"stepInvokeUrl": fail_url, "retry": {**_AGAIN, "backOff": _HOUR_MS, "maxBackOff": _HOUR_MS}},
        {"kind": "timer", "delay": _HOUR_MS},
        {"kind": "event"},
    )
    posts = (
        runtime.start(
            {**common, "parent": root_id, "stepName": str(number), **ways[number % len(ways)]},
            Prefer="respond-async",
        )
        for number in range(STEPS)
    )
    await asyncio.gather(*posts)
    return keys.run_of(root_id)


async def _cancel(runtime: Runtime, run_id: str, calls: Calls) -> None:
    reply = await runtime.post(f"/runs/{run_id}/cancel")
    if reply.json["status"] == "cancelled":
        calls.answered(run_id)


async def _what_goes_on(runtime: Runtime, run_ids: Sequence[str], calls: Calls) -> list[str]:
    """Without a second cancel, nothing of a run that is shown as cancelled may go on."""
    for run_id in run_ids:
        if (await runtime.get(f"/runs/{run_id}")).json["root"]["status"] == "cancelled":
            calls.answered(run_id)
        else:
            await _cancel(runtime, run_id, calls)
    deadline_s = asyncio.get_running_loop().time() + _ENDED_WITHIN_S
    while live := (await runtime.get("/stats")).json["live"]:
        if asyncio.get_running_loop().time() > deadline_s:
            return [f"still live after {_ENDED_WITHIN_S} s: {live}"]
        await asyncio.sleep(0.1)
    return []


async def beside_posts(directory: Path, *, posts: int, seed: int) -> list[str]:
    """Cancel runs while a step of theirs is posted, when the server's cached state of them is 5 s old."""
    chance, server, calls = random.Random(seed), AtomicServer(directory / "data"), Calls()
    server.start()
    problems: list[str] = []
    async with runtime_on(server) as runtime:
        urls = runtime.endpoint("/hang", _wait), runtime.endpoint("/fail", calls.fail)

        async def race(number: int) -> None:
            # The posts are spread over a while.
            await asyncio.sleep(number % 50 * 0.1)
            common = {"workflowName": "w", "idempotencyKey": f"k{number}"}
            root = {**common, "stepInvokeUrl": urls[0], "attemptTimeout": 120_000}
            started = (await runtime.start(root, Prefer="respond-async")).json
            run_id, step = started["runId"], {**common, "stepInvokeUrl": urls[1], "retry": _AGAIN}
            # The step's row is written some milliseconds later.
            forgotten_s = (from_rfc3339(started["createdAt"]) + FRESH_MS) / 1000

            async def at(first_s: float, last_s: float, act: Awaitable[object]) -> None:
                moment_s = forgotten_s + first_s + (last_s - first_s) * chance.random()
                await asyncio.sleep(moment_s - time.time())
                await act

            post = runtime.start({**step, "parent": started["id"], "timeout": 100}, Prefer="respond-async")
            await asyncio.gather(
                at(-0.002, 0.012, post), at(-0.006, 0.006, _cancel(runtime, run_id, calls))
            )
            await asyncio.sleep(1)
            run = (await runtime.get(f"/runs/{run_id}")).json
            problems.extend(f"{s['id']} is {s['status']}" for s in run["steps"] if s["finishedAt"] is None)

        await asyncio.gather(*map(race, range(posts)))
    server.stop()
    return [*problems, *calls.late]


def main(cancels: int, posts: int, seed: int) -> int:
    """Run both campaigns and print the results; return the exit code."""
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        cut, problems = asyncio.run(cut_off(Path(directory), cancels=cancels, seed=seed))
    print(
        f"{cut} cancels that were cut off: {len(problems)} problems", *problems[:50], sep="\n", flush=True
    )
    with tempfile.TemporaryDirectory() as directory:
        late = asyncio.run(beside_posts(Path(directory), posts=posts, seed=seed))
    print(f"{posts} posts beside cancels: {len(late)} problems", *late[:50], sep="\n", flush=True)
    return int(bool(problems or late))


if __name__ == "__main__":
    chosen = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(2**32)
    raise SystemExit(main(int(sys.argv[1]), int(sys.argv[2]), chosen))
