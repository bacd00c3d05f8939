"""A server of its own process, in virtual time, that a test leads over HTTP."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from atomic.entrypoints.embedded.child import served

# Longer than the server's own limit for moving the time.
_ANSWER_WITHIN_S: Final = 120.0
# The server is on this machine, so no proxy is asked.
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ServerInTime:
    """`atomic serve --dev --virtual-time`; the methods are its routes `/_dev/*`. `url` is its address."""

    def __init__(self, url: str) -> None:
        self.url = url

    def time(self) -> dict[str, Any]:
        """What time it is: `now`, `nextDue`, `inFlight`, `auto`; moments are RFC 3339 texts."""
        return self._call("GET", "time")

    def advance(
        self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> dict[str, Any]:
        """Let this much time pass; what falls due in it has happened when this returns.

        Returns the time as `time` does. Raises RuntimeError with the server's words.
        """
        past = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        return self._call("POST", "time/advance", {"by": past // timedelta(milliseconds=1)})

    def until(self, run_id: str, *status: str, within: timedelta | None = None) -> dict[str, Any]:
        """Let time pass until a run has one of these statuses (default: any end), `within` at most.

        Returns the document of the run. Raises RuntimeError with the server's words.
        """
        wanted: dict[str, Any] = {"runId": run_id}
        if status:
            wanted["status"] = status
        if within is not None:
            wanted["max"] = within // timedelta(milliseconds=1)
        return self._call("POST", "time/until", wanted)

    def reset(self) -> None:
        """Forget all runs, and begin again at the first moment, without faults."""
        self._call("POST", "reset")

    def crash(self) -> None:
        """End the engine as `kill -9` would, and start it on the same store."""
        self._call("POST", "crash")

    def faults(self, profile: str, seed: int | None = None) -> dict[str, Any]:
        """Misbehave from now on: "calm", "flaky" or "hostile". Returns the probability of each fault."""
        return self._call("PUT", "faults", {"profile": profile} | ({} if seed is None else {"seed": seed}))

    def _call(self, method: str, path: str, document: Mapping[str, Any] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - an address of this machine
            f"{self.url}/_dev/{path}",
            method=method,
            data=None if document is None else json.dumps(document).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with _OPENER.open(request, timeout=_ANSWER_WITHIN_S) as answer:
                body = answer.read()
        except urllib.error.HTTPError as refused:
            raise RuntimeError(f"{method} /_dev/{path}: {refused.read().decode()}") from None
        told: dict[str, Any] = json.loads(body) if body else {}
        return told


@contextmanager
def server_in_time(*options: str) -> Iterator[ServerInTime]:
    """Run a server on a free port, with an empty data directory, and end it.

    `options` are further ones of `atomic serve`. Raises RuntimeError with its log, if it does not start.
    """
    with (
        TemporaryDirectory() as folder,
        served(Path(folder), ("--virtual-time", "--port", "0", *options)) as server,
    ):
        yield ServerInTime(server.url)
