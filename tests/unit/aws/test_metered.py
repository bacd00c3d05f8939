"""What steps read and write on a DynamoDB that meters and throttles; and the meter itself."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from atomic.adapters.aws.dynamodb import DynamoStepStore
from atomic.application.ports import StoreUnavailable
from atomic.application.process_wakeup import process_wakeup
from atomic.application.start import start
from atomic.domain.retry import RetryPolicy
from atomic.domain.steps import Step
from atomic.protocol.enums import Status
from contract.aws import Aws, aws
from contract.builders import a_child, a_root, a_spec, incompressible, settled
from contract.metered import READ_UNITS_PER_S, WRITE_UNITS_PER_S, Meter, size_of
from contract.store_suite import keyed, put
from unit.aws.test_bill import UUID, Runtime, a_step, answer, status

STEPS = 1_000
# Incompressible: what a step of the review's case takes as stored.
PAYLOAD = incompressible(1_500)


class Second:
    """The second that a meter is in."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def metered(work: Callable[[Aws, Meter, Second], Awaitable[None]], *, throttles: bool = True) -> None:
    async def body() -> None:
        second = Second()
        with aws() as account, Meter(account.dynamodb, now_s=second, throttles=throttles) as meter:
            await work(account, meter, second)

    asyncio.run(body())


async def a_large_run(store: DynamoStepStore) -> Step:
    """A root, and its thousand steps of 2 KB."""
    root = a_root(a_spec(key=UUID))
    await put(store, root)
    for number in range(STEPS):
        step = a_child(f"step-{number}", root.spec, status=Status.SUCCEEDED)
        await put(store, replace(step, spec=replace(step.spec, payload=PAYLOAD)))
    return root


def test_sizes_are_those_of_the_developer_guide() -> None:
    assert size_of({"pk": {"S": "é"}}) == 2 + 2
    assert size_of({"v": {"N": "-12.345"}}) == 1 + 1 + 3
    assert size_of({"g": {"B": b"1234"}}) == 1 + 4


def test_reads_and_writes_are_metered_by_partition() -> None:
    async def work(account: Aws, meter: Meter, _: Second) -> None:
        store, root = account.store(), keyed("k", at_ms=1_000)
        await put(store, root)
        run_id = root.spec.run_id
        live, ended = (
            f"list:acme#{state}#{int(run_id[-8:], 16) % 4}" for state in ("pending", "succeeded")
        )
        assert meter.writes == {run_id: 1, live: 1}
        await store.replace(settled(root, 2_000), 1)
        # The entry of the index moves: one leaves, one comes.
        assert meter.writes == {run_id: 2, live: 2, ended: 1}
        await store.get(root.id)
        await store.get("run_0-root")
        assert meter.reads == {run_id: 1, "run_0": 1}
        meter.forget()
        for name in ("a", "b"):
            large = a_child(name, root.spec)
            await put(store, replace(large, spec=replace(large.spec, payload=incompressible(4_000))))
        assert (meter.write_units, meter.calls["PutItem"]) == (8, 2)
        meter.forget()
        assert len(await store.outline(run_id)) == 3
        # What a projection leaves out is paid all the same.
        assert meter.read_units == 2

    metered(work)


@pytest.mark.parametrize(("kind", "limit"), [("read", READ_UNITS_PER_S), ("write", WRITE_UNITS_PER_S)])
def test_a_partition_is_throttled_beyond_its_units_of_a_second(
    kind: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)

    async def work(account: Aws, meter: Meter, second: Second) -> None:
        store, root = account.store(), keyed("k")
        await put(store, root)
        meter._spent["read" if kind == "read" else "write", root.spec.run_id, 0] = limit

        async def call() -> Any:
            return await (store.get(root.id) if kind == "read" else store.replace(settled(root, 2), 1))

        with pytest.raises(StoreUnavailable, match="ProvisionedThroughputExceededException"):
            await call()
        # botocore has tried four times.
        assert meter.throttled == 4
        second.now_s = 1.0
        await call()

    metered(work)


RETRIED = RetryPolicy(count=1, back_off_ms=0)


def test_a_failed_attempt_in_a_large_run_reads_no_other_step() -> None:
    """D5: a failure used to read the whole run: 500 units at 1,000 steps of 2 KB."""

    async def work(account: Aws, meter: Meter, _: Second) -> None:
        runtime = Runtime(account)
        root = await a_large_run(account.store())
        spec = replace(a_step(0), parent=root.id, retry=RETRIED)
        runtime.invoker.handlers[spec.url] = status(500)
        meter.forget()
        started = await start(runtime.engine, spec, wait_ms=0)
        await asyncio.gather(*runtime.tasks)
        await process_wakeup(runtime.engine, started.step.id)
        await asyncio.gather(*runtime.tasks)
        failed = await account.store().get(started.step.id)
        assert failed is not None
        assert (failed.status, failed.attempt_count) == (Status.FAILED, 2)
        assert meter.calls["Query"] == 0
        assert meter.read_units <= 6
        assert meter.write_units <= 8

    metered(work, throttles=False)


def test_a_step_that_is_posted_again_is_read_and_not_written() -> None:
    """D10: a replay used to be a refused write, which costs as much as the row is large."""

    async def work(account: Aws, meter: Meter, _: Second) -> None:
        runtime, root = Runtime(account), a_root(a_spec(key=UUID))
        await put(account.store(), root)
        spec = replace(a_step(0), parent=root.id, payload=PAYLOAD)
        runtime.invoker.handlers[spec.url] = answer({"id": 7})
        await runtime.call(spec)
        meter.forget()
        again = await start(runtime.engine, spec, wait_ms=0, attempt=2)
        assert again.replayed
        assert (dict(meter.calls), meter.read_units, meter.write_units) == ({"GetItem": 1}, 1, 0)

    metered(work)
