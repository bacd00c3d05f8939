"""Causes of failed runs on AWS: what a failure, a list and a dismissal cost."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from atomic.adapters.aws import causes
from atomic.application.cause_query import CauseQuery
from atomic.application.commit import commit
from atomic.application.dismissing import dismiss_run
from atomic.application.ports import StoreUnavailable
from atomic.application.run_query import RunQuery
from atomic.domain.events import Redriven
from atomic.domain.retry import RetryPolicy
from atomic.domain.steps import Step
from atomic.protocol import keys
from atomic.protocol.enums import Status
from contract.aws import Recorder, aws
from contract.builders import a_child, a_spec
from contract.metered import Meter
from contract.store_queries import failed
from unit.aws.test_bill import Runtime, answer, status

URL = a_spec().url
ONCE = a_spec(attempt_timeout_ms=20_000, retry=RetryPolicy(count=0))
# What ends at once is two writes; a root has a message, too. A dead letter is one more.
SUCCEEDS = Counter({"PutItem": 1, "UpdateItem": 1, "SendMessage": 1})
FAILS = SUCCEEDS + Counter({"GetItem": 1, "SendMessage": 1})


async def ended(runtime: Runtime, spec: Any = ONCE) -> Step:
    root = (await runtime.call(spec)).step
    await asyncio.gather(*runtime.tasks)
    row: Step | None = await runtime.engine.store.get(root.id)
    assert row is not None
    return row


@pytest.mark.parametrize(
    ("handler", "operations"), [(answer(7), SUCCEEDS), (status(410), FAILS + Counter({"Query": 1}))]
)
def test_a_run_that_fails_reads_its_outline_and_one_that_succeeds_reads_nothing(
    handler: Any, operations: Counter[str]
) -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb, account.sqs) as recorder:
            runtime = Runtime(account)
            runtime.invoker.handlers[URL] = handler
            recorder.calls.clear()
            await runtime.call(ONCE)
            await asyncio.gather(*runtime.tasks)
            assert Counter(recorder.operations) == operations

    asyncio.run(body())


def test_a_failed_step_of_the_run_is_read_as_well() -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb, account.sqs) as recorder:
            runtime = Runtime(account)
            pay = replace(a_child("pay", ONCE, status=Status.FAILED), response_status=402)
            await runtime.engine.store.create(pay)
            runtime.invoker.handlers[URL] = status(500)
            recorder.calls.clear()
            await runtime.call(ONCE)
            await asyncio.gather(*runtime.tasks)
            assert Counter(recorder.operations) == FAILS + Counter({"Query": 1, "GetItem": 1})
            root = await runtime.engine.store.get(keys.root_of(ONCE.run_id))
            assert root is not None
            assert root.cause is not None
            assert (root.cause.step_id, root.cause.response_status) == (pay.id, 402)

    asyncio.run(body())


def test_a_dismissal_is_one_write() -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb, account.sqs) as recorder:
            runtime = Runtime(account)
            runtime.invoker.handlers[URL] = status(410)
            root = await ended(runtime)
            recorder.calls.clear()
            root = await dismiss_run(runtime.engine, root, "known")
            assert recorder.operations == ["UpdateItem"]
            recorder.calls.clear()
            root, _ = await commit(runtime.engine, root, Redriven(1))
            assert set(recorder.operations) == {"SendMessage", "UpdateItem"}
            assert recorder.operations.count("UpdateItem") == 1
            assert (root.cause, root.dismissal) == (None, None)

    asyncio.run(body())


def test_a_filter_is_four_queries_and_a_list_of_causes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        with aws() as account:
            store = account.store()
            roots = [
                failed(f"k-{n}", ("timeout", "refused")[n % 5 == 0], at_ms=1_000 + n) for n in range(40)
            ]
            for root in roots:
                await store.create(replace(root, spec=replace(root.spec, tags=())))
            cause = roots[0].cause
            assert cause is not None
            with Meter(account.dynamodb, now_s=lambda: 0.0) as meter:
                assert len(await store.list(RunQuery(client_id="acme", cause=cause.id))) == 8
            assert meter.calls == {"Query": 4, "BatchGetItem": 1}
            with Meter(account.dynamodb, now_s=lambda: 0.0) as meter:
                page = await store.causes(CauseQuery(client_id="acme"))
            assert meter.calls == {"Query": 4, "BatchGetItem": 1}
            assert [(group.cause.said, group.count) for group in page.groups] == [
                ("timeout", 32),
                ("refused", 8),
            ]
            assert page.is_all
            # No more than so many entries of each partition are read.
            monkeypatch.setattr(causes, "_READ_MAX", 3)
            with Meter(account.dynamodb, now_s=lambda: 0.0) as meter:
                page = await store.causes(CauseQuery(client_id="acme"))
            assert meter.calls["Query"] == 4
            assert sum(group.count for group in page.groups) == 12
            assert not page.is_all

    asyncio.run(body())


def test_a_run_fails_even_if_its_steps_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        with aws() as account:
            runtime = Runtime(account)

            async def outline(_run_id: str) -> Any:
                raise StoreUnavailable("no")

            monkeypatch.setattr(runtime.engine.store, "outline", outline)
            runtime.invoker.handlers[URL] = status(410)
            root = await ended(runtime)
            assert root.status is Status.FAILED
            assert root.cause is not None
            assert root.cause.step_id == root.id

    asyncio.run(body())
