"""Which key a step of a handler gets: the same in every replay, another one for every call.

The first call of a step gets the run's own key, as a handler without an SDK would send. Further calls of
the same step are numbered as they are made. Each asyncio task numbers its own: tasks of one `gather` finish
in another order each time, but they start in the same one.

A call with a `key=` is the call of that key, whichever task makes it: then neither the order of calls nor
that of tasks matters. A task that uses a key which another task has used before has it for its own.
"""

import hashlib
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import ReferenceType, ref

from atomic.protocol.keys import is_idempotency_key

if TYPE_CHECKING:
    # A seventh of the SDK's import time. A program with asyncio tasks has imported it.
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
        """For people who read keys. The digest tells positions apart."""
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


@dataclass(slots=True, eq=False)
class _Branch:
    """A task of a handler, and the one that made it.

    It has its scope from the first call that it makes, or a task below it. So tasks that wait for tasks of
    their own before they make a call are told apart as well.
    """

    owner: object
    maker: "_Branch | None" = None
    # A task holds its context, and this stands in one.
    task: "ReferenceType[asyncio.Task[Any]] | None" = None
    known_scope: Scope | None = None

    def scope(self) -> Scope:
        """The scope, below that of the task that made it."""
        if self.known_scope is None:
            assert self.maker is not None, "the handler's own has its scope from the beginning"
            self.known_scope = self.maker.scope().branch()
        return self.known_scope


_branch: ContextVar[_Branch | None] = ContextVar("atomic_branch", default=None)


def enter_branch(owner: object, scope: Scope) -> None:
    """The running task is the handler itself."""
    from asyncio import current_task

    task = current_task()
    assert task is not None, "asyncio runs coroutines in tasks"
    _branch.set(_Branch(owner, task=ref(task), known_scope=scope))


def in_new_branch(make: "Callable[[], asyncio.Task[Any]]") -> "asyncio.Task[Any]":
    """Make a task of the running one."""
    maker = _branch.get()
    if maker is None:
        return make()
    branch = _Branch(maker.owner, maker)
    # A task begins with a copy of the context in which it is made.
    context = copy_context()
    context.run(_branch.set, branch)
    made = context.run(make)
    branch.task = ref(made)
    return made


def current_scope(owner: object, root: Scope) -> Scope:
    """The scope of the running task: its own, below that of the task that made it."""
    known = _branch.get()
    if known is None or known.owner is not owner:
        return root
    from asyncio import current_task

    task = current_task()
    # A callback runs in no task.
    if task is not None and known.task is not None and known.task() is not task:
        # It was made with a context of its own, a copy of its maker's.
        known = _Branch(owner, known, ref(task))
        _branch.set(known)
    return known.scope()


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


@dataclass(frozen=True, slots=True)
class OpenedEvent:
    """An event that was opened and is not waited for yet."""

    name: str
    position: Position
    deadline_ms: int | None


@dataclass(slots=True)
class OpenedEvents:
    """Those of one call of a handler."""

    _events: list[OpenedEvent] = field(default_factory=list)

    def add(self, event: OpenedEvent) -> None:
        """An event was opened."""
        self._events.append(event)

    def take(self, name: str, path: tuple[str, ...]) -> OpenedEvent | None:
        """The one of this name that the branch at `path` is to wait for; each is waited for once.

        The branch's own comes first, then those of the branches that it came from, the nearest first.
        """
        named = [event for event in self._events if event.name == name]
        if not named:
            return None
        taken = min(named, key=lambda event: _distance(event.position, path))
        self._events.remove(taken)
        return taken


def _distance(position: Position, path: tuple[str, ...]) -> tuple[bool, int, tuple[str, ...], int]:
    of = position.path
    is_above = path[: len(of)] == of
    return (not is_above, len(path) - len(of) if is_above else 0, of, position.number)
