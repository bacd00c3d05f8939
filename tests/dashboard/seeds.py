"""Fills a store with runs that have ended by writing the rows, which is faster than running them."""

import asyncio
import random
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from atomic.adapters.sqlite.store import SqliteStepStore
from atomic.domain.failed_runs import cause_of
from atomic.domain.outcomes import StepError
from atomic.domain.steps import Attempt, Step
from atomic.protocol.enums import OutcomeKind, Status
from atomic.protocol.error_kinds import ErrorKind
from contract.builders import a_child, a_root, a_spec

_ANSWERED_503 = StepError(ErrorKind.ENDPOINT_ANSWERED, "503")
WORKFLOWS = ("checkout", "createUser", "importFeed", "nightlyReport", "sendInvoice")
STEPS = ("reserveStock", "chargeCard", "sendEmail", "writeLedger")
_BATCH = 500


def seed_runs(data_dir: Path, client: str, number: int, *, now_ms: int, span_ms: int, seed: int) -> None:
    """Write runs that were created within the span before now; a twentieth of them failed."""
    print(f"seed_runs: seed={seed}")
    dice = random.Random(seed)
    steps = [step for count in range(number) for step in _run(dice, client, count, number, now_ms, span_ms)]
    _in_a_thread(data_dir, steps)


def seed_wide_run(data_dir: Path, client: str, number: int, *, now_ms: int, failed_each: int = 0) -> str:
    """Write one run with so many steps, each of three attempts, one failed of each so many; its id."""
    spec = a_spec(client_id=client, workflow_name="wide", key="wide")
    steps = []
    for count in range(number):
        step = a_child(f"step-{count}", spec, at_ms=now_ms + count * 10)
        failed = failed_each > 0 and count % failed_each == failed_each - 1
        steps.append(_ended(step, took_ms=100 + count % 7 * 50, tries=3, failed=failed))
    bad = [step for step in steps if step.status == Status.FAILED]
    root = _ended(a_root(spec, at_ms=now_ms), took_ms=number * 12, tries=1, failed=bool(bad))
    _in_a_thread(data_dir, [replace(root, cause=cause_of(bad[0])) if bad else root, *steps])
    return spec.run_id


def seed_outage(
    data_dir: Path, client: str, url: str, numbers: Mapping[str, int], *, handled: int, now_ms: int
) -> None:
    """Write runs of the workflow `order` that failed at the step `charge`, so many for each reason.

    `handled`: so many runs more, whose step `notify` failed and which succeeded. All endpoints are under
    `url`: `/order`, `/charge`, `/notify`.
    """
    reasons = [reason for reason, number in numbers.items() for _ in range(number)] + [""] * handled
    steps = []
    for count, reason in enumerate(reasons):
        spec = a_spec(client_id=client, workflow_name="order", key=f"order-{count:05}")
        at_ms = now_ms - (len(reasons) - count) * 50
        child = _ended(
            a_child("charge" if reason else "notify", spec, at_ms=at_ms),
            took_ms=400,
            tries=2,
            failed=True,
            said=reason,
        )
        root = _ended(a_root(spec, at_ms=at_ms), took_ms=450, tries=1, failed=bool(reason), said=reason)
        steps += [_at(root, f"{url}/order"), _at(child, f"{url}/{child.spec.step_name}")]
        if reason:
            steps[-2] = replace(steps[-2], cause=cause_of(steps[-1]))
    _in_a_thread(data_dir, steps)


def _at(step: Step, url: str) -> Step:
    return replace(step, spec=replace(step.spec, url=url))


def _in_a_thread(data_dir: Path, steps: list[Step]) -> None:
    data_dir.mkdir(exist_ok=True)
    # In a new thread, because Playwright keeps an event loop running in the thread of the tests.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(_write(data_dir, steps))).result()


async def _write(data_dir: Path, steps: list[Step]) -> None:
    store = await SqliteStepStore.open(data_dir / "atomic.db", on_fatal=print)

    async def write(step: Step) -> None:
        """Write a step and what was before its end, as far as counters need it."""
        live = replace(step, status=Status.RETRYING, retries_used=0, finished_at_ms=None)
        if step.retries_used:
            stages = [live, replace(live, retries_used=step.retries_used), step]
        else:
            stages = [live, step] if step.is_root else [step]
        await store.create(stages[0])
        for number, stage in enumerate(stages[1:], stages[0].version):
            assert await store.replace(replace(stage, version=number + 1), number) is None

    try:
        for start in range(0, len(steps), _BATCH):
            await asyncio.gather(*map(write, steps[start : start + _BATCH]))
    finally:
        await store.close()


def _run(
    dice: random.Random, client: str, count: int, number: int, now_ms: int, span_ms: int
) -> list[Step]:
    workflow = dice.choices(WORKFLOWS, weights=(50, 25, 12, 3, 10))[0]
    spec = a_spec(client_id=client, workflow_name=workflow, key=f"{workflow}-{count:05}")
    # More runs towards the end, fewer in the middle.
    share = (count + dice.random()) / number
    at_ms = now_ms - int(span_ms * (1 - share) ** 1.3)
    slow = 8 if workflow in {"nightlyReport", "importFeed"} else 1
    failed = dice.random() < (0.25 if workflow == "importFeed" else 0.02)
    took_ms = int(dice.lognormvariate(5.5, 0.7) * slow)
    steps = []
    for position, name in enumerate(STEPS[: dice.choices((1, 2, 3, 4), weights=(60, 20, 10, 10))[0]]):
        tries = dice.choices((1, 2, 4), weights=(90, 7, 3))[0]
        step = a_child(name, spec, at_ms=at_ms + position * 3)
        steps.append(_ended(step, took_ms=took_ms - position * 3, tries=tries, failed=False))
    if failed:
        steps[-1] = _ended(a_child("sendEmail", spec, at_ms=at_ms), took_ms=took_ms, tries=4, failed=True)
        steps = list({step.id: step for step in steps}.values())
    root = _ended(a_root(spec, at_ms=at_ms), took_ms=took_ms + 5, tries=1, failed=failed)
    return [replace(root, cause=cause_of(steps[-1])) if failed else root, *steps]


def _ended(step: Step, *, took_ms: int, tries: int, failed: bool, said: str = "") -> Step:
    error = replace(_ANSWERED_503, excerpt=said)
    took_ms = max(took_ms, tries * 2)
    slot_ms = took_ms // tries
    attempts = []
    for number in range(1, tries + 1):
        good = number == tries and not failed
        start_ms = step.created_at_ms + (number - 1) * slot_ms
        attempts.append(
            Attempt(
                number=number,
                generation=1,
                started_at_ms=start_ms,
                ended_at_ms=step.created_at_ms + took_ms if number == tries else start_ms + slot_ms // 3,
                outcome=OutcomeKind.SUCCEEDED if good else OutcomeKind.RETRYABLE,
                status=200 if good else 503,
                error=None if good else error,
            )
        )
    end_ms = step.created_at_ms + took_ms
    return replace(
        step,
        status=Status.FAILED if failed else Status.SUCCEEDED,
        attempt_count=tries,
        retries_used=tries - 1,
        attempt_log=tuple(attempts),
        due_at_ms=None,
        finished_at_ms=end_ms,
        expires_at_ms=end_ms + 30 * 24 * 3600 * 1000,
        response_status=503 if failed else 200,
        error=error if failed else None,
    )
