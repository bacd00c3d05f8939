"""The cost of a step: its calls to AWS, and the write units of the table (1 KB of the larger item each)."""

import asyncio
import math
import re
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from atomic.adapters.aws.telemetry import EmfTelemetry
from atomic.adapters.memory.wakeups import MemoryNotifier
from atomic.adapters.system import SystemClock
from atomic.application.bulk import do_bulk
from atomic.application.child_runs import begin_run, continue_run
from atomic.application.commit import commit
from atomic.application.destinations import TRY_EVERY_MS
from atomic.application.engine import Engine
from atomic.application.graceful_cancel import cancel_gracefully, request_cancel_below
from atomic.application.making_due import make_due
from atomic.application.messages import send_message
from atomic.application.process_wakeup import process_wakeup
from atomic.application.queries import get_run
from atomic.application.results import signal, signal_heartbeat
from atomic.application.start import StartResult, start
from atomic.domain.clients.client import Client
from atomic.domain.event_steps import early
from atomic.domain.events import ResultPosted, WaiterAdded
from atomic.domain.messages import numbered
from atomic.domain.outcomes import Outcome, StoredBody
from atomic.domain.retry import RetryPolicy
from atomic.domain.steps import Step, StepSpec
from atomic.domain.transitions import begin
from atomic.entrypoints.aws.prices import (
    DRAIN_USD,
    FUNCTION_GB,
    LAMBDA_GB_S_USD,
    LOG_BYTES_PER_INVOCATION,
    LONE_WATCHDOG_USD,
    READ_UNIT_USD,
    WATCHDOG_USD,
    WRITE_UNIT_USD,
    estimated_usd,
)
from atomic.entrypoints.http_api.api import Api
from atomic.entrypoints.http_api.callbacks import callback_member
from atomic.entrypoints.http_api.http import ApiRequest
from atomic.entrypoints.http_api.routes import handle
from atomic.protocol import keys
from atomic.protocol.enums import OutcomeKind, Status
from atomic.testing.endpoints import EndpointCall, EndpointReply, FunctionInvoker
from atomic.testing.local import SeededEntropy, open_registry
from atomic.testing.watching import SilentTelemetry
from contract.aws import TABLE_NAME, Aws, Recorder, aws
from contract.builders import a_root, a_spec, incompressible
from unit.strategies import ended

REPO = Path(__file__).parents[3]
COST_PAGE = REPO / "docs" / "cost.md"
# A retry that is due at once.
RETRY = RetryPolicy(count=3, back_off_ms=0)
UUID = "0b9cf1b2-5a7d-4d1e-9d4f-0a1b2c3d4e5f"


@dataclass
class Runtime:
    """An engine on AWS whose endpoints are functions."""

    account: Aws
    invoker: FunctionInvoker = field(default_factory=FunctionInvoker)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        clock = SystemClock()
        self.engine = Engine(
            store=self.account.store(),
            queue=self.account.queue(clock),
            invoker=self.invoker,
            own=do_bulk,
            notifier=MemoryNotifier(),
            clients=open_registry(),
            telemetry=SilentTelemetry(),
            clock=clock,
            entropy=SeededEntropy(0),
            spawn=self.spawn,
        )

    def spawn(self, work: Coroutine[Any, Any, None], *, step_id: str) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def call(self, spec: StepSpec) -> StartResult:
        """Start the step and wait for its outcome."""
        return await start(self.engine, spec, wait_ms=20_000)


def test_a_step_is_two_writes_one_message_and_no_read() -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb, account.sqs) as recorder:
            runtime = Runtime(account)
            runtime.invoker.handlers[a_spec().url] = answer({"id": 7})
            recorder.calls.clear()
            started = await runtime.call(a_spec(attempt_timeout_ms=20_000))
            assert started.step.status is Status.SUCCEEDED
            assert sorted(recorder.operations) == ["PutItem", "SendMessage", "UpdateItem"]
            recorder.calls.clear()
            again = await runtime.call(a_spec())
            assert again.replayed
            # The failed condition returns the row, so a replay needs no read either.
            assert sorted(recorder.operations) == ["PutItem", "SendMessage"]

    asyncio.run(body())


