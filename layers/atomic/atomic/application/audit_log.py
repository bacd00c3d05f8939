"""The port to the audit log; a step store implements it as well."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from atomic.domain.acts import Act


@dataclass(frozen=True, slots=True, kw_only=True)
class ActQuery:
    """A filter for acts, newest first. `after` is where the last page ended."""

    client_id: str
    action: str | None = None
    by: str | None = None
    from_ms: int | None = None
    before_ms: int | None = None
    after: tuple[int, str] | None = None
    limit: int = 50

    def fits(self, act: Act) -> bool:
        """Whether the act fits the filter. All stores use this rule."""
        return (
            act.client_id == self.client_id
            and self.action in {None, act.action}
            and self.by in {None, act.by}
            and (self.from_ms is None or act.at_ms >= self.from_ms)
            and (self.before_ms is None or act.at_ms < self.before_ms)
            and (self.after is None or (act.at_ms, act.id) < self.after)
        )


@dataclass(frozen=True, slots=True)
class ActPage:
    """A page of acts. `next_after` is None at the end of the log.

    A store reads a bounded number of rows, so a page may have fewer acts than its limit, or none, and not
    be the last one.
    """

    acts: Sequence[Act]
    next_after: tuple[int, str] | None


class AuditLog(Protocol):
    """The rows of the audit log. They are added and read, and never changed. No run's end removes one.

    Both methods may raise StoreUnavailable.
    """

    async def add_act(self, act: Act, until_ms: int) -> None:
        """Add a row, which is kept until the moment. It survives the end of the process."""
        ...

    async def acts(self, query: ActQuery) -> ActPage:
        """A page of the acts that fit, newest first (by time, then id)."""
        ...
