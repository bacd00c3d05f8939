"""Virtual time of a development server: the engine's clock stands still until it is told to move."""

from atomic.adapters.system import SystemClock


class VirtualClock(SystemClock):
    """The engine's clock, which only `move_to` moves. What others compare with their clocks is real."""

    def __init__(self, start_ms: int | None = None) -> None:
        """Without a start, it begins at the time of the wall clock."""
        self.start_ms = self.wall_ms() if start_ms is None else start_ms
        self._now_ms = self.start_ms

    def now_ms(self) -> int:
        """Milliseconds since the epoch, in virtual time."""
        return self._now_ms

    def move_to(self, at_ms: int) -> None:
        """Go on to a time. Never goes back."""
        self._now_ms = max(self._now_ms, at_ms)

    def reset(self) -> None:
        """Begin anew."""
        self._now_ms = self.start_ms
