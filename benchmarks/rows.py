"""Data directories as years of use would leave them, written through the store itself."""

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from atomic.adapters.sqlite.store import SqliteStepStore
from atomic.domain.events import Ended
from atomic.domain.failed_runs import cause_of
from atomic.domain.flow import FlowEntry
from atomic.domain.outcomes import Outcome, StepError, StoredBody
from atomic.domain.retry import RetryPolicy
from atomic.domain.steps import Step, StepSpec
from atomic.domain.transitions import begin, transition
from atomic.protocol import keys
from atomic.protocol.enums import OutcomeKind
from atomic.protocol.error_kinds import ErrorKind
from atomic.protocol.strict_json import fingerprint

_TOGETHER = 256
STATUSES = (410, 422, 501)
_DAY_MS = 86_400_000
_PAYLOAD = b'{"padding":"' + b"x" * 900 + b'"}'


def settled(client_id: str, runs: int, *, customers: int = 0) -> Iterator[Step]:
    """Succeeded runs of one step, one per millisecond up to now; with a tag of one of the customers."""
    now_ms = time.time_ns() // 1_000_000
    outcome = Outcome(kind=OutcomeKind.SUCCEEDED, status=200, response=StoredBody(b'{"ok":true}', "json"))
    for number in range(runs):
        at_ms = now_ms - runs + number
        spec = _spec(client_id, f"stored-{number}", "http://127.0.0.1:9/")
        if customers:
            spec = replace(spec, tags=(f"customer:c-{number % customers}", "env:prod"))
        step = begin(spec, keys.ROOT, at_ms, "nonce")
        yield transition(step, Ended(nonce="nonce", outcome=outcome, jitter=0.5), at_ms)


def failed(
    client_id: str, runs: int, url: str = "http://127.0.0.1:9/", statuses: Sequence[int] = STATUSES
) -> Iterator[Step]:
    """Failed runs of one step, one per millisecond up to now; the endpoint answered these in turn.

    Each status is a cause. What the endpoint said names another order each time.
    """
    now_ms = time.time_ns() // 1_000_000
    for number in range(runs):
        at_ms, status = now_ms - runs + number, statuses[number % len(statuses)]
        error = StepError(ErrorKind.ENDPOINT_ANSWERED, str(status), f"order {number} is not taken")
        outcome = Outcome(kind=OutcomeKind.PERMANENT, status=status, error=error)
        step = begin(_spec(client_id, f"failed-{number}", url), keys.ROOT, at_ms, "nonce")
        step = transition(step, Ended(nonce="nonce", outcome=outcome, jitter=0.5), at_ms)
        yield replace(step, cause=cause_of(step))


def run_of(client_id: str, steps: int) -> Iterator[Step]:
    """A run that has ended: its root, and this many steps below it."""
    [root] = settled(client_id, 1)
    yield root
    for number in range(steps):
        spec = replace(root.spec, parent=root.id, step_name=f"step-{number}")
        position = keys.identity(client_id, spec.workflow_name, root.id, spec.url, spec.step_name, "")
        yield replace(root, id=keys.step_id(spec.run_id, position), spec=replace(spec, identity=position))


def due(client_id: str, runs: int, url: str, flow: tuple[FlowEntry, ...] = ()) -> Iterator[Step]:
    """Runs of one step whose retry is due now; with `flow`, whose first attempt is due and needs a slot."""
    now_ms = time.time_ns() // 1_000_000
    outcome = Outcome(
        kind=OutcomeKind.RETRYABLE, status=503, error=StepError(ErrorKind.ENDPOINT_ANSWERED, "503")
    )
    for number in range(runs):
        spec = replace(_spec(client_id, f"due-{number}", url), flow=flow)
        step = begin(spec, keys.ROOT, now_ms, None if flow else "nonce")
        if not flow:
            step = transition(step, Ended(nonce="nonce", outcome=outcome, jitter=0.0), now_ms)
        yield replace(step, due_at_ms=now_ms)


async def create(store: SqliteStepStore, steps: Iterable[Step]) -> None:
    """Write the steps, many in a transaction."""
    rest = iter(steps)
    while together := list(islice(rest, _TOGETHER)):
        await asyncio.gather(*(store.create(step) for step in together))


def write(data_dir: Path, steps: Iterable[Step]) -> None:
    """Write the steps into a server's data directory."""

    async def run() -> None:
        store = await SqliteStepStore.open(data_dir / "atomic.db", on_fatal=print)
        await create(store, steps)
        await store.close()

    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    asyncio.run(run())


def _spec(client_id: str, key: str, url: str) -> StepSpec:
    run_id = keys.run_id(client_id, "stored", key)
    return StepSpec(
        client_id=client_id,
        run_id=run_id,
        identity=keys.identity(client_id, "stored", "", url, "", key),
        workflow_name="stored",
        url=url,
        idempotency_key=key,
        payload=_PAYLOAD,
        fingerprint=fingerprint(_PAYLOAD),
        retry=RetryPolicy(count=1_000),
        retention_ms=30 * _DAY_MS,
        trace_id=keys.trace_of(run_id),
    )
