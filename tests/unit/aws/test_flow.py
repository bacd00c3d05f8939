"""Flow control of the functions, on moto: slots, lines, pauses, lost releases and lost wake-ups."""

import json
from typing import Any

import pytest

from atomic.adapters.aws import flow as flow_adapter
from atomic.adapters.aws.flow import CONCURRENCY_MAX
from atomic.adapters.aws.flow_items import key_key
from atomic.application.ports import StoreUnavailable
from atomic.domain.flow_table import HANDED_MS, FlowKey
from atomic.domain.steps import LEASE_MARGIN_MS
from contract.aws import TABLE_NAME
from contract.flow_contract import asking, one
from unit.aws.test_handlers import Stack, batch, document, gateway_event, stack

__all__ = ["stack"]

ONE = {"key": "k", "concurrency": 1}
GONE = "run_" + "0" * 32 + "-root"
LATE_MS = 20_000 + 2 * LEASE_MARGIN_MS + HANDED_MS + 1


def post(stack: Stack, key: str, *flow: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = stack.post(document(stack, key, flow=list(flow or (ONE,)), **more), prefer="respond-async")
    assert answer["statusCode"] == 202, answer
    posted: dict[str, Any] = json.loads(answer["body"])
    return posted


def ask(stack: Stack, method: str, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
    asked = gateway_event(method, f"/acme{path}", json.dumps(body) if body else "")
    asked["headers"] |= {"authorization": f"Bearer {stack.key}"}
    answer = stack.api(asked, None)
    return answer["statusCode"], json.loads(answer["body"])


def numbers(stack: Stack, key: str = "k") -> tuple[int, int]:
    _, found = ask(stack, "GET", f"/flow/{key}")
    return found["running"], found["queued"]


def status_of(stack: Stack, posted: dict[str, Any]) -> tuple[str, str | None]:
    _, step = ask(stack, "GET", f"/steps/{posted['id']}")
    return step["status"], step["inLine"]


def run(stack: Stack, work: Any) -> Any:
    return stack.invoker.runtime.run(work)


def pass_on(stack: Stack, times: int = 1) -> None:
    for _ in range(times):
        assert stack.deliver() == {"batchItemFailures": []}


def make_leases_end(stack: Stack, monkeypatch: pytest.MonkeyPatch, late_ms: int = LATE_MS) -> None:
    clock = stack.maintenance.runtime.engine.clock
    now_ms = clock.now_ms
    monkeypatch.setattr(type(clock), "now_ms", lambda _: now_ms() + late_ms, raising=False)


def test_steps_take_turns_and_nothing_is_left(stack: Stack) -> None:
    posted = [post(stack, f"k{number}") for number in range(4)]
    # A batch is processed at the same time: one is called, and each end wakes the next.
    for _ in range(12):
        pass_on(stack)
    assert [status_of(stack, each) for each in posted] == [("succeeded", None)] * 4
    assert numbers(stack) == (0, 0)


def test_a_paused_key_holds_steps_and_a_list_shows_it(stack: Stack) -> None:
    assert ask(stack, "PUT", "/flow/k", paused=True)[0] == 200
    posted = [post(stack, f"k{number}", {"key": "k"}) for number in range(2)]
    pass_on(stack, 2)
    assert [status_of(stack, each) for each in posted] == [("pending", "k")] * 2
    assert numbers(stack) == (0, 2)
    _, page = ask(stack, "GET", "/flow")
    assert [(key["key"], key["paused"], key["queued"]) for key in page["keys"]] == [("k", True, 2)]
    assert ask(stack, "PUT", "/flow/k", paused=False)[1]["queued"] == 0
    pass_on(stack, 3)
    assert [status_of(stack, each)[0] for each in posted] == ["succeeded"] * 2
    assert numbers(stack) == (0, 0)


def test_a_cancelled_step_leaves_the_line(stack: Stack) -> None:
    ask(stack, "PUT", "/flow/k", paused=True)
    posted = [post(stack, f"k{number}") for number in range(3)]
    pass_on(stack)
    assert numbers(stack) == (0, 3)
    assert ask(stack, "POST", f"/runs/{posted[1]['runId']}/cancel")[0] == 200
    assert numbers(stack) == (0, 2)


def test_more_slots_than_an_item_may_have_are_refused(stack: Stack) -> None:
    large = {"key": "k", "concurrency": CONCURRENCY_MAX + 1}
    refused = stack.post(document(stack, "k", flow=[large]))
    assert refused["statusCode"] == 400
    [error] = json.loads(refused["body"])["errors"]
    assert error["field"] == "flow.0.concurrency"
    assert f"at most {CONCURRENCY_MAX}" in json.dumps(error)
    assert ask(stack, "PUT", "/flow/k", concurrency=CONCURRENCY_MAX + 1)[0] == 400
    assert "flow" in json.loads(stack.api(gateway_event("GET", "/health", ""), None)["body"])["features"]


def test_a_watchdog_gives_back_what_a_process_has_not(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = post(stack, "first"), post(stack, "second")
    flow = stack.invoker.runtime.flow
    leave = flow.leave

    async def ends(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("the process ended")

    monkeypatch.setattr(flow, "leave", ends)
    [wakeup, *others] = stack.aws.received(stack.aws.queue_url)
    stack.invoker(batch(wakeup), None)
    monkeypatch.setattr(flow, "leave", leave)
    assert numbers(stack) == (1, 0)
    stack.invoker(batch(*others), None)
    assert numbers(stack) == (1, 1)
    # The watchdog of the attempt comes to a step that has succeeded.
    pass_on(stack, 2)
    assert numbers(stack) == (0, 0)
    assert [status_of(stack, each)[0] for each in (first, second)] == ["succeeded"] * 2


def test_maintenance_finds_slots_of_vanished_steps_and_wakes_who_was_not_told(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow, at = stack.invoker.runtime.flow, FlowKey("acme", "k")
    posted = post(stack, "waits")
    pass_on(stack)
    now_ms = stack.invoker.runtime.engine.clock.now_ms()
    # A step that is not there any more has the slot, and one waits for it.
    run(stack, flow.enter(asking(GONE, one(), until_ms=now_ms + 20_000), now_ms))
    waiting = post(stack, "late")
    pass_on(stack)
    assert status_of(stack, waiting) == ("pending", "k")
    stack.maintain()
    assert numbers(stack) == (1, 1)
    with monkeypatch.context() as late:
        make_leases_end(stack, late)
        stack.maintain()
    assert numbers(stack) == (1, 0)
    # Its message is lost; the lease of the slot that it was handed ends.
    for url in (stack.aws.queue_url, stack.aws.long_queue_url):
        stack.aws.received(url)
    item = stack.aws.dynamodb.get_item(TableName=TABLE_NAME, Key=key_key(at))["Item"]
    assert "ttl" not in item
    make_leases_end(stack, monkeypatch, 3 * LATE_MS)
    stack.maintain()
    pass_on(stack, 2)
    assert status_of(stack, waiting)[0] == "succeeded"
    assert status_of(stack, posted)[0] == "succeeded"
    assert numbers(stack) == (0, 0)
    item = stack.aws.dynamodb.get_item(TableName=TABLE_NAME, Key=key_key(at))["Item"]
    assert "ttl" in item


def test_a_walk_over_keys_goes_on_where_it_ended(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_adapter, "_KEYS_PAGE", 2)
    flow = stack.maintenance.runtime.flow
    for number in range(5):
        run(stack, flow.enter(asking(GONE, one(key=f"k{number}")), 1))
    pages, after = [], ""
    while True:
        page = run(stack, flow.ended_leases("acme", after=after, before_ms=2**42))
        pages.append([leased.at.key for leased in page.ended])
        if page.after is None:
            break
        after = page.after
    assert pages == [["k0", "k1"], ["k2", "k3"], ["k4"]]
    stack.maintain()
    assert [numbers(stack, f"k{number}") for number in range(5)] == [(0, 0)] * 5
