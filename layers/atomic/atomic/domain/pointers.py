"""Pointers: which run has a key under which only one run goes on (a singleton), or the newest of a burst.

A start asks for one of the two. The store keeps a pointer for each key, which is moved by conditional
writes: `application.{singletons,debounce}` say when. The row of the run decides whether it still goes on,
so a pointer needs no lease, and nothing is written when a run ends.
"""

from dataclasses import dataclass
from typing import Any, Literal

from atomic.domain.flow import SINGLETON_LINE, FlowEntry
from atomic.protocol.constants import DURATION_MAX_MS
from atomic.protocol.enums import OnBusy

PointerKind = Literal["singleton", "debounce"]


@dataclass(frozen=True, slots=True)
class Singleton:
    """At most one run goes on under the key; `on_busy` says what another start does meanwhile."""

    key: str
    on_busy: OnBusy


@dataclass(frozen=True, slots=True)
class Debounce:
    """Of the starts of a burst only the last one runs, `quiet_ms` after it was posted.

    `max_ms`: so long after the first start of the burst, at the latest.
    """

    key: str
    quiet_ms: int
    max_ms: int | None = None

    def due_ms(self, first_ms: int, now_ms: int) -> int:
        """When a start that is posted now runs, if no other follows. The burst began at `first_ms`."""
        due_ms = now_ms + self.quiet_ms
        return due_ms if self.max_ms is None else max(now_ms, min(due_ms, first_ms + self.max_ms))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """The run that has a key. `version` counts writes.

    `is_held`: the run of a singleton was seen to have the key when its row existed. Until then its start is
    under way, and may have been interrupted. `first_ms`: when the burst began. `due_ms`: when its newest
    run is due.
    """

    client_id: str
    kind: PointerKind
    key: str
    run_id: str
    version: int = 1
    is_held: bool = False
    first_ms: int = 0
    due_ms: int = 0
    expires_at_ms: int


def kept_until_ms(now_ms: int, retention_ms: int) -> int:
    """Until when a pointer is kept: longer than a run goes on that does not go on as another one."""
    return now_ms + DURATION_MAX_MS + retention_ms


def line_of(singleton: Singleton) -> FlowEntry:
    """The line in which the runs of a key wait for each other."""
    return FlowEntry(key=SINGLETON_LINE + singleton.key, concurrency=1, scope="run")


def is_line(entry: FlowEntry) -> bool:
    """Whether this is such a line, and not a key that the start has named."""
    return entry.key.startswith(SINGLETON_LINE)


def singleton_record(asked: Singleton) -> list[Any]:
    """As a JSON value, for rows."""
    return [asked.key, asked.on_busy]


def debounce_record(asked: Debounce) -> list[Any]:
    """As a JSON value, for rows."""
    return [asked.key, asked.quiet_ms, asked.max_ms]
