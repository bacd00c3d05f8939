"""Pauses of workflows on AWS: what they cost, and when a process knows of one."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from atomic.application.engine import Settings
from atomic.application.process_wakeup import process_wakeup
from atomic.domain.clients.client import OpenRegistry
from atomic.domain.workflow_pauses import WorkflowPause
from atomic.protocol.enums import Status
from atomic.testing.local import open_registry
from contract.aws import Recorder, aws
from contract.builders import a_spec
from unit.aws.test_bill import Runtime, answer

ON_AWS = Settings(inline_attempt_max_ms=20_000)
CLIENT = a_spec().client_id
NAME = a_spec().workflow_name


def _runtime(account: Any) -> Runtime:
    runtime = Runtime(account)
    runtime.engine = replace(runtime.engine, clients=open_registry(), settings=ON_AWS)
    runtime.invoker.handlers[a_spec().url] = answer({"id": 7})
    return runtime


@pytest.mark.parametrize("name", ["", "another"])
def test_a_step_of_a_workflow_that_is_not_paused_costs_nothing_more(name: str) -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb, account.sqs) as recorder:
            runtime = _runtime(account)
            if name:
                _pause(runtime, name)
            recorder.calls.clear()
            await runtime.call(a_spec(attempt_timeout_ms=20_000))
            await asyncio.gather(*runtime.tasks)
            assert Counter(recorder.operations) == {"PutItem": 1, "UpdateItem": 1, "SendMessage": 1}

    asyncio.run(body())


def test_a_kept_step_costs_a_read_a_write_and_a_message_for_each_look() -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb, account.sqs) as recorder:
            runtime = _runtime(account)
            _pause(runtime, NAME)
            recorder.calls.clear()
            root = (await runtime.call(a_spec(attempt_timeout_ms=20_000))).step
            await asyncio.gather(*runtime.tasks)
            assert (root.status, root.attempt_count) == (Status.PENDING, 0)
            assert Counter(recorder.operations)["PutItem"] == 1
            recorder.calls.clear()
            await process_wakeup(runtime.engine, root.id)
            assert Counter(recorder.operations) == {"GetItem": 1, "UpdateItem": 1, "SendMessage": 1}
            found = await runtime.engine.store.get(root.id)
            assert found is not None
            assert (found.status, found.attempt_count) == (Status.PENDING, 0)
            assert found.due_at_ms is not None
            assert found.due_at_ms > runtime.engine.clock.now_ms() + 1_000

    asyncio.run(body())


def _pause(runtime: Runtime, name: str) -> None:
    clients = runtime.engine.clients
    assert isinstance(clients, OpenRegistry)
    now_ms = runtime.engine.clock.now_ms()
    clients.pause_workflow(CLIENT, WorkflowPause(workflow_name=name, since_ms=now_ms))
