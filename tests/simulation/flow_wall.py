"""How many attempts a second one key on AWS bears: environments that take and give back slots all the time.

    cd tests && python -m simulation.flow_wall

Time is virtual, and each request takes 5 ms. So these are ratios, not measurements of AWS.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from atomic.adapters.aws.flow import DynamoFlowStore
from atomic.application.ports import StoreUnavailable
from atomic.domain.flow import FlowEntry
from atomic.domain.flow_table import Entering, FlowKey
from atomic.protocol import keys
from atomic.testing.virtual_time import run
from simulation.flow_table_fake import FlowTableFake

_REQUEST_S: Final = 0.005
_FOR_S: Final = 20.0


@dataclass(slots=True)
class Wall:
    """What so many environments have done at one key."""

    environments: int
    attempts: int = 0
    given_up: int = 0
    requests: int = 0

    @property
    def attempts_per_s(self) -> float:
        """Attempts a second."""
        return self.attempts / _FOR_S


class _Requests:
    def start(self, call: Callable[..., Any], /, *given: Any, **named: Any) -> "asyncio.Future[Any]":
        return asyncio.ensure_future(self._make(call, *given, **named))

    async def _make(self, call: Callable[..., Any], /, *given: Any, **named: Any) -> Any:
        await asyncio.sleep(_REQUEST_S / 2)
        try:
            return call(*given, **named)
        finally:
            await asyncio.sleep(_REQUEST_S / 2)


async def _environment(wall: Wall, number: int, table: Any) -> None:
    requests: Any = _Requests()
    store = DynamoFlowStore(requests, table, "table", fraction=random.Random(number).random)
    loop, version, step_id = asyncio.get_running_loop(), 0, keys.root_of(f"run_{number:032x}")
    entry = FlowEntry(key="k", concurrency=1000)
    while loop.time() < _FOR_S:
        version += 1
        now_ms = int(loop.time() * 1000)
        asked = Entering(
            client_id="acme",
            step_id=step_id,
            version=version,
            created_at_ms=0,
            entries=(entry,),
            below=(),
            attempt_ms=1_000,
            until_ms=now_ms + 60_000,
        )
        try:
            await store.enter(asked, now_ms)
            await store.leave(FlowKey("acme", "k"), step_id, version + 1, now_ms)
            wall.attempts += 1
        except StoreUnavailable:
            wall.given_up += 1


def measure(environments: int) -> Wall:
    """What so many environments do."""

    async def main() -> Wall:
        table, wall = FlowTableFake(), Wall(environments)
        await asyncio.gather(*(_environment(wall, number, table) for number in range(environments)))
        wall.requests = table.requests
        return wall

    return run(main())


def main() -> None:
    """Print a line for each number of environments."""
    for environments in (1, 2, 4, 8, 16):
        wall = measure(environments)
        print(
            f"{environments:3} environments: {wall.attempts_per_s:5.1f} attempts/s, "
            f"{wall.requests / max(1, wall.attempts):.1f} requests an attempt, {wall.given_up} given up"
        )


if __name__ == "__main__":
    main()
