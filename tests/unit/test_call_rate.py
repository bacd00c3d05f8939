"""A paused server keeps everything and calls nothing; after that, calls begin slowly."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from atomic.adapters.prometheus.telemetry import PrometheusTelemetry
from atomic.application.call_rate import DOUBLES_EVERY_MS, ENDS_PER_S, CallRate
from atomic.entrypoints.embedded.paused import PAUSED_FILE, kept_call_rate
from atomic.entrypoints.embedded.settings import ServerSettings
from atomic.testing import EndpointCall, EndpointReply, LocalAtomic, run
from contract.builders import a_spec
from scenarios.runtime import answer_ok
from unit.test_prometheus import shown

RUNS, FIRST = 2_000, 10
SPEC = a_spec()


class Clock:
    def __init__(self) -> None:
        self.ms = 1_000_000_000

    def now_ms(self) -> int:
        return self.ms


def test_what_a_paused_server_keeps_is_called_slowly_at_first() -> None:
    async def main() -> None:
        loop, calls_s, over = asyncio.get_running_loop(), list[float](), list[bool]()

        async def work(call: EndpointCall) -> EndpointReply:
            calls_s.append(loop.time())
            return EndpointReply(json=call.payload)

        async with LocalAtomic() as atomic:
            now_ms, admission = atomic.engine.clock.now_ms, atomic.engine.admission
            admission.call_limit = CallRate(now_ms, FIRST, is_paused=True)
            url = atomic.endpoint("/work", work)

            async def start(number: int, **members: Any) -> Any:
                document = {"workflowName": "w", "idempotencyKey": f"k{number}", "timeout": 0, **members}
                return (await atomic.post("/me", {"stepInvokeUrl": url, "payload": 1, **document})).json

            async def live() -> int:
                stats = (await atomic.get("/me/stats")).json
                return sum(stats["live"].values())

            for number in range(RUNS):
                assert (await start(number))["stepStatus"] == "pending"
            late = (await start(RUNS, deadline=30_000))["id"]
            await asyncio.sleep(600)
            assert (calls_s, await live()) == ([], RUNS)
            # Time limits go on.
            assert (await atomic.get(f"/me/steps/{late}")).json["errorKind"] == "deadline_over"
            kept = await atomic.engine.store.get((await start(0))["id"])
            # Each of them looks seldom.
            assert kept is not None
            assert kept.version < 25
            for path in ("/health", "/me/stats"):
                shows = await atomic.get(path)
                assert (shows.status, shows.json["callsPerSecond"]) == (200, 0)

            # As the server that is started without --paused.
            admission.call_limit = CallRate(now_ms, FIRST, is_paused=False, tell=lambda: over.append(True))
            went_on_s = loop.time()
            assert (await atomic.get("/health")).json["callsPerSecond"] == FIRST
            while await live():  # noqa: ASYNC110 - virtual time
                await asyncio.sleep(1)
            assert len(calls_s) == RUNS
            _never_more_than_the_rate([call_s - went_on_s for call_s in calls_s])
            assert calls_s[-1] - went_on_s < 90
            await asyncio.sleep(60)
            await start(RUNS + 1)
            assert (await atomic.get("/health")).json["callsPerSecond"] is None
            assert over == [True]

    run(main())


def test_an_operator_may_probe_an_endpoint_meanwhile() -> None:
    async def main() -> None:
        async with LocalAtomic() as atomic:
            rate = CallRate(atomic.engine.clock.now_ms, FIRST, is_paused=True)
            atomic.engine.admission.call_limit = rate
            url = atomic.endpoint("/up", answer_ok)
            probed = await atomic.post(
                "/me/probe", {"stepInvokeUrl": url, "workflowName": "w", "idempotencyKey": "k"}
            )
            assert (probed.status, probed.json["responseStatus"]) == (200, 200)

    run(main())


def _never_more_than_the_rate(calls_s: list[float]) -> None:
    for second in range(int(calls_s[-1]) + 1):
        number = sum(1 for call_s in calls_s if second <= call_s < second + 1)
        # What was not used in the second before may be used in this one.
        most = 2 * min(ENDS_PER_S, FIRST * 2 ** (1000 * (second + 1) / DOUBLES_EVERY_MS)) + 1
        assert number <= most, f"{number} calls in second {second}"


def test_the_rate_doubles_until_there_is_no_limit() -> None:
    clock = Clock()
    rate = CallRate(clock.now_ms, FIRST, is_paused=False)
    seen = []
    for _ in range(7):
        seen.append(rate.per_s())
        clock.ms += DOUBLES_EVERY_MS
    assert seen == [10, 20, 40, 80, 160, 320, None]
    assert rate.take(SPEC)
    assert rate.defer_until_ms(SPEC, clock.ms) is None


def test_a_clock_that_is_set_back_does_not_stop_calls() -> None:
    clock = Clock()
    rate = CallRate(clock.now_ms, FIRST, is_paused=False)
    clock.ms += 2 * DOUBLES_EVERY_MS
    assert (rate.take(SPEC), rate.per_s()) == (True, 4 * FIRST)
    clock.ms -= 3_600_000
    assert (rate.take(SPEC), rate.per_s()) == (True, FIRST)
    assert rate.defer_until_ms(SPEC, clock.ms) == clock.ms + 250


def test_the_next_server_begins_slowly_until_there_is_no_limit(tmp_path: Path) -> None:
    clock: Any = Clock()

    def server(**settings: Any) -> CallRate | None:
        return kept_call_rate(ServerSettings(data_dir=tmp_path, **settings), clock)

    assert server() is None
    paused = server(paused=True)
    assert paused is not None
    assert (paused.per_s(), paused.take(SPEC)) == (0, False)
    # Each start goes on slowly, until one was up long enough.
    for first in (5, 7):
        again = server(calls_per_s_first=first)
        assert again is not None
        assert again.per_s() == first
    clock.ms += 10 * DOUBLES_EVERY_MS
    assert again.per_s() is None
    assert not (tmp_path / PAUSED_FILE).exists()
    assert server() is None


@pytest.mark.parametrize(("is_paused", "per_s"), [(True, 0), (False, FIRST)])
def test_the_limit_is_among_the_metrics(is_paused: bool, per_s: int) -> None:
    rate = CallRate(Clock().now_ms, FIRST, is_paused=is_paused)
    assert shown(PrometheusTelemetry(None, rate))["atomic_calls_per_second_max"] == per_s
    assert shown(PrometheusTelemetry())["atomic_calls_per_second_max"] == float("inf")
