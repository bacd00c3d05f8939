"""The keys of a handler's steps: each call has its own key, which is the same in every replay.

The first call of a step gets the run's own key, as a handler without an SDK would send it. Further calls of
the same step are numbered in order. Each asyncio task numbers its own calls, because the tasks of one
`gather` always start in the same order, but finish in different orders. asyncio does not report new tasks,
so a task factory notes them.

For a call with a `key=`, this key replaces the number. Then neither the order of the calls nor the order of
the tasks matters. When two tasks use the same key, their calls are different steps.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import ReferenceType, WeakSet, ref

from atomic.protocol import keys
from atomic.sdk._wire.values import utf8
from atomic.sdk.errors import InvalidRequestError

if TYPE_CHECKING:
    # asyncio is a seventh of the SDK's import time. A program with asyncio tasks has imported it anyway.
    import asyncio

    Task = asyncio.Task[Any]

_READABLE_CHARS: Final = 200
# Makes every task of this context; its argument is the function that would make the task otherwise.
task_maker: Final[ContextVar["Callable[[Callable[[], Task]], Task] | None"]] = ContextVar(
    "atomic_task_maker", default=None
)
_watched: Final[WeakSet["asyncio.AbstractEventLoop"]] = WeakSet()

Path = tuple[str, ...]


class Position(NamedTuple):
    """Identifies a call of a step: the branch that makes it, its `key=`, and its number (from 1)."""

    path: Path = ()
    key: str | None = None
    number: int = 1

    @property
    def readable(self) -> str:
        """The readable part of a key. Only the digest tells all positions apart."""
        path = "".join(f"@{part}" for part in self.path if part)
        key = "" if self.key is None else f"/{self.key}"
        return path + key + (f"#{self.number}" if self.number > 1 else "")


FIRST: Final = Position()


@dataclass(slots=True)
class Scope:
    """Numbers the calls of one branch of a handler. `path` identifies it; the handler's own is empty."""

    path: Path = ()
    # For the handler, or the part of it that `below` has told apart: the path of a key in the branch that
    # uses it first, and this branch.
    _anywhere: Path = ("",)
    _owners: dict[tuple[str, str], Path] = field(default_factory=dict)
    _calls: dict[tuple[str, str | None], int] = field(default_factory=dict)
    _branches: int = 0

    def position(self, step: str, key: str | None = None) -> Position:
        """The position of the next call of a step (its URL, or its kind and name)."""
        number = self._calls[step, key] = self._calls.get((step, key), 0) + 1
        is_owner = key is not None and self._owners.setdefault((step, key), self.path) == self.path
        return Position(self._anywhere if is_owner else self.path, key, number)

    def branch(self) -> "Scope":
        """The scope of a task that was made in this branch and makes its first call."""
        self._branches += 1
        return Scope((*self.path, str(self._branches)), self._anywhere, self._owners)

    def below(self, *parts: str) -> "Scope":
        """A scope below this one. These parts tell its calls apart from all other calls."""
        path = (*self.path, *parts)
        return Scope(path, (*path, ""))


@dataclass(slots=True, eq=False)
class _Branch:
    """A task of a handler, and the task that made it.

    The task gets its scope at the first call that it, or a task below it, makes. So tasks that make no
    call, but wait for tasks of their own, are told apart as well.
    """

    owner: object
    maker: "_Branch | None" = None
    # Weak, because the task holds its context, and the context holds this object.
    task: "ReferenceType[Task] | None" = None
    known_scope: Scope | None = None
    # Whether a call of this task, or of one that it made, has raised because the run is cancelled.
    is_told: bool = False

    def tell(self) -> None:
        """Note this here and for the tasks above, which will get the error."""
        branch: _Branch | None = self
        while branch is not None:
            branch.is_told = True
            branch = branch.maker

    def scope(self) -> Scope:
        """The scope of this task, below the scope of the task that made it."""
        if self.known_scope is None:
            assert self.maker is not None, "the handler's own has its scope from the beginning"
            self.known_scope = self.maker.scope().branch()
        return self.known_scope


_branch: ContextVar[_Branch | None] = ContextVar("atomic_branch", default=None)


def enter_branch(owner: object, scope: Scope) -> None:
    """Give the running task this scope: the handler's, or that of a branch."""
    from asyncio import current_task

    task = current_task()
    assert task is not None, "asyncio runs coroutines in tasks"
    maker = _branch.get()
    is_told = maker is not None and maker.is_told
    _branch.set(_Branch(owner, maker, ref(task), scope, is_told))


def in_new_branch(make: "Callable[[], Task]") -> "Task":
    """Make a task below the running task."""
    maker = _branch.get()
    if maker is None:
        return make()
    branch = _Branch(maker.owner, maker, is_told=maker.is_told)
    # A task begins with a copy of the context in which it is made.
    context = copy_context()
    context.run(_branch.set, branch)
    made = context.run(make)
    branch.task = ref(made)
    return made


