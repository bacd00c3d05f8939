"""The queue contract on SQS and EventBridge Scheduler (moto), and which of the two each delay uses."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any

import pytest
from moto.sqs import models as moto_sqs

from atomic.adapters.aws.scheduler import schedule_name
from atomic.adapters.aws.sqs import delay_s
from atomic.adapters.aws.wakeups import Wakeup, encode_wakeup, parse_wakeup
from contract.aws import GROUP, Aws, Recorder, aws
from contract.queue_contract import (
    DAY,
    HOUR,
    MINUTE,
    RUN,
    SECOND,
    STEP,
    ManualClock,
    QueueContract,
    QueueRuntime,
    wakeup,
)


class SqsQueueRuntime:
    """This class fires the schedules: moto stores them, but does nothing when they are due."""

    def __init__(self, account: Aws, clock: ManualClock) -> None:
        self.clock = clock
        self.queue = account.queue(clock)
        self._account = account

    async def arrived(self) -> list[str]:
        self._fire_schedules()
        queues = (
            self._account.queue_url,
            self._account.long_queue_url,
            self._account.watchdog_queue_url,
        )
        bodies = [body for url in queues for body in self._account.received(url)]
        return [parse_wakeup(body).step_id for body in bodies]

    def _fire_schedules(self) -> None:
        for name in schedules(self._account):
            schedule = self._account.scheduler.get_schedule(Name=name, GroupName=GROUP)
            if fires_at_ms(schedule) <= self.clock.ms:
                self._account.sqs.send_message(**json.loads(schedule["Target"]["Input"]))
                self._account.scheduler.delete_schedule(Name=name, GroupName=GROUP)


class TestSqsWakeupQueue(QueueContract):
    @asynccontextmanager
    async def runtime(self) -> AsyncIterator[QueueRuntime]:
        clock = ManualClock()
        with aws() as account, sqs_time(clock):
            yield SqsQueueRuntime(account, clock)


@contextmanager
def sqs_time(clock: ManualClock) -> Iterator[None]:
    """Make moto's queues use the test's clock."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moto_sqs, "unix_time_millis", clock.now_ms)
        patch.setattr(moto_sqs, "unix_time", lambda: clock.now_ms() / 1000)
        yield


def schedules(account: Aws) -> list[str]:
    return [schedule["Name"] for schedule in account.scheduler.list_schedules(GroupName=GROUP)["Schedules"]]


def fires_at_ms(schedule: dict[str, Any]) -> int:
    assert schedule["ScheduleExpressionTimezone"] == "UTC"
    at = datetime.strptime(schedule["ScheduleExpression"] + "+0000", "at(%Y-%m-%dT%H:%M:%S)%z")
    return int(at.timestamp() * 1000)


def sent(wait_ms: int, **known: Any) -> tuple[str, dict[str, Any]]:
    """The single call that sends a wake-up that is due that far ahead."""
    with aws() as account, Recorder(account.sqs, account.scheduler) as recorder:

        async def body() -> None:
            clock = ManualClock()
            queue = account.queue(clock)
            recorder.calls.clear()
            await wakeup(queue, STEP, clock.ms + wait_ms, **known)

        asyncio.run(body())
        (call,) = recorder.calls
        return call


