"""What flow control needs of a store, as a port. `domain.flow_table` says what the rows mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from atomic.domain.flow_table import Entered, Entering, FlowKey, Handed, KeyState, Members


@dataclass(frozen=True, slots=True)
class LeasedSlot:
    """A slot whose lease has ended, or that is looked at in any case."""

    at: FlowKey
    step_id: str


class FlowStore(Protocol):
    """The keys of all clients. Each method may raise StoreUnavailable.

    A method is one transaction; on a store without transactions over several keys, `enter` is one for each
    key, in the order of the keys. If it ends in between, the slots so far are kept until their leases end,
    or until the step asks again.
    """

    async def enter(self, asked: Entering, now_ms: int) -> Entered:
        """Take the slots that a due step needs, or its place in line."""
        ...

    async def leave(
        self, at: FlowKey, step_id: str, version: int, now_ms: int, *, turn: int | None = None
    ) -> Sequence[Handed]:
        """Release a step's slot, if it has not taken it again after `version`; who was handed one.

        `turn`: its place in line, if it may have one.
        """
        ...

    async def keep(self, at: FlowKey, step_id: str, until_ms: int) -> None:
        """Extend the lease of a slot."""
        ...

    async def pin(self, at: FlowKey, changes: Mapping[str, Any], now_ms: int) -> Sequence[Handed]:
        """Change members of the key's row; who was handed a slot because of that."""
        ...

    async def state(self, at: FlowKey) -> KeyState | None:
        """A key; None when no step has named it and nothing is pinned."""
        ...

    async def states(self, client_id: str, *, after: str, limit: int) -> Sequence[KeyState]:
        """A page of a client's keys, in their order, beginning after the given key."""
        ...

    async def members(self, at: FlowKey, limit: int) -> Members:
        """At most so many of the steps that have a slot, and of those in line. Some may have ended."""
        ...


@dataclass(frozen=True, slots=True)
class LeasePage:
    """Slots of a page of keys whose leases have ended, and the last key; None at the end."""

    ended: Sequence[LeasedSlot]
    after: str | None


class FlowKeys(FlowStore, Protocol):
    """What maintenance asks for, which walks over the keys of each client."""

    async def ended_leases(self, client_id: str, *, after: str, before_ms: int) -> LeasePage:
        """Slots whose lease ends before the moment, of a page of keys. Their number is bounded.

        What is left of a key is found by the next walk.
        """
        ...


class ServerFlowStore(FlowStore, Protocol):
    """What a permanent server asks for as well."""

    async def leased_until(self, before_ms: int, limit: int) -> Sequence[LeasedSlot]:
        """Slots whose lease ends before the moment, the oldest first."""
        ...

    async def forget(self, before_ms: int, limit: int) -> int:
        """Delete keys that no step has named since, without pins, slots and lines; their number."""
        ...
