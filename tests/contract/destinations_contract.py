"""What every `Destinations` must do. Inherit `DestinationsContract` and define `runtime`."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

import pytest

from atomic.application.destinations import Permit
from atomic.application.ports import Destinations
from atomic.domain.steps import StepSpec
from atomic.testing import run
from contract.builders import a_spec

# Longer than any implementation caches what it read.
LATER_S = 3


class Runtime(Protocol):
    """An implementation that gives `most` runs a permit for one destination."""

    most: int

    def at(self, number: int) -> Destinations:
        """The implementation as seen by the process of that number."""
        ...


def long_step(number: int, **more: Any) -> StepSpec:
    """A step of a run of its own, whose attempt may be long."""
    return replace(a_spec(key=f"k-{number}", attempt_timeout_ms=60_000), **more)


def on_runtime(test: Callable[[Any, Runtime], Awaitable[None]]) -> Callable[[Any], None]:
    """Run the test on a fresh implementation, in virtual time."""

    def on_fresh(self: "DestinationsContract") -> None:
        with self.runtime() as runtime:

            async def main() -> None:
                await test(self, runtime)

            run(main())

    on_fresh.__name__, on_fresh.__doc__ = test.__name__, test.__doc__
    return on_fresh


class Runs:
    """Runs that acquire and release permits."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._permits: defaultdict[int, list[Permit]] = defaultdict(list)

    async def acquire(self, number: int, spec: StepSpec | None = None) -> bool:
        """Request a permit for a run; return whether it got one."""
        permit = await self._runtime.at(number).enter(spec or long_step(number))
        if permit is not None:
            self._permits[number].append(permit)
        return permit is not None

    async def release(self, number: int) -> None:
        """Release a permit of the run."""
        async with self._permits[number].pop():
            pass

    async def fill(self) -> None:
        """Acquire as many permits as there are."""
        most = self._runtime.most
        assert [await self.acquire(n) for n in range(most)] == [True] * most


class DestinationsContract:
    """Inherit and define `runtime`."""

    @contextmanager
    def runtime(self) -> Iterator[Runtime]:
        """A fresh runtime."""
        raise NotImplementedError
        yield

    @on_runtime
    async def test_permits_are_limited_until_one_is_released(self, runtime: Runtime) -> None:
        runs = Runs(runtime)
        await runs.fill()
        late = runtime.most
        assert not await runs.acquire(late)
        await runs.release(0)
        await asyncio.sleep(LATER_S)
        assert await runs.acquire(late)
        await asyncio.sleep(LATER_S)
        assert not await runs.acquire(0)

    @on_runtime
    async def test_concurrent_requests_do_not_exceed_the_limit(self, runtime: Runtime) -> None:
        runs = Runs(runtime)
        comers = range(runtime.most + 4)
        let_in = await asyncio.gather(*(runs.acquire(n) for n in comers))
        assert 0 < sum(let_in) <= runtime.most
        await asyncio.sleep(LATER_S)
        let_in += [await runs.acquire(n) for n in comers if not let_in[n]]
        assert sum(let_in) == runtime.most

    @on_runtime
    async def test_other_destinations_and_other_clients_go_on(self, runtime: Runtime) -> None:
        runs = Runs(runtime)
        await runs.fill()
        late = runtime.most
        for elsewhere in (
            long_step(late, client_id="other"),
            long_step(late, url="https://other.example/x"),
            long_step(late, url="https://app.example:8443/x"),
        ):
            assert await runs.acquire(late, elsewhere)
        assert not await runs.acquire(late, long_step(late, url="https://app.example:443/other"))

    @on_runtime
    async def test_a_run_with_a_permit_does_not_wait_for_itself(self, runtime: Runtime) -> None:
        runs = Runs(runtime)
        await runs.fill()
        late = runtime.most
        assert await runs.acquire(late, long_step(1))
        assert await runs.acquire(late, long_step(1))

    @on_runtime
    async def test_a_run_holds_its_permit_until_its_last_attempt_ends(self, runtime: Runtime) -> None:
        runs = Runs(runtime)
        await runs.fill()
        assert await runs.acquire(0)
        await runs.release(0)
        await asyncio.sleep(LATER_S)
        assert not await runs.acquire(runtime.most)
        await runs.release(0)
        await asyncio.sleep(LATER_S)
        assert await runs.acquire(runtime.most)

    @on_runtime
    async def test_a_step_that_calls_nothing_needs_no_permit(self, runtime: Runtime) -> None:
        runs = Runs(runtime)
        for number in range(runtime.most + 5):
            nothing = long_step(number, url="")
            assert await runs.acquire(number, nothing)
            await runs.release(number)

    @on_runtime
    async def test_deferred_steps_try_again_one_after_the_other(self, runtime: Runtime) -> None:
        there = runtime.at(0)
        times = [there.defer_until_ms(long_step(n), 0) for n in range(100)]
        assert (times[0], len(set(times)), times == sorted(times)) == (1000, 100, True)
        assert there.defer_until_ms(long_step(0), 10**6) == 10**6 + 1000
        assert there.defer_until_ms(long_step(0, client_id="other"), 0) == 1000

    @on_runtime
    async def test_a_permit_that_was_passed_on_is_released_by_its_new_owner(self, runtime: Runtime) -> None:
        runs = Runs(runtime)
        permits = [await runtime.at(n).enter(long_step(n)) for n in range(runtime.most)]
        first = permits[0]
        assert first is not None
        async with first:
            passed = first.pass_on()
        await asyncio.sleep(LATER_S)
        late = runtime.most
        assert not await runs.acquire(late)
        async with passed:
            pass
        await asyncio.sleep(LATER_S)
        assert await runs.acquire(late)

    @on_runtime
    async def test_a_permit_is_released_once(self, runtime: Runtime) -> None:
        runs = Runs(runtime)
        await runs.fill()
        again = await runtime.at(0).enter(long_step(0))
        assert again is not None
        for _ in range(3):
            async with again:
                pass
        await asyncio.sleep(LATER_S)
        # The run still has another attempt at the destination.
        assert not await runs.acquire(runtime.most)

    @pytest.mark.parametrize("seed", range(4))
    def test_permits_are_neither_lost_nor_created(self, seed: int) -> None:
        chosen = random.Random(seed)

        async def main(runtime: Runtime) -> None:
            runs = Runs(runtime)
            inside: list[int] = []
            for _ in range(60):
                await asyncio.sleep(LATER_S)
                if chosen.random() < 0.45 and inside:
                    number = inside.pop(chosen.randrange(len(inside)))
                    await runs.release(number)
                    continue
                number = chosen.randrange(runtime.most + 4)
                may = number in inside or len(set(inside)) < runtime.most
                assert await runs.acquire(number) is may, seed
                if may:
                    inside.append(number)
            for number in inside:
                await runs.release(number)
            await asyncio.sleep(LATER_S)
            await runs.fill()

        with self.runtime() as runtime:
            run(main(runtime))
