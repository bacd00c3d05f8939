"""Faults on demand: what each does to a start, that a seed repeats them, and that no run fails by them."""

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from atomic.application.engine import Engine
from atomic.application.process_wakeup import process_wakeup
from atomic.protocol import keys
from atomic.runtime.faults import COUNTED, ENDING, FAULTS, PROFILES, Faults, UnknownFault, read_faults
from atomic.testing import EndpointCall, EndpointReply, LocalAtomic, local, run

ROOT = keys.root_of(keys.run_id("c", "w", "1"))


class Shop:
    """An endpoint that charges once for each key, after some failures of its own."""

    def __init__(self, fails: int = 0, status: int = 500) -> None:
        self.calls: list[int] = []
        self.charged: set[str] = set()
        self._fails = fails
        self._status = status

    async def charge(self, call: EndpointCall) -> EndpointReply:
        self.calls.append(call.attempt)
        if self._fails:
            self._fails -= 1
            return EndpointReply(status=self._status)
        self.charged.add(call.headers["idempotency-key"])
        return EndpointReply(json={"charged": call.json["idempotencyKey"]})


def start(url: str, key: str = "1", **more: Any) -> bytes:
    return json.dumps({"workflowName": "w", "idempotencyKey": key, "stepInvokeUrl": url, **more}).encode()


def attempts(document: dict[str, Any]) -> list[str]:
    """The outcome of each attempt, with what ended it."""
    return [f"{made['outcome']} {made.get('error') or ''}".strip() for made in document["attemptLog"]]


async def charged(asked: str, shop: Shop, faults: Faults, **more: Any) -> dict[str, Any]:
    """The step of a charge whose start asks for faults."""
    async with LocalAtomic(faults=faults) as atomic:
        url = atomic.endpoint("/charge", shop.charge)
        await atomic.request(
            "POST", "/c", body=start(url, **more), headers={"Atomic-Fault": asked, "Prefer": "wait=300"}
        )
        # An answer that comes late comes after the caller's.
        await asyncio.sleep(1)
        step = await atomic.get(f"/c/steps/{ROOT}")
        document: dict[str, Any] = step.json
        return document


# For each fault: the outcomes of the attempts, and in which of them the endpoint was called.
CASES: dict[str, tuple[list[str], list[int]]] = {
    "lost-answer": (["retryable network: the answer was lost (fault: lost-answer)", "succeeded"], [1, 2]),
    "double-call": (["succeeded"], [1, 1]),
    "late-answer": (["no_answer no process was left to record the answer", "succeeded"], [1, 2]),
    "slow": (["succeeded"], [1]),
    "503-retry-after": (["retryable the endpoint answered 503 (fault: 503-retry-after)", "succeeded"], [2]),
    "reset": (["retryable network: the connection was reset (fault: reset)", "succeeded"], [2]),
    "kill-after-claim": (["no_answer no process was left to record the answer", "succeeded"], [2]),
    "duplicate-wakeup": (["succeeded"], [1]),
}


@pytest.mark.parametrize("fault", CASES)
def test_a_start_asks_for_a_fault_which_happens_once(fault: str) -> None:
    faults, shop = Faults(), Shop()
    step = run(charged(fault, shop, faults))
    assert (attempts(step), shop.calls) == CASES[fault]
    assert step["status"] == "succeeded"
    assert len(shop.charged) == 1
    assert faults.made == {fault: 1}


@pytest.mark.parametrize(("asked", "expected"), [("duplicate-wakeup", [ROOT]), ("", [])])
def test_a_duplicate_wakeup_is_processed(
    monkeypatch: pytest.MonkeyPatch, asked: str, expected: list[str]
) -> None:
    seen = []

    async def process(engine: Engine, step_id: str) -> None:
        seen.append(step_id)
        await process_wakeup(engine, step_id)

    monkeypatch.setattr(local, "process_wakeup", process)
    run(charged(asked, Shop(), Faults()))
    assert seen == expected


def test_a_late_answer_is_noted() -> None:
    step = run(charged("late-answer", Shop(), Faults()))
    assert step["attemptLog"][0]["late"] == "succeeded 200"


def test_each_of_several_late_answers_comes_after_the_next_attempt() -> None:
    faults = Faults()
    faults.make({"late-answer": 1.0}, 1)
    step = run(charged("", Shop(), faults))
    assert [made["late"] for made in step["attemptLog"]] == ["succeeded 200"] * 3 + [None]


