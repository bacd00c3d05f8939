"""An origin that is overloaded gets fewer attempts at once; everything else goes on."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from atomic.adapters.prometheus.telemetry import PrometheusTelemetry
from atomic.application.adaptive import LOOK_AFTER_MS, Adaptive, SlowedOrigin
from atomic.domain.adaptive import ALL_FAIL, FIRST_LIMIT, REST_MAX_S
from atomic.domain.outcomes import EndpointResponse
from atomic.testing import ApiReply, EndpointCall, EndpointReply, LocalAtomic, run
from contract.builders import a_root, a_spec
from contract.destinations_contract import long_step
from scenarios.runtime import answer_ok
from unit.test_prometheus import shown

STEPS = 2000
BEARS = 8
NO_JITTER = {"count": 25, "backOff": 1000, "jitter": "none"}


def start(url: str, key: str, **members: Any) -> dict[str, Any]:
    return {"workflowName": "w", "stepInvokeUrl": url, "idempotencyKey": key, "timeout": 0, **members}


def on(
    body: Callable[[LocalAtomic, Adaptive], Awaitable[None]],
    adaptive: Adaptive | None = None,
    *,
    waits: bool = False,
) -> None:
    """Run the test on an engine that adapts. In the end nothing waits there, unless `waits`."""
    found = adaptive or Adaptive()

    async def main() -> None:
        async with LocalAtomic() as atomic:
            atomic.engine.admission.adaptive = found
            await body(atomic, found)
            assert waits == (found.waiting > 0)

    run(main())


async def step_of(atomic: LocalAtomic, reply: ApiReply) -> Any:
    return (await atomic.get(f"/me/steps/{reply.json['id']}")).json


async def settled(atomic: LocalAtomic, client: str = "me") -> None:
    """Wait until no step is live."""
    while any((await atomic.get(f"/{client}/stats")).json["live"].values()):  # noqa: ASYNC110 - virtual
        await asyncio.sleep(0.5)


def now_s() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class Small:
    """A server for so many calls at once. What is too much gets 503, or no answer while it occupies it."""

    refuses: bool
    bears: int = BEARS
    at_once: int = 0
    most: int = 0
    calls: int = 0
    wasted: int = 0

    @property
    def served(self) -> int:
        """How many calls were answered."""
        return self.calls - self.wasted

    async def __call__(self, call: EndpointCall) -> EndpointReply:
        del call
        self.calls += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            if self.at_once > self.bears:
                self.wasted += 1
                if self.refuses:
                    return EndpointReply(status=503)
                await asyncio.sleep(10**6)
            await asyncio.sleep(0.05)
            return EndpointReply(json=1)
        finally:
            self.at_once -= 1


@dataclass
class Result:
    """How a number of steps ended at a small server."""

    server: Small
    took_s: float


def through(server: Small, *, steps: int, is_adaptive: bool) -> Result:
    """Post the steps as fast as possible, and wait for all."""
    found: list[Result] = []

    async def main() -> None:
        async with LocalAtomic() as atomic:
            if is_adaptive:
                atomic.engine.admission.adaptive = Adaptive()
            url, began_s = atomic.endpoint("/small", server), now_s()
            for number in range(steps):
                await atomic.post("/me", start(url, f"k-{number}", attemptTimeout=2000))
            while server.served < steps:  # noqa: ASYNC110 - virtual
                await asyncio.sleep(0.1)
            found.append(Result(server, now_s() - began_s))

    run(main())
    return found[0]


def test_a_server_that_refuses_beyond_eight_calls_wastes_few_attempts() -> None:
    adaptive = through(Small(refuses=True), steps=STEPS, is_adaptive=True)
    # The ideal is 2000 attempts and 12.5 s.
    assert adaptive.server.wasted <= 30
    assert adaptive.took_s <= 15
    # With a quarter of the steps already, most attempts are too much.
    fixed = through(Small(refuses=True), steps=STEPS // 4, is_adaptive=False)
    assert fixed.server.wasted >= STEPS // 4


def test_a_server_that_never_answers_beyond_eight_calls_wastes_few_attempts() -> None:
    adaptive = through(Small(refuses=False), steps=STEPS, is_adaptive=True)
    assert adaptive.server.wasted <= 200
    assert adaptive.took_s <= 40
    assert adaptive.server.most == FIRST_LIMIT
    # With a tenth of the steps already, it is overrun for minutes.
    fixed = through(Small(refuses=False), steps=STEPS // 10, is_adaptive=False)
    assert fixed.server.wasted >= 4 * adaptive.server.wasted
    assert fixed.took_s >= 3 * adaptive.took_s
    assert fixed.server.most > 2 * FIRST_LIMIT


def test_one_run_with_many_steps_at_a_small_server_ends() -> None:
    """The handler is at the same server, and posts all of its steps at once."""

    async def body(atomic: LocalAtomic, _: Adaptive) -> None:
        server, posted = Small(refuses=True), 300
        small = atomic.endpoint("/small", server)

        async def workflow(call: EndpointCall) -> EndpointReply:
            parent = call.json["stepId"]
            made = await asyncio.gather(
                *(
                    atomic.post("/me", start(small, f"s-{n}", parent=parent, timeout=10_000))
                    for n in range(posted)
                )
            )
            assert {reply.status for reply in made} == {200}
            return EndpointReply(json=len(made))

        url = atomic.endpoint("/workflow", workflow)
        root = await atomic.post("/me", start(url, "k", timeout=60_000, attemptTimeout=60_000))
        assert (root.status, root.json["response"]) == (200, posted)
        assert server.wasted <= FIRST_LIMIT + 20
        assert (await step_of(atomic, await atomic.post("/me", start(url, "k"))))["attempts"] == 1

    on(body)


async def slow_down(atomic: LocalAtomic, path: str = "/sick", client: str = "me") -> str:
    """Bring a limit down to one; the origin rests for a moment then."""

    async def sick(_: EndpointCall) -> EndpointReply:
        await asyncio.sleep(10**6)
        return EndpointReply(json=1)

    url = atomic.endpoint(path, sick)
    for number in range(ALL_FAIL):
        document = start(url, f"sick-{path}-{number}", retry={"count": 0})
        timeouts = {"timeout": 9000, "attemptTimeout": 100}
        assert (await atomic.post(f"/{client}", {**document, **timeouts})).status == 424
    return url


def test_steps_that_wait_use_no_attempt_and_go_on_at_once() -> None:
    async def body(atomic: LocalAtomic, adaptive: Adaptive) -> None:
        await slow_down(atomic)
        released = asyncio.Event()

        async def held(_: EndpointCall) -> EndpointReply:
            await released.wait()
            return EndpointReply(json=1)

        url = atomic.endpoint("/held", held)
        replies = [await atomic.post("/me", start(url, f"k-{n}")) for n in range(5)]
        await asyncio.sleep(10)
        steps = [await step_of(atomic, reply) for reply in replies]
        assert [(s["status"], s["attempts"], s["retriesUsed"]) for s in steps] == [
            ("running", 1, 0),
            *[("pending", 0, 0)] * 4,
        ]
        (shown_slowed,) = (await atomic.get("/me/stats")).json["slowedOrigins"]
        assert (shown_slowed["limit"], shown_slowed["underWay"], shown_slowed["waiting"]) == (1, 1, 4)
        assert (await atomic.get("/other/stats")).json["slowedOrigins"] == []
        released.set()
        await asyncio.sleep(0.1)
        steps = [await step_of(atomic, reply) for reply in replies]
        assert {(s["status"], s["attempts"]) for s in steps} == {("succeeded", 1)}
        assert adaptive.waiting == 0

    on(body)


def test_what_waits_is_asked_for_seldom() -> None:
    """No polling: a step that waits is written once when it comes, and once every half minute."""

    async def body(atomic: LocalAtomic, _: Adaptive) -> None:
        await slow_down(atomic)
        writes = 0
        replace = atomic.engine.store.replace

        async def counted(*args: Any) -> Any:
            nonlocal writes
            writes += 1
            return await replace(*args)

        atomic.engine.store.replace = counted  # type: ignore[method-assign]

        async def slow(_: EndpointCall) -> EndpointReply:
            await asyncio.sleep(LOOK_AFTER_MS / 1000 - 2)
            return EndpointReply(json=1)

        url = atomic.endpoint("/slow", slow)
        for number in range(100):
            await atomic.post("/me", start(url, f"k-{number}", attemptTimeout=600_000))
        await asyncio.sleep(LOOK_AFTER_MS / 1000 - 3)
        assert writes <= 101
        await settled(atomic)

    on(body)


@pytest.mark.parametrize("depth", [1, 3])
def test_a_run_never_waits_for_itself(depth: int) -> None:
    """One permit is left. Each handler waits for a step of its own, at any depth, and then for another."""

    async def body(atomic: LocalAtomic, _: Adaptive) -> None:
        await slow_down(atomic)
        await asyncio.sleep(1)
        leaf = atomic.endpoint("/leaf", answer_ok)

        def handler(level: int) -> Callable[[EndpointCall], Awaitable[EndpointReply]]:
            async def handle(call: EndpointCall) -> EndpointReply:
                below = leaf if level == 0 else f"https://app.test/level-{level - 1}"
                for number in range(3):
                    posted = start(below, f"{number}", parent=call.json["stepId"], timeout=5000)
                    made = await atomic.post("/me", posted)
                    assert made.status == 200, made.body
                return EndpointReply(json=level)

            return handle

        for level in range(depth):
            atomic.endpoint(f"/level-{level}", handler(level))
        top = f"https://app.test/level-{depth - 1}"
        began_s = now_s()
        made = await asyncio.gather(
            *(atomic.post("/me", start(top, f"k-{n}", timeout=100_000)) for n in range(5))
        )
        assert {reply.status for reply in made} == {200}
        assert now_s() - began_s < 1
        steps = [await step_of(atomic, await atomic.post("/me", start(top, f"k-{n}"))) for n in range(5)]
        assert {step["attempts"] for step in steps} == {1}

    on(body)


def test_a_run_never_waits_for_the_run_that_it_starts() -> None:
    async def body(atomic: LocalAtomic, _: Adaptive) -> None:
        await slow_down(atomic)
        await asyncio.sleep(1)
        child = atomic.endpoint("/child", answer_ok)

        async def workflow(call: EndpointCall) -> EndpointReply:
            key = call.json["idempotencyKey"]
            posted = start(child, key, kind="run", parent=call.json["stepId"], timeout=10_000)
            started = {"workflowName": "child", "idempotencyKey": key}
            made = await atomic.post("/me", {**posted, "run": started})
            assert made.status == 200, made.body
            return EndpointReply(json=1)

        url = atomic.endpoint("/workflow", workflow)
        began_s = now_s()
        made = await asyncio.gather(
            *(atomic.post("/me", start(url, f"k-{n}", timeout=60_000)) for n in range(3))
        )
        assert {reply.status for reply in made} == {200}
        assert now_s() - began_s < 1

    on(body)


def test_others_are_not_slowed() -> None:
    async def body(atomic: LocalAtomic, _: Adaptive) -> None:
        async def sick(_: EndpointCall) -> EndpointReply:
            return EndpointReply(status=503)

        async def quick(_: EndpointCall) -> EndpointReply:
            await asyncio.sleep(0.01)
            return EndpointReply(json=1)

        url = atomic.endpoint("/sick", sick)
        for number in range(300):
            await atomic.post("/me", start(url, f"sick-{number}", retry={"count": 3, "backOff": 1000}))
        elsewhere = "https://elsewhere.test/quick"
        atomic._invoker.handlers[elsewhere] = quick
        ours = atomic.endpoint("/quick", quick)
        for client, to in (("me", elsewhere), ("other", ours)):
            began_s = now_s()
            replies = await asyncio.gather(
                *(atomic.post(f"/{client}", start(to, f"k-{n}", timeout=9000)) for n in range(50))
            )
            assert {reply.status for reply in replies} == {200}
            assert now_s() - began_s < 0.1

    on(body, waits=True)


def test_a_healthy_origin_is_not_slowed() -> None:
    """The answers of a burst of 500 calls take 0.1 s each; without a limit this takes 0.1 s."""

    async def body(atomic: LocalAtomic, adaptive: Adaptive) -> None:
        async def quick(_: EndpointCall) -> EndpointReply:
            await asyncio.sleep(0.1)
            return EndpointReply(json=1)

        url = atomic.endpoint("/quick", quick)
        for name, most_s in (("first", 0.41), ("second", 0.11)):
            began_s = now_s()
            replies = await asyncio.gather(
                *(atomic.post("/me", start(url, f"{name}-{n}", timeout=9000)) for n in range(500))
            )
            assert {reply.status for reply in replies} == {200}
            assert now_s() - began_s <= most_s
        assert adaptive.slowed() == []
        assert adaptive.slowdowns == 0

    on(body)


def test_long_calls_of_an_origin_that_never_answered_begin_within_seconds() -> None:
    async def body(atomic: LocalAtomic, _: Adaptive) -> None:
        begun: list[float] = []

        async def long(_: EndpointCall) -> EndpointReply:
            begun.append(now_s())
            await asyncio.sleep(60)
            return EndpointReply(json=1)

        url, began_s = atomic.endpoint("/long", long), now_s()
        for number in range(200):
            await atomic.post("/me", start(url, f"k-{number}", attemptTimeout=90_000))
        await settled(atomic)
        assert len(begun) == 200
        assert max(begun) - began_s < 11

    on(body)


def test_steps_that_begin_to_wait_when_their_origin_is_to_be_looked_at_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A loop may give a handle without its time for what is to be done at once, as uvloop does."""

    async def body() -> None:
        loop, adaptive, resumed = asyncio.get_running_loop(), Adaptive(), list[str]()
        call_at = loop.call_at

        def as_uvloop_does(at_s: float, *work: Any, **context: Any) -> asyncio.Handle:
            is_over = at_s <= loop.time()
            return loop.call_soon(*work, **context) if is_over else call_at(at_s, *work, **context)

        monkeypatch.setattr(loop, "call_at", as_uvloop_does)
        steps = [a_root(a_spec(key=f"k-{number}")) for number in range(FIRST_LIMIT + 2)]
        for step in steps[:FIRST_LIMIT]:
            assert adaptive.enter(step.spec) is not None
        await asyncio.sleep(10)
        for step in steps[FIRST_LIMIT:]:
            assert adaptive.enter(step.spec) is None
            adaptive.wait(step, lambda _, key=step.spec.idempotency_key: resumed.append(key))
        await asyncio.sleep(1)
        assert resumed == [step.spec.idempotency_key for step in steps[FIRST_LIMIT:]]

    run(body())


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_for_the_step_that_was_told_so(status: int) -> None:
    """Even if most steps of an application say so, one after the other, its others are not held up."""

    async def body(atomic: LocalAtomic, adaptive: Adaptive) -> None:
        async def later(_: EndpointCall) -> EndpointReply:
            return EndpointReply(status=status, headers={"Retry-After": "3600"})

        url, quick = atomic.endpoint("/later", later), atomic.endpoint("/quick", answer_ok)
        for number in range(40):
            await atomic.post("/me", start(url, f"later-{number}", retry=NO_JITTER))
            began_s = now_s()
            if number % 5 == 4:
                made = await atomic.post("/me", start(quick, f"k-{number}", timeout=9000))
                assert made.status == 200
                assert now_s() - began_s < 0.01
        assert adaptive.slowed() == []
        assert adaptive.slowdowns == 0

    on(body)


