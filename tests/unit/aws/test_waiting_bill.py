"""The cost of waiting on AWS: messages, schedules and writes of runs that wait for days, in virtual time.

The engine, the queue adapter and the scheduler adapter are the real ones. SQS and Scheduler are models:
they delay a message, deliver it once, and delete it.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from atomic.adapters.aws.scheduler import WakeupScheduler
from atomic.adapters.aws.sqs import SqsWakeupQueue, StepQueue
from atomic.adapters.aws.wakeups import parse_wakeup
from atomic.adapters.memory.store import MemoryStepStore
from atomic.adapters.memory.wakeups import MemoryNotifier
from atomic.application.answering import post_answer
from atomic.application.bulk import do_bulk
from atomic.application.engine import Engine, Settings
from atomic.application.process_wakeup import process_wakeup
from atomic.application.results import post_result
from atomic.application.start import start
from atomic.domain.events import ResultPosted
from atomic.domain.outcomes import EndpointResponse, StoredBody
from atomic.domain.retry import RetryPolicy
from atomic.domain.steps import Step, StepSpec
from atomic.entrypoints.aws.prices import (
    DRAIN_USD,
    GROUPED_REQUEST_USD,
    READ_UNIT_USD,
    WATCHDOG_USD,
    WRITE_UNIT_USD,
)
from atomic.protocol import keys
from atomic.protocol.enums import Status
from atomic.runtime.inflight import Tasks
from atomic.testing import EndpointCall, EndpointReply, run
from atomic.testing.endpoints import FunctionInvoker
from atomic.testing.local import SeededEntropy, open_registry
from atomic.testing.virtual_time import EPOCH_MS, LoopClock
from atomic.testing.watching import SilentTelemetry
from contract.builders import a_spec

COST_PAGE = Path(__file__).parents[3] / "docs" / "cost.md"
DAY_MS = 24 * 3600 * 1000
# EventBridge Scheduler, an invocation.
SCHEDULE_USD = 1.00e-6
_LATE_S = 0.03
# The batching window of the queue of watchdogs.
WINDOW_S = 20


class Account:
    """A model of SQS and Scheduler that delivers messages and counts them."""

    class exceptions:  # noqa: N801 - as boto3 has it
        class ConflictException(Exception):
            """The schedule exists already."""

    def __init__(self, deliver: Callable[[str, str], None]) -> None:
        self.deliver = deliver
        self.counts: Counter[str] = Counter()
        self.under_way: Counter[str] = Counter()
        self.most_under_way: Counter[str] = Counter()
        self._schedules: set[str] = set()

    def start(self, call: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":
        """Implements `AwsCalls`, at once."""
        done = asyncio.get_running_loop().create_future()
        done.set_result(call(*args))
        return done

    def send_message(self, *, QueueUrl: str, MessageBody: str, DelaySeconds: int, **_: Any) -> None:  # noqa: N803
        is_watchdog = QueueUrl == "watchdogs"
        self.counts["watchdogs" if is_watchdog else "messages"] += 1
        self._later(DelaySeconds + (WINDOW_S if is_watchdog else _LATE_S), QueueUrl, MessageBody)

    def create_schedule(self, *, Name: str, ScheduleExpression: str, Target: Any, **_: Any) -> None:  # noqa: N803
        if Name in self._schedules:
            raise self.exceptions.ConflictException
        self._schedules.add(Name)
        self.counts["schedules"] += 1
        at = datetime.strptime(ScheduleExpression, "at(%Y-%m-%dT%H:%M:%S)").replace(tzinfo=UTC)
        wait_s = at.timestamp() - EPOCH_MS / 1000 - asyncio.get_running_loop().time()
        # The schedule's message is sent without a request of Atomic's, and received and deleted like any
        # other.
        self.counts["messages"] += 1
        message = json.loads(Target["Input"])
        self._later(max(0.0, wait_s), message["QueueUrl"], message["MessageBody"])

    def _later(self, wait_s: float, url: str, body: str) -> None:
        step_id = parse_wakeup(body).step_id
        self.under_way[step_id] += 1
        asyncio.get_running_loop().call_later(wait_s, self._deliver, step_id, url, body)

    def _deliver(self, step_id: str, url: str, body: str) -> None:
        self.most_under_way[step_id] = max(self.most_under_way[step_id], self.under_way[step_id])
        self.under_way[step_id] -= 1
        self.deliver(url, body)


class Rows(MemoryStepStore):
    """A store that counts its writes, its reads of a row, and its queries."""

    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self._counts = counts

    async def create(self, step: Step) -> Step | None:
        self._counts["writes"] += 1
        return await super().create(step)

    async def replace(self, step: Step, expected_version: int) -> Step | None:
        self._counts["writes"] += 1
        return await super().replace(step, expected_version)

    async def get(self, step_id: str) -> Step | None:
        self._counts["reads"] += 1
        return await super().get(step_id)

    async def child_steps(self, parent_id: str, **page: Any) -> Any:
        self._counts["queries"] += 1
        return await super().child_steps(parent_id, **page)

    async def run(self, run_id: str, **page: Any) -> Any:
        self._counts["queries"] += 1
        return await super().run(run_id, **page)


class Runtime:
    """An engine as on AWS, and its account."""

    def __init__(self) -> None:
        clock, self.tasks, self.invoker = LoopClock(), Tasks(), FunctionInvoker()
        self.account: Any = Account(self._take)
        role = "arn:aws:iam::1:role/r"
        scheduler = WakeupScheduler(self.account, group_name="g", role_arn=role, dead_letter_arn="d")
        queue = SqsWakeupQueue(
            self.account,
            self.account,
            queue=StepQueue("short", "arn:short"),
            long_queue=StepQueue("long", "arn:long"),
            watchdog_queue=StepQueue("watchdogs", "arn:watchdogs"),
            dead_letter_url="dead",
            scheduler=scheduler,
            clock=clock,
        )
        self.store = Rows(self.account.counts)
        self.engine = Engine(
            store=self.store,
            queue=queue,
            invoker=self.invoker,
            own=do_bulk,
            notifier=MemoryNotifier(),
            clients=open_registry(),
            telemetry=SilentTelemetry(),
            clock=clock,
            entropy=SeededEntropy(0),
            spawn=self.tasks.spawn,
            settings=Settings(inline_attempt_max_ms=20_000, retention_ms=400 * DAY_MS),
        )

    def _take(self, url: str, body: str) -> None:
        wakeup, only_looks = parse_wakeup(body), url == "watchdogs"
        work = process_wakeup(self.engine, wakeup.step_id, wakeup.at_ms, only_looks=only_looks)
        self.tasks.spawn(work, step_id=wakeup.step_id)

    async def post(self, spec: StepSpec, **members: Any) -> Step:
        """Post a step without waiting."""
        identity = keys.identity(
            "acme", spec.workflow_name, spec.parent or "", spec.url, spec.step_name, "k"
        )
        return (await start(self.engine, replace(spec, identity=identity, **members), wait_ms=0)).step


ROOT = a_spec(key="k", attempt_timeout_ms=20_000)
Handler = Callable[[Runtime, EndpointCall], Awaitable[EndpointReply]]


def child(call: EndpointCall, name: str, kind: Any, **members: Any) -> StepSpec:
    more = {"kind": kind, "url": "", "step_name": name, "parent": call.json["stepId"], **members}
    return replace(ROOT, **more)


async def waits_for_a_person(runtime: Runtime, call: EndpointCall) -> EndpointReply:
    return await _suspend_or(await runtime.post(child(call, "approval", "event")))


async def sleeps_twenty_days_and_waits(runtime: Runtime, call: EndpointCall) -> EndpointReply:
    for number in range(20):
        nap = await runtime.post(child(call, f"nap {number}", "timer", delay_ms=DAY_MS))
        if not nap.is_settled:
            return await _suspend_or(nap)
    return await waits_for_a_person(runtime, call)


async def _suspend_or(step: Step) -> EndpointReply:
    if step.is_settled:
        return EndpointReply(json="done")
    return EndpointReply(status=202, headers={"Atomic-Waiting-For": step.id})


def counted(handler: Handler, *, days: int) -> tuple[Counter[str], int]:
    """The AWS operations of a run of this handler, whose event is completed after that many days.

    Also the maximum number of queued wake-ups of its root, a few minutes into its wait.
    """

    async def main() -> tuple[Counter[str], int]:
        runtime = Runtime()

        async def handle(call: EndpointCall) -> EndpointReply:
            return await handler(runtime, call)

        runtime.invoker.handlers[ROOT.url] = handle
        root = await runtime.post(replace(ROOT, identity="", parent=None))
        await asyncio.sleep(days * 24 * 3600)
        row = runtime.store._rows[root.id]
        assert row.status is Status.WAITING
        under_way = runtime.account.most_under_way[root.id]
        [event_id] = row.waiting_for
        await post_result(
            runtime.engine, runtime.store._rows[event_id], ResultPosted(StoredBody(b"1", "json"))
        )
        await asyncio.sleep(60)
        assert runtime.store._rows[root.id].status is Status.SUCCEEDED
        return runtime.account.counts, under_way

    return run(main())


def counted_of_an_answer(after_s: float) -> tuple[Counter[str], int]:
    """The same of a step that answers within a week, and is answered after so long."""

    async def main() -> tuple[Counter[str], int]:
        runtime = Runtime()

        async def handle(call: EndpointCall) -> EndpointReply:
            return EndpointReply(status=202, headers={"Atomic-Answer-Within": str(7 * DAY_MS)})

        runtime.invoker.handlers[ROOT.url] = handle
        root = await runtime.post(replace(ROOT, identity="", parent=None))
        await asyncio.sleep(after_s)
        row = runtime.store._rows[root.id]
        assert (row.status, row.attempt_count) == (Status.RUNNING, 1)
        assert not runtime.tasks.is_busy(row.spec.run_id)
        client = await runtime.engine.clients.get("acme")
        assert client is not None
        await post_answer(runtime.engine, client, row, 1, EndpointResponse(status=200, body=b"1"))
        # What is still on its way finds a step that has ended.
        await asyncio.sleep(8 * 24 * 3600)
        assert runtime.store._rows[root.id].status is Status.SUCCEEDED
        return runtime.account.counts, runtime.account.most_under_way[root.id]

    return run(main())


def price_usd(counts: Counter[str]) -> float:
    """The price.

    Each message is sent or scheduled, received, deleted and processed; a watchdog with others. A write is
    one unit.
    """
    scheduled = counts["schedules"] * (SCHEDULE_USD - GROUPED_REQUEST_USD)
    messages_usd = counts["messages"] * DRAIN_USD + counts["watchdogs"] * WATCHDOG_USD
    return messages_usd + scheduled + counts["writes"] * WRITE_UNIT_USD


def test_a_month_of_waiting() -> None:
    counts, under_way = counted(waits_for_a_person, days=30)
    # It is rechecked once a day. A schedule's message comes a minute early, and is sent again.
    assert counts["schedules"] == 30
    assert counts["messages"] <= 2 * 30 + 10
    assert under_way <= 3
    assert price_usd(counts) * 1e6 <= 300


def test_twenty_sleeps_of_a_day_and_then_a_person() -> None:
    counts, under_way = counted(sleeps_twenty_days_and_waits, days=50)
    # A sleep has a schedule of its own, and one for the recheck of its handler, which finds nothing.
    assert counts["schedules"] <= 20 + 20 + 30
    assert counts["messages"] <= 20 * 9 + 30 * 2 + 10
    # The wake-ups of earlier waits are spare: they arrive once, within a day, and are dropped.
    assert under_way <= 6
    assert price_usd(counts) * 1e6 <= 1_000


def test_an_answer_that_comes_after_days() -> None:
    soon, _ = counted_of_an_answer(60)
    late, under_way = counted_of_an_answer(3 * 24 * 3600)
    # One write more than a step that an invoker calls, and one schedule however long it takes.
    assert soon == late
    assert (late["writes"], late["schedules"]) == (4, 1)
    assert under_way <= 2


def test_the_docs_costs_of_waiting_match_the_counts() -> None:
    page = COST_PAGE.read_text()
    for handler, days in ((waits_for_a_person, 30), (sleeps_twenty_days_and_waits, 50)):
        counts, _ = counted(handler, days=days)
        what = f"{counts['messages']} messages, {counts['schedules']} schedules, {counts['writes']} writes"
        assert re.search(rf"\| {what} \| \${1e6 * price_usd(counts):.0f} \|", page), (
            what,
            price_usd(counts),
        )
    counts, _ = counted_of_an_answer(3 * 24 * 3600)
    what = f"{counts['messages']} messages, {counts['schedules']} schedule, {counts['writes']} writes"
    assert re.search(rf"\| {what} \| \${1e6 * price_usd(counts):.2f} \|", page), (what, price_usd(counts))


def retried(back_off_ms: int, *, times: int) -> Counter[str]:
    """The AWS operations of the retries of a root that fails so often before it succeeds."""

    async def main() -> Counter[str]:
        runtime = Runtime()

        async def handle(call: EndpointCall) -> EndpointReply:
            runtime.account.counts["calls"] += 1
            return EndpointReply(status=500 if call.json["attempt"] <= times else 200, json="done")

        runtime.invoker.handlers[ROOT.url] = handle
        policy = RetryPolicy(
            count=times, back_off_ms=back_off_ms, strategy="fixed", max_back_off_ms=back_off_ms
        )
        root = await runtime.post(replace(ROOT, identity="", parent=None, retry=policy))
        await asyncio.sleep((times + 2) * (back_off_ms / 1000 + 3600))
        assert runtime.store._rows[root.id].status is Status.SUCCEEDED
        # The watchdogs of attempts that ended lately are still on their way.
        assert runtime.account.most_under_way[root.id] <= (3 if back_off_ms > 60_000 else times + 1)
        return runtime.account.counts

    return run(main())


def each_retry(back_off_ms: int) -> Counter[str]:
    """What one more retry costs."""
    return retried(back_off_ms, times=5) - retried(back_off_ms, times=4)


BACK_OFFS = {"a second": 1_000, "ten minutes": 600_000, "50 minutes": 3_000_000}


def test_a_retry_with_a_long_back_off_costs_hardly_more() -> None:
    short, middle, long = (each_retry(back_off_ms) for back_off_ms in BACK_OFFS.values())
    # Its claim and its end, its wake-up, and a watchdog, which comes when the step has moved on.
    assert short == Counter(calls=1, writes=2, messages=1, watchdogs=1, reads=2)
    assert middle == short
    # A schedule's message comes a minute early and is sent again.
    assert long == short + Counter(schedules=1, messages=1, reads=1)


def test_the_docs_costs_of_retries_match_the_counts() -> None:
    page = COST_PAGE.read_text()
    for after, back_off_ms in BACK_OFFS.items():
        counts, usd = each_retry(back_off_ms), price_usd(each_retry(back_off_ms))
        what = ", ".join(
            f"{counts[name]} {name}" for name in ("messages", "watchdogs", "schedules", "writes")
        )
        assert f"| after {after} | {what} | ${1e6 * usd:.2f} |" in page, (after, what, 1e6 * usd)


def fanned_out(count: int, wake: str, *, fail_once: bool = False) -> Counter[str]:
    """The AWS operations of a run whose handler waits for so many steps, which end one after the other.

    `fail_once`: the first attempt of each of them fails.
    """

    async def main() -> Counter[str]:
        runtime = Runtime()
        urls = [f"https://app.example/items/{number}" for number in range(count)]

        async def item(call: EndpointCall) -> EndpointReply:
            await asyncio.sleep(5 + 10 * urls.index(call.url) / count)
            return EndpointReply(
                status=500 if fail_once and call.json["attempt"] == 1 else 200, json="done"
            )

        async def handle(call: EndpointCall) -> EndpointReply:
            runtime.account.counts["calls"] += 1
            if call.json["attempt"] == 1:
                for url in urls:
                    await runtime.post(replace(ROOT, url=url, parent=call.json["stepId"]))
            page = await runtime.store.child_steps(
                call.json["stepId"], after="", limit=1000, max_bytes=10**7
            )
            live = [step.id for step in page.steps if not step.is_settled]
            if not live:
                return EndpointReply(json="done")
            # As the SDK does.
            named = "*" if len(live) > 40 else ", ".join(live)
            return EndpointReply(status=202, headers={"Atomic-Waiting-For": named, "Atomic-Wake": wake})

        runtime.invoker.handlers |= {ROOT.url: handle, **dict.fromkeys(urls, item)}
        root = await runtime.post(replace(ROOT, identity="", parent=None))
        await asyncio.sleep(3600)
        assert runtime.store._rows[root.id].status is Status.SUCCEEDED
        return runtime.account.counts

    return run(main())


@pytest.mark.parametrize("wake", ["all", "settled"])
@pytest.mark.parametrize("count", [10, 40, 160])
def test_a_handler_that_waits_for_all_of_its_steps_is_called_twice(count: int, wake: str) -> None:
    counts = fanned_out(count, wake)
    assert counts["calls"] == counts["queries"] == 2
    # A step is created and settles; and it is marked, so that its end wakes its handler.
    assert counts["writes"] <= 3 * count + 20
    # A step has its own wake-up, and its end looks at what its handler waits for.
    assert counts["messages"] <= 2 * count + 10
    assert counts["reads"] <= 8 * count + 40


def test_a_handler_that_waits_for_any_of_them_is_called_each_time() -> None:
    counts = fanned_out(10, "any")
    assert counts["calls"] == 11
    assert counts["writes"] > fanned_out(10, "all")["writes"] + 2 * 9


def test_a_fan_out_that_fails_once_pays_its_retries_and_no_call_of_its_handler() -> None:
    once, twice = fanned_out(40, "all"), fanned_out(40, "all", fail_once=True)
    assert twice["calls"] == once["calls"] == 2
    more = twice - once
    # A retry as above. The steps that wait for the last one are read as often as before.
    assert more["messages"] == more["watchdogs"] == 40
    assert more["writes"] == 80
    assert more["reads"] <= 4 * 40


def test_the_docs_costs_of_a_fan_out_match_the_counts() -> None:
    page = COST_PAGE.read_text()
    for wake, fail_once in (("all", False), ("any", False), ("all", True)):
        counts = fanned_out(40, wake, fail_once=fail_once)
        names = ("calls", "messages", "watchdogs", "writes", "reads")
        what = ", ".join(f"{counts[name]} {name}" for name in names)
        usd = price_usd(counts) + counts["reads"] * READ_UNIT_USD
        assert f"| {what} | ${1e6 * usd:.0f} |" in page, (wake, what, 1e6 * usd)
