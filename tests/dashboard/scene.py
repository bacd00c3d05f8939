"""The data in the documentation's screenshots: a shop on a busy day."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from answering import Answer, Answering
from dashboard.seeds import seed_runs
from dashboard.stage import Api
from scenarios.embedded_runtime import AtomicServer

CLIENT: Final = "shop"
# Another one, whose keys of flow control have steps in line.
MAILS: Final = "mails"
_DAY_MS: Final = 24 * 3600 * 1000
# How long each step takes, and how often it is refused before it succeeds.
_STEPS: Final = {
    "reserveStock": (0.18, 0),
    "chargeCard": (0.26, 2),
    "sendEmail": (0.12, 0),
    "printLabel": (0.42, 1),
    "writeLedger": (0.09, 99),
}
_RETRY: Final = {"count": 8, "backOff": 350, "jitter": "none"}


@dataclass(frozen=True)
class Scene:
    """The server, and the runs to show: one that is running and one that failed."""

    url: str
    live: str
    dead: str


def moment(at: datetime) -> str:
    """The moment as the API wants it."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    """A day of seeded runs, then some real ones, one of which is still running."""
    data_dir, now_ms = folder / "data", time.time_ns() // 1_000_000
    seed_runs(data_dir, CLIENT, 420, now_ms=now_ms - 20_000, span_ms=_DAY_MS, seed=7)
    server = AtomicServer(data_dir)
    server.start()
    shop, mails = _Shop(Api(server.url, CLIENT)), _Shop(Api(server.url, MAILS))
    try:
        dead = shop.order(
            "refund", "order-20417", path="/refund", retry={**_RETRY, "count": 3, "backOff": 20}
        )
        for number in range(4):
            shop.order("welcome", f"user-{number}", path="/sendEmail")
        shop.schedule()
        live = shop.order("checkout", "order-20418", path="/checkout", wait=False)
        mails.hold_back()
        time.sleep(4)
        yield Scene(server.url, live["runId"], dead["runId"])
    finally:
        shop.close()
        mails.close()
        server.stop()


class _Shop:
    def __init__(self, atomic: Api) -> None:
        self._atomic = atomic
        self._calls: dict[tuple[str, str], int] = {}
        self._server = Answering(self.answer)
        self._url = self._server.url

    def order(self, workflow: str, key: str, *, path: str, wait: bool = True, **more: Any) -> Any:
        payload = {"order": key, "customer": "Ada Lovelace", "items": [{"sku": "TEA-250", "count": 2}]}
        return self._atomic.start(
            self._url + path, key, workflow=workflow, wait=wait, payload=payload, **more
        )

    def schedule(self) -> None:
        """Schedules as a shop has them: one that fails, one that is paused, and a few runs of some days."""
        zone = {"timeZone": "Europe/Berlin"}
        self._put("digest", {"cron": "0 8 * * MON-FRI", **zone, "pauseAfterFailures": 3})
        self._put("invoices", {"cron": "0 6 L * *", **zone, "spread": 600_000})
        self._put("stock-feed", {"every": 900_000, "overlap": "queue"})
        self._put("price-sync", {"every": 1000, "limit": 3}, path="/refund")
        note = "The audit lasts until Friday. Ask Ada before you resume it."
        self._put("newsletter", {"cron": "30 9 * * TUE", **zone, "paused": True, "note": note})
        now = datetime.now(UTC)
        span = {"from": moment(now - timedelta(days=7)), "to": moment(now)}
        self._atomic.post("/schedules/digest/backfill", span)

    def _put(self, name: str, times: dict[str, Any], *, path: str = "/sendEmail") -> None:
        retry = {"count": 0} if path == "/refund" else {}
        start = {"payload": {"of": name}, "tags": {"team": "shop"}, "retry": retry}
        self._atomic.put_schedule(name, self._url + path, workflow=name, start=start, **times)

    def hold_back(self) -> None:
        """Keys of flow control: one with a line, one that is paused, one with a rate."""
        self._atomic.put("/flow/carrier-api", paused=True, note="The carrier asked us to wait until noon")
        keys = (
            ("smtp", {"concurrency": 2}, 7),
            ("bank", {"rate": {"limit": 10, "per": 1000}}, 2),
            ("carrier-api", {"concurrency": 5}, 3),
        )
        for each in range(12):
            path = "/sendEmail" if each % 4 else "/refund"
            self.order("notify", f"ended-{each}", path=path, wait=False, retry={"count": 0})
        for key, limits, number in keys:
            for each in range(number):
                flow = [{"key": key, "fair": f"customer-{each % 3}", **limits}]
                self.order("notify", f"{key}-{each}", path="/slow", wait=False, flow=flow)

    def answer(self, path: str, call: Any) -> Answer:
        """The response of an endpoint of the shop."""
        name = path.strip("/")
        if name == "refund":
            return 502, {"error": "the bank does not answer"}
        if name == "slow":
            time.sleep(8)
            return 200, {"done": name}
        if name == "checkout":
            return self._checkout(call)
        seconds, refusals = _STEPS[name]
        time.sleep(seconds)
        count = self._calls[name, call["runId"]] = self._calls.get((name, call["runId"]), 0) + 1
        if count <= refusals:
            return 503, {"error": f"{name} is overloaded"}
        return 200, {"done": name, "reference": f"{name[:3].upper()}-{call['runId'][-6:]}"}

    def close(self) -> None:
        self._server.close()

    def _checkout(self, call: Any) -> Answer:
        def step(name: str) -> Any:
            return self._atomic.start(
                f"{self._url}/{name}",
                call["idempotencyKey"],
                workflow=call["workflowName"],
                payload=call["payload"],
                retry=_RETRY,
            )

        step("reserveStock")
        step("chargeCard")
        with ThreadPoolExecutor() as pool:
            done = list(pool.map(step, ("sendEmail", "printLabel", "writeLedger")))
        ended = all(each.get("status") == "succeeded" for each in done)
        return (200, {"ordered": True}) if ended else (500, {"error": "not yet"})