def test_many_steps_that_fail_in_a_row_hold_others_for_seconds_at_most() -> None:
    async def body(atomic: LocalAtomic, adaptive: Adaptive) -> None:
        calls: list[float] = []

        async def later(_: EndpointCall) -> EndpointReply:
            calls.append(now_s())
            return EndpointReply(status=503, headers={"Retry-After": "3600"})

        url, quick = atomic.endpoint("/later", later), atomic.endpoint("/quick", answer_ok)
        for number in range(300):
            await atomic.post("/me", start(url, f"later-{number}", retry=NO_JITTER))
        await asyncio.sleep(7)
        # Of those that fail, one goes on each few seconds. Those of other endpoints are tried before.
        assert adaptive.waiting > 200
        assert len(calls) <= ALL_FAIL + 10
        for number in range(40):
            began_s = now_s()
            made = await atomic.post("/me", start(quick, f"k-{number}", timeout=9000))
            assert made.status == 200
            assert now_s() - began_s <= REST_MAX_S
            await asyncio.sleep(1)
        # Each answer showed that the origin is up, so the others have been called as well.
        assert adaptive.waiting == 0
        assert len(calls) == 300

    on(body)


def test_an_endpoint_that_never_answers_does_not_hold_up_one_that_does() -> None:
    async def never(_: EndpointCall) -> EndpointReply:
        await asyncio.sleep(3600)
        return EndpointReply(status=200)

    async def main(atomic: LocalAtomic, _: Adaptive) -> None:
        silent, well = atomic.endpoint("/silent", never), atomic.endpoint("/well", answer_ok)
        await atomic.post("/me", start(well, "first"))
        times = {"attemptTimeout": 2000, "retry": NO_JITTER, "deadline": 100_000}
        for at in range(200):
            await atomic.post("/me", start(silent, f"h{at}", **times))
        await asyncio.sleep(10)
        waits = []
        for at in range(60):
            began_s = now_s()
            reply = await atomic.post("/me", {**start(well, f"w{at}"), "timeout": 60_000})
            assert reply.status == 200
            waits.append(now_s() - began_s)
            await asyncio.sleep(1)
        assert max(waits) <= REST_MAX_S
        await settled(atomic)
        # Those that have ended while they waited are let go in a moment.
        await asyncio.sleep(2 * REST_MAX_S)

    on(main)


