"""What singletons and debounce cost on AWS: two writes more at most."""

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest

from atomic.application.process_wakeup import process_wakeup
from atomic.application.refusals import Busy
from atomic.application.sharing import place
from atomic.application.start import StartResult, start
from atomic.domain.pointers import Debounce, Singleton
from atomic.domain.steps import Step, StepSpec
from atomic.protocol.enums import Status
from contract.aws import Aws, Recorder, aws
from contract.builders import a_spec
from unit.aws.test_bill import Runtime, answer

WRITES = {"PutItem", "UpdateItem"}


@pytest.fixture
def account() -> Iterator[Aws]:
    with aws() as account:
        yield account


async def begin(runtime: Runtime, spec: StepSpec, wait_ms: int = 20_000) -> StartResult:
    found = await place(runtime.engine, spec)
    assert not isinstance(found, Step)
    return await start(runtime.engine, found.spec, wait_ms=wait_ms, first=found.first)


def writes(recorder: Recorder) -> int:
    return sum(name in WRITES for name in recorder.operations)


def test_a_run_of_a_singleton_is_two_writes_more(account: Aws) -> None:
    async def body() -> None:
        runtime = Runtime(account)
        runtime.invoker.handlers[a_spec().url] = answer({"id": 7})
        with Recorder(account.dynamodb, account.sqs) as recorder:
            plain = await runtime.call(a_spec(key="plain"))
            assert plain.step.status is Status.SUCCEEDED
            assert writes(recorder) == 2
            for number in range(2):
                recorder.calls.clear()
                spec = a_spec(key=f"k-{number}", singleton=Singleton("sync", "skip"))
                started = await begin(runtime, spec)
                assert started.step.status is Status.SUCCEEDED
                # Two moves of the pointer; the second run also reads the root of the first.
                expected = {"PutItem": 3, "UpdateItem": 1, "SendMessage": 1, "GetItem": 2 + number}
                assert Counter(recorder.operations) == expected

    asyncio.run(body())


def test_a_start_that_is_left_out_writes_nothing(account: Aws) -> None:
    async def body() -> None:
        runtime = Runtime(account)
        first = a_spec(key="k-1", singleton=Singleton("sync", "skip"), delay_ms=60_000)
        held = await begin(runtime, first, 0)
        with Recorder(account.dynamodb, account.sqs) as recorder:
            with pytest.raises(Busy) as busy:
                await begin(runtime, a_spec(key="k-2", singleton=Singleton("sync", "skip")))
            assert busy.value.holder.id == held.step.id
            attached = await place(runtime.engine, a_spec(key="k-3", singleton=Singleton("sync", "attach")))
            assert isinstance(attached, Step)
            assert (attached.id, writes(recorder)) == (held.step.id, 0)
            assert Counter(recorder.operations) == {"GetItem": 6}

    asyncio.run(body())


def test_a_start_of_a_burst_is_two_writes_more_than_a_delayed_start(account: Aws) -> None:
    async def body() -> None:
        runtime = Runtime(account)
        with Recorder(account.dynamodb, account.sqs) as recorder:
            await start(runtime.engine, a_spec(key="plain", delay_ms=5_000), wait_ms=0)
            delayed = Counter(recorder.operations)
            for number in range(3):
                recorder.calls.clear()
                spec = a_spec(key=f"k-{number}", debounce=Debounce("doc", 5_000))
                await begin(runtime, spec, 0)
                more = Counter(recorder.operations) - delayed
                # The move of the pointer; from the second on, the end of the run before.
                expected = {"PutItem": 1, "GetItem": 2}
                assert more == (expected if number == 0 else expected | {"GetItem": 3, "UpdateItem": 1})

    asyncio.run(body())


def test_the_last_of_a_burst_reads_the_pointer_once_when_it_is_due(account: Aws) -> None:
    async def body() -> None:
        runtime = Runtime(account)
        runtime.invoker.handlers[a_spec().url] = answer({"id": 7})
        specs = (a_spec(key="plain", delay_ms=500), a_spec(key="k-1", debounce=Debounce("doc", 500)))
        seen = []
        for spec in specs:
            started = await begin(runtime, spec, 0)
            await asyncio.sleep(0.6)
            with Recorder(account.dynamodb, account.sqs) as recorder:
                await process_wakeup(runtime.engine, started.step.id)
                seen.append(Counter(recorder.operations))
            after = await runtime.engine.store.get(started.step.id)
            assert after is not None
            assert after.status is Status.SUCCEEDED
        assert seen[1] - seen[0] == {"GetItem": 1}
        assert not seen[0] - seen[1]

    asyncio.run(body())