def test_an_inline_step_that_was_left_alone_gets_a_wakeup_when_it_is_posted_or_looked_at_again() -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb, account.sqs) as recorder:
            runtime, elsewhere = Runtime(account), Runtime(account)
            root = a_root(a_spec(key=UUID))
            await runtime.engine.store.create(root)
            # The environment dies during the attempt, and nobody is told.
            spec = replace(a_step(0), parent=root.id)
            left = begin(
                spec, spec.identity, runtime.engine.clock.now_ms() - 60_000, "9" * 32, awaited=True
            )
            await runtime.engine.store.create(left)
            # Without a wake-up it would never be deleted.
            key = {"pk": {"S": spec.run_id}, "sk": {"S": left.position}}
            assert "ttl" in account.dynamodb.get_item(TableName=TABLE_NAME, Key=key)["Item"]
            recorder.calls.clear()
            await get_run(elsewhere.engine, Client(id="acme"), spec.run_id, after=None, limit=10)
            assert Counter(recorder.operations) == Counter({"GetItem": 1, "Query": 1, "SendMessage": 1})
            recorder.calls.clear()
            again = await start(elsewhere.engine, spec, wait_ms=1)
            assert (again.created, again.step.has_no_wakeup) == (False, False)
            # The wake-up is acknowledged before the row says that the handler waits.
            writes = [name for name in recorder.operations if name in {"SendMessage", "UpdateItem"}]
            assert writes[:2] == ["SendMessage", "UpdateItem"]
            item = account.dynamodb.get_item(TableName=TABLE_NAME, Key=key)["Item"]
            assert "ttl" not in item

    asyncio.run(body())


# A running handler occupies its environment, so its steps are started in others. Only the root has a
# wake-up: a handler that waits for a step is called again if both processes die.
STEPS = Counter({"PutItem": 4, "UpdateItem": 4, "SendMessage": 1})


@pytest.mark.parametrize(
    ("names_parent", "besides"),
    [
        # Each environment reads the root once.
        pytest.param(True, {"GetItem": 3}, id="sdk"),
        # Each environment tries to create the step as the root of a run, which returns the state of the
        # run.
        pytest.param(False, {"PutItem": 3, "SendMessage": 3}, id="naive"),
    ],
)
def test_a_run_of_three_steps_in_environments_of_their_own(
    names_parent: bool, besides: dict[str, int]
) -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb, account.sqs) as recorder:
            runtime, *others = [Runtime(account) for _ in range(4)]

            async def workflow(call: EndpointCall) -> EndpointReply:
                for number, elsewhere in enumerate(others):
                    parent = call.json["stepId"] if names_parent else None
                    step = replace(a_step(number), parent=parent)
                    elsewhere.invoker.handlers[step.url] = answer({"id": number})
                    assert (await elsewhere.call(step)).step.status is Status.SUCCEEDED
                return EndpointReply(json={"id": 7})

            root = a_spec(key=UUID)
            runtime.invoker.handlers[root.url] = workflow
            recorder.calls.clear()
            assert (await runtime.call(root)).step.status is Status.SUCCEEDED
            assert Counter(recorder.operations) == STEPS + Counter(besides)

    asyncio.run(body())


def test_a_value_is_one_write_and_nothing_else() -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb, account.sqs) as recorder:
            runtime = Runtime(account)
            root = a_root()
            await runtime.engine.store.create(root)
            first, second, large = (a_value(root.id, name) for name in ("first", "second", "large"))
            large = replace(large, payload=b'"' + incompressible(262_000) + b'"')
            recorder.calls.clear()
            started = await runtime.call(first)
            assert (started.created, started.step.status) == (True, Status.SUCCEEDED)
            # The environment looks once whose run it is.
            assert Counter(recorder.operations) == Counter({"PutItem": 1, "GetItem": 1})
            # A large one is an object of the bucket, and its row is read before.
            for spec, calls in ((second, ["PutItem"]), (large, ["GetItem", "PutItem"])):
                recorder.calls.clear()
                assert (await runtime.call(spec)).created
                assert recorder.operations == calls
            recorder.calls.clear()
            again = await runtime.call(replace(first, payload=b"2", fingerprint="other"))
            assert (again.replayed, again.step.response) == (True, StoredBody(b"17", "json"))
            assert recorder.operations == ["PutItem"]

    asyncio.run(body())


def test_a_later_attempt_reads_before_it_writes() -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb, account.sqs) as recorder:
            runtime, elsewhere = Runtime(account), Runtime(account)
            root = a_root(a_spec(key=UUID))
            await runtime.engine.store.create(root)
            step = replace(a_step(0), parent=root.id)
            runtime.invoker.handlers[step.url] = answer({"id": 7})
            value = a_value(root.id, "first")
            for spec in (step, value):
                assert (await runtime.call(spec)).created
            for spec in (step, value):
                recorder.calls.clear()
                again = await start(elsewhere.engine, spec, wait_ms=20_000, attempt=2)
                assert (again.replayed, again.step.status) == (True, Status.SUCCEEDED)
                # No look at the root, no failed put, no wake-up.
                assert recorder.operations == ["GetItem"]

    asyncio.run(body())