def test_a_start_asks_for_all_that_an_attempt_can_have() -> None:
    faults, shop = Faults(), Shop()
    step = run(charged(", ".join(CASES).upper(), shop, faults, retry={"count": 3}))
    # Each attempt is ended by one fault at most, and what needs a call waits for one.
    assert shop.calls == [4, 4, 5, 6]
    assert step["status"] == "succeeded"
    assert faults.made == dict.fromkeys(CASES, 1)


@pytest.mark.parametrize("fault", sorted(COUNTED))
def test_without_retries_no_fault_that_needs_one(fault: str) -> None:
    faults, shop = Faults(), Shop()
    step = run(charged(fault, shop, faults, retry={"count": 0}))
    assert (step["status"], shop.calls, faults.made) == ("succeeded", [1], {})


def test_no_503_where_it_is_not_retried() -> None:
    faults = Faults()
    step = run(charged("503-retry-after", Shop(), faults, retry={"never": "503"}))
    assert (step["status"], faults.made) == ("succeeded", {})


def test_what_may_be_called_once_is() -> None:
    faults, shop = Faults(), Shop()
    asked = "lost-answer, double-call, late-answer, kill-after-claim"
    step = run(charged(asked, shop, faults, onLost="fail"))
    assert (step["status"], shop.calls, faults.made) == ("succeeded", [1], {})


def test_another_step_has_none_of_them() -> None:
    async def scenario() -> list[int]:
        shop = Shop()
        async with LocalAtomic(faults=Faults()) as atomic:
            url = atomic.endpoint("/charge", shop.charge)
            for key, asked in (("1", ""), ("2", "reset"), ("2", "reset"), ("3", "")):
                await atomic.request(
                    "POST", "/c", body=start(url, key), headers={"Atomic-Fault": asked, "Prefer": "wait=9"}
                )
        return shop.calls

    assert run(scenario()) == [1, 2, 1]


def test_a_link_asks_for_the_root_of_its_run() -> None:
    async def scenario() -> tuple[list[int], Counter[str]]:
        faults, shop = Faults(), Shop()
        async with LocalAtomic(faults=faults) as atomic:
            charge = atomic.endpoint("/charge", shop.charge)

            async def handler(call: EndpointCall) -> EndpointReply:
                link = {
                    "kind": "run",
                    "workflowName": "w",
                    "idempotencyKey": "link",
                    "parent": call.json["stepId"],
                    "stepInvokeUrl": charge,
                    "run": {"workflowName": "child", "idempotencyKey": "1"},
                }
                headers = {"Atomic-Fault": "reset", "Prefer": "wait=60"}
                posted = await atomic.request(
                    "POST", "/c/steps", body=json.dumps(link).encode(), headers=headers
                )
                return EndpointReply(status=posted.status)

            await atomic.request(
                "POST",
                "/c",
                body=start(atomic.endpoint("/handler", handler)),
                headers={"Prefer": "wait=60"},
            )
        return shop.calls, Counter({str(name): number for name, number in faults.made.items()})

    assert run(scenario()) == ([2], {"reset": 1})


def test_unknown_names() -> None:
    with pytest.raises(UnknownFault, match=r"'lost' is not a fault; use lost-answer, double-call, "):
        read_faults("slow, lost")
    assert read_faults(" Slow ,lost-answer,, ") == {"slow", "lost-answer"}


def hostile(seed: int, shop: Shop, **more: Any) -> tuple[dict[str, Any], Counter[str]]:
    faults = Faults()
    faults.make(dict.fromkeys(FAULTS, 0.9), seed)
    step = run(charged("", shop, faults, **more))
    return step, Counter(faults.made)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_faults_never_make_a_step_fail_whose_endpoint_needs_all_its_retries(count: int) -> None:
    made: Counter[str] = Counter()
    for seed in range(40):
        shop = Shop(fails=count)
        step, happened = hostile(seed, shop, retry={"count": count})
        assert (step["status"], len(shop.charged)) == ("succeeded", 1), seed
        made += happened
    assert set(made) >= ({*CASES} if count else {*CASES} - COUNTED)


def test_a_step_that_fails_without_faults_fails_with_them() -> None:
    for seed in range(40):
        shop = Shop(fails=1_000)
        step, _ = hostile(seed, shop, retry={"count": 2})
        assert step["status"] == "failed", seed
        assert step["error"] == "the endpoint answered 500", seed
    refused, _ = hostile(1, Shop(fails=1_000, status=410))
    assert refused["status"] == "failed"


