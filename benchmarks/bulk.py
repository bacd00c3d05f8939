"""A bulk after an outage: the failed runs of one cause are redriven; the server is killed in the middle.

    python benchmarks/bulk.py --failed 100000 --handled 2000

The rows are written through the store: runs that failed for one of three causes, and runs that succeeded
although a step of theirs failed. The endpoint answers again. It prints how long the bulk takes, and the
memory of the server. It fails if a run of another cause was touched, or one of this cause was left out or
redriven twice.
"""

import argparse
import asyncio
import os
import signal
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import orjson

import rows
from atomic.adapters.sqlite.store import SqliteStepStore
from atomic.domain.steps import Step
from atomic.protocol import keys
from atomic.protocol.enums import Status
from processes import atomic_server, free_ports, machine, python, rss_mib, running

CLIENT = "bench"
WANTED = rows.STATUSES[0]
_LOOK_S = 0.2
_WITHIN_S = 1_800


@dataclass(frozen=True, slots=True)
class Measured:
    """The end of it. `redriven`: runs of the wanted cause by generation and state; `others` likewise."""

    took_s: float
    rss_mib: float
    bulk: dict[str, Any]
    redriven: Counter[tuple[int, str]]
    others: Counter[tuple[int, str]]

    def check(self, failed: int, handled: int) -> None:
        """Raise AssertionError unless exactly the runs of one cause were redriven, each once."""
        of_cause = len(range(0, failed, len(rows.STATUSES)))
        assert self.redriven == {(2, "succeeded"): of_cause}, self.redriven
        expected = {(1, "failed"): failed - of_cause, (1, "succeeded"): handled}
        assert self.others == {each: number for each, number in expected.items() if number}, self.others
        assert (self.bulk["status"], self.bulk["runs"]) == ("succeeded", of_cause), self.bulk
        # What the page had redriven that the kill has interrupted is in the list no more, and not counted.
        assert of_cause - 100 <= self.bulk["done"] + self.bulk["skipped"] <= of_cause, self.bulk


def play(folder: Path, failed: int, handled: int) -> Measured:
    """Write the rows, redrive one cause, kill the server in the middle, and start it again."""
    ports = free_ports(2)
    app_url, base = f"http://127.0.0.1:{ports[1]}/step", f"http://127.0.0.1:{ports[0]}/{CLIENT}"
    rows.write(folder, chain(rows.failed(CLIENT, failed, app_url), with_handled(handled)))
    with running(python("bare.py", "app", ports[1], "http://127.0.0.1:9/"), ports[1]):
        with running(atomic_server(ports[0], folder), ports[0]) as server:
            causes = _ask(f"{base}/causes")["causes"]
            cause = next(each["id"] for each in causes if each["responseStatus"] == WANTED)
            began_s, most_mib = time.perf_counter(), 0.0
            wanted = {"do": "redrive", "filter": {"cause": cause}, "note": "the outage is over"}
            run_id = _ask(f"{base}/bulk", wanted)["runId"]
            found = _ask(f"{base}/bulk/{run_id}")
            while not found["runs"] or found["done"] < found["runs"] / 2:
                most_mib = max(most_mib, rss_mib(server))
                time.sleep(_LOOK_S / 10)
                found = _ask(f"{base}/bulk/{run_id}")
                assert time.perf_counter() - began_s < _WITHIN_S, found
            os.kill(server, signal.SIGKILL)
        with running(atomic_server(ports[0], folder), ports[0]) as server:
            while found["finishedAt"] is None:
                most_mib = max(most_mib, rss_mib(server))
                time.sleep(_LOOK_S)
                found = _ask(f"{base}/bulk/{run_id}")
                assert time.perf_counter() - began_s < _WITHIN_S, found
            took_s = time.perf_counter() - began_s
            while any(_ask(f"{base}/stats")["live"].values()):
                time.sleep(_LOOK_S)
                assert time.perf_counter() - began_s < _WITHIN_S
    redriven, others = asyncio.run(_ends(folder))
    return Measured(took_s, most_mib, found, redriven, others)


def with_handled(runs: int) -> Iterator[Step]:
    """Runs that have succeeded without a step that failed."""
    failures = rows.failed("handled", runs, "http://127.0.0.1:9/", (410,))
    for root, failed in zip(rows.settled(CLIENT, runs), failures, strict=True):
        yield root
        position = keys.identity(CLIENT, "stored", root.id, failed.spec.url, "", root.spec.idempotency_key)
        spec = replace(
            failed.spec, client_id=CLIENT, run_id=root.spec.run_id, parent=root.id, identity=position
        )
        yield replace(failed, cause=None, id=keys.step_id(root.spec.run_id, position), spec=spec)


async def _ends(folder: Path) -> tuple[Counter[tuple[int, str]], Counter[tuple[int, str]]]:
    """How the roots have ended: those of the wanted cause, and the others."""
    redriven, others = Counter[tuple[int, str]](), Counter[tuple[int, str]]()
    store = await SqliteStepStore.open(folder / "atomic.db", on_fatal=print)
    after = ""
    for status in Status:
        after = ""
        while ids := await store.with_status(status, after=after, limit=1_000):
            after = ids[-1]
            for root in [await store.get(step_id) for step_id in ids]:
                assert root is not None
                if root.is_root and root.spec.workflow_name == "stored":
                    is_wanted = root.attempt_log[0].status == WANTED
                    (redriven if is_wanted else others)[root.generation, root.status.value] += 1
    await store.close()
    return redriven, others


def _ask(url: str, document: Any = None) -> Any:
    body = None if document is None else orjson.dumps(document)
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=60) as answer:
        return orjson.loads(answer.read())


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--failed", type=int, default=100_000)
    arguments.add_argument("--handled", type=int, default=2_000)
    asked = arguments.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(prefix="atomic-bench-") as folder:
        found = play(Path(folder), asked.failed, asked.handled)
    found.check(asked.failed, asked.handled)
    bulk = found.bulk
    print(
        f"{bulk['runs']} of {asked.failed} failed runs redriven in {found.took_s:.0f} s, with a kill "
        f"in the middle ({bulk['done']} counted as done); {found.rss_mib:.0f} MiB"
    )


if __name__ == "__main__":
    main()