def test_what_a_handler_posted_is_read_by_one_query_for_half_the_price() -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb, account.sqs) as recorder:
            store = account.store()
            root = a_root()
            for number in range(60):
                await store.create(begin(a_value(root.id, f"v{number}"), f"{number:032x}", 1_000, None))
            for number in range(60):
                spec = a_value(root.id, f"v{number}")
                await store.create(begin(spec, spec.identity, 1_000, None))
            recorder.calls.clear()
            page = await store.child_steps(root.id, after="", limit=1000, max_bytes=2_000_000)
            assert (len(page.steps), page.next_after) == (60, None)
            [(operation, asked)] = recorder.calls
            assert (operation, asked["ConsistentRead"]) == ("Query", False)
            # Only the range of this parent's steps is read.
            first, end = keys.children_range(root.id)
            assert asked["ExpressionAttributeValues"][":first"]["S"] == keys.position_of(first)
            assert asked["ExpressionAttributeValues"][":end"]["S"] == keys.position_of(end)

    asyncio.run(body())


def a_value(parent: str, name: str) -> StepSpec:
    """A value of a handler."""
    identity = keys.identity("acme", "createUser", parent, "value", name, "key-1")
    spec = a_spec(step_name=name, payload=b"17", parent=parent)
    return replace(spec, kind="value", url="", identity=identity, run_id=keys.run_of(parent))


def an_event() -> StepSpec:
    """The event `payment` of a root."""
    parent = keys.root_of(a_spec().run_id)
    identity = keys.identity("acme", "createUser", parent, "event", "payment", "key-1")
    spec = a_spec(step_name="payment", payload=b"null", parent=parent)
    return replace(spec, kind="event", url="", identity=identity)


PAID = ResultPosted(StoredBody(b'{"paid":42}', "json", "application/json"))


def test_an_early_event_is_one_write_and_its_asking_another() -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb, account.sqs) as recorder:
            runtime = Runtime(account)
            event = an_event()
            recorder.calls.clear()
            assert (await signal(runtime.engine, event, PAID)).was == "early"
            # The event and the workflow that it is for.
            assert Counter(recorder.operations) == Counter({"GetItem": 2, "PutItem": 1})
            recorder.calls.clear()
            assert (await signal(runtime.engine, event, PAID)).was == "done"
            assert recorder.operations == ["GetItem"]

            await runtime.engine.store.create(a_root())
            recorder.calls.clear()
            asked = await runtime.call(event)
            assert (asked.replayed, asked.step.response) == (True, PAID.response)
            # The refused write returns the row, which is now kept as long as its run; a look at the run.
            assert Counter(recorder.operations) == Counter({"GetItem": 1, "PutItem": 1, "UpdateItem": 1})
            recorder.calls.clear()
            again = await start(runtime.engine, event, wait_ms=0, attempt=2)
            assert (again.replayed, recorder.operations) == (True, ["GetItem"])

    asyncio.run(body())


def test_the_result_of_an_open_event_is_a_write_and_two_reads_and_wakes_who_waits() -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb, account.sqs) as recorder:
            runtime = Runtime(account)
            event = an_event()
            await runtime.engine.store.create(a_root())
            recorder.calls.clear()
            opened = await start(runtime.engine, event, wait_ms=0)
            assert Counter(recorder.operations) == Counter({"PutItem": 1, "GetItem": 1})
            recorder.calls.clear()
            assert (await signal(runtime.engine, event, PAID)).was == "open"
            assert Counter(recorder.operations) == Counter({"GetItem": 2, "UpdateItem": 1})

            other = replace(event, step_name="other", identity="b" * 32)
            opened = await start(runtime.engine, other, wait_ms=0)
            await commit(runtime.engine, opened.step, WaiterAdded(other.parent or ""))
            recorder.calls.clear()
            assert (await signal(runtime.engine, other, PAID)).was == "open"
            # A wake-up before the write. The row of the step that waits is read; this one is not suspended.
            wakes = Counter({"SendMessage": 1, "GetItem": 1})
            assert Counter(recorder.operations) == Counter({"GetItem": 2, "UpdateItem": 1}) + wakes

    asyncio.run(body())