def untracked(make: "Callable[[], Task]") -> "Task":
    """Make a task that does not belong to the handler."""
    maker = task_maker.set(None)
    try:
        return make()
    finally:
        task_maker.reset(maker)


def current_scope(owner: object, root: Scope) -> Scope:
    """The scope of the running task, below the scope of the task that made it."""
    branch = current_branch(owner)
    return root if branch is None else branch.scope()


def current_branch(owner: object) -> _Branch | None:
    """The branch of the running task; None outside of the handler."""
    known = _branch.get()
    if known is None or known.owner is not owner:
        return None
    from asyncio import current_task

    task = current_task()
    # A callback does not run in a task.
    if task is not None and known.task is not None and known.task() is not task:
        # The task was made with its own copy of its maker's context.
        known = _Branch(owner, known, ref(task), is_told=known.is_told)
        _branch.set(known)
    return known


def watch(loop: "asyncio.AbstractEventLoop") -> None:
    """Let a loop call `task_maker` for new tasks. The loop's own factory still makes them."""
    if loop in _watched:
        return
    _watched.add(loop)
    factory = loop.get_task_factory() or _new_task
    # Tasks that were made and not requested yet, by their coroutines.
    early: dict[Any, Any] = {}

    def made(loop: "asyncio.AbstractEventLoop", coroutine: Any, **options: Any) -> Any:
        context: Context | None = options.get("context")
        maker = task_maker.get() if context is None else context.get(task_maker)
        if maker is None:
            return factory(loop, coroutine, **options)
        if coroutine not in early:
            for each in _in_order(coroutine):
                make: Callable[[], Any] = partial(factory, loop, each, **options)
                early[each] = maker(make)
        return early.pop(coroutine)

    loop.set_task_factory(made)


def _new_task(loop: "asyncio.AbstractEventLoop", coroutine: Any, **options: Any) -> "Task":
    from asyncio import Task

    return Task(coroutine, loop=loop, **options)


def _in_order(coroutine: Any) -> list[Any]:
    """The coroutines that get tasks together with this one, in the order of the list.

    `as_completed` turns its list into a set, whose order differs between replays. Tasks must start in the
    order of the list, because the task that starts first makes the first call.
    """
    from asyncio import iscoroutine, isfuture

    from atomic.sdk._calls.tasks import list_of_as_completed

    listed = list_of_as_completed()
    has_order = isinstance(listed, Collection) and not isinstance(listed, set | frozenset)
    if has_order and all(isfuture(each) or iscoroutine(each) for each in listed):
        coroutines = [each for each in dict.fromkeys(listed) if iscoroutine(each)]
        return coroutines if coroutine in coroutines else [coroutine]
    return [coroutine]


def name_text(name: str | None) -> str:
    """The name of a call as it is sent to the server; empty for a call without a name."""
    if name is None or (isinstance(name, str) and name):
        return name or ""
    raise InvalidRequestError(f"name: use a text that is not empty, not {name!r}.")


def step_key(run_key: str, position: Position) -> str:
    """The key of a step. Its digest prevents that a key chosen by a user equals a generated one."""
    if position == FIRST:
        return run_key
    key = "" if position.key is None else f"/{position.key}"
    framed = bytearray()
    for part in (run_key, *position.path, key, str(position.number)):
        encoded = utf8("name", part)
        framed += len(encoded).to_bytes(4, "big") + encoded
    digest = hashlib.sha256(framed).hexdigest()[:16]
    readable = position.readable
    if not keys.is_idempotency_key(readable):
        readable = ""
    return f"{(run_key + readable)[:_READABLE_CHARS]}-{digest}"


def step_id(client_id: str, run_id: str, document: dict[str, Any]) -> str:
    """The id that the server will give to a step of this run that has a parent."""
    utf8("name", document.get("stepName", ""))
    called = document.get("stepInvokeUrl") or document["kind"]
    if (run := document.get("run")) is not None:
        child = keys.run_id(client_id, run["workflowName"], run["idempotencyKey"])
        called = keys.called_by_link(child, detached=document.get("detached", False))
    identity = keys.identity(
        client_id,
        document["workflowName"],
        document["parent"],
        called,
        document.get("stepName", ""),
        document["idempotencyKey"],
    )
    return keys.step_id(run_id, identity)


@dataclass(frozen=True, slots=True)
class OpenedEvent:
    """An event that was opened and that no call waits for yet.

    `limits` are the members `deadline` and `heartbeat` of its document that were given.
    """

    name: str
    position: Position
    limits: Mapping[str, int]


@dataclass(slots=True)
class OpenedEvents:
    """The opened events of one call of a handler."""

    _events: list[OpenedEvent] = field(default_factory=list)

    def add(self, event: OpenedEvent) -> None:
        """Note that an event was opened."""
        self._events.append(event)

    def take(self, name: str, path: tuple[str, ...]) -> OpenedEvent | None:
        """The event of this name that the branch at `path` should wait for; each is returned once.

        Events that the branch itself opened come first, then those of its ancestors, the nearest first.
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
