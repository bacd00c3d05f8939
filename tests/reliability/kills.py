"""kill -9 of a server under load. `python -m reliability.kills KILLS RUNS [SEED]` runs a campaign."""

import asyncio
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from reliability.observations import Application, Observations, rows_of
from scenarios.embedded_runtime import AtomicServer, runtime_on

_DRAIN_S = 120


@dataclass(frozen=True, slots=True)
class Campaign:
    """The result of a campaign."""

    problems: list[str]
    observed: Observations
    rows: int
    restarts_s: list[float]
    seconds: float

    def __str__(self) -> str:
        calls = sum(map(len, self.observed.calls.values()))
        return (
            f"{len(self.restarts_s)} kills in {self.seconds:.0f} s, {len(self.observed.acknowledged)} runs "
            f"acknowledged, {self.rows} rows, {calls} calls of endpoints, {len(self.problems)} problems; "
            f"restart to healthy: median {statistics.median(self.restarts_s):.2f} s, "
            f"max {max(self.restarts_s):.2f} s"
        )


def run(directory: Path, *, kills: int, runs: int, seed: int) -> Campaign:
    """Kill and restart the server while runs are posted, then compare answers, calls and rows."""
    began = time.monotonic()
    server = AtomicServer(directory / "data")
    server.start()
    client, observed, restarts_s = asyncio.run(_load_and_kill(server, kills, runs, seed))
    assert server.stop() == 0
    rows = asyncio.run(rows_of(server.data_dir, client))
    return Campaign(observed.problems(rows), observed, len(rows), restarts_s, time.monotonic() - began)


async def _load_and_kill(
    server: AtomicServer, kills: int, runs: int, seed: int
) -> tuple[str, Observations, list[float]]:
    chance = random.Random(seed)
    async with runtime_on(server) as runtime:
        application = Application(runtime, seed)
        keys = [f"k{number}" for number in range(runs)]
        callers, restarts_s = [], []
        for number in range(kills):
            pause_s = 0.05 + chance.random() * 0.45
            for key in keys[number * runs // kills : (number + 1) * runs // kills]:
                # Some runs are posted while the server is down.
                caller = application.call(key, chance.random() * (pause_s + 0.2))
                callers.append(asyncio.create_task(caller))
            await asyncio.sleep(pause_s)
            server.kill()
            restarts_s.append(await asyncio.to_thread(server.start))
        await asyncio.wait_for(asyncio.gather(*callers), _DRAIN_S)
        for key in keys:
            await application.ask_again(key)
        return runtime.client, application.observed, restarts_s


def main(kills: int, runs: int, seed: int) -> int:
    """Run the campaign and print the result; return the exit code."""
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        campaign = run(Path(directory), kills=kills, runs=runs, seed=seed)
    print(campaign)
    print(*campaign.problems[:50], sep="\n")
    return int(bool(campaign.problems) or len(campaign.observed.acknowledged) != runs)


if __name__ == "__main__":
    chosen = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(2**32)
    raise SystemExit(main(int(sys.argv[1]), int(sys.argv[2]), chosen))