def test_a_heartbeat_is_a_write_and_a_read_of_the_run_and_sends_nothing() -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb, account.sqs) as recorder:
            runtime = Runtime(account)
            event = replace(an_event(), heartbeat_ms=60_000)
            await runtime.engine.store.create(a_root())
            await start(runtime.engine, event, wait_ms=0)
            recorder.calls.clear()
            await signal_heartbeat(runtime.engine, event)
            assert Counter(recorder.operations) == Counter({"GetItem": 1, "UpdateItem": 1})
            # Another environment of the function has not read the run lately.
            elsewhere = Runtime(account)
            recorder.calls.clear()
            await signal_heartbeat(elsewhere.engine, event)
            assert Counter(recorder.operations) == Counter({"GetItem": 2, "UpdateItem": 1})

    asyncio.run(body())


def test_a_message_is_two_writes_and_finds_its_number_by_halving() -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb, account.sqs) as recorder:
            runtime = Runtime(account)
            event, store = an_event(), runtime.engine.store
            recorder.calls.clear()
            first = await send_message(runtime.engine, event, PAID, "m-1")
            assert (first.was, first.step.spec.step_name) == ("early", "payment")
            # The note and the event are read and written; the workflow is read.
            assert Counter(recorder.operations) == Counter({"GetItem": 3, "PutItem": 2})
            recorder.calls.clear()
            assert (await send_message(runtime.engine, event, PAID, "m-1")).was == "done"
            assert recorder.operations == ["GetItem", "GetItem"]
            # Without an id there is no note.
            recorder.calls.clear()
            second = await send_message(runtime.engine, event, PAID, None)
            assert second.step.spec.step_name == "payment#2"
            assert Counter(recorder.operations) == Counter({"GetItem": 4, "PutItem": 1})
            for number in range(3, 101):
                told = early(numbered(event, number), PAID, runtime.engine.clock.now_ms())
                await store.create(told)
            recorder.calls.clear()
            last = await send_message(runtime.engine, event, PAID, None)
            assert last.step.spec.step_name == "payment#101"
            # Seven times as far, then six halves; and the workflow.
            assert Counter(recorder.operations) == Counter({"GetItem": 14, "PutItem": 1})

    asyncio.run(body())


def test_a_callback_is_a_write_and_two_reads_and_a_forged_one_is_free() -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb, account.sqs) as recorder:
            runtime = Runtime(account)
            api = Api(engine=runtime.engine)
            root, event = a_root(), an_event()
            await runtime.engine.store.create(root)
            opened = await start(runtime.engine, event, wait_ms=0)
            url = callback_member(api, Client(id="acme"), opened.step)["callbackUrl"]
            recorder.calls.clear()
            assert (await handle(api, ApiRequest(method="POST", path=f"{url}A"))).status == 404
            assert (await handle(api, ApiRequest(method="OPTIONS", path=url))).status == 204
            assert recorder.operations == []
            assert (await handle(api, ApiRequest(method="GET", path=url))).status == 200
            assert recorder.operations == ["GetItem"]
            recorder.calls.clear()
            assert (await handle(api, ApiRequest(method="POST", path=url))).status == 200
            # The event, and its run: an accepted result must be used.
            assert Counter(recorder.operations) == Counter({"GetItem": 2, "UpdateItem": 1})
            recorder.calls.clear()
            assert (await handle(api, ApiRequest(method="POST", path=url))).status == 200
            assert recorder.operations == ["GetItem"]

    asyncio.run(body())


def test_a_graceful_cancel_is_a_read_and_a_write_and_as_much_for_each_live_step() -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb, account.sqs) as recorder:
            runtime = Runtime(account)
            now_ms = runtime.engine.clock.now_ms()
            called: dict[str, Any] = {"attempt_count": 1, "due_at_ms": now_ms + 60_000}
            root = replace(a_root(), status=Status.WAITING, **called)
            await runtime.engine.store.create(root)
            await start(runtime.engine, an_event(), wait_ms=0)
            recorder.calls.clear()
            await cancel_gracefully(runtime.engine, root.spec.run_id, 60_000)
            # The wake-up by which the handler is told.
            assert Counter(recorder.operations) == Counter(
                {"GetItem": 1, "UpdateItem": 1, "SendMessage": 1}
            )
            told = await runtime.engine.store.get(root.id)
            assert told is not None
            recorder.calls.clear()
            await request_cancel_below(runtime.engine, told)
            # The list and the handler's row; the live event.
            assert Counter(recorder.operations) == Counter({"Query": 1, "GetItem": 2, "UpdateItem": 1})

    asyncio.run(body())