def test_a_server_that_is_back_is_found_within_seconds() -> None:
    async def body(atomic: LocalAtomic, _: Adaptive) -> None:
        is_up, calls, times = False, 0, list[float]()

        async def moody(_: EndpointCall) -> EndpointReply:
            nonlocal calls
            calls += 1
            times.append(now_s())
            return EndpointReply(json=1) if is_up else EndpointReply(status=503)

        url = atomic.endpoint("/moody", moody)
        for number in range(500):
            await atomic.post("/me", start(url, f"k-{number}", retry={"count": 25}))
        await asyncio.sleep(120)
        assert calls <= FIRST_LIMIT + 120 / REST_MAX_S + 10
        is_up, up_s = True, now_s()
        await asyncio.sleep(REST_MAX_S + 1)
        assert min(at_s for at_s in times if at_s > up_s) - up_s <= REST_MAX_S
        # All that waited have been called; those that failed keep their back-off.
        live = (await atomic.get("/me/stats")).json["live"]
        assert live.get("pending", 0) == 0
        await settled(atomic)

    on(body)


def test_a_handler_that_was_too_late_by_waiting_says_nothing_of_its_origin() -> None:
    async def body(atomic: LocalAtomic, adaptive: Adaptive) -> None:
        elsewhere = "https://elsewhere.test/slow"

        async def slow(_: EndpointCall) -> EndpointReply:
            await asyncio.sleep(30)
            return EndpointReply(json=1)

        async def workflow(call: EndpointCall) -> EndpointReply:
            posted = start(elsewhere, "s", parent=call.json["stepId"], timeout=20_000)
            made = await atomic.post("/me", {**posted, "attemptTimeout": 60_000})
            return EndpointReply(status=made.status, json=1)

        atomic._invoker.handlers[elsewhere] = slow
        url = atomic.endpoint("/workflow", workflow)
        await atomic.post("/me", start(url, "k", attemptTimeout=2000))
        event = {"workflowName": "w", "idempotencyKey": "k2", "kind": "timer", "delay": 60_000}

        async def waits(call: EndpointCall) -> EndpointReply:
            await atomic.post("/me", {**event, "parent": call.json["stepId"], "timeout": 50_000})
            return EndpointReply(json=1)

        await atomic.post("/me", start(atomic.endpoint("/waits", waits), "k2", attemptTimeout=2000))
        await asyncio.sleep(10)
        assert adaptive.slowed() == []
        await settled(atomic)

    on(body)