@pytest.mark.parametrize(
    ("wait_ms", "delay"),
    [
        (-5, 0),
        (0, 0),
        (1, 1),
        (SECOND, 1),
        (SECOND + 1, 2),
        (15 * MINUTE, 900),
        (16 * MINUTE, 900),
        (HOUR // 2 - 1, 900),
    ],
)
def test_delays_below_half_an_hour_are_delayed_messages(wait_ms: int, delay: int) -> None:
    operation, arguments = sent(wait_ms)
    assert operation == "SendMessage"
    assert arguments["DelaySeconds"] == delay


@pytest.mark.parametrize("wait_ms", [-(10**15), 900_001, 10**15])
def test_every_delay_is_one_that_sqs_accepts(wait_ms: int) -> None:
    assert 0 <= delay_s(wait_ms) <= 900


@pytest.mark.parametrize("wait_ms", [HOUR // 2, 2 * HOUR, 3 * DAY, 366 * DAY])
def test_delays_from_half_an_hour_on_are_schedules_that_delete_themselves(wait_ms: int) -> None:
    operation, arguments = sent(wait_ms)
    at_ms = ManualClock().ms + wait_ms
    assert operation == "CreateSchedule"
    assert arguments["Name"] == schedule_name(STEP, at_ms)
    assert at_ms - MINUTE - SECOND < fires_at_ms(arguments) <= at_ms - MINUTE
    assert arguments["ActionAfterCompletion"] == "DELETE"
    assert arguments["FlexibleTimeWindow"] == {"Mode": "OFF"}
    target = arguments["Target"]
    message = json.loads(target["Input"])
    assert message["QueueUrl"].endswith("/steps")
    assert message["MessageGroupId"] == "acme"
    assert parse_wakeup(message["MessageBody"]) == Wakeup(STEP, at_ms)
    assert target["Arn"] == "arn:aws:scheduler:::aws-sdk:sqs:sendMessage"
    # When Scheduler cannot send it, the dead-letter queue gets all of this.
    assert parse_wakeup(target["Input"]) == Wakeup(STEP, at_ms)
    assert target["DeadLetterConfig"]["Arn"].endswith(":dead-letters")
    assert target["RoleArn"].endswith("role/scheduler")


def test_names_of_schedules() -> None:
    names = {schedule_name(step, at_ms) for step in (STEP, f"{RUN}-{'0' * 32}") for at_ms in (1, 2)}
    assert len(names) == 4
    assert all(name.startswith(RUN) and len(name) <= 64 for name in names)


def test_the_same_far_wakeup_twice_is_one_schedule() -> None:
    async def body() -> None:
        clock = ManualClock()
        with aws() as account:
            queue = account.queue(clock)
            for _ in range(2):
                await wakeup(queue, STEP, clock.ms + HOUR)
            assert len(schedules(account)) == 1

    asyncio.run(body())


def test_messages_are_grouped_by_client() -> None:
    assert sent(0, client_id="umbrella")[1]["MessageGroupId"] == "umbrella"


@pytest.mark.parametrize(
    ("attempt_ms", "name"), [(1, "steps"), (30_000, "steps"), (30_001, "steps-long"), (None, "steps-long")]
)
def test_attempts_that_may_take_long_have_a_queue_of_their_own(attempt_ms: int | None, name: str) -> None:
    assert sent(0, attempt_ms=attempt_ms)[1]["QueueUrl"].endswith("/" + name)
    assert f"/{name}" in sent(DAY, attempt_ms=attempt_ms)[1]["Target"]["Input"]


@pytest.mark.parametrize("attempt_ms", [1, 870_000])
def test_watchdogs_have_a_queue_of_their_own_and_no_group(attempt_ms: int) -> None:
    operation, arguments = sent(35 * SECOND, attempt_ms=attempt_ms, is_watchdog=True)
    assert operation == "SendMessage"
    assert arguments["QueueUrl"].endswith("/watchdogs")
    assert "MessageGroupId" not in arguments
    assert sent(HOUR, attempt_ms=attempt_ms, is_watchdog=True)[0] == "CreateSchedule"


def test_the_dead_letter_queue_gets_failed_steps_and_invalid_messages() -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.sqs) as recorder:
            queue = account.queue(ManualClock())
            await queue.dead_letter(STEP, "the endpoint answered 500 – \x00 ü" + "x" * 2_000)
            await queue.quarantine('{"some": "thing"}', "")
            reasons = [
                arguments["MessageAttributes"]["reason"]["StringValue"]
                for operation, arguments in recorder.calls
                if operation == "SendMessage"
            ]
            assert reasons[0].startswith("the endpoint answered 500 – ? ü")
            assert reasons[1] == "?"
            dead, poison = account.received(account.dead_letter_url)
            assert parse_wakeup(dead) == Wakeup(STEP, dead_letter=True)
            assert poison == '{"some": "thing"}'
            assert account.received(account.queue_url) == []

    asyncio.run(body())


def test_a_wakeup_is_small() -> None:
    assert len(encode_wakeup(f"{RUN}-{'0' * 32}", ManualClock().ms)) < 150
