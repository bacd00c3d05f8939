"""What is due: live steps, by an index for each client, and schedules."""

from collections.abc import Iterator
from itertools import starmap
from operator import itemgetter
from typing import Any

import apsw

from atomic.adapters.sqlite import queries
from atomic.adapters.sqlite.schedules import due_schedules
from atomic.application.ports import DueStep
from atomic.application.round_robin import due_in_turns, in_turns


def due(timers: apsw.Connection, before_ms: int, limit: int) -> list[DueStep]:
    """What is due before the moment, clients in turns, the most overdue first."""
    clients = timers.execute(queries.DUE_CLIENTS, {"before_ms": before_ms, "limit": limit}).fetchall()
    rows = {
        client_id: timers.execute(queries.DUE_OF_CLIENT, {"client_id": client_id, "before_ms": before_ms})
        for client_id, _ in clients
    }
    lines: list[tuple[Any, Iterator[DueStep]]] = [
        (due_at_ms, starmap(DueStep, rows[client_id])) for client_id, due_at_ms in clients
    ]
    if schedules := due_in_turns(due_schedules(timers, before_ms, limit), limit):
        lines.append((schedules[0].due_at_ms, iter(schedules)))
    try:
        return in_turns([line for _, line in sorted(lines, key=itemgetter(0))], limit)
    finally:
        for each in rows.values():
            each.close()
