"""Schedules in a dict: those of simulations and of users' tests."""

from collections.abc import Sequence

from atomic.application.ports import DueStep
from atomic.domain.schedules import Schedule


class MemorySchedules:
    """Implements `ports.Schedules`."""

    def __init__(self) -> None:
        self._schedules: dict[tuple[str, str], Schedule] = {}

    async def get_schedule(self, client_id: str, name: str) -> Schedule | None:
        """The schedule of this name."""
        return self._schedules.get((client_id, name))

    async def create_schedule(self, schedule: Schedule) -> Schedule | None:
        """Insert the schedule unless its name is taken."""
        existing = self._schedules.setdefault((schedule.client_id, schedule.name), schedule)
        return None if existing is schedule else existing

    async def replace_schedule(self, schedule: Schedule, expected_version: int) -> Schedule | None:
        """Write the schedule if it has the expected version; raises LookupError if there is none."""
        existing = self._schedules.get((schedule.client_id, schedule.name))
        if existing is None:
            raise LookupError(schedule.id)
        if existing.version != expected_version:
            return existing
        self._schedules[schedule.client_id, schedule.name] = schedule
        return None

    async def delete_schedule(self, client_id: str, name: str) -> bool:
        """Delete the schedule; whether there was one."""
        return self._schedules.pop((client_id, name), None) is not None

    async def list_schedules(self, client_id: str, *, after: str, limit: int) -> Sequence[Schedule]:
        """A page of the client's schedules in the order of their names."""
        found = [
            schedule
            for (owner, name), schedule in self._schedules.items()
            if owner == client_id and name > after
        ]
        return sorted(found, key=lambda schedule: schedule.name)[:limit]

    def _due_schedules(self, before_ms: int) -> list[DueStep]:
        return [
            DueStep(schedule.id, schedule.client_id, due_at_ms)
            for schedule in self._schedules.values()
            if (due_at_ms := schedule.found_due_ms) is not None and due_at_ms < before_ms
        ]