def test_a_step_that_is_made_due_is_a_write_and_a_message() -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb, account.sqs) as recorder:
            runtime = Runtime(account)
            delayed = (await start(runtime.engine, a_spec(delay_ms=60_000), wait_ms=0)).step
            for at_ms in (None, runtime.engine.clock.now_ms() + 120_000):
                recorder.calls.clear()
                delayed = await make_due(runtime.engine, delayed, at_ms)
                assert sorted(recorder.operations) == ["SendMessage", "UpdateItem"]
            nap = a_spec(kind="timer", step_name="nap", parent=delayed.id, delay_ms=60_000)
            timer = (await start(runtime.engine, replace(nap, url=""), wait_ms=0)).step
            recorder.calls.clear()
            assert (await make_due(runtime.engine, timer, None)).status is Status.SUCCEEDED
            assert sorted(recorder.operations) == ["UpdateItem"]

    asyncio.run(body())


def test_what_docs_say_of_events_follows_from_the_prices() -> None:
    page = COST_PAGE.read_text()
    # A step that has nothing to read and writes once costs a request and a part of a function's time.
    request_usd = estimated_usd([begin(a_value(a_root().id, "now"), "0" * 32, 1, None)])
    request_usd -= WRITE_UNIT_USD + READ_UNIT_USD
    for what, writes, reads in (
        ("an event that is told early", 1, 2),
        ("its handler asks for it: a write that is refused, one that keeps it, a read", 2, 1),
        ("an event that is told when it is open", 1, 2),
        ("a heartbeat of an open event", 1, 2),
        ("a message with an id, the first of its name", 2, 3),
        ("a message with an id after a hundred others", 2, 15),
        ("a result that comes to a callback URL", 1, 2),
    ):
        cents = math.floor(1e8 * (request_usd + writes * WRITE_UNIT_USD + reads * READ_UNIT_USD) + 0.5)
        assert f"| {what} | ${cents / 100:.2f} |" in page, cents / 100


def test_what_docs_say_of_posts_that_find_their_step_follows_from_the_prices() -> None:
    page = COST_PAGE.read_text()
    request_usd = estimated_usd([begin(a_value(a_root().id, "now"), "0" * 32, 1, None)])
    request_usd -= WRITE_UNIT_USD + READ_UNIT_USD
    for what, usd in (
        ("a root: a write that is refused, and a watchdog", WRITE_UNIT_USD + WATCHDOG_USD),
        ("a step: a write that is refused", WRITE_UNIT_USD),
        ("the same with the token of a later attempt: a read", READ_UNIT_USD),
    ):
        assert f"| {what} | ${1e6 * (request_usd + usd):.2f} |" in page, 1e6 * (request_usd + usd)


def a_link(parent: str, **members: Any) -> StepSpec:
    """A step that starts the run `inv-7` of the workflow `invoice`."""
    members = {"child_name": "invoice", "child_key": "inv-7", **members}
    spec = replace(a_step(0), kind="run", parent=parent, **members)
    called = keys.run_of(spec.child_root)
    return replace(spec, identity=keys.identity("acme", spec.workflow_name, parent, called, "", UUID))


# What a run costs by itself when no caller waits for it.
A_RUN = Counter({"PutItem": 1, "SendMessage": 1, "UpdateItem": 1})


def test_a_child_run_is_two_writes_a_message_and_two_reads_beside_the_run() -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb, account.sqs) as recorder:
            runtime = Runtime(account)
            root = a_root(a_spec(key=UUID))
            await runtime.engine.store.create(root)
            runtime.engine.runs.remember(root, runtime.engine.clock.now_ms())
            for members in ({}, {"detached": True, "child_key": "inv-8"}):
                link = a_link(root.id, **members)
                runtime.invoker.handlers[link.url] = answer({"id": 7})
                recorder.calls.clear()
                started = await start(runtime.engine, link, wait_ms=0, first=begin_run)
                await asyncio.gather(*runtime.tasks)
                counted = Counter(recorder.operations)
                settled = await runtime.engine.store.get(started.step.id)
                assert settled is not None
                assert settled.status is Status.SUCCEEDED
                assert settled.response != StoredBody(b"null", "json")
                # Before its first call the run reads its link; a run that has ended reads it once more.
                reads = 1 if link.detached else 2
                own = Counter({"PutItem": 1, "SendMessage": 1, "UpdateItem": 1, "GetItem": reads})
                assert counted == A_RUN + own

    asyncio.run(body())


