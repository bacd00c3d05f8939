"""Which items of the table each function reads and writes. The roles of template.yaml allow no more.

A test compares the two, and runs the functions within their roles. The functions that call endpoints talk
to strangers: they cannot change a client or a key.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from atomic.adapters.aws.table import CLIENT, KEY, LEASE, RATE, RUN, STORED


@dataclass(frozen=True, slots=True)
class Access:
    """Beginnings of the partition keys that a function reads and writes, and the indexes it queries."""

    reads: frozenset[str]
    writes: frozenset[str]
    indexes: frozenset[str] = frozenset()


_INVOKER: Final = Access(
    reads=frozenset({RUN, STORED, LEASE, CLIENT}), writes=frozenset({RUN, RATE, STORED, LEASE})
)
# By the name of the function's role in template.yaml.
ACCESS: Final[Mapping[str, Access]] = {
    "ApiRole": Access(
        reads=frozenset({RUN, STORED, CLIENT, KEY}),
        writes=frozenset({RUN, RATE, STORED, CLIENT, KEY}),
        indexes=frozenset({"list", "failed"}),
    ),
    "StepsRole": Access(
        reads=frozenset({RUN, STORED, CLIENT, KEY}),
        writes=frozenset({RUN, RATE, STORED}),
        indexes=frozenset({"list", "failed"}),
    ),
    "InvokerRole": _INVOKER,
    "LongInvokerRole": _INVOKER,
    "MaintenanceRole": Access(reads=frozenset({RUN}), writes=frozenset({RUN}), indexes=frozenset({"list"})),
}
