"""Which key a step of a handler gets: the same in every replay, another one for every call.

The first call of a URL gets the run's own key, as a handler without an SDK would send. Further calls of the
same URL are numbered in the order they are made. Each asyncio task numbers its own: tasks of one `gather`
finish in another order each time, but they start in the same one.
"""

import hashlib
from collections import Counter
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from atomic.protocol.keys import is_idempotency_key

if TYPE_CHECKING:
    # A seventh of the SDK's import: who has asyncio tasks has imported it.
    import asyncio

_READABLE_CHARS: Final = 200


@dataclass(slots=True)
class Scope:
    """Numbers the calls of one strand of a handler; `path` tells which, empty for the handler itself."""

    path: str = ""
    _calls: Counter[str] = field(default_factory=Counter)
    _strands: int = 0

    def suffix(self, url: str) -> str:
        """What tells this call of a URL from the others; empty for the handler's first."""
        self._calls[url] += 1
        number = self._calls[url]
        return self.path + (f"#{number}" if number > 1 else "")

    def strand(self) -> "Scope":
        """The next strand that begins in this one."""
        self._strands += 1
        return Scope(f"{self.path}@{self._strands}")


@dataclass(frozen=True, slots=True)
class _Strand:
    owner: object
    task: "asyncio.Task[Any] | None"
    scope: Scope


_strand: ContextVar[_Strand | None] = ContextVar("atomic_strand", default=None)


def enter_strand(owner: object, scope: Scope) -> None:
    """The running task is the handler itself."""
    from asyncio import current_task

    _strand.set(_Strand(owner, current_task(), scope))


def current_scope(owner: object, root: Scope) -> Scope:
    """The scope of the running task: its own, below that of the task that made it."""
    known = _strand.get()
    if known is None or known.owner is not owner:
        return root
    from asyncio import current_task

    task = current_task()
    if known.task is not task:
        # A task begins with a copy of its maker's context, so what stands there is the maker's strand.
        known = _Strand(owner, task, known.scope.strand())
        _strand.set(known)
    return known.scope


def step_key(run_key: str, suffix: str) -> str:
    """The key of a step. The digest keeps a key that somebody chose from meeting one that was made here."""
    if not suffix:
        return run_key
    framed = f"{len(run_key)}:{run_key}{suffix}".encode()
    digest = hashlib.sha256(framed).hexdigest()[:16]
    readable = suffix if is_idempotency_key(suffix) else ""
    return f"{(run_key + readable)[:_READABLE_CHARS]}-{digest}"
