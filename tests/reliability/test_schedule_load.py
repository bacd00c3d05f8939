"""Many schedules at one time, and one schedule many times, on a server on SQLite in virtual time.

`make test` plays a part. `SCHEDULES=1000 SCHEDULE_SECONDS=3600` plays all, as `docs/reliability.md` says.
"""

import json
import os
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest

from answering import Answering
from atomic.protocol.wire import from_rfc3339
from scenarios.embedded_runtime import AtomicServer

SCHEDULES: Final = int(os.environ.get("SCHEDULES", "100"))
SECONDS: Final = int(os.environ.get("SCHEDULE_SECONDS", "300"))
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Digests:
    """An endpoint that counts its calls, by the key and the time of each."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.times: list[int] = []
        self._server = Answering(self._answer)
        self.url = f"{self._server.url}/digest"
        self.close = self._server.close

    def _answer(self, _path: str, call: Any) -> tuple[int, Any]:
        self.calls[call["idempotencyKey"]] += 1
        self.times.append(from_rfc3339(call["scheduledAt"]))
        return 200, None


class Server:
    """A server in virtual time, and what it has cost."""

    def __init__(self, data_dir: Path) -> None:
        self._server = AtomicServer(data_dir, "--virtual-time=2026-01-01T00:00:00Z", log_level="warning")
        self._server.start()

    def call(self, method: str, path: str, document: Any = None) -> Any:
        """Send a request, and return the document of its answer."""
        request = urllib.request.Request(
            f"{self._server.url}{path}",
            method=method,
            data=None if document is None else json.dumps(document).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.loads(answer.read() or b"null")

    def cpu_s(self) -> float:
        """The processor time of the server until now."""
        fields = Path(f"/proc/{self._server.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def advance(self, seconds: int) -> str:
        """Let so much time pass; what it cost."""
        began_s, cpu_s = time.monotonic(), self.cpu_s()
        for at_s in count(0, 60):
            if at_s >= seconds:
                break
            self.call("POST", "/_dev/time/advance", {"by": 1000 * min(60, seconds - at_s)})
        return f"{time.monotonic() - began_s:.1f} s, {self.cpu_s() - cpu_s:.1f} CPU s of the server"

    def stop(self) -> None:
        """End it."""
        assert self._server.stop() == 0


@pytest.fixture
def digests() -> Iterator[Digests]:
    endpoint = Digests()
    yield endpoint
    endpoint.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "data")
    yield server
    server.stop()


def _start(digests: Digests) -> dict[str, Any]:
    return {"workflowName": "digest", "stepInvokeUrl": digests.url}


def test_many_schedules_are_due_in_the_same_minute(server: Server, digests: Digests) -> None:
    for number in range(SCHEDULES):
        document = {"cron": "1 0 * * *", "start": _start(digests)}
        server.call("PUT", f"/me/schedules/digest-{number}", document)
    assert not digests.calls

    took = server.advance(120)

    print(f"{SCHEDULES} schedules in one minute: {took}")
    assert set(digests.calls.values()) == {1}
    assert digests.calls.keys() == {f"digest-{number}@2026-01-01T00:01:00Z" for number in range(SCHEDULES)}
    rows = _all(server)
    assert {(row["started"], row["missed"], row["next"][0]) for row in rows} == {
        (1, 0, "2026-01-02T00:01:00.000Z")
    }
    assert len(rows) == SCHEDULES


def test_a_schedule_each_second_misses_none_and_repeats_none(server: Server, digests: Digests) -> None:
    put = server.call("PUT", "/me/schedules/each", {"every": 1000, "start": _start(digests)})
    first_ms = from_rfc3339(put["next"][0])

    took = server.advance(SECONDS)

    print(f"{SECONDS} runs of a schedule each second: {took}")
    assert set(digests.calls.values()) == {1}
    assert sorted(digests.times) == [first_ms + 1000 * n for n in range(SECONDS)]
    row = server.call("GET", "/me/schedules/each")
    assert (row["started"], row["skipped"], row["missed"]) == (SECONDS, 0, 0)


def _all(server: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    target = "/me/schedules?limit=100"
    while target:
        page = server.call("GET", target)
        found += page["schedules"]
        target = page["next"]
    return found
