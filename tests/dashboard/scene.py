"""The data in the documentation's screenshots: a shop on a busy day."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from answering import Answer, Answering
from dashboard.seeds import seed_runs, seed_wide_run
from dashboard.stage import Api
from scenarios.embedded_runtime import AtomicServer

CLIENT: Final = "shop"
# Another one, whose keys of flow control have steps in line.
MAILS: Final = "mails"
# And one with a run of many steps.
FEED: Final = "feed"
_WIDE_STEPS: Final = 400
_DAY_MS: Final = 24 * 3600 * 1000
# How long each step takes, and how often it is refused before it succeeds.
_STEPS: Final = {
    "reserveStock": (0.18, 0),
    "chargeCard": (0.26, 2),
    "sendEmail": (0.12, 0),
    "printLabel": (0.42, 1),
    "writeLedger": (0.09, 99),
}
# As long as it takes to picture the page of a key while steps of it are called.
_SLOW_S: Final = 20
_LIVE: Final = {"pending", "running", "retrying", "waiting"}
_RETRY: Final = {"count": 8, "backOff": 350, "jitter": "none"}


@dataclass(frozen=True)
class Scene:
    """The server, and the runs to show: one that is running, one that failed, one of many steps."""

    url: str
    live: str
    dead: str
    wide: str


def moment(at: datetime) -> str:
    """The moment as the API wants it."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    """A day of seeded runs, then some real ones, one of which is still running."""
    data_dir, now_ms = folder / "data", time.time_ns() // 1_000_000
    seed_runs(data_dir, CLIENT, 420, now_ms=now_ms - 20_000, span_ms=_DAY_MS, seed=7)
    wide = seed_wide_run(data_dir, FEED, _WIDE_STEPS, now_ms=now_ms - 60_000)
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
        shop.ask_people()
        live = shop.check_out("order-20418")
        mails.hold_back()
        time.sleep(4)
        yield Scene(server.url, live["runId"], dead["runId"], wide)
    finally:
        shop.close()
        mails.close()
        server.stop()


def _payload(order: str) -> dict[str, Any]:
    return {"order": order, "customer": "Ada Lovelace", "items": [{"sku": "TEA-250", "count": 2}]}


def _suspending(steps_of: Callable[[Any], list[Any]]) -> Answering:
    """The endpoint of a handler that suspends itself, and the header that names what it waits for.

    Each workflow has its own, because calls come in threads.
    """
    waits: dict[str, str] = {}

    def answer(_path: str, call: Any) -> Answer:
        waits["Atomic-Waiting-For"] = ", ".join(step["id"] for step in steps_of(call))
        return 202, {}

    return Answering(answer, waits)


class _Shop:
    def __init__(self, atomic: Api) -> None:
        self._atomic = atomic
        self._calls: dict[tuple[str, str], int] = {}
        self._server = Answering(self.answer)
        self._url = self._server.url
        self._asking = _suspending(self._ask)
        self._checkouts = _suspending(self._checkout)

    def order(self, workflow: str, key: str, *, path: str, wait: bool = True, **more: Any) -> Any:
        return self._atomic.start(
            self._url + path, key, workflow=workflow, wait=wait, payload=_payload(key), **more
        )

    def ask_people(self) -> None:
        """A run that waits for two answers of people."""
        payload = {"order": "order-20391", "amount": 1280, "currency": "EUR", "reason": "arrived broken"}
        url = self._asking.url + "/largeRefund"
        self._atomic.start(url, "order-20391", workflow="largeRefund", wait=False, payload=payload)

    def check_out(self, key: str) -> Any:
        """A run that goes on as long as the pictures are taken."""
        url = self._checkouts.url + "/checkout"
        return self._atomic.start(url, key, workflow="checkout", wait=False, payload=_payload(key))

    def _ask(self, call: Any) -> list[Any]:
        return [
            self._event(call, "approval", deadline=7_200_000),
            self._event(call, "signature", payload={"page": 7}),
        ]

    def _event(self, call: Any, name: str, **more: Any) -> Any:
        return self._atomic.start(
            "",
            call["idempotencyKey"],
            workflow=call["workflowName"],
            parent=call["stepId"],
            wait=False,
            kind="event",
            stepName=name,
            **more,
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
            time.sleep(_SLOW_S)
            return 200, {"done": name}
        seconds, refusals = _STEPS[name]
        time.sleep(seconds)
        count = self._calls[name, call["runId"]] = self._calls.get((name, call["runId"]), 0) + 1
        if count <= refusals:
            return 503, {"error": f"{name} is overloaded"}
        return 200, {"done": name, "reference": f"{name[:3].upper()}-{call['runId'][-6:]}"}

    def close(self) -> None:
        self._server.close()
        self._asking.close()
        self._checkouts.close()

    def _checkout(self, call: Any) -> list[Any]:
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
        # The ledger is never written. Once its retries are used up, a person is asked to.
        live = [each for each in done if each.get("stepStatus") in _LIVE]
        return live or [self._event(call, "bookByHand")]
