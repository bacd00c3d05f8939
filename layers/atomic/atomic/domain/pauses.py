"""A pause of a run, and the rest of a step that is due meanwhile: what rows keep of both."""

from dataclasses import dataclass
from typing import Final

# A step at rest looks by itself whether its run goes on: a resume may have been interrupted. The longer it
# has rested, the less often.
_LOOK_FIRST_MS: Final = 60_000
_LOOK_MAX_MS: Final = 24 * 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Nothing of the run is called from `since_ms` to `until_ms`; None until it is resumed.

    `by`: the step because of which the run was paused: one that has used its last retry
    (`retry.then`), the link that has started the run, or the root that it goes on for.
    """

    since_ms: int
    until_ms: int | None = None
    note: str = ""
    by: str = ""

    def is_over(self, now_ms: int) -> bool:
        """Whether the pause has ended by itself."""
        return self.until_ms is not None and self.until_ms <= now_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """A step rests since `since_ms`; without its rest, it would be due at `due_ms` (0: at once).

    `exhausted`: its retries are used up, so only a resume of its run goes on with it.
    """

    since_ms: int
    due_ms: int = 0
    exhausted: bool = False

    def look_at_ms(self, now_ms: int) -> int:
        """When the step looks next whether it may go on."""
        rested_ms = now_ms - self.since_ms
        return now_ms + min(max(rested_ms, _LOOK_FIRST_MS), _LOOK_MAX_MS)
