"""A paused stack on AWS: what it costs to keep a step, and what the wake-up of a kept step is."""

import asyncio
from dataclasses import replace

from atomic.adapters.system import SystemClock
from atomic.application.admission import Admission
from atomic.application.calls_from import CallsFrom
from atomic.application.process_wakeup import process_wakeup
from atomic.application.start import start
from atomic.protocol.enums import Status
from contract.aws import Recorder, aws
from contract.builders import a_spec
from unit.aws.test_bill import Runtime, answer


class Later(SystemClock):
    """The clock after the last time at which a kept step looks."""

    def now_ms(self) -> int:
        return super().now_ms() + 840_000


def test_a_kept_step_costs_one_write_and_one_message_each_ten_minutes() -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb, account.sqs) as recorder:
            runtime, spec = Runtime(account), a_spec()
            runtime.invoker.handlers[spec.url] = answer({"id": 7})
            now_ms = runtime.engine.clock.now_ms
            runtime.engine.admission.call_limit = CallsFrom(now_ms, None)

            recorder.calls.clear()
            kept = (await start(runtime.engine, spec, wait_ms=0)).step
            assert (kept.status, kept.attempt_count) == (Status.PENDING, 0)
            assert sorted(recorder.operations) == ["PutItem", "SendMessage"]

            recorder.calls.clear()
            await process_wakeup(runtime.engine, kept.id)
            assert sorted(recorder.operations) == ["GetItem", "SendMessage", "UpdateItem"]
            looks = await runtime.engine.store.get(kept.id)
            assert looks is not None
            assert looks.due_at_ms is not None
            assert 590_000 < looks.due_at_ms - now_ms() <= 840_000
            assert (looks.status, looks.attempt_count, looks.attempt_log) == (Status.PENDING, 0, ())

            later = replace(runtime.engine, clock=Later(), admission=Admission())
            await process_wakeup(later, kept.id)
            done = await runtime.engine.store.get(kept.id)
            assert done is not None
            assert (done.status, done.attempt_count) == (Status.SUCCEEDED, 1)

    asyncio.run(body())
