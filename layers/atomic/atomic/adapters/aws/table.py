"""The table: its keys, its two sparse indexes, and the short names of its attributes.

A write is billed by the size of the whole item with its names, so they have one or two letters.

| attribute | in | what |
|---|---|---|
| pk, sk | every item | run id and position; `client#<id>` and `client`; `key#<key id>` and `key` |
| v, c | steps | version, created_at_ms; clients and schedules have v too |
| s, g | steps | the records `spec` and `progress`, deflated with a dictionary of their own |
| p, r | steps | payload and text of the response, unless stored apart: a string, or bytes when deflated |
| x | steps with large texts | when the first of these may be deleted unless it is kept, in epoch s |
| y | roots with tags | when the items of the tags may be deleted unless they are kept, in epoch s |
| w, k | tags | as of the root; pk `tag#<client>#<shard>#<tag>`, sk as `at` |
| t | large texts | the text, deflated; pk the run id, sk `~<position>#<digest>` |
| lp | roots | partition of the listing index: `<client>#<status>#<shard>` (see `is_begun_inline`) |
| fp | dead letters | partition of the index of dead letters: `<client>#<shard>` |
| at | roots, dead letters | sort key of both indexes: `<created_at_ms, 13 digits>#<step id>` |
| e | failed roots | id of the cause, as `mark_of` has it |
| w, k, d | roots, dead letters | workflow name, idempotency key, due_at_ms: what lists filter and show |
| b | days of stored bytes | how many; pk `stored#<client>`, sk the day since the epoch in 8 digits |
| b | notes of runs that end or are called | until when rows are kept; pk `ended#<client>`, sk as `at` |
| h, u, i, z | leases | holder, until when, runs inside, until when the destination is slow (see `leases`) |
| f | rates | when a bucket of starts is full again, in microseconds; pk `rate#<client>`, sk `rate` |
| s | acts | record; pk `audit#<client>`, sk as `at` with the act's id |
| s, p, d | schedules | record, payload, due_at_ms; pk `schedule#<client>`, sk the name |
| n, t, o, x, xt, u, e, m | counts | see `client_counts`; pk `count#<client>`, sk `count` |
| v, r, s, l, u, n, o, m, b, f | flow control | see `flow_items`; pk `flow#…` and `line#…` |
| j, c | hours of counters | numbers by workflow, when counted; see `counter_items` |
| j, h, y, d | pointers | run id, whether it is held, first_ms, due_ms; see `pointer_items` for pk |
| o, tk | roots of runs being erased | client, keys of the items of its tags; see `erased_runs` |
| ttl | settled steps, open events, days, leases, rates, keys, pointers, tags, acts … | expiry in epoch s |

A note of a run is an item like a step, with a sort key above those of all steps; large texts are above
both, and no query reads them. Texts above 64 KiB, deflated, are in the bucket (`blob_items`). Clients have
`lp` = `clients`, `at` = their id, and a `record`; a key has `client`, its owner. A lease has pk
`lease#<client>#<origin>` and sk `<invoker>#<number>`.
"""

from typing import Any, Final

from atomic.domain.steps import Step
from atomic.protocol.enums import Status

# Beginnings of the partition keys, by which the roles of the functions say what they may touch
# (`entrypoints.aws.access`).
RUN: Final = "run_"
CLIENT: Final = "client#"
KEY: Final = "key#"
RATE: Final = "rate#"
STORED: Final = "stored#"
COUNT: Final = "count#"
ENDED: Final = "ended#"
LEASE: Final = "lease#"
SCHEDULE: Final = "schedule#"
FLOW: Final = "flow#"
LINE: Final = "line#"
POINTER: Final = "pointer#"
TAG: Final = "tag#"
ACTS: Final = "audit#"
HOURS: Final = "hours#"

LIST_INDEX: Final = "list"
FAILED_INDEX: Final = "failed"
CLIENTS_PARTITION: Final = "clients"
# An index partition takes 1000 writes a second, and an index that is throttled throttles its table.
SHARDS: Final = 4
# Before the id of a cause, in the index: the run was dismissed.
DISMISSED: Final = "!"
_TIME_MAX_MS: Final = 9_999_999_999_999


def _index(name: str, partition: str, *shown: str) -> dict[str, Any]:
    return {
        "IndexName": name,
        "KeySchema": [
            {"AttributeName": partition, "KeyType": "HASH"},
            {"AttributeName": "at", "KeyType": "RANGE"},
        ],
        "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": [*shown]},
    }


# The arguments of CreateTable besides the name; `template.yaml` has the same.
TABLE: Final[dict[str, Any]] = {
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [
        {"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "lp", "fp", "at")
    ],
    "KeySchema": [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ],
    "GlobalSecondaryIndexes": [
        _index(LIST_INDEX, "lp", "w", "k", "d", "e"),
        _index(FAILED_INDEX, "fp", "w", "k", "d"),
    ],
}
TTL: Final = {"AttributeName": "ttl", "Enabled": True}


def key_of(step_id: str) -> dict[str, Any]:
    """The key of a step's item."""
    run_id, _, position = step_id.rpartition("-")
    return {"pk": {"S": run_id}, "sk": {"S": position}}


def list_partition(root: Step, status: Status) -> str:
    """The partition of the listing index for a root in this state."""
    return f"{root.spec.client_id}#{status.value}#{shard_of(root)}"


def mark_of(cause_id: str, *, dismissed: bool) -> str:
    """How a failed root is marked with its cause: filters tell dismissed ones apart."""
    return f"{DISMISSED}{cause_id}" if dismissed else cause_id


def list_partitions(client_id: str, status: str) -> list[str]:
    """The partitions of the listing index that hold a client's runs in a state."""
    return [f"{client_id}#{status}#{shard}" for shard in range(SHARDS)]


def failed_partitions(client_id: str) -> list[str]:
    """The partitions of the index of dead letters that hold a client's failed steps."""
    return [f"{client_id}#{shard}" for shard in range(SHARDS)]


def tag_partitions(client_id: str, tag: str) -> list[str]:
    """The partitions that hold a client's runs with a tag, by their shards."""
    return [f"{TAG}{client_id}#{shard}#{tag}" for shard in range(SHARDS)]


def is_begun_inline(step: Step) -> bool:
    """Whether the row says no more than that its first attempt was begun when it was created.

    Such a root is in the listing index as if it had succeeded. Most soon have, and then the entry stays as
    it is: one index write instead of three.
    """
    return step.version == 1 and step.status is Status.RUNNING and step.attempt_count == 1


def shard_of(step: Step) -> int:
    """A run's shard; its id is a hash already."""
    return int(step.spec.run_id[-8:], 16) % SHARDS


def age(created_at_ms: int, step_id: str = "") -> str:
    """The sort key of both indexes; without an id it is below all steps of that moment."""
    time = f"{max(0, min(created_at_ms, _TIME_MAX_MS)):013d}"
    return f"{time}#{step_id}" if step_id else time


def created_of(age: str) -> int:
    """The creation time inside a sort key of an index."""
    return int(age.partition("#")[0])


def id_of(age: str) -> str:
    """The step id inside a sort key of an index."""
    return age.partition("#")[2]