def test_a_deadline_ends_a_step_that_waits() -> None:
    async def body(atomic: LocalAtomic, _: Adaptive) -> None:
        await slow_down(atomic)
        await asyncio.sleep(1)

        async def held(_: EndpointCall) -> EndpointReply:
            await asyncio.sleep(60)
            return EndpointReply(json=1)

        url = atomic.endpoint("/held", held)
        await atomic.post("/me", start(url, "first", attemptTimeout=90_000))
        late = await atomic.post("/me", start(url, "late", deadline=10_000))
        cancelled = await atomic.post("/me", start(url, "cancelled"))
        run_id = cancelled.json["runId"]
        assert (await atomic.post(f"/me/runs/{run_id}/cancel", {})).status == 200
        await asyncio.sleep(11)
        step = await step_of(atomic, late)
        assert (step["status"], step["attempts"]) == ("failed", 0)
        await settled(atomic)
        assert (await step_of(atomic, cancelled))["attempts"] == 0

    on(body)


def test_a_new_run_is_not_kept_waiting_by_those_that_have_begun() -> None:
    async def body(atomic: LocalAtomic, _: Adaptive) -> None:
        await slow_down(atomic)
        await asyncio.sleep(1)
        order: list[str] = []

        async def held(call: EndpointCall) -> EndpointReply:
            order.append(call.json["idempotencyKey"][0])
            await asyncio.sleep(1)
            return EndpointReply(json=1)

        url = atomic.endpoint("/held", held)
        await atomic.post("/me", start(url, "root"))
        for number in range(8):
            await atomic.post("/me", start(url, f"step-{number}", workflowName="w", stepName=f"s{number}"))
            await atomic.post("/me", start(url, f"new-{number}"))
        await settled(atomic)
        assert len(order) == 17
        assert "n" in order[:6]

    on(body)


