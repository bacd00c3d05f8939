"""Steps that race for one key of the table, request by request, with failures and ends of processes.

Nobody polls: a step in line waits until it is told. Only a step whose own request failed asks again, as the
queue would have it asked, and slots whose leases have ended are looked at. So a hand-over that is lost
otherwise leaves a step waiting for ever, and a slot that two steps have is seen at once.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from atomic.adapters.aws.flow import DynamoFlowStore
from atomic.application.ports import StoreUnavailable
from atomic.domain.flow import FlowEntry
from atomic.domain.flow_table import HANDED_MS, Entering, FlowKey, Handed
from atomic.protocol import keys
from atomic.testing.virtual_time import run
from simulation.flow_table_fake import FlowTableFake

ENVIRONMENTS: Final = 4
STEPS: Final = 16
ATTEMPTS: Final = 3
AT: Final = FlowKey("acme", "k")
LEASE_MS: Final = 20_000
_FAIL: Final = 0.02
_END: Final = 0.02
_DONE_S: Final = 3_600.0


class Ended(BaseException):
    """The process of a step has ended; another one goes on with the step."""


class _Requests:
    """Each takes a while, and takes effect at some moment within it."""

    def __init__(self, race: "Race") -> None:
        self._race = race

    def start(self, call: Callable[..., Any], /, *given: Any, **named: Any) -> "asyncio.Future[Any]":
        return asyncio.ensure_future(self._make(call, *given, **named))

    async def _make(self, call: Callable[..., Any], /, *given: Any, **named: Any) -> Any:
        race, strike = self._race, self._race.strike()
        # Some requests are slow: others may do much meanwhile.
        await asyncio.sleep(race.some_s())
        if strike == "lost":
            raise StoreUnavailable("not now")
        if strike == "ended before":
            raise Ended
        result = call(*given, **named)
        await asyncio.sleep(race.some_s())
        if strike == "unanswered":
            raise StoreUnavailable("not now")
        if strike == "ended after":
            raise Ended
        return result


@dataclass(frozen=True)
class _Row:
    """What survives of a step: its version, its place in line, whether it needs a slot."""

    version: int = 1
    turn: int | None = None
    needs: bool = False


class Race:
    """Create it inside the loop, call `play` once, then read `broken`."""

    def __init__(self, seed: int, *, strikes: bool) -> None:
        self.chance = random.Random(f"race {seed}")
        self.broken: list[str] = []
        self.limit = self.chance.choice((1, 1, 2, 3))
        self._strikes = strikes
        self.table = FlowTableFake()
        client: Any = self.table
        requests: Any = _Requests(self)
        made = {"fraction": self.chance.random}
        self.stores = [DynamoFlowStore(requests, client, "table", **made) for _ in range(ENVIRONMENTS)]
        self._told = {self._id(number): asyncio.Event() for number in range(STEPS)}
        self._rows = {step_id: _Row() for step_id in self._told}
        self._inside: set[str] = set()

    def strike(self) -> str:
        """What happens to a request."""
        if not self._strikes:
            return ""
        if self.chance.random() < _FAIL:
            return self.chance.choice(("lost", "unanswered"))
        return self.chance.choice(("ended before", "ended after")) if self.chance.random() < _END else ""

    def some_s(self) -> float:
        """How long half of a request takes."""
        return self.chance.expovariate(1 / 0.004) if self.chance.random() < 0.9 else self.chance.random()

    async def play(self) -> None:
        """Let all steps make their attempts, and check that nothing is left."""
        maintenance = asyncio.create_task(self._maintain())
        steps = [asyncio.create_task(self._live(self._id(number))) for number in range(STEPS)]
        _, late = await asyncio.wait(steps, timeout=_DONE_S)
        self.broken += [f"{len(late)} steps wait for ever"] if late else []
        for task in late:
            task.cancel()
        self._strikes = False
        await asyncio.sleep(10 * LEASE_MS / 1000)
        maintenance.cancel()
        state = await self.stores[0].state(AT)
        assert state is not None
        if state.running or state.queued:
            self.broken.append(f"{state.running} slots and {state.queued} in line are left")

    async def _live(self, step_id: str) -> None:
        """The attempts of one step; its row is what survives of it."""
        await asyncio.sleep(self.chance.random() * 2)
        for number in range(ATTEMPTS):
            row = self._rows[step_id] = replace(self._rows[step_id], needs=True)
            while not await self._again(self._attempt(step_id)):
                pass
            row = self._rows[step_id]
            row = self._rows[step_id] = replace(row, version=row.version + 1, needs=False)
            while not await self._again(self._leave(step_id, row)):
                pass
            await asyncio.sleep(self.chance.choice((0.0, 0.01, 1.0)) if number < ATTEMPTS - 1 else 0)

    async def _again(self, work: Any) -> bool:
        try:
            return bool(await work)
        except (StoreUnavailable, Ended):
            await asyncio.sleep(self.chance.random() * 2)
            return False

    async def _attempt(self, step_id: str) -> bool:
        """Ask for a slot; wait in line if there is none; make the attempt. Whether it was made."""
        told, row = self._told[step_id], self._rows[step_id]
        told.clear()
        line = "" if row.turn is None else "k"
        asked = replace(self._asking(step_id), version=row.version, line=line, turn=row.turn)
        entered = await self._store().enter(asked, self._now_ms())
        await self._tell(entered.handed)
        if entered.key:
            self._rows[step_id] = replace(row, version=row.version + 1, turn=entered.turn)
            await told.wait()
            return False
        self._inside.add(step_id)
        if len(self._inside) > self.limit:
            self.broken.append(f"{len(self._inside)} of {self.limit} are inside")
        try:
            await asyncio.sleep(self.chance.random() * 0.3)
        finally:
            self._inside.remove(step_id)
        return True

    async def _leave(self, step_id: str, row: "_Row") -> bool:
        handed = await self._store().leave(AT, step_id, row.version, self._now_ms(), turn=row.turn)
        await self._tell(handed)
        return True

    async def _tell(self, handed: Sequence[Handed]) -> None:
        for step_id, _ in handed:
            if self.strike():
                raise StoreUnavailable("the message was lost")
            self._told[step_id].set()

    async def _maintain(self) -> None:
        """What `application.flow.look_at_lease` does."""
        while True:
            await asyncio.sleep(LEASE_MS / 1000)
            with suppress(StoreUnavailable, Ended):
                page = await self._store().ended_leases("acme", after="", before_ms=self._now_ms())
                for leased in page.ended:
                    row = self._rows[leased.step_id]
                    if row.needs:
                        await self._store().keep(AT, leased.step_id, self._now_ms() + HANDED_MS)
                        await self._tell([Handed(leased.step_id, 0)])
                    else:
                        await self._leave(leased.step_id, row)

    def _asking(self, step_id: str) -> Entering:
        return Entering(
            client_id="acme",
            step_id=step_id,
            version=1,
            created_at_ms=0,
            entries=(FlowEntry(key="k", concurrency=self.limit, fair=self.chance.choice("abc")),),
            below=(),
            attempt_ms=1_000,
            until_ms=self._now_ms() + LEASE_MS,
        )

    def _store(self) -> DynamoFlowStore:
        return self.chance.choice(self.stores)

    def _id(self, number: int) -> str:
        return keys.root_of(f"run_{number:032x}")

    def _now_ms(self) -> int:
        return int(asyncio.get_running_loop().time() * 1000) + 1_790_000_000_000


def race(seed: int, *, strikes: bool = True) -> Race:
    """The race of a seed, when it is over."""

    async def main() -> Race:
        found = Race(seed, strikes=strikes)
        await found.play()
        return found

    return run(main())
