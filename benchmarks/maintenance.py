"""Sweeps a stack as large as wanted, in one process with little memory: its table is made up as it is read.

    python benchmarks/maintenance.py --clients 100000 --roots 5000000

The function, its adapters and botocore's clients are the real ones. What DynamoDB and SQS would answer is
made in this process, a page at a time: most clients have three live roots, one has all the others. One root
in a thousand is overdue. Prints the time, the peak of memory, and what was read and sent.
"""

import argparse
import json
import os
import resource
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, Final
from unittest.mock import patch

from atomic.adapters.aws import live_roots, table
from atomic.protocol.enums import LIVE

MEMORY_MB: Final = 512
ENVIRON: Final = {
    "ATOMIC_TABLE": "atomic", "ATOMIC_QUEUE_URL": "https://sqs/steps", "ATOMIC_QUEUE_ARN": "arn:steps",
    "ATOMIC_LONG_QUEUE_URL": "https://sqs/long", "ATOMIC_LONG_QUEUE_ARN": "arn:long",
    "ATOMIC_DEAD_LETTER_QUEUE_URL": "https://sqs/dead", "ATOMIC_DEAD_LETTER_QUEUE_ARN": "arn:dead",
    "ATOMIC_MAINTENANCE_QUEUE_URL": "https://sqs/maintenance", "ATOMIC_SCHEDULE_GROUP": "atomic",
    "ATOMIC_SCHEDULE_ROLE_ARN": "arn:role", "ATOMIC_RETENTION_DAYS": "30", "ATOMIC_WAIT_MAX_MS": "25000",
    "ATOMIC_WATCHDOG_QUEUE_URL": "https://sqs/watch", "ATOMIC_WATCHDOG_QUEUE_ARN": "arn:watch",
    "ATOMIC_BUCKET": "atomic", "ATOMIC_STAGE": "test", "ATOMIC_ALLOW_PRIVATE": "false",
    "ATOMIC_KEY_PEPPER": "p" * 32,
    "POWERTOOLS_SERVICE_NAME": "atomic", "POWERTOOLS_METRICS_NAMESPACE": "Atomic",
}  # fmt: skip
_OVERDUE_ONE_IN: Final = 1_000
_PARTITIONS: Final = len(LIVE) * table.SHARDS
_ENTRY_BYTES: Final = 180


class Made:
    """What the table and the queues answer."""

    def __init__(self, clients: int, roots: int) -> None:
        self.clients = clients
        few = 3 * (clients - 1)
        self.huge = max(0, roots - few)
        self.queue: deque[str] = deque()
        self.calls: Counter[str] = Counter()
        self.entries = 0
        self.read_units = 0.0
        self.seen = 0
        self._lock = threading.Lock()

    def answer(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        """The answer to a call."""
        with self._lock:
            self.calls[operation] += 1
        if operation == "Query":
            return self._query(asked)
        if operation == "SendMessageBatch":
            self.queue.extend(entry["MessageBody"] for entry in asked["Entries"])
        if operation == "UpdateItem" and "#n" in asked["UpdateExpression"]:
            live = json.loads(asked["ExpressionAttributeValues"][":n"]["S"])
            with self._lock:
                self.seen += sum(live.values())
        return {}

    def _query(self, asked: dict[str, Any]) -> dict[str, Any]:
        values = asked["ExpressionAttributeValues"]
        if ":clients" in values:
            return self._page_of_clients(values[":after"]["S"], asked["Limit"])
        if ":pk" in values or ":keys" in values:
            with self._lock:
                self.read_units += 0.5
            # The client has no schedules, and no keys of flow control.
            return {"Items": []}
        partition = values[":partition"]["S"]
        client_id, _, part = partition.partition("#")
        state, _, shard = part.partition("#")
        number = 0 if not shard else self._roots_in(client_id, state, int(shard))
        first = int(values[":first"]["S"].partition("#")[0])
        begin = 0 if values[":first"]["S"] == "0" else first + 1
        end = min(begin + asked["Limit"], number)
        with self._lock:
            self.entries += max(0, end - begin)
            self.read_units += max(0.5, (end - begin) * _ENTRY_BYTES / 8192)
        overdue = range(-(-begin // _OVERDUE_ONE_IN) * _OVERDUE_ONE_IN, end, _OVERDUE_ONE_IN)
        page = {"Items": [_entry(nth) for nth in overdue], "ScannedCount": max(0, end - begin)}
        page["Count"] = len(page["Items"])
        return page if end >= number else {**page, "LastEvaluatedKey": _entry(end - 1)}

    def _page_of_clients(self, after: str, limit: int) -> dict[str, Any]:
        begin = 0 if after == " " else int(after[1:]) + 1
        names = (f"c{nth:09d}" for nth in range(begin, min(begin + limit, self.clients)))
        return {"Items": [{"at": {"S": name}} for name in names]}

    def _roots_in(self, client_id: str, state: str, shard: int) -> int:
        if client_id != f"c{self.clients // 2:09d}":
            return int(shard < 3) if state == "waiting" else 0
        nth = sorted(LIVE).index(next(each for each in LIVE if each.value == state)) * table.SHARDS + shard
        return self.huge // _PARTITIONS + (nth < self.huge % _PARTITIONS)


def _entry(nth: int) -> dict[str, Any]:
    run_id = f"run_{nth:032x}"
    return {
        "pk": {"S": run_id},
        "sk": {"S": "root"},
        "d": {"N": "1"},
        "at": {"S": f"{nth:013d}#{run_id}-root"},
    }


@contextmanager
def made(answers: Made) -> Iterator[None]:
    """No call of botocore leaves the process."""

    def call(_: Any, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        return answers.answer(operation, asked)

    with patch("botocore.client.BaseClient._make_api_call", call):
        yield


def sweep(clients: int, roots: int) -> Made:
    """A whole round: the tick, and every message until none is left."""
    from atomic.entrypoints.aws.maintenance import MaintenanceFunction  # after the limits are set

    answers = Made(clients, roots)
    with made(answers):
        function = MaintenanceFunction(ENVIRON)
        function({"work": "sweep"}, None)
        while answers.queue:
            bodies = [answers.queue.popleft() for _ in range(min(10, len(answers.queue)))]
            records = [{"messageId": str(nth), "body": body} for nth, body in enumerate(bodies)]
            assert function({"Records": records}, None) == {"batchItemFailures": []}
        function.runtime.close()
    assert answers.seen == 3 * (clients - 1) + answers.huge, answers.seen
    return answers


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clients", type=int, default=100_000)
    parser.add_argument("--roots", type=int, default=5_000_000)
    parser.add_argument("--paced", action="store_true", help="read as slowly as on AWS")
    options = parser.parse_args()
    os.environ |= {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
    }
    # The stack of a thread is counted as if it were used.
    threading.stack_size(512 * 1024)
    limit = MEMORY_MB * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    pause_s = live_roots._PAGE_EVERY_S if options.paced else 0.0
    began_s = time.monotonic()
    # The function prints its metrics.
    with (
        patch.object(live_roots, "_PAGE_EVERY_S", pause_s),
        open(os.devnull, "w") as nowhere,
        redirect_stdout(nowhere),
    ):
        answers = sweep(options.clients, options.roots)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{options.clients} clients, {answers.seen} live roots: {time.monotonic() - began_s:.1f} s")
    print(f"peak of memory {peak_mb:.0f} MB, address space limited to {MEMORY_MB} MB")
    print(
        f"{answers.entries} entries read, {answers.read_units:.0f} read units; calls {dict(answers.calls)}"
    )


if __name__ == "__main__":
    main()
