"""Which items of the table each function reads and writes. The roles of template.yaml allow no more.

A test compares the two, and runs the functions within their roles. The functions that call endpoints talk
to strangers: they cannot change a client or a key.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from atomic.adapters.aws.table import (
    ACTS,
    CLIENT,
    COUNT,
    ENDED,
    FLOW,
    HOURS,
    KEY,
    LEASE,
    LINE,
    POINTER,
    RATE,
    RUN,
    SCHEDULE,
    STORED,
    TAG,
)


@dataclass(frozen=True, slots=True)
class Access:
    """Beginnings of the partition keys that a function reads and writes, and the indexes it queries.

    Of what it writes, it deletes items under `deletes` alone.
    """

    reads: frozenset[str]
    writes: frozenset[str]
    deletes: frozenset[str] = frozenset({LINE})
    indexes: frozenset[str] = frozenset()


_INVOKER: Final = Access(
    reads=frozenset({RUN, STORED, LEASE, CLIENT, COUNT, FLOW, LINE, POINTER}),
    writes=frozenset({RUN, RATE, STORED, LEASE, ENDED, FLOW, LINE, POINTER, TAG}),
    # A step that starts a run counts the client's live runs. The list of clients is left out.
    indexes=frozenset({"list"}),
)
# By the name of the function's role in template.yaml.
ACCESS: Final[Mapping[str, Access]] = {
    "ApiRole": Access(
        reads=frozenset({RUN, STORED, CLIENT, KEY, COUNT, SCHEDULE, FLOW, LINE, POINTER, TAG, ACTS, HOURS}),
        # Runs are erased.
        deletes=frozenset({LINE, RUN, TAG}),
        # A retention is written with its client, and told to maintenance by the item of counts.
        writes=frozenset(
            {RUN, RATE, STORED, CLIENT, KEY, COUNT, ENDED, SCHEDULE, FLOW, LINE, POINTER, TAG, ACTS}
        ),
        indexes=frozenset({"list", "failed"}),
    ),
    "StepsRole": Access(
        reads=frozenset({RUN, STORED, CLIENT, KEY, COUNT, FLOW, LINE, POINTER}),
        writes=frozenset({RUN, RATE, STORED, ENDED, FLOW, LINE, POINTER, TAG, ACTS}),
        indexes=frozenset({"list"}),
    ),
    # Wake-ups of schedules and of bulks come by the queue of short attempts. A bulk may erase runs.
    "InvokerRole": replace(
        _INVOKER,
        reads=_INVOKER.reads | {SCHEDULE, TAG},
        writes=_INVOKER.writes | {SCHEDULE},
        deletes=_INVOKER.deletes | {RUN, TAG},
    ),
    "LongInvokerRole": _INVOKER,
    "MaintenanceRole": Access(
        reads=frozenset({RUN, COUNT, ENDED, SCHEDULE, FLOW, LINE, HOURS}),
        writes=frozenset({RUN, COUNT, FLOW, LINE, TAG, HOURS}),
        indexes=frozenset({"list", "failed"}),
    ),
}
