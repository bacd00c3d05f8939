"""The embedded runtime's clock never goes back; times for other systems are those of the wall clock."""

import asyncio
import logging
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic.adapters.memory.store import MemoryStepStore
from atomic.adapters.system import SteadyClock, SystemClock
from atomic.application.attempts import end_attempt, endpoint_request
from atomic.application.engine import Engine
from atomic.application.ports import EndpointRequest
from atomic.application.queries import wait_for_step
from atomic.application.start import start
from atomic.domain.clients.client import Client
from atomic.domain.outcomes import EndpointResponse, StepError
from atomic.domain.transitions import begin
from atomic.protocol import keys
from atomic.protocol.enums import Status
from atomic.protocol.error_kinds import ErrorKind
from atomic.testing import LocalAtomic, run
from atomic.testing.virtual_time import EPOCH_MS
from contract.builders import a_spec
from unit.strategies import examples

HOUR = 3_600_000
jumps = st.sampled_from([0, 0, 1, -1, 37, -37, 5_000, -5_000, HOUR, -HOUR, -400 * 24 * HOUR])


class Machine:
    """A machine's clocks, which a test sets."""

    def __init__(self) -> None:
        self.wall = EPOCH_MS
        self.elapsed = 12_345.678
        self.clock = SteadyClock(lambda: self.wall, lambda: self.elapsed)

    def passes(self, ms: int) -> None:
        self.wall += ms
        self.elapsed += ms


@examples(300)
@given(st.lists(st.tuples(st.integers(0, 10_000), jumps), max_size=30))
def test_it_never_goes_back_and_never_stands_still(moves: list[tuple[int, int]]) -> None:
    machine = Machine()
    before = machine.clock.now_ms()
    for passed_ms, jump_ms in moves:
        machine.passes(passed_ms)
        machine.wall += jump_ms
        now = machine.clock.now_ms()
        assert now >= before + passed_ms
        assert now >= machine.wall
        assert machine.clock.wall_ms() == machine.wall
        if jump_ms <= 0:
            assert now <= max(before + passed_ms, machine.wall) + 1
        before = now


def test_it_is_the_wall_clock_as_long_as_that_goes_on() -> None:
    machine = Machine()
    for step_ms in (0, 1, 5, 10_000_000):
        machine.passes(step_ms)
        assert machine.clock.now_ms() == machine.wall
    # The machine was suspended, and its monotonic clock did not count that time.
    machine.wall += HOUR
    assert machine.clock.now_ms() == machine.wall


def test_it_goes_on_when_the_wall_clock_is_set_back_until_that_has_overtaken_it() -> None:
    machine = Machine()
    machine.wall -= HOUR
    machine.passes(250)
    assert machine.clock.now_ms() == EPOCH_MS + 250
    machine.wall += 3 * HOUR
    assert machine.clock.now_ms() == EPOCH_MS + 250 + 2 * HOUR


def test_setting_it_back_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine()
    machine.wall -= 900
    with caplog.at_level(logging.WARNING):
        machine.clock.now_ms()
        assert caplog.messages == []
        machine.wall -= HOUR
        for _ in range(3):
            machine.clock.now_ms()
    assert len(caplog.messages) == 1
    assert "set back" in caplog.messages[0]


def test_the_machine_s_own_clocks() -> None:
    steady, wall = SteadyClock(), SystemClock()
    for clock in (steady, wall):
        assert abs(clock.now_ms() - time.time() * 1000) < 500
        assert abs(clock.wall_ms() - time.time() * 1000) < 500
    moments = [steady.now_ms() for _ in range(10_000)]
    assert moments == sorted(moments)


class Straying:
    """The loop's clock, which can be set to any time."""

    off_ms = 0

    def now_ms(self) -> int:
        return EPOCH_MS + round(asyncio.get_running_loop().time() * 1000) + self.off_ms

    def wall_ms(self) -> int:
        return self.now_ms() - 7 * HOUR


def engine_of(clock: Straying, store: MemoryStepStore | None = None) -> Engine:
    return replace(LocalAtomic(store=store).engine, clock=clock)


@pytest.mark.parametrize("off_ms", [-60_000, -HOUR, HOUR])
def test_callers_wait_as_long_as_they_asked_for_whatever_becomes_of_the_clock(off_ms: int) -> None:
    class Silent:
        async def post(self, request: EndpointRequest) -> EndpointResponse:
            await asyncio.sleep(request.timeout_ms / 1000)
            return EndpointResponse(error=StepError(ErrorKind.TIMED_OUT, "1"))

    async def body() -> None:
        clock, loop = Straying(), asyncio.get_running_loop()
        engine = replace(engine_of(clock), invoker=Silent())
        spec = a_spec(attempt_timeout_ms=10 * HOUR)
        loop.call_later(1, setattr, clock, "off_ms", off_ms)
        for _ in ("starts", "attaches"):
            began_s = loop.time()
            started = await start(engine, spec, wait_ms=5_000)
            assert loop.time() == pytest.approx(began_s + 5, abs=0.002)
            assert started.step.status is Status.RUNNING
            clock.off_ms = 0
            loop.call_later(1, setattr, clock, "off_ms", off_ms)
        began_s = loop.time()
        await wait_for_step(engine, started.step, 5_000)
        assert loop.time() == pytest.approx(began_s + 5, abs=0.002)

    run(body())


def test_a_call_carries_the_time_of_the_wall_clock() -> None:
    async def body() -> None:
        clock = Straying()
        client = Client(id="acme", signing_secrets=(b"s" * 32,))
        step = begin(a_spec(deadline_ms=9_000), keys.ROOT, clock.now_ms(), "n")
        request = endpoint_request(engine_of(clock), step, client)
        assert request.headers["webhook-timestamp"] == str(clock.wall_ms() // 1000)
        # The time left until the step's deadline is computed with the clock of its row.
        assert request.timeout_ms == 9_000

    run(body())


def test_a_moment_that_an_endpoint_names_is_one_of_the_wall_clock() -> None:
    async def body() -> None:
        clock, store = Straying(), MemoryStepStore()
        step = begin(a_spec(), keys.ROOT, clock.now_ms(), "n")
        await store.create(step)
        # EPOCH_MS is midnight of the first of January 2026; the wall clock is seven hours behind.
        moment = {"retry-after": "Wed, 31 Dec 2025 17:01:00 GMT"}
        await end_attempt(engine_of(clock, store), step, EndpointResponse(status=503, headers=moment))
        due_at_ms = store._rows[step.id].due_at_ms
        assert due_at_ms is not None
        assert due_at_ms - clock.now_ms() == 60_000

    run(body())