def test_a_run_that_goes_on_is_a_run_and_three_reads() -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb, account.sqs) as recorder:
            runtime = Runtime(account)
            first = a_spec(key=UUID)
            second = replace(a_spec(key="next"), continued_from=keys.root_of(first.run_id))

            async def rounds(call: EndpointCall) -> EndpointReply:
                if call.json["idempotencyKey"] == "next":
                    return EndpointReply(json=1)
                following = await continue_run(runtime.engine, second, attempt=1, inherited=frozenset())
                return EndpointReply(status=202, headers={"Atomic-Continue-As": following.step.id})

            runtime.invoker.handlers[first.url] = rounds
            recorder.calls.clear()
            started = await runtime.call(first)
            while runtime.tasks:
                await asyncio.gather(*runtime.tasks)
            assert started.step.continued_as == keys.root_of(second.run_id)
            # The post reads the root that is continued, the answer the new one, and the new run the old one
            # before its first call.
            assert Counter(recorder.operations) == A_RUN + A_RUN + Counter({"GetItem": 3})

    asyncio.run(body())


def test_what_docs_say_of_child_runs_follows_from_the_prices() -> None:
    page = COST_PAGE.read_text()
    # The wake-up of the link: sent, received, deleted, and looked at.
    usd = 2 * WRITE_UNIT_USD + 2 * READ_UNIT_USD + DRAIN_USD
    assert f"| a child run, beside the run's own cost | ${1e6 * usd:.2f} |" in page, 1e6 * usd
    usd = 3 * READ_UNIT_USD
    assert f"| a run that goes on as another one, beside the cost of that one | ${1e6 * usd:.2f} |" in page
    usd = WRITE_UNIT_USD + READ_UNIT_USD
    assert f"| the same while a step of kind `run` waits for it | ${1e6 * usd:.2f} |" in page, 1e6 * usd


def test_a_handler_that_gets_504_costs_one_more_read_and_write() -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb, account.sqs) as recorder:
            runtime, elsewhere = Runtime(account), Runtime(account)
            told: list[Counter[str]] = []

            async def never(call: EndpointCall) -> EndpointReply:
                await asyncio.sleep(60)
                raise AssertionError

            async def workflow(call: EndpointCall) -> EndpointReply:
                for number in range(2):
                    step = replace(a_step(number), parent=call.json["stepId"])
                    elsewhere.invoker.handlers[step.url] = never
                    recorder.calls.clear()
                    started = await start(elsewhere.engine, step, wait_ms=1_000)
                    assert started.step.status is Status.RUNNING
                    told.append(Counter(recorder.operations))
                return EndpointReply(status=500)

            root = a_spec(key=UUID)
            runtime.invoker.handlers[root.url] = workflow
            root_id = (await start(runtime.engine, root, wait_ms=0)).step.id
            await asyncio.gather(*runtime.tasks)
            root_step = await runtime.engine.store.get(root_id)
            assert root_step is not None
            assert root_step.status is Status.WAITING
            # The waiting post reads the row at the end, and the handler is registered as a waiter of the
            # step.
            hung = Counter({"PutItem": 1, "SendMessage": 1, "GetItem": 1, "UpdateItem": 1})
            # The environment reads once to which client the run belongs.
            assert told[0] == hung + Counter({"GetItem": 1}) + Counter({"GetItem": 1, "UpdateItem": 1})
            # The handler's row already says that its attempt was told.
            assert told[1] == hung + Counter({"GetItem": 1})
            for task in [*runtime.tasks, *elsewhere.tasks]:
                task.cancel()

    asyncio.run(body())


@pytest.mark.parametrize(
    ("of", "looks"),
    [
        pytest.param("root", 0, id="root"),
        # An environment that has no cached state of the run checks whether it was cancelled.
        pytest.param("step", 1, id="step"),
    ],
)
def test_a_retry_is_two_writes_two_messages_and_a_read(of: str, looks: int) -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb, account.sqs) as recorder:
            runtime, elsewhere = Runtime(account), Runtime(account)

            async def workflow(call: EndpointCall) -> EndpointReply:
                return EndpointReply(status=500 if of == "root" else 200)

            root = a_spec(key=UUID, retry=RETRY)
            runtime.invoker.handlers[root.url] = workflow
            failed = await start(runtime.engine, root, wait_ms=0)
            await asyncio.gather(*runtime.tasks)
            if of == "step":
                step = replace(a_step(0), parent=failed.step.id, retry=RETRY)
                runtime.invoker.handlers[step.url] = status(500)
                failed = await start(runtime.engine, step, wait_ms=0)
                await asyncio.gather(*runtime.tasks)
            await asyncio.sleep(0.01)
            elsewhere.invoker.handlers[failed.step.spec.url] = status(200)
            recorder.calls.clear()
            await process_wakeup(elsewhere.engine, failed.step.id)
            assert Counter(recorder.operations) == Counter(
                {"GetItem": 1 + looks, "UpdateItem": 2, "SendMessage": 1}
            )

    asyncio.run(body())