def test_nothing_is_resumed_when_the_server_ends() -> None:
    async def main() -> None:
        async with LocalAtomic() as atomic:
            adaptive = atomic.engine.admission.adaptive = Adaptive()
            await slow_down(atomic)
            await asyncio.sleep(1)
            calls = 0

            async def held(_: EndpointCall) -> EndpointReply:
                nonlocal calls
                calls += 1
                await asyncio.sleep(1)
                return EndpointReply(json=1)

            url = atomic.endpoint("/held", held)
            for number in range(3):
                await atomic.post("/me", start(url, f"k-{number}"))
            adaptive.stop()
            await asyncio.sleep(5)
            assert calls == 1

    run(main())


def test_turns_are_told_once_and_numbers_are_shown() -> None:
    turns: list[tuple[SlowedOrigin, bool]] = []
    adaptive = Adaptive(tell=lambda slowed, falls: turns.append((slowed, falls)))
    telemetry = PrometheusTelemetry(adaptive)

    async def body(atomic: LocalAtomic, _: Adaptive) -> None:
        assert shown(telemetry)["atomic_destinations_slowed"] == 0
        for number in range(3):
            await slow_down(atomic, f"/sick-{number}")
        (told,) = turns
        assert told[1]
        assert (told[0].client_id, told[0].origin, told[0].limit) == ("me", "https://app.test:443", 1)
        found = shown(telemetry)
        assert found["atomic_destinations_slowed"] == 1
        assert found["atomic_destination_slowdowns_total"] == 1
        assert found["atomic_steps_waiting_for_destinations"] == 0
        assert "atomic_destinations_slowed" not in shown(PrometheusTelemetry())

    on(body, adaptive)


def test_destinations_that_are_not_in_use_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atomic.application.adaptive._ORIGINS_MAX", 10)

    async def main() -> None:
        adaptive = Adaptive()
        kept = adaptive.enter(long_step(0, url="https://kept.example/x"))
        assert kept is not None
        for number in range(100):
            fail_often(adaptive, f"https://d{number}.example/x")
        assert len(adaptive.slowed()) <= 10
        kept.begins("kept")
        kept.leave()
        kept.leave()
        fail_often(adaptive, "https://kept.example/x")
        assert adaptive.slowed()[0].origin == "https://kept.example:443"
        assert adaptive.slowed()[0].under_way == 0

    run(main())


def fail_often(adaptive: Adaptive, url: str) -> None:
    """As many different steps fail in a row as slow an origin down."""
    for number in range(ALL_FAIL):
        attempt = adaptive.enter(long_step(number, url=url))
        assert attempt is not None
        attempt.begins(f"step-{number}")
        attempt.ended(EndpointResponse(status=503), lambda: 0)
        attempt.leave()
