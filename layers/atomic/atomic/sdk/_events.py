"""Which event a handler waits for: the one it opened before, or another one."""

from dataclasses import dataclass, field

from atomic.sdk._identity import Position


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
