"""Wake-ups for every live step of a table without messages, such as a restored one (moto)."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from atomic.adapters.aws.live_steps import LiveStepWakeups
from atomic.adapters.aws.sqs import SHORT_ATTEMPT_MAX_MS
from atomic.adapters.aws.wakeups import Wakeup, parse_wakeup
from atomic.adapters.system import SystemClock
from atomic.application.ports import StoreUnavailable
from atomic.cli.main import main
from atomic.domain.steps import Step
from atomic.protocol import keys
from atomic.protocol.enums import Status
from contract.acts_contract import UNTIL_MS, an_act
from contract.aws import TABLE_NAME, Aws, Recorder, aws
from contract.builders import a_child, a_root, a_spec
from contract.schedules_contract import a_schedule

NOW_MS = SystemClock().now_ms()


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with aws() as account:
        yield account


def store(account: Aws, *steps: Step) -> None:
    async def write() -> None:
        store = account.store()
        for step in steps:
            assert await store.create(step) is None

    asyncio.run(write())


def wakeups(account: Aws, **more: Any) -> LiveStepWakeups:
    options: dict[str, Any] = {"per_s": 1_000_000.0, "sqs": account.sqs, **more}
    return LiveStepWakeups(
        account.dynamodb,
        table_name=TABLE_NAME,
        queue_url=account.queue_url,
        long_queue_url=account.long_queue_url,
        now_ms=lambda: NOW_MS,
        **options,
    )


def received(account: Aws, queue_url: str) -> set[Wakeup]:
    return {parse_wakeup(body) for body in account.received(queue_url)}


def an_event(name: str, root: Step) -> Step:
    spec = a_spec(step_name=name, parent=root.id, kind="event")
    return replace(a_root(spec, at_ms=NOW_MS), id=keys.step_id(spec.run_id, spec.identity), due_at_ms=None)


def runs(number: int, **more: Any) -> list[Step]:
    return [a_root(a_spec(key=f"run {at}", **more), at_ms=NOW_MS) for at in range(number)]


def test_each_live_step_gets_the_wakeup_of_its_moment(account: Aws) -> None:
    root = replace(a_root(at_ms=NOW_MS), status=Status.WAITING, due_at_ms=NOW_MS - 1)
    child = replace(a_child("due", at_ms=NOW_MS), due_at_ms=NOW_MS - 2)
    long = a_root(a_spec(client_id="other", attempt_timeout_ms=SHORT_ATTEMPT_MAX_MS + 1), at_ms=NOW_MS)
    event = an_event("paid", root)
    expiring = replace(an_event("asked", root), due_at_ms=NOW_MS - 3)
    store(
        account,
        root,
        child,
        long,
        a_child("done", at_ms=NOW_MS, status=Status.SUCCEEDED),
        # Nothing but its result makes it go on.
        event,
        expiring,
    )
    account.admin().create("acme", base_urls=["https://app.example/"])  # rows of other kinds

    *_, last = wakeups(account).send(None)

    assert (last.sent, last.cursor) == (4, None)
    assert received(account, account.queue_url) == {
        Wakeup(root.id, NOW_MS - 1),
        Wakeup(child.id, NOW_MS - 2),
        Wakeup(expiring.id, NOW_MS - 3),
    }
    assert received(account, account.long_queue_url) == {Wakeup(long.id, NOW_MS)}


def test_a_wakeup_is_delayed_as_long_as_sqs_can_and_named_after_its_client(account: Aws) -> None:
    store(account, replace(a_root(at_ms=NOW_MS), due_at_ms=NOW_MS + 30 * 24 * 3_600_000))
    with Recorder(account.sqs) as recorder:
        list(wakeups(account).send(None))
    [(_, call)] = [each for each in recorder.calls if each[0] == "SendMessageBatch"]
    [entry] = call["Entries"]
    assert (entry["DelaySeconds"], entry["MessageGroupId"]) == (900, "acme")


def _in_pages_of_five(params: dict[str, Any], **_: Any) -> None:
    params["Limit"] = 5


def test_a_large_table_is_read_in_pages_and_an_ended_call_goes_on(account: Aws) -> None:
    steps = [a_root(a_spec(key=f"{at}"), at_ms=NOW_MS) for at in range(14)]
    store(account, *steps)
    event = "provide-client-params.dynamodb.Scan"
    account.dynamodb.meta.events.register(event, _in_pages_of_five, unique_id="small")

    try:
        first = next(wakeups(account).send(None))
        before = received(account, account.queue_url)
        *more, last = wakeups(account).send(first.cursor)
    finally:
        account.dynamodb.meta.events.unregister(event, unique_id="small")

    assert first.cursor is not None
    assert more
    assert (first.read + last.read, first.sent + last.sent) == (14, 14)
    after = received(account, account.queue_url)
    assert before.isdisjoint(after)
    assert before | after == {Wakeup(step.id, NOW_MS) for step in steps}


def test_a_cursor_of_something_else_is_refused(account: Aws) -> None:
    for cursor in ("?", "Wzdd", "eyJhIjoxfQ=="):
        with pytest.raises(ValueError, match="is no place in a table"):
            list(wakeups(account).send(cursor))


def test_no_more_than_the_rate_are_sent(account: Aws) -> None:
    store(account, *runs(25))
    slept: list[float] = []
    with Recorder(account.sqs) as recorder:
        list(wakeups(account, per_s=50.0, sleep=slept.append).send(None))
    assert recorder.operations.count("SendMessageBatch") == 3
    assert sum(slept) == pytest.approx(25 / 50)


class Refusing:
    """SQS that refuses the first entries of each batch, a number of times."""

    def __init__(self, sqs: Any, times: int) -> None:
        self._sqs = sqs
        self._left = times

    def send_message_batch(self, **request: Any) -> Any:
        """Send all but the first two entries, as long as it refuses."""
        if self._left == 0:
            return self._sqs.send_message_batch(**request)
        self._left -= 1
        refused, taken = request["Entries"][:2], request["Entries"][2:]
        if taken:
            self._sqs.send_message_batch(QueueUrl=request["QueueUrl"], Entries=taken)
        return {"Failed": [{"Id": each["Id"], "Code": "ThrottlingException"} for each in refused]}


def test_refused_messages_are_sent_again(account: Aws) -> None:
    store(account, *runs(5))
    list(wakeups(account, sqs=Refusing(account.sqs, 3), sleep=lambda _: None).send(None))
    assert len(received(account, account.queue_url)) == 5


def test_messages_that_stay_refused_end_the_call(account: Aws) -> None:
    store(account, *runs(1))
    refusing = wakeups(account, sqs=Refusing(account.sqs, 100), sleep=lambda _: None)
    with pytest.raises(StoreUnavailable, match="1 wake-ups: ThrottlingException"):
        list(refusing.send(None))


def command(account: Aws, table: str = TABLE_NAME, *more: str) -> Result:
    queues = ("--queue-url", account.queue_url, "--long-queue-url", account.long_queue_url)
    return CliRunner().invoke(main, ["send-wakeups", "--table", table, *queues, "--rate", "1e6", *more])


def test_the_command_says_how_many(account: Aws) -> None:
    store(account, *runs(3))
    done = command(account)
    assert (done.exit_code, done.stdout) == (0, "3 wake-ups for the live steps among 3 rows\n")
    assert len(received(account, account.queue_url)) == 3


def test_the_command_says_what_aws_refused(account: Aws) -> None:
    for refused in (command(account, "another"), command(account, TABLE_NAME, "--from", "?")):
        assert refused.exit_code == 1
    assert "AWS refused" in command(account, "another").stderr


def test_items_that_are_no_steps_are_left_alone(account: Aws) -> None:
    root = a_root(a_spec(key="live"))
    store(account, root)

    async def others() -> None:
        await account.store().create_schedule(a_schedule())
        await account.store().add_act(an_act(), UNTIL_MS)

    asyncio.run(others())
    [progress] = wakeups(account).send(None)
    assert (progress.read, progress.sent) == (3, 1)
