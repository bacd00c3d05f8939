"""A pause on AWS, in two environments: what it costs, and when the other one knows."""

import asyncio
from dataclasses import replace
from typing import Any

from atomic.application.commit import commit
from atomic.application.engine import FRESH_MS
from atomic.application.pausing import pause_run, resume_run
from atomic.application.process_wakeup import process_wakeup
from atomic.domain.events import Paused
from atomic.domain.steps import Step
from atomic.protocol import keys
from atomic.protocol.enums import Status
from contract.aws import aws
from contract.builders import a_root, a_spec
from unit.aws.test_bill import Recorder, Runtime, answer

URL = a_spec().url


def test_a_rest_is_a_write_and_a_resume_wakes_it() -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb, account.sqs) as recorder:
            here, elsewhere = Runtime(account), Runtime(account)
            for each in (here, elsewhere):
                each.invoker.handlers[URL] = answer({"id": 7})
            now_ms = here.engine.clock.now_ms()
            root = replace(a_root(a_spec()), status=Status.PENDING, due_at_ms=now_ms - 1)
            await here.engine.store.create(root)
            run_id = root.spec.run_id

            recorder.calls.clear()
            await pause_run(here.engine, commit, run_id, Paused(note="why"))
            assert sorted(recorder.operations) == ["GetItem", "Query", "UpdateItem"]

            recorder.calls.clear()
            await process_wakeup(elsewhere.engine, root.id)
            # The row itself says that the run is paused. Who puts a step to rest looks once more.
            assert sorted(recorder.operations) == ["GetItem", "GetItem", "SendMessage", "UpdateItem"]
            rests = await _row(elsewhere, root.id)
            assert (rests.status, rests.attempt_count, rests.rest is not None) == (Status.PENDING, 0, True)
            assert rests.pause is not None

            recorder.calls.clear()
            await resume_run(here.engine, commit, run_id)
            assert sorted(recorder.operations) == [
                "GetItem",
                "Query",
                "SendMessage",
                "UpdateItem",
            ]
            await process_wakeup(elsewhere.engine, root.id)
            done = await _row(elsewhere, root.id)
            assert (done.status, done.rest, done.pause) == (Status.SUCCEEDED, None, None)

    asyncio.run(body())


def test_another_environment_knows_of_a_pause_within_five_seconds() -> None:
    async def body() -> None:
        with aws() as account:
            here, elsewhere = Runtime(account), Runtime(account)
            root = replace(a_root(a_spec()), status=Status.WAITING, due_at_ms=None)
            await here.engine.store.create(root)
            runs, now_ms = elsewhere.engine.runs, elsewhere.engine.clock.now_ms()
            run_id = root.spec.run_id
            await runs.find(elsewhere.engine.store, run_id, now_ms)
            await pause_run(here.engine, commit, run_id, Paused())
            await runs.find(elsewhere.engine.store, run_id, now_ms + FRESH_MS - 1)
            assert runs.pause_of(run_id, now_ms) is None
            await runs.find(elsewhere.engine.store, run_id, now_ms + FRESH_MS)
            assert runs.pause_of(run_id, now_ms) is not None
            assert here.engine.runs.pause_of(run_id, now_ms) is not None

    asyncio.run(body())


async def _row(runtime: Any, step_id: str) -> Step:
    row: Step | None = await runtime.engine.store.get(step_id)
    assert row is not None
    assert keys.run_of(row.id) == row.spec.run_id
    return row
