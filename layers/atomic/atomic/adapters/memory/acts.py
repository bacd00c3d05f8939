"""The audit log in a list: that of simulations and of users' tests."""

from atomic.application.audit_log import ActPage, ActQuery
from atomic.domain.acts import Act


class MemoryAuditLog:
    """Implements `ports.AuditLog`."""

    def __init__(self) -> None:
        self._acts: list[tuple[Act, int]] = []

    async def add_act(self, act: Act, until_ms: int) -> None:
        """Add a row."""
        self._acts.append((act, until_ms))

    async def acts(self, query: ActQuery) -> ActPage:
        """A page of the acts that fit, newest first."""
        fitting = [act for act, _ in self._acts if query.fits(act)]
        page = sorted(fitting, key=_age, reverse=True)[: query.limit]
        return ActPage(page, _age(page[-1]) if len(fitting) > len(page) else None)

    def _purge_acts(self, now_ms: int) -> None:
        self._acts = [(act, until_ms) for act, until_ms in self._acts if until_ms > now_ms]


def _age(act: Act) -> tuple[int, str]:
    return act.at_ms, act.id