def test_a_seed_repeats_its_faults() -> None:
    def made(seed: int) -> list[tuple[Any, ...]]:
        step, happened = hostile(seed, Shop(), retry={"count": 5})
        return [tuple(attempts(step)), tuple(sorted(happened.items()))]

    assert [made(seed) for seed in range(10)] == [made(seed) for seed in range(10)]
    assert len({str(made(seed)) for seed in range(10)}) > 1


def test_the_order_of_steps_changes_nothing() -> None:
    async def scenario(keys: str) -> dict[str, list[str]]:
        async with LocalAtomic(faults=Faults("hostile", 7)) as atomic:
            url, found = atomic.endpoint("/charge", Shop().charge), {}
            for key in keys:
                reply = await atomic.request(
                    "POST", "/c", body=start(url, key), headers={"Prefer": "wait=300"}
                )
                found[key] = attempts((await atomic.get(f"/c/steps/{reply.json['id']}")).json)
            return found

    there, back = run(scenario("abcdefgh")), run(scenario("hgfedcba"))
    assert there == back
    assert len({len(made) for made in there.values()}) > 1


def test_ending_faults_of_a_step_are_bounded() -> None:
    faults, shop = Faults(), Shop()
    faults.make(dict.fromkeys(ENDING, 1.0), 1)
    step = run(charged("", shop, faults, retry={"count": 50}))
    assert (step["status"], step["attempts"]) == ("succeeded", 4)


def test_a_deadline_allows_no_fault_that_takes_time() -> None:
    faults = Faults()
    faults.make({**dict.fromkeys(COUNTED, 1.0), "slow": 1.0}, 1)
    step = run(charged("", Shop(), faults, deadline=1_000))
    assert (step["status"], faults.made) == ("succeeded", {})


async def replayed(asked: str, faults: Faults) -> tuple[list[int], int]:
    """How many results each call of a handler with two steps found, and how often a step was called."""
    async with LocalAtomic(faults=faults) as atomic:
        shop, found = Shop(), list[int]()
        charge = atomic.endpoint("/charge", shop.charge)

        async def handler(call: EndpointCall) -> EndpointReply:
            headers = {"Atomic-Attempt-Token": call.headers["atomic-attempt-token"], "Prefer": "wait=60"}
            root = call.json["stepId"]
            path = f"/c/runs/{call.json['runId']}/results?parent={root}"
            listed = await atomic.request("GET", path, headers=headers)
            found.append(len(listed.json["steps"]))
            for name in ("first", "second"):
                body = start(charge, "1", stepName=name, parent=root)
                posted = await atomic.request("POST", "/c/steps", body=body, headers=headers)
                if posted.status == 504:
                    return EndpointReply(status=202, headers={"Atomic-Waiting-For": posted.json["id"]})
                assert posted.status == 200
            return EndpointReply()

        url = atomic.endpoint("/handler", handler)
        headers = {"Atomic-Fault": asked, "Prefer": "wait=300"}
        reply = await atomic.request("POST", "/c", body=start(url), headers=headers)
        assert reply.status == 200
        return found, len(shop.calls)


def test_always_replay_calls_a_handler_again_for_each_step() -> None:
    faults = Faults()
    assert run(replayed("", faults)) == ([0], 2)
    assert run(replayed("always-replay", faults)) == ([0, 1, 2], 2)
    assert faults.made == {"always-replay": 2}


def test_stale_results_leave_out_what_was_written_last() -> None:
    faults = Faults()
    assert run(replayed("always-replay, stale-results", faults)) == ([0, 0, 2], 2)
    assert faults.made == {"always-replay": 2, "stale-results": 1}


def test_profiles() -> None:
    assert set(PROFILES["flaky"]) == set(PROFILES["hostile"]) == set(FAULTS)
    assert all(PROFILES["flaky"][name] < PROFILES["hostile"][name] or name == "slow" for name in FAULTS)
    faults = Faults("hostile", 5)
    faults.follow("flaky")
    assert (faults.profile, faults.seed, faults.is_idle) == ("flaky", 5, False)
    faults.make({"slow": 1.0}, 6)
    assert (faults.profile, faults.seed, faults.probabilities["slow"]) == (None, 6, 1.0)
    faults.reset()
    assert (faults.profile, faults.seed) == ("hostile", 5)
