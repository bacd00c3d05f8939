"""A stack that is paused keeps everything; from a moment on its runs go on, few of them at first."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from atomic.application.calls_from import SLOWLY, CallsFrom
from atomic.testing import EndpointCall, EndpointReply, LocalAtomic, run
from contract.builders import a_spec

RUNS = 2_000
SLOWLY_S = SLOWLY.total_seconds()


def test_what_a_paused_stack_keeps_goes_on_slowly_at_first() -> None:
    async def main() -> None:
        loop, calls_s = asyncio.get_running_loop(), list[float]()

        async def work(call: EndpointCall) -> EndpointReply:
            calls_s.append(loop.time())
            return EndpointReply(json=call.payload)

        async with LocalAtomic() as atomic:
            clock, admission = atomic.engine.clock, atomic.engine.admission
            admission.call_limit = CallsFrom(clock.now_ms, None)
            url = atomic.endpoint("/work", work)

            async def start(number: int, **members: Any) -> Any:
                document = {"workflowName": "w", "idempotencyKey": f"k{number}", "timeout": 0, **members}
                return (await atomic.post("/me", {"stepInvokeUrl": url, "payload": 1, **document})).json

            async def live() -> int:
                return sum((await atomic.get("/me/stats")).json["live"].values())

            for number in range(RUNS):
                assert (await start(number))["stepStatus"] == "pending"
            late = (await start(RUNS, deadline=30_000))["id"]
            await asyncio.sleep(3_600)
            assert (calls_s, await live()) == ([], RUNS)
            assert (await atomic.get(f"/me/steps/{late}")).json["errorKind"] == "deadline_over"
            assert (await atomic.get("/health")).json["callsPerSecond"] == 0
            kept = await atomic.engine.store.get((await start(0))["id"])
            # Looks are each ten minutes or later, and no attempt was used.
            assert kept is not None
            assert (kept.version <= 8, kept.attempt_count) == (True, 0)

            # As the environments that are made when the parameter is changed.
            from_s = loop.time() + 60
            admission.call_limit = CallsFrom(clock.now_ms, clock.now_ms() + 60_000)
            while await live():  # noqa: ASYNC110 - virtual time
                await asyncio.sleep(60)
            assert len(calls_s) == RUNS
            assert min(calls_s) >= from_s
            # The last look of a step that was kept is up to 14 minutes after the change.
            assert max(calls_s) <= from_s + 840
            assert (await atomic.get("/health")).json["callsPerSecond"] is None

    run(main())


def test_in_each_minute_twice_as_many_runs_go_on_as_in_the_one_before() -> None:
    from_ms, now_ms = 1_000_000, 1_000_000
    limit = CallsFrom(lambda: now_ms, from_ms)
    specs = [replace(a_spec(), run_id=f"run_{number}") for number in range(20_000)]
    moments = [limit.defer_until_ms(spec, now_ms) or from_ms for spec in specs]
    minutes = Counter((moment - from_ms) // 60_000 for moment in moments)
    # Of 1023 parts, the first minute has one and the last one 512.
    assert [minutes[minute] for minute in range(10)] == [
        pytest.approx(20_000 * 2**minute / 1023, rel=0.2, abs=15) for minute in range(10)
    ]
    now_ms = from_ms + SLOWLY // SLOWLY.resolution // 2_000
    assert [limit.take(spec) for spec in specs] == [moment <= now_ms for moment in moments]


def test_a_run_that_goes_on_is_not_held_back_again() -> None:
    """All of its steps go on with it, and each process comes to the same moment."""
    now_ms = 1_000_000
    limits = [CallsFrom(lambda: now_ms, 1_000_000) for _ in range(2)]
    first = a_spec()
    later = replace(first, step_name="later")
    moment_ms = limits[0].defer_until_ms(first, now_ms)
    assert moment_ms is not None
    for now_ms in (moment_ms - 1, moment_ms):
        assert {limit.take(spec) for limit in limits for spec in (first, later)} == {now_ms == moment_ms}
    assert limits[1].defer_until_ms(later, now_ms) is None


def test_a_look_fits_into_one_message_of_sqs() -> None:
    for from_ms in (None, 10**12):
        limit = CallsFrom(lambda: 0, from_ms)
        for number in range(1_000):
            look_ms = limit.defer_until_ms(replace(a_spec(), run_id=f"run_{number}"), 0)
            assert look_ms is not None
            assert 600_000 <= look_ms <= 900_000
