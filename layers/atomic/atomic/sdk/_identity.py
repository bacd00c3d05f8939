"""Which key a step of a handler gets: the same in every replay, another one for every call.

The first call of a step gets the run's own key, as a handler without an SDK would send. Further calls of
the same step are numbered as they are made. Each asyncio task numbers its own: tasks of one `gather` finish
in another order each time, but they start in the same one.

A call with a `key=` is the call of that key, whichever task makes it: then neither the order of calls nor
that of tasks matters. A task that uses a key which another task has used before has it for its own.
"""

import hashlib
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import ReferenceType, ref

from atomic.protocol.keys import is_idempotency_key

if TYPE_CHECKING:
    # A seventh of the SDK's import: who has asyncio tasks has imported it.
    import asyncio

_READABLE_CHARS: Final = 200


Path = tuple[str, ...]


class Position(NamedTuple):
    """Which call of a step one is: the branch that makes it, the key it was given, its number (from 1)."""

    path: Path = ()
    key: str | None = None
    number: int = 1

    @property
    def readable(self) -> str:
        """For people who look at keys; what tells positions apart is the digest."""
        path = "".join(f"@{part}" for part in self.path if part)
        key = "" if self.key is None else f"/{self.key}"
        return path + key + (f"#{self.number}" if self.number > 1 else "")


FIRST: Final = Position()
# The path of a key that no other branch has used before.
_ANYWHERE: Final = ("",)


@dataclass(slots=True)
class Scope:
    """Numbers the calls of one branch of a handler. `path` tells which, empty for the handler itself."""

    path: Path = ()
    # Of the whole handler: which branch has used a step's key first.
    _owners: dict[tuple[str, str], Path] = field(default_factory=dict)
    _calls: dict[tuple[str, str | None], int] = field(default_factory=dict)
    _branches: int = 0

    def position(self, step: str, key: str | None = None) -> Position:
        """The position of the next call of a step (its URL, or its kind and name)."""
        number = self._calls[step, key] = self._calls.get((step, key), 0) + 1
        is_owner = key is not None and self._owners.setdefault((step, key), self.path) == self.path
        return Position(_ANYWHERE if is_owner else self.path, key, number)

    def branch(self) -> "Scope":
        """The scope of a task that was made in this one and makes its first call."""
        self._branches += 1
        return Scope((*self.path, str(self._branches)), self._owners)


@dataclass(frozen=True, slots=True)
class _Strand:
    owner: object
    # A task holds its context, and this stands in one.
    task: "ReferenceType[asyncio.Task[Any]]"
    scope: Scope


_strand: ContextVar[_Strand | None] = ContextVar("atomic_strand", default=None)


def enter_strand(owner: object, scope: Scope) -> None:
    """The running task is the handler itself."""
    from asyncio import current_task

    task = current_task()
    assert task is not None, "asyncio runs coroutines in tasks"
    _strand.set(_Strand(owner, ref(task), scope))


def current_scope(owner: object, root: Scope) -> Scope:
    """The scope of the running task: its own, below that of the task that made it."""
    known = _strand.get()
    if known is None or known.owner is not owner:
        return root
    from asyncio import current_task

    task = current_task()
    # A callback runs in no task.
    if task is not None and known.task() is not task:
        # A task begins with a copy of its maker's context, so what stands there is the maker's strand.
        known = _Strand(owner, ref(task), known.scope.branch())
        _strand.set(known)
    return known.scope


def step_key(run_key: str, position: Position) -> str:
    """The key of a step. The digest keeps a key that somebody chose from meeting one that was made here."""
    if position == FIRST:
        return run_key
    key = "" if position.key is None else f"/{position.key}"
    framed = bytearray()
    for part in (run_key, *position.path, key, str(position.number)):
        encoded = part.encode()
        framed += len(encoded).to_bytes(4, "big") + encoded
    digest = hashlib.sha256(framed).hexdigest()[:16]
    readable = position.readable if is_idempotency_key(position.readable) else ""
    return f"{(run_key + readable)[:_READABLE_CHARS]}-{digest}"
