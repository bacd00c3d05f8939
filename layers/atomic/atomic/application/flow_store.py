"""What flow control needs of a store, as a port. `domain.flow_table` says what the rows mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from atomic.domain.flow_table import Entered, Entering, FlowKey, Handed, KeyState


@dataclass(frozen=True, slots=True)
class LeasedSlot:
    """A slot whose lease has ended, or that is looked at in any case."""

    at: FlowKey
    step_id: str


class FlowStore(Protocol):
    """The keys of all clients. Each method is one transaction, and may raise StoreUnavailable."""

    async def enter(self, asked: Entering, now_ms: int) -> Entered:
        """Take the slots that a due step needs, or its place in line."""
        ...

    async def leave(
        self, client_id: str, keys: Sequence[str], step_id: str, version: int, now_ms: int
    ) -> Sequence[Handed]:
        """Release a step's slots, if it has not taken them again after `version`; who was handed one."""
        ...

    async def keep(self, at: FlowKey, step_id: str, until_ms: int) -> None:
        """Extend the lease of a slot."""
        ...

    async def pin(self, at: FlowKey, changes: Mapping[str, Any], now_ms: int) -> Sequence[Handed]:
        """Change members of the key's row; who was handed a slot because of that."""
        ...

    async def leased_until(self, before_ms: int, limit: int) -> Sequence[LeasedSlot]:
        """Slots whose lease ends before the moment, the oldest first."""
        ...

    async def state(self, at: FlowKey) -> KeyState | None:
        """A key; None when no step has named it and nothing is pinned."""
        ...

    async def states(self, client_id: str, *, after: str, limit: int) -> Sequence[KeyState]:
        """A page of a client's keys, in their order, beginning after the given key."""
        ...

    async def forget(self, before_ms: int, limit: int) -> int:
        """Delete keys that no step has named since, without pins, slots and lines; their number."""
        ...