# On the page, each step takes 50 ms, and the root as long as its steps one after another.
ROOT_WAITS_USD = 0.100 * FUNCTION_GB * LAMBDA_GB_S_USD


def a_run_usd(text: bytes = b'{"id":7}') -> float:
    """The estimate of the run of three steps, each of which has such a payload and response."""
    places = (keys.ROOT, "a" * 32, "b" * 32, "c" * 32)
    return estimated_usd([settled_step(position, text) for position in places]) + ROOT_WAITS_USD


def test_a_million_runs_of_three_steps_cost_fifteen_dollars_at_most() -> None:
    assert 1e6 * a_run_usd() <= 15.00


def test_the_prices_in_the_docs_match_a_counted_run() -> None:
    text = b'"' + incompressible(1022) + b'"'
    alone = a_run_usd() + LONE_WATCHDOG_USD - WATCHDOG_USD
    stated = re.findall(r"\*\*\$(\d+\.\d+)\*\*", COST_PAGE.read_text())
    assert [f"{1e6 * usd:.2f}" for usd in (a_run_usd(), alone, a_run_usd(text))] == stated
    # The size of a row in `prices` is not below the real one.
    assert sum(write_units("step", text, text)) <= 4


def test_the_lines_of_the_table_add_up() -> None:
    page = COST_PAGE.read_text()
    table = page[page.index("| line | per run |") : page.index("| **sum** |")]
    lines = [float(usd) for usd in re.findall(r"\$(\d+\.\d+) \|$", table, re.MULTILINE)]
    assert len(lines) == 9
    assert abs(sum(lines) - 1e6 * a_run_usd()) < 0.03


def test_the_quotas_of_a_deployment_follow_from_the_table() -> None:
    """How many such runs a second each quota allows, rounded down to hundreds."""
    cost, page = COST_PAGE.read_text(), (REPO / "docs/deploy.md").read_text()
    [requests] = re.findall(r"HTTP API requests \| (\d+) \|", cost)
    [(root_ms, step_ms)] = re.findall(r"root (\d+) ms, steps (\d+) ms each", cost)
    [writes] = re.findall(r"rows of ordinary size \(one unit each\) \| (\d+) \|", cost)
    seconds = (int(root_ms) + 3 * int(step_ms)) / 1000
    for quota, used, row in (
        (1_000, seconds, "Lambda concurrency"),
        (2_000, int(requests), "the stack's own"),
        (10_000, int(requests), "API Gateway requests"),
        (40_000, int(writes), "DynamoDB write units"),
        (4_000, int(writes), "DynamoDB write units"),
    ):
        [line] = [each for each in page.splitlines() if each.startswith(f"| {row}")]
        assert f"{int(quota / used) // 100 * 100:,} W" in line, line
    assert f"{seconds:.2f} s of environments" in page


def test_an_invocation_logs_no_more_than_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry = EmfTelemetry(namespace="Atomic", service="atomic")
    step = settled_step("a" * 32, b"1")
    telemetry.started(step)
    telemetry.attempt_ended(step, step.attempt_log[-1])
    telemetry.settled(step)
    telemetry.flush()
    line = capsys.readouterr().out
    template = (REPO / "template.yaml").read_text()
    [form] = re.findall(r"^ +Format: '(.*requestId.*latencyMs.*)'$", template, re.MULTILINE)
    known = {"requestId": "JKJaXmPLvHcESHA=", "identity.sourceIp": "203.0.113.9", "httpMethod": "POST"}
    known |= {"path": "/acme/steps", "status": "200", "integrationErrorMessage": "-"}
    known |= {"responseLatency": "83", "integrationStatus": "200"}
    for name, value in known.items():
        form = form.replace(f"$context.{name}", value)
    assert "$context" not in form
    # CloudWatch counts 26 bytes more for each line.
    assert len(line) + len(form) + 2 * 26 <= LOG_BYTES_PER_INVOCATION


