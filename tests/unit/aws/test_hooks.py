"""Hooks on AWS: what an end that is told costs, and where a row that owes something is found."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from atomic.adapters.aws import rows, table
from atomic.application.engine import Settings
from atomic.application.process_wakeup import process_wakeup
from atomic.application.start import start
from atomic.domain.events import Paid
from atomic.domain.hooks import Hook, RunHook
from atomic.domain.records import bare_spec_record
from atomic.domain.steps import Step
from atomic.domain.transitions import transition
from atomic.protocol import keys
from atomic.protocol.enums import HOOK_EVENTS, Status
from atomic.testing.local import open_registry
from contract.aws import TABLE_NAME, Recorder, aws
from contract.builders import a_child, a_root, a_spec, an_owed
from contract.store_suite import keyed
from unit.aws.test_bill import Runtime, answer
from unit.aws.test_handlers import Stack, stack
from unit.aws.test_maintenance import add, woken

__all__ = ["stack"]

HOOK = Hook(name="pager", url="https://app.example/pager", on=HOOK_EVENTS)
ON_AWS = Settings(inline_attempt_max_ms=20_000)


def _runtime(account: Any, *, is_told: bool = True) -> Runtime:
    runtime, clients = Runtime(account), open_registry()
    if is_told:
        clients.put_hook(a_spec().client_id, HOOK)
    runtime.engine = replace(runtime.engine, clients=clients, settings=ON_AWS)
    return runtime


@pytest.mark.parametrize("by", ["nobody", "client", "start"])
def test_an_end_that_is_told_costs_a_message_a_read_and_a_write_beside_the_delivery(by: str) -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb, account.sqs) as recorder:
            is_told = by != "nobody"
            runtime = _runtime(account, is_told=by == "client")
            hooks = (RunHook("run.succeeded", HOOK.url),) if by == "start" else ()
            runtime.invoker.handlers[a_spec().url] = answer({"id": 7})
            recorder.calls.clear()
            root = (await runtime.call(a_spec(attempt_timeout_ms=20_000, hooks=hooks))).step
            await asyncio.gather(*runtime.tasks)
            of_a_run = Counter({"PutItem": 1, "UpdateItem": 1, "SendMessage": 1})
            assert Counter(recorder.operations) == of_a_run + Counter({"SendMessage": int(is_told)})
            if not is_told:
                return
            recorder.calls.clear()
            await process_wakeup(runtime.engine, root.id)
            delivery = Counter({"PutItem": 1, "SendMessage": 1})
            assert Counter(recorder.operations) == delivery + Counter({"GetItem": 1, "UpdateItem": 1})
            recorder.calls.clear()
            # The watchdog comes later, and finds nothing to do.
            await process_wakeup(runtime.engine, root.id)
            assert recorder.operations == ["GetItem"]

    asyncio.run(body())


@pytest.mark.parametrize("is_told", [False, True])
def test_an_event_that_is_told_costs_two_messages_a_read_and_a_write_beside_the_delivery(
    *, is_told: bool
) -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb, account.sqs) as recorder:
            runtime = _runtime(account, is_told=is_told)
            root = a_root()
            await runtime.engine.store.create(root)
            spec = a_spec(kind="event", step_name="approval", parent=root.id)
            runtime.engine.runs.remember(root, runtime.engine.clock.now_ms())
            recorder.calls.clear()
            event = (await start(runtime.engine, spec, wait_ms=0)).step
            # The first message goes ahead of the row, which no sweep finds.
            sent = ["SendMessage", "PutItem", "SendMessage"] if is_told else ["PutItem"]
            assert recorder.operations == sent
            recorder.calls.clear()
            await process_wakeup(runtime.engine, event.id)
            delivery = Counter({"PutItem": 1, "SendMessage": 1}) if is_told else Counter[str]()
            paid = delivery + Counter({"GetItem": 1, "UpdateItem": int(is_told)})
            assert Counter(recorder.operations) == paid

    asyncio.run(body())


def test_a_run_without_hooks_stores_no_byte_for_them() -> None:
    plain, told = a_spec(), a_spec(hooks=(RunHook("run.failed", HOOK.url),))
    assert "hooks" not in bare_spec_record(plain)
    assert bare_spec_record(told)["hooks"] == [["run.failed", HOOK.url]]


def test_a_watchdog_passes_on_what_is_owed() -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb, account.sqs) as recorder:
            runtime = _runtime(account)
            root = _owing("k")
            await runtime.engine.store.create(root)
            assert await account.store().at_rest([root.id]) == frozenset()
            recorder.calls.clear()
            await process_wakeup(runtime.engine, root.id, only_looks=True)
            assert recorder.operations == ["GetItem", "SendMessage"]

    asyncio.run(body())


def test_a_sweep_finds_each_row_that_owes_something_until_it_is_paid(stack: Stack) -> None:
    done, other = _owing("done"), keyed("other", status=Status.SUCCEEDED)
    failed = _owing("failed", Status.FAILED)
    child = replace(a_child("mail", other.spec, status=Status.FAILED), owes=(an_owed("step.failed"),))
    owing = (done, failed, child)
    add(stack, *owing, other)
    stack.maintain()
    assert sorted(set(woken(stack))) == sorted(step.id for step in owing)

    store, run = stack.aws.store(), stack.maintenance.runtime.run
    for step in owing:
        paid = transition(step, Paid(step.owes), 0)
        assert run(store.replace(paid, step.version)) is None
        assert "d" not in _item(stack, paid)
    stack.maintain()
    assert woken(stack) == []
    assert _item(stack, done)["lp"]["S"] == table.list_partition(done, Status.SUCCEEDED)


def test_what_owes_something_does_not_expire(stack: Stack) -> None:
    root = _owing("k")
    add(stack, root)
    assert "ttl" not in _item(stack, root)
    paid = transition(root, Paid(root.owes), 0)
    assert stack.maintenance.runtime.run(stack.aws.store().replace(paid, root.version)) is None
    assert int(_item(stack, paid)["ttl"]["N"]) == rows.ttl_s(paid)


def _owing(key: str, status: Status = Status.SUCCEEDED) -> Step:
    return replace(keyed(key, status=status), owes=(an_owed(),))


def _item(stack: Stack, step: Step) -> Any:
    key = {"pk": {"S": step.spec.run_id}, "sk": {"S": keys.position_of(step.id)}}
    return stack.aws.dynamodb.get_item(TableName=TABLE_NAME, Key=key)["Item"]
