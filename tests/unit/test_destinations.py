"""A destination that does not answer holds a limited number of a client's runs; all others go on."""

import asyncio
from typing import Any

from atomic.application.destinations import CountedRuns, Permit
from atomic.domain.steps import StepSpec
from atomic.protocol.enums import OutcomeKind
from atomic.testing import ApiReply, EndpointCall, EndpointReply, LocalAtomic, run
from scenarios.runtime import answer_ok

MOST = 3
POLICY = {"count": 1, "backOff": 1000, "jitter": "none"}


async def never(call: EndpointCall) -> EndpointReply:
    """An endpoint that accepts the call and never answers."""
    await asyncio.sleep(10**6)
    raise AssertionError


def start(url: str, key: str, **members: Any) -> dict[str, Any]:
    return {"workflowName": "w", "stepInvokeUrl": url, "idempotencyKey": key, "timeout": 1, **members}


def on(body: Any) -> None:
    async def main() -> None:
        async with LocalAtomic(destinations=CountedRuns(MOST)) as atomic:
            await body(atomic)

    run(main())


async def step_of(atomic: LocalAtomic, reply: ApiReply) -> Any:
    return (await atomic.get(f"/me/steps/{reply.json['id']}")).json


def test_runs_over_the_limit_are_deferred_without_a_retry() -> None:
    async def body(atomic: LocalAtomic) -> None:
        url, calls = "https://dead.test/x", 0

        async def counted(call: EndpointCall) -> EndpointReply:
            nonlocal calls
            calls += 1
            return await never(call)

        atomic._invoker.handlers[url] = counted
        good = atomic.endpoint("/good", answer_ok)
        more: dict[str, Any] = {"attemptTimeout": 20_000, "retry": POLICY}
        held = [await atomic.post("/me", start(url, f"k-{n}", **more)) for n in range(10)]
        assert {reply.status for reply in held} == {504}
        assert calls == MOST
        # Another destination, and another client at the same destination, are served at once.
        assert (await atomic.post("/me", start(good, "good"))).status == 200
        await atomic.post("/other", start(url, "theirs", attemptTimeout=20_000))
        assert calls == MOST + 1
        await asyncio.sleep(15)
        assert calls == MOST + 1
        waiting = [step for reply in held if (step := await step_of(atomic, reply))["status"] == "pending"]
        assert len(waiting) == 10 - MOST
        assert {(step["attempts"], step["retriesUsed"], step["error"]) for step in waiting} == {
            (0, 0, None)
        }
        # Permits become free after 20 s, again and again.
        await asyncio.sleep(300)
        ended = [await step_of(atomic, reply) for reply in held]
        assert {step["status"] for step in ended} == {"failed"}
        for step in ended:
            assert [each["outcome"] for each in step["attemptLog"]] == [OutcomeKind.RETRYABLE] * 2
            assert step["retriesUsed"] == 1

    on(body)


def test_deferred_runs_are_called_when_the_destination_answers_again() -> None:
    async def body(atomic: LocalAtomic) -> None:
        url = atomic.endpoint("/moody", never)
        held = [await atomic.post("/me", start(url, f"k-{n}", attemptTimeout=20_000)) for n in range(50)]
        atomic.endpoint("/moody", answer_ok)
        await asyncio.sleep(60)
        ended = [await step_of(atomic, reply) for reply in held]
        assert {step["status"] for step in ended} == {"succeeded"}
        # The first three runs each had one attempt that timed out; the others used no retry.
        assert sorted(step["attempts"] for step in ended) == [1] * 47 + [2] * 3

    on(body)


def test_a_workflow_never_waits_for_its_own_permit() -> None:
    """Ten concurrent runs have steps at their own destination; with three permits, all finish."""

    async def body(atomic: LocalAtomic) -> None:
        mail = atomic.endpoint("/mail", answer_ok)

        async def workflow(call: EndpointCall) -> EndpointReply:
            key = call.json["idempotencyKey"]
            for number in range(3):
                made = await atomic.post("/me", start(mail, key, stepName=f"s{number}", timeout=5000))
                assert made.status == 200, made.body
                await asyncio.sleep(1)
            return EndpointReply(json=key)

        url = atomic.endpoint("/workflow", workflow)
        replies = await asyncio.gather(
            *(atomic.post("/me", start(url, f"k-{n}", timeout=100_000)) for n in range(10))
        )
        assert {reply.status for reply in replies} == {200}
        assert {(await step_of(atomic, reply))["attempts"] for reply in replies} == {1}

    on(body)


def test_a_delayed_step_holds_no_permit_while_its_caller_waits() -> None:
    async def main() -> None:
        async with LocalAtomic(destinations=CountedRuns(1)) as atomic:
            url = atomic.endpoint("/good", answer_ok)
            later = asyncio.create_task(atomic.post("/me", start(url, "k", delay=60_000, timeout=90_000)))
            await asyncio.sleep(1)
            assert (await atomic.post("/me", start(url, "now", timeout=500))).status == 200
            assert (await later).status == 200

    run(main())


def test_a_deadline_ends_a_deferred_step() -> None:
    async def body(atomic: LocalAtomic) -> None:
        url = atomic.endpoint("/dead", never)
        for number in range(MOST):
            await atomic.post("/me", start(url, f"k-{number}", attemptTimeout=600_000))
        late = await atomic.post("/me", start(url, "late", deadline=30_000))
        await asyncio.sleep(31)
        step = await step_of(atomic, late)
        assert (step["status"], step["attempts"]) == ("failed", 0)
        assert step["error"] == "the deadline of 30000 ms is over"

    on(body)


def test_a_refusal_of_a_permit_may_be_slow() -> None:
    """The next try is computed from the time of the refusal; one in the past would leave no wake-up."""

    class Slow(CountedRuns):
        asked = 0

        async def enter(self, spec: StepSpec) -> Permit | None:
            self.asked += 1
            await asyncio.sleep(5)
            return Permit() if self.asked > 2 else None

    async def main() -> None:
        async with LocalAtomic(destinations=Slow()) as atomic:
            url = atomic.endpoint("/good", answer_ok)
            reply = await atomic.post("/me", start(url, "k"))
            await asyncio.sleep(60)
            step = await step_of(atomic, reply)
            assert (step["status"], step["attempts"]) == ("succeeded", 1)

    run(main())
