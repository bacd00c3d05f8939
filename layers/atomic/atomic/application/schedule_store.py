"""The port to the rows of schedules; a step store implements it as well."""

from collections.abc import Sequence
from typing import Protocol

from atomic.domain.schedules import Schedule


class Schedules(Protocol):
    """The rows of schedules. Every method may raise StoreUnavailable.

    A row that is written or deleted survives the end of the process and of the machine.
    """

    async def get_schedule(self, client_id: str, name: str) -> Schedule | None:
        """The newest acknowledged row."""
        ...

    async def create_schedule(self, schedule: Schedule) -> Schedule | None:
        """Insert the row unless its name is taken: None when inserted, otherwise the existing row."""
        ...

    async def replace_schedule(self, schedule: Schedule, expected_version: int) -> Schedule | None:
        """Write the row if it still has the expected version.

        None when written, otherwise the existing row. Raises LookupError when there is none.
        """
        ...

    async def delete_schedule(self, client_id: str, name: str) -> bool:
        """Delete the row; whether there was one."""
        ...

    async def list_schedules(self, client_id: str, *, after: str, limit: int) -> Sequence[Schedule]:
        """The schedules of a client in the order of their names, beginning after the given name."""
        ...