def test_what_docs_say_of_values_and_results_follows_from_the_prices() -> None:
    value = begin(a_value(a_root().id, "now"), "0" * 32, 1_767_225_600_123, None)
    # 1,000 rows of 1 KB, eventually consistent: 8 KB a unit.
    units = math.ceil(1_000 * 1024 / 8192)
    page = COST_PAGE.read_text()
    for what, usd in (
        (
            "a value: a request, half of a step's time, a write, a look at its root",
            estimated_usd([value]),
        ),
        ("its write alone", WRITE_UNIT_USD),
        (f"results of 1,000 steps of 1 KB: {units} read units", units * READ_UNIT_USD),
        ("a step that is posted again by a later attempt: a read", READ_UNIT_USD),
    ):
        # A tenth of a cent is too much said; half a cent counts as one.
        cents = math.floor(1e8 * usd + 0.5)
        assert f"| {what} | ${cents / 100:.2f} |" in page


def test_the_docs_costs_of_deferral_follow_from_the_prices() -> None:
    # A write of a root also moves its entry in the listing index. The calls are counted in test_handlers.
    deferral_usd = DRAIN_USD + 2 * WRITE_UNIT_USD + READ_UNIT_USD / 2
    hour_usd = deferral_usd * 3600 * 1000 / TRY_EVERY_MS
    page = COST_PAGE.read_text()
    assert f"| a deferral | ${1e6 * deferral_usd:.2f} |" in page
    assert f"${hour_usd:.2f} an hour" in page
    assert f"| 2 writes | ${1e6 * 2 * WRITE_UNIT_USD:.2f} |" in page


def settled_step(position: str, text: bytes) -> Step:
    """A step that succeeded after 50 ms with a response as large as its payload."""
    parent = None if position == keys.ROOT else a_root().id
    spec = a_spec(key=UUID, payload=text, parent=parent)
    step = begin(spec, position, 1_767_225_600_123, "9" * 32, awaited=True)
    response = StoredBody(text, "json", "application/json")
    outcome = Outcome(kind=OutcomeKind.SUCCEEDED, status=200, response=response)
    return ended(step, outcome, step.created_at_ms + 50)


def a_step(number: int) -> StepSpec:
    """A step of a plain handler: same workflow, same key, another URL."""
    url = f"https://app.example/steps/{number}"
    spec = a_spec(key=UUID)
    identity = keys.identity("acme", spec.workflow_name, "", url, "", UUID)
    return replace(spec, url=url, identity=identity)


def status(code: int) -> Any:
    async def handler(call: EndpointCall) -> EndpointReply:
        return EndpointReply(status=code)

    return handler


def answer(document: Any) -> Any:
    async def handler(call: EndpointCall) -> EndpointReply:
        return EndpointReply(json=document)

    return handler


# --- write units ---


def test_a_kilobyte_each_way_is_five_units_at_most() -> None:
    payload, response = (b'"' + incompressible(1022) + b'"',) * 2
    for position in ("step", keys.ROOT):
        create, settle = write_units(position, payload, response)
        assert create <= 2
        assert settle <= 3


def test_an_ordinary_step_is_two_units() -> None:
    payload = (
        b'{"email":"ada.lovelace@example.org","plan":"team","userId":"0b9cf1b2-5a7d-4d1e","userName":"ada"}'
    )
    response = b'{"createdAt":"2026-01-01T00:00:00Z","id":"0b9cf1b2-5a7d-4d1e-9d4f-0a1b2c3d4e5f","ok":true}'
    for position in ("step", keys.ROOT):
        assert write_units(position, payload, response) == (1, 1)


def write_units(position: str, payload: bytes, response: bytes) -> tuple[int, int]:
    """Units of the first and of the last write of a step that succeeds at once."""
    spec = a_spec(key=UUID, payload=payload)
    step = begin(spec, spec.identity if position == "step" else position, 1_767_225_600_123, "9" * 32)
    outcome = Outcome(
        kind=OutcomeKind.SUCCEEDED, status=200, response=StoredBody(response, "json", "application/json")
    )
    after = ended(step, outcome, step.created_at_ms + 88)
    with aws() as account:
        store = account.store()
        asyncio.run(store.create(step))
        before_bytes = stored_bytes(account, step)
        asyncio.run(store.replace(after, 1))
        return math.ceil(before_bytes / 1024), math.ceil(
            max(before_bytes, stored_bytes(account, step)) / 1024
        )


def stored_bytes(account: Aws, step: Step) -> int:
    key = {"pk": {"S": step.spec.run_id}, "sk": {"S": step.position}}
    item = account.dynamodb.get_item(TableName=TABLE_NAME, Key=key)["Item"]
    return sum(len(name) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: dict[str, Any]) -> int:
    """The size of an attribute by the Developer Guide, "DynamoDB item sizes and formats"."""
    ((kind, content),) = value.items()
    if kind == "N":
        return math.ceil(len(content) / 2) + 1
    return len(content) if kind == "B" else len(content.encode())
