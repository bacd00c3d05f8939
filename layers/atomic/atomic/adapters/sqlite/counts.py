"""How many steps and runs a client has, by their states."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

import apsw

from atomic.adapters.sqlite import queries
from atomic.adapters.sqlite.listing import count_runs
from atomic.adapters.sqlite.reader import Reader
from atomic.application.ports import CountedLive, Counts
from atomic.application.run_query import Counted, RunQuery
from atomic.protocol.enums import LIVE, Status

T = TypeVar("T")


class SqliteCounts(ABC):
    """The part of `SqliteStepStore` that counts."""

    _lists: Reader
    _timers: Reader

    @abstractmethod
    async def _long(self, reader: Reader, read: Callable[[apsw.Connection], T]) -> T: ...

    @abstractmethod
    async def _long_rows(self, reader: Reader, sql: str, values: Any) -> list[tuple[Any, ...]]: ...

    async def count_runs(self, query: RunQuery, enough: int) -> Counted:  # noqa: ARG002 - the port has it
        """All runs that fit, from an index: 1,000,000 of one status in a fraction of a second."""
        return Counted(await self._long(self._lists, lambda lists: count_runs(lists, query)), is_all=True)

    async def count(self, client_id: str, created_from_ms: int) -> Counts:
        """How many of the client's steps are in which state; states without any are left out."""
        return await self._long(self._lists, lambda lists: _counts(lists, client_id, created_from_ms))

    async def counted_live(self, client_id: str) -> CountedLive | None:  # noqa: ARG002 - the port has it
        """None: it counts at once."""
        return None

    async def count_live_of(self, client_id: str, enough: int) -> int:  # noqa: ARG002 - the port has it
        """The number of the client's live steps."""
        return await self._long(self._lists, lambda lists: sum(_live(lists, client_id).values()))

    async def count_live(self) -> int:
        """The number of live steps of all clients."""
        [(number,)] = await self._long_rows(self._timers, queries.COUNT_ALL_LIVE, ())
        return int(number)


def _live(lists: apsw.Connection, client_id: str) -> dict[Status, int]:
    """Its live steps."""
    return {state: lists.execute(queries.COUNT_LIVE, (state.value, client_id)).get for state in LIVE}


def _counts(lists: apsw.Connection, client_id: str, created_from_ms: int) -> Counts:
    """Its live steps, its runs that were created since, its dead letters."""

    def number(sql: str, *values: Any) -> Any:
        return lists.execute(sql, values).get

    living = _live(lists, client_id)
    runs = {state: number(queries.COUNT_RUNS, state.value, client_id, created_from_ms) for state in Status}
    return Counts(
        live={state: found for state, found in living.items() if found},
        runs={state: found for state, found in runs.items() if found},
        dead_letters=number(queries.COUNT_FAILED, client_id),
        needs_action=number(queries.COUNT_NEEDS_ACTION, client_id),
        oldest_due_at_ms=number(queries.OLDEST_DUE, client_id) if any(living.values()) else None,
    )
