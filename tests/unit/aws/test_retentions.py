"""Retentions of workflows on AWS: what they cost, and that maintenance knows the shortest."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from atomic.adapters.aws.rows import GRACE_S
from atomic.application.maintenance import Walk
from atomic.domain.counters import HOUR_MS
from atomic.domain.retentions import DAY_MS, RETENTION_MS, WorkflowRetention
from atomic.entrypoints.http_api.api import Api
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse
from atomic.entrypoints.http_api.routes import handle
from atomic.protocol.enums import Status
from atomic.testing.local import open_registry
from contract.aws import Recorder, aws
from contract.builders import a_spec, settled
from contract.store_suite import keyed
from unit.aws.test_bill import Runtime, answer
from unit.aws.test_counters import HOUR, MINUTE, at, tallies, write
from unit.aws.test_handlers import Stack, stack
from unit.aws.test_items import ttls
from unit.aws.test_maintenance import add
from unit.aws.test_workflow_pauses import CLIENT, NAME, ON_AWS

__all__ = ["at", "stack"]


async def _ask(runtime: Runtime, method: str, path: str, body: bytes) -> ApiResponse:
    clients: Any = runtime.engine.clients
    request = ApiRequest(method=method, path=path, body=body)
    return await handle(Api(engine=runtime.engine, own_settings=clients), request)


@pytest.mark.parametrize("days", [None, 1])
def test_a_run_costs_the_same_and_its_rows_expire_sooner(days: int | None) -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb, account.sqs) as recorder:
            runtime = Runtime(account)
            runtime.engine = replace(runtime.engine, clients=open_registry(), settings=ON_AWS)
            runtime.invoker.handlers[a_spec().url] = answer({"id": 7})
            if days is not None:
                target = f"/{CLIENT}/workflows/{NAME}/retention"
                assert (await _ask(runtime, "PUT", target, b'{"days": 1}')).status == 200
            recorder.calls.clear()
            start = b'{"workflowName": "%s", "stepInvokeUrl": "%s", "idempotencyKey": "k"}'
            start %= (NAME.encode(), a_spec().url.encode())
            assert (await _ask(runtime, "POST", f"/{CLIENT}", start)).status == 200
            await asyncio.gather(*runtime.tasks)
            assert Counter(recorder.operations) == {"PutItem": 1, "UpdateItem": 1, "SendMessage": 1}
            kept_ms = RETENTION_MS if days is None else days * DAY_MS
            left_s = (ttls(account)["root"] or 0) - runtime.engine.clock.now_ms() / 1000 - GRACE_S
            assert left_s == pytest.approx(kept_ms / 1000, abs=60)

    asyncio.run(body())


def _keep(stack: Stack, days: int) -> None:
    stack.aws.admin().set_retention("acme", WorkflowRetention(workflow_name="beat", days=days))


def test_long_runs_are_kept_on_by_the_shortest_that_a_workflow_ever_had(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    extend = stack.maintenance._long_runs.extend

    async def extended(walk: Walk, retention_ms: int, may_go_on: Any) -> None:
        asked.append(retention_ms // DAY_MS)
        await extend(walk, retention_ms, may_go_on)

    monkeypatch.setattr(stack.maintenance._long_runs, "extend", extended)
    for days in (None, 7, 20):
        if days is not None:
            _keep(stack, days)
        stack.maintain("purge")
    stack.aws.admin().clear_retention("acme", "beat")
    stack.maintain("purge")
    assert asked == [30, 7, 7, 7]


def test_counters_of_a_workflow_stay_when_its_rows_are_gone(stack: Stack, at: list[int]) -> None:
    """And those of another one, whose run goes on for longer, are counted to its end."""
    _keep(stack, 1)
    long, beat = keyed("long", at_ms=HOUR), keyed("beat", at_ms=HOUR)
    beat = settled(replace(beat, spec=replace(beat.spec, workflow_name="beat")), HOUR + 9, Status.FAILED)
    add(stack, long, beat)
    at[0] = HOUR + 65 * MINUTE
    stack.maintain("count")
    assert (tallies(stack)[0, "beat"].failed, tallies(stack)[0, "createUser"].live) == (1, 1)
    assert stack.maintenance.runtime.run(stack.aws.store().erase("acme", beat.spec.run_id, beat))
    write(stack, settled(long, HOUR + HOUR_MS), 1)
    at[0] = HOUR + 40 * HOUR_MS
    stack.maintain("count")
    assert (tallies(stack)[0, "beat"].failed, tallies(stack)[0, "createUser"].succeeded) == (1, 1)
