"""What every `Destinations` must do. Inherit `DestinationsContract` and define `runtime`."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

import pytest

from atomic.application.permits import Permit
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


def comer(number: int, **more: Any) -> StepSpec:
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


class Door:
    """Comers go in and leave, and keep their permits in between."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._permits: defaultdict[int, list[Permit]] = defaultdict(list)

    async def enter(self, number: int, spec: StepSpec | None = None) -> bool:
        """Whether the comer is let in."""
        permit = await self._runtime.at(number).enter(spec or comer(number))
        if permit is not None:
            self._permits[number].append(permit)
        return permit is not None

    async def leave(self, number: int) -> None:
        """The comer, who is inside, leaves."""
        async with self._permits[number].pop():
            pass

    async def fill(self) -> None:
        """Let in as many as may go in."""
        most = self._runtime.most
        assert [await self.enter(n) for n in range(most)] == [True] * most


class DestinationsContract:
    """Inherit and define `runtime`."""

    @contextmanager
    def runtime(self) -> Iterator[Runtime]:
        """A fresh runtime."""
        raise NotImplementedError
        yield

    @on_runtime
    async def test_so_many_go_in_and_no_more_until_one_leaves(self, runtime: Runtime) -> None:
        door = Door(runtime)
        await door.fill()
        late = runtime.most
        assert not await door.enter(late)
        await door.leave(0)
        await asyncio.sleep(LATER_S)
        assert await door.enter(late)
        await asyncio.sleep(LATER_S)
        assert not await door.enter(0)

    @on_runtime
    async def test_however_many_come_at_once(self, runtime: Runtime) -> None:
        door = Door(runtime)
        comers = range(runtime.most + 4)
        let_in = await asyncio.gather(*(door.enter(n) for n in comers))
        assert 0 < sum(let_in) <= runtime.most
        await asyncio.sleep(LATER_S)
        let_in += [await door.enter(n) for n in comers if not let_in[n]]
        assert sum(let_in) == runtime.most

    @on_runtime
    async def test_other_destinations_and_other_clients_go_on(self, runtime: Runtime) -> None:
        door = Door(runtime)
        await door.fill()
        late = runtime.most
        for elsewhere in (
            comer(late, client_id="other"),
            comer(late, url="https://other.example/x"),
            comer(late, url="https://app.example:8443/x"),
        ):
            assert await door.enter(late, elsewhere)
        assert not await door.enter(late, comer(late, url="https://app.example:443/other"))

    @on_runtime
    async def test_a_run_that_is_inside_does_not_wait_for_itself(self, runtime: Runtime) -> None:
        door = Door(runtime)
        await door.fill()
        late = runtime.most
        assert await door.enter(late, comer(1))
        assert await door.enter(late, comer(1))

    @on_runtime
    async def test_a_run_is_inside_until_its_last_attempt_ends(self, runtime: Runtime) -> None:
        door = Door(runtime)
        await door.fill()
        assert await door.enter(0)
        await door.leave(0)
        await asyncio.sleep(LATER_S)
        assert not await door.enter(runtime.most)
        await door.leave(0)
        await asyncio.sleep(LATER_S)
        assert await door.enter(runtime.most)

    @on_runtime
    async def test_who_calls_nothing_needs_no_place(self, runtime: Runtime) -> None:
        door = Door(runtime)
        for number in range(runtime.most + 5):
            nothing = comer(number, url="")
            assert await door.enter(number, nothing)
            await door.leave(number)

    @on_runtime
    async def test_deferred_steps_try_again_one_after_the_other(self, runtime: Runtime) -> None:
        there = runtime.at(0)
        times = [there.defer_until_ms(comer(n), 0) for n in range(100)]
        assert (times[0], len(set(times)), times == sorted(times)) == (1000, 100, True)
        assert there.defer_until_ms(comer(0), 10**6) == 10**6 + 1000
        assert there.defer_until_ms(comer(0, client_id="other"), 0) == 1000

    @on_runtime
    async def test_a_permit_that_was_passed_on_is_released_by_who_got_it(self, runtime: Runtime) -> None:
        door = Door(runtime)
        permits = [await runtime.at(n).enter(comer(n)) for n in range(runtime.most)]
        first = permits[0]
        assert first is not None
        async with first:
            passed = first.pass_on()
        await asyncio.sleep(LATER_S)
        late = runtime.most
        assert not await door.enter(late)
        async with passed:
            pass
        await asyncio.sleep(LATER_S)
        assert await door.enter(late)

    @on_runtime
    async def test_a_permit_is_released_once(self, runtime: Runtime) -> None:
        door = Door(runtime)
        await door.fill()
        again = await runtime.at(0).enter(comer(0))
        assert again is not None
        for _ in range(3):
            async with again:
                pass
        await asyncio.sleep(LATER_S)
        # The run still has another attempt at the destination.
        assert not await door.enter(runtime.most)

    @pytest.mark.parametrize("seed", range(4))
    def test_places_are_neither_lost_nor_made(self, seed: int) -> None:
        chosen = random.Random(seed)

        async def main(runtime: Runtime) -> None:
            door = Door(runtime)
            inside: list[int] = []
            for _ in range(60):
                await asyncio.sleep(LATER_S)
                if chosen.random() < 0.45 and inside:
                    number = inside.pop(chosen.randrange(len(inside)))
                    await door.leave(number)
                    continue
                number = chosen.randrange(runtime.most + 4)
                may = number in inside or len(set(inside)) < runtime.most
                assert await door.enter(number) is may, seed
                if may:
                    inside.append(number)
            for number in inside:
                await door.leave(number)
            await asyncio.sleep(LATER_S)
            await door.fill()

        with self.runtime() as runtime:
            run(main(runtime))
