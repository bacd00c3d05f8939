"""Keeps the rows of runs that live longer than their finished steps are kept.

DynamoDB deletes a row when its time is over. A finished step of a live run must stay: a handler that is
called again gets its outcome, and without it the step would be called again. So the expiry of all rows of
a long run is postponed, once in each period, which is a day shorter than the retention. This reads the
run; nothing else tells which of its rows expire.

A run that ends after more than a day leaves a note. Its rows are then kept as long as its root. So does
one that is called, or redriven, for the first time in a period: its rows are kept until the next one. The
daily walk may not find it, since it moves from one part to another while it is called.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from atomic.adapters.aws import rows, table
from atomic.adapters.aws.calls import AwsCalls
from atomic.adapters.aws.live_roots import DynamoLiveRoots
from atomic.application.batches import for_each
from atomic.application.maintenance import Walk
from atomic.domain.steps import Step
from atomic.protocol.enums import LIVE, Status

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

DAY_MS: Final = 24 * 3600 * 1000
# The part of a walk that has the notes.
ENDED: Final = "ended"
# Runs of one page, which are read at the same time.
_PAGE: Final = 25
# A note that a walk has seen, or that was written while a clock was wrong, is seen once more.
_OVERLAP_MS: Final = 3_600_000
_NOTE_KEPT_MS: Final = 14 * DAY_MS

# Postpones the expiry of the rows of a run that expire before a moment, to another one.
Keep = Callable[[str, int, int], Awaitable[None]]


def noted(step: Step) -> tuple[int, int] | None:
    """What is noted with this write of a root: now, in ms, and until when its rows are kept, in s."""
    if not step.is_root:
        return None
    if step.finished_at_ms is not None:
        is_long = step.finished_at_ms - step.created_at_ms > DAY_MS
        return (step.finished_at_ms, rows.ttl_s(step) or 0) if is_long else None
    times_ms = [step.created_at_ms, *(made.started_at_ms for made in step.attempt_log[-2:])]
    if _is_redriven(step):
        # It is due at once.
        times_ms.append(step.due_at_ms or 0)
    elif step.status is not Status.RUNNING:
        return None
    before_ms, now_ms = times_ms[-2:]
    if not _has_new_period(step.created_at_ms, before_ms, now_ms, _period_ms(step.spec.retention_ms)):
        return None
    return now_ms, (now_ms + step.spec.retention_ms + 2 * DAY_MS) // 1000 + rows.GRACE_S


def _is_redriven(step: Step) -> bool:
    """Whether no attempt has begun since the step was redriven."""
    last = step.attempt_log[-1].generation if step.attempt_log else 1
    return last < step.generation


def _period_ms(retention_ms: int) -> int:
    return max(retention_ms - DAY_MS, DAY_MS)


def _has_new_period(created_ms: int, before_ms: int, now_ms: int, period_ms: int) -> bool:
    """Whether another period of a run has begun since a moment before, however long ago that was."""
    return (now_ms - created_ms) // period_ms > (before_ms - created_ms) // period_ms


class EndedRuns:
    """The notes of runs that have ended, or that go on. Methods block, and raise the errors of botocore."""

    def __init__(self, client: "DynamoDBClient", table_name: str) -> None:
        self._client = client
        self._table = table_name

    def note(self, root: Step, at_ms: int, until_s: int) -> None:
        """Note until when the rows of a run are kept: one write."""
        self._client.put_item(
            TableName=self._table,
            Item={
                "pk": _partition(root.spec.client_id),
                "sk": {"S": table.age(at_ms, root.spec.run_id)},
                "b": {"N": str(until_s)},
                "ttl": {"N": str((at_ms + _NOTE_KEPT_MS) // 1000)},
            },
        )

    def page(self, client_id: str, first: str, limit: int) -> list[tuple[str, str, int]]:
        """Notes from a sort key on: their sort key, the run, and until when its rows are kept."""
        found = self._client.query(
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND sk >= :first",
            ExpressionAttributeValues={":pk": _partition(client_id), ":first": {"S": first}},
            Limit=limit,
        )
        items: list[Any] = found["Items"]
        return [(item["sk"]["S"], table.id_of(item["sk"]["S"]), int(item["b"]["N"])) for item in items]


class LongRuns:
    """Postpones the expiry of what long runs need."""

    def __init__(self, calls: AwsCalls, roots: DynamoLiveRoots, ended: EndedRuns, keep: Keep) -> None:
        self._calls = calls
        self._roots = roots
        self._ended = ended
        self._keep = keep

    def parts(self, client_id: str) -> list[str]:
        """The parts of a walk."""
        live = [part for part, state in self._roots.parts(client_id).items() if state in LIVE]
        return [*live, ENDED]

    async def extend(self, walk: Walk, retention_ms: int, may_go_on: Callable[[], bool]) -> None:
        """Walk on. `retention_ms` is the shortest retention that was ever in force."""
        period_ms = _period_ms(retention_ms)

        async def read(part: str, after: str) -> str | None:
            if part == ENDED:
                return await self._keep_ended(walk, after)
            return await self._keep_live(walk, part, after, period_ms)

        await walk.go_on(read, may_go_on)

    async def _keep_live(self, walk: Walk, part: str, after: str, period_ms: int) -> str | None:
        found, ended = await self._roots.old_runs(
            walk.client_id, part, after=after, before_ms=walk.began_ms - period_ms + 1, limit=_PAGE
        )
        last_ms, now_ms = walk.last_began_ms, walk.began_ms
        due = [run_id for at_ms, run_id in found if _has_new_period(at_ms, last_ms, now_ms, period_ms)]
        # The next walk but one comes in two days at the latest, unless several fail.
        before_s = (walk.began_ms + period_ms + 2 * DAY_MS) // 1000 + rows.GRACE_S
        await for_each(due, lambda run_id: self._keep(run_id, before_s, before_s))
        return ended

    async def _keep_ended(self, walk: Walk, after: str) -> str | None:
        first = f"{after}!" if after else table.age(max(0, walk.last_began_ms - _OVERLAP_MS))
        notes = await self._calls.start(self._ended.page, walk.client_id, first, _PAGE)
        until_s = {run_id: kept_s for _, run_id, kept_s in notes}
        await for_each([*until_s], lambda run_id: self._keep(run_id, until_s[run_id], until_s[run_id]))
        return notes[-1][0] if len(notes) == _PAGE else None


def _partition(client_id: str) -> dict[str, Any]:
    return {"S": f"{table.ENDED}{client_id}"}
