"""The live roots and the dead letters of a client, read in pages for maintenance.

Only entries of indexes are read, never rows. Of a page, only what is overdue comes over the network, and
DynamoDB counts the rest. So a page takes little memory and time, however many roots a client has.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

from atomic.adapters.aws import table
from atomic.adapters.aws.listing import Index, Range
from atomic.application.maintenance import RootPage
from atomic.application.ports import DueStep
from atomic.protocol.enums import LIVE, Status

# Entries of one page: some 150 KB of them, or 20 read units. If all are overdue, each is a message, and the
# page is finished before the time is looked at.
_PAGE: Final = 1_000
# A part is read at a sixth of what its partition bears (3,000 units a second), so that lists go on.
_PAGE_EVERY_S: Final = 1 / 16
_DEAD: Final = "dead"


class DynamoLiveRoots:
    """Implements `maintenance.LiveRoots`. A part is a partition of an index, without the client's name."""

    def __init__(self, roots: Index, failed: Index) -> None:
        self._roots = roots
        self._failed = failed

    def parts(self, client_id: str) -> Mapping[str, Status]:
        """The partitions of the live roots, and those of the dead letters."""
        parts = {
            partition.removeprefix(f"{client_id}#"): status
            for status in sorted(LIVE)
            for partition in table.list_partitions(client_id, status)
        }
        dead = (partition.removeprefix(client_id) for partition in table.failed_partitions(client_id))
        return parts | {_DEAD + shard: Status.FAILED for shard in dead}

    async def page(self, client_id: str, part: str, *, after: str, due_before_ms: int) -> RootPage:
        """A page of a part, the oldest steps first. A dead letter is due while it owes something."""
        began_s = time.monotonic()
        wanted = Range(first=_next(after), newest_first=False, due_before_ms=due_before_ms, page=_PAGE)
        is_dead = part.startswith(_DEAD)
        index = self._failed if is_dead else self._roots
        found = await index.page(f"{client_id}#{part.removeprefix(_DEAD + '#')}", wanted, None)
        overdue = [
            DueStep(table.id_of(entry["at"]["S"]), client_id, int(entry["d"]["N"]))
            for entry in found["Items"]
        ]
        return RootPage(found["ScannedCount"], overdue, await _ended(found, began_s))

    async def old_runs(
        self, client_id: str, part: str, *, after: str, before_ms: int, limit: int
    ) -> tuple[list[tuple[int, str]], str | None]:
        """The creation time and the run of live roots of a part, the oldest first, and where they end."""
        began_s = time.monotonic()
        wanted = Range(first=_next(after), end=table.age(before_ms), newest_first=False, page=limit)
        if wanted.first >= wanted.end:
            return [], None
        found = await self._roots.page(f"{client_id}#{part}", wanted, None)
        runs = [(table.created_of(entry["at"]["S"]), entry["pk"]["S"]) for entry in found["Items"]]
        return runs, await _ended(found, began_s)


def _next(after: str) -> str:
    """The lowest sort key above the one where a page ended."""
    return f"{after}!" if after else Range().first


async def _ended(found: Any, began_s: float) -> str | None:
    """Where a page ended; None at the end of the part. Waits until the next page may be read."""
    if "LastEvaluatedKey" not in found:
        return None
    await asyncio.sleep(max(0.0, began_s + _PAGE_EVERY_S - time.monotonic()))
    return str(found["LastEvaluatedKey"]["at"]["S"])
