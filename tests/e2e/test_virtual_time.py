"""Virtual time over HTTP, as the test of an application uses it: a real server and real endpoints."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from standardwebhooks import Webhook

from atomic.protocol.wire import from_rfc3339
from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.embedded_runtime import AtomicServer, runtime_on
from scenarios.runtime import Runtime, answer_ok, failing_first
from scenarios.starts import Gate, assert_problem, document

START = "2026-01-01T00:00:00.000Z"
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@pytest.fixture(scope="module")
def virtual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AtomicServer]:
    server = AtomicServer(tmp_path_factory.mktemp("virtual") / "data", f"--virtual-time={START}")
    server.start()
    yield server
    assert server.stop() == 0


class Timed(Runtime):
    """A runtime whose time the test moves."""

    async def dev(self, method: str, path: str, document: Any = None) -> ApiReply:
        """Call a route of the development server."""
        body = b"" if document is None else json.dumps(document).encode()
        return await self.request(method, f"/_dev/{path}", body=body)

    async def advance(self, **target: Any) -> ApiReply:
        """Move the time."""
        return await self.dev("POST", "time/advance", target)

    async def until_state(self, **wanted: Any) -> ApiReply:
        """Move the time until a run has a state."""
        return await self.dev("POST", "time/until", wanted)

    async def now_ms(self) -> int:
        """The server's time, from its start."""
        return from_rfc3339((await self.dev("GET", "time")).json["now"]) - from_rfc3339(START)

    async def in_background(self, started: dict[str, Any]) -> str:
        """Start a run and do not wait for it; its id."""
        reply = await self.start(started, Prefer="respond-async")
        assert reply.status == 202, reply.body
        run_id: str = reply.json["runId"]
        return run_id


@asynccontextmanager
async def timed(server: AtomicServer) -> AsyncIterator[Timed]:
    async with runtime_on(server) as runtime:
        runtime.__class__ = Timed
        assert isinstance(runtime, Timed)
        yield runtime


def played(server: AtomicServer, play: Callable[[Timed], Coroutine[Any, Any, None]]) -> None:
    """Play on the server, which is new to the play."""

    async def main() -> None:
        async with timed(server) as runtime, asyncio.timeout(8):
            assert (await runtime.dev("POST", "reset")).status == 204
            await play(runtime)

    asyncio.run(main())


def after_ms(document: dict[str, Any], member: str) -> int:
    return from_rfc3339(document[member]) - from_rfc3339(START)


# --- what moves, and when ---


def test_time_stands_still_and_says_so(virtual: AtomicServer) -> None:
    async def play(runtime: Timed) -> None:
        await asyncio.sleep(0.05)
        assert (await runtime.dev("GET", "time")).json == {
            "virtual": True,
            "now": START,
            "nextDue": None,
            "inFlight": 0,
            "waiting": 0,
            "auto": False,
        }
        assert "virtual-time" in (await runtime.request("GET", "/health")).json["features"]

    played(virtual, play)


def test_retries_of_hours_come_at_times_that_are_known(virtual: AtomicServer) -> None:
    async def play(runtime: Timed) -> None:
        url = runtime.endpoint("/mail", failing_first(2, 503))
        retry = {"count": 5, "backOff": 6 * HOUR_MS, "maxBackOff": DAY_MS}
        run_id = await runtime.in_background(document(url, retry=retry))

        reply = await runtime.until_state(stepId=f"{run_id}-root")

        assert (reply.status, reply.json["status"]) == (200, "succeeded")
        log = reply.json["attemptLog"]
        assert [after_ms(made, "startedAt") for made in log] == [0, 6 * HOUR_MS, 18 * HOUR_MS]

    played(virtual, play)


def test_a_handler_that_waits_for_days_is_suspended_at_once(virtual: AtomicServer) -> None:
    async def play(runtime: Timed) -> None:
        told: list[int] = []

        async def approval(call: EndpointCall) -> EndpointReply:
            event = {"kind": "event", "stepName": "approval", "deadline": 3 * DAY_MS}
            posted = {"workflowName": "w", "idempotencyKey": "k", "parent": call.json["stepId"], **event}
            reply = await runtime.start(posted)
            told.append(reply.status)
            return EndpointReply(status=200 if reply.status == 424 else 503)

        began_s = time.monotonic()
        run_id = await runtime.in_background(document(runtime.endpoint("/w", approval), key="k"))
        waiting = await runtime.until_state(runId=run_id, status=["waiting"])
        assert (waiting.json["run"]["status"], told, await runtime.now_ms()) == ("waiting", [504], 0)
        # It is also rechecked after a minute, but nothing happens then.
        assert after_ms((await runtime.dev("GET", "time")).json, "nextDue") == 3 * DAY_MS
        # A handler's post waits for 25 s by itself.
        assert time.monotonic() - began_s < 15

        done = await runtime.until_state(runId=run_id, max=4 * DAY_MS)

        assert (done.json["run"]["status"], told) == ("succeeded", [504, 424])
        assert after_ms(done.json["run"], "finishedAt") == 3 * DAY_MS

    played(virtual, play)


def test_nothing_is_due_while_a_run_waits_for_somebody(virtual: AtomicServer) -> None:
    async def play(runtime: Timed) -> None:
        async def approval(call: EndpointCall) -> EndpointReply:
            event = {"workflowName": "w", "idempotencyKey": "k", "kind": "event", "stepName": "approval"}
            reply = await runtime.start({**event, "parent": call.json["stepId"]})
            return EndpointReply(status=200 if reply.status == 200 else 503)

        async def parent(call: EndpointCall) -> EndpointReply:
            run = {"workflowName": "w", "idempotencyKey": "k"}
            posted = document(url, key="link", parent=call.json["stepId"], kind="run", run=run)
            return EndpointReply(status=(await runtime.start(posted)).status)

        url = runtime.endpoint("/w", approval)
        run_id = await runtime.in_background(document(runtime.endpoint("/parent", parent), key="p"))
        for _ in range(2):
            stuck = await runtime.until_state(runId=run_id)
            assert_problem(stuck, 408, "time-not-reached")
            assert "The run is waiting" in stuck.json["detail"]
            assert "needs something from outside" in stuck.json["detail"]
            # A link is looked after once, a minute after it was posted.
            assert (stuck.json["nextDue"], await runtime.now_ms()) == (None, 60_000)
        # It is not in flight, so time may be moved; and what was only rechecked is woken at its time.
        await runtime.advance(by=40 * DAY_MS)
        assert (await runtime.get(f"/runs/{run_id}")).json["run"]["status"] == "waiting"
        event = {"workflowName": "w", "idempotencyKey": "k", "name": "approval", "result": "yes"}
        assert (await runtime.post("/events", event)).status == 200
        assert (await runtime.until_state(runId=run_id)).json["run"]["status"] == "succeeded"
        assert await runtime.now_ms() == 40 * DAY_MS + 60_000

    played(virtual, play)


def test_a_handler_goes_on_waiting_while_its_step_or_what_is_below_works(virtual: AtomicServer) -> None:
    async def play(runtime: Timed) -> None:
        gate = Gate({"deep": True})
        leaf = runtime.endpoint("/leaf", gate)

        def posting(url: str, key: str) -> Callable[[EndpointCall], Coroutine[Any, Any, EndpointReply]]:
            async def handler(call: EndpointCall) -> EndpointReply:
                child = {"kind": "run", "run": {"workflowName": "child", "idempotencyKey": "c"}}
                more = child if key == "link" else {}
                posted = document(url, key=key, parent=call.json["stepId"], timeout=10_000, **more)
                reply = await runtime.start(posted)
                return EndpointReply(status=reply.status, json=reply.json.get("response"))

            return handler

        child = runtime.endpoint("/child", posting(leaf, "leaf"))
        middle = runtime.endpoint("/middle", posting(child, "link"))
        root = runtime.endpoint("/root", posting(middle, "middle"))
        caller = asyncio.create_task(runtime.start(document(root, key="k")))
        await gate.entered.wait()
        await asyncio.sleep(0.1)
        gate.open()

        reply = await caller
        assert (reply.status, reply.json["response"], reply.json["attempts"]) == (200, {"deep": True}, 1)
        assert {len(runtime.calls(url)) for url in (root, middle, child, leaf)} == {1}

    played(virtual, play)


def test_a_caller_waits_in_real_time(virtual: AtomicServer) -> None:
    async def play(runtime: Timed) -> None:
        url = runtime.endpoint("/later", answer_ok)
        began_s = time.monotonic()
        reply = await runtime.start(document(url, key="k", delay=HOUR_MS, timeout=300))
        assert reply.status == 504
        assert time.monotonic() - began_s >= 0.3
        assert await runtime.now_ms() == 0
        # One that waits longer gets the outcome when time was moved, and does not hold it meanwhile.
        caller = asyncio.create_task(runtime.start(document(url, key="k", delay=HOUR_MS, timeout=20_000)))

        async def waits() -> bool:
            return bool((await runtime.dev("GET", "time")).json["waiting"])

        await Runtime.until(runtime, waits)
        moved = await runtime.advance(by=HOUR_MS)
        assert (moved.status, (await caller).status, len(runtime.calls(url))) == (200, 200, 1)

    played(virtual, play)


def test_what_expires_expires(virtual: AtomicServer) -> None:
    async def play(runtime: Timed) -> None:
        run_id = await runtime.in_background(document(runtime.endpoint("/a", answer_ok), key="a"))
        nap = {"workflowName": "w", "idempotencyKey": "n", "kind": "event", "stepName": "e"}
        event = await runtime.start({**nap, "deadline": HOUR_MS}, Prefer="respond-async")
        await runtime.advance(to="2026-01-01T00:59:59.999Z")
        assert (await runtime.get(f"/steps/{event.json['id']}")).json["status"] == "pending"
        await runtime.advance(to="2026-01-01T01:00:00Z")
        assert (await runtime.get(f"/steps/{event.json['id']}")).json["status"] == "failed"
        assert (await runtime.get(f"/runs/{run_id}")).status == 200
        await runtime.advance(by=31 * DAY_MS)
        # The retention is over, and the rows are gone.
        assert (await runtime.get(f"/runs/{run_id}")).status == 404
        assert (await runtime.get(f"/steps/{event.json['id']}")).status == 404

    played(virtual, play)


def test_with_auto_the_hours_pass_by_themselves(virtual: AtomicServer) -> None:
    async def play(runtime: Timed) -> None:
        assert (await runtime.dev("PUT", "time", {"auto": True})).json["auto"] is True
        url = runtime.endpoint("/mail", failing_first(3, 503, "sent"))
        retry = {"count": 5, "backOff": 6 * HOUR_MS, "maxBackOff": DAY_MS}
        reply = await runtime.start(document(url, key="k", retry=retry, timeout=20_000))
        assert (reply.status, reply.json["response"]) == (200, "sent")
        assert await runtime.now_ms() == (6 + 12 + 24) * HOUR_MS
        assert (await runtime.dev("PUT", "time", {"auto": False})).json["auto"] is False

    played(virtual, play)


# --- at the same time ---


def test_time_waits_for_the_attempt_that_is_in_flight(virtual: AtomicServer) -> None:
    async def play(runtime: Timed) -> None:
        gate = Gate()
        run_id = await runtime.in_background(document(runtime.endpoint("/slow", gate), key="k"))
        await gate.entered.wait()
        moving = asyncio.create_task(runtime.advance(by=HOUR_MS))
        await asyncio.sleep(0.1)
        shown = (await runtime.dev("GET", "time")).json
        assert (moving.done(), shown["now"], shown["inFlight"]) == (False, START, 1)
        gate.open()
        assert (await moving).json["now"] == "2026-01-01T01:00:00.000Z"
        assert after_ms((await runtime.get(f"/runs/{run_id}")).json["run"], "finishedAt") == 0

    played(virtual, play)


def test_what_comes_during_an_advance_is_served_at_the_time_that_it_finds(virtual: AtomicServer) -> None:
    async def play(runtime: Timed) -> None:
        gate = Gate()
        await runtime.in_background(document(runtime.endpoint("/gate", gate), key="k", delay=HOUR_MS))
        moving = asyncio.create_task(runtime.advance(by=2 * HOUR_MS))
        await gate.entered.wait()
        other = await runtime.start(document(runtime.endpoint("/other", answer_ok), key="other"))
        assert (after_ms(other.json, "createdAt"), other.status) == (HOUR_MS, 200)
        later = document(runtime.endpoint("/later", answer_ok), key="later", delay=HOUR_MS // 2)
        run_id = await runtime.in_background(later)
        gate.open()
        assert (await moving).status == 200
        assert await runtime.now_ms() == 2 * HOUR_MS
        # It fell due before the time to which the advance was going.
        assert after_ms((await runtime.get(f"/runs/{run_id}")).json["run"], "finishedAt") == 1.5 * HOUR_MS

    played(virtual, play)


def test_two_advances_at_once_come_one_after_the_other(virtual: AtomicServer) -> None:
    async def play(runtime: Timed) -> None:
        moved = await asyncio.gather(*(runtime.advance(by=HOUR_MS) for _ in range(5)))
        assert sorted(after_ms(reply.json, "now") for reply in moved) == [n * HOUR_MS for n in range(1, 6)]
        again = await asyncio.gather(*(runtime.advance(to="2026-01-02T00:00:00Z") for _ in range(3)))
        assert {reply.json["now"] for reply in again} == {"2026-01-02T00:00:00.000Z"}

    played(virtual, play)


def test_many_runs_are_moved_together(virtual: AtomicServer) -> None:
    async def play(runtime: Timed) -> None:
        url = runtime.endpoint("/flaky", flaky_by_key())
        retry = {"count": 9, "backOff": HOUR_MS, "strategy": "fixed"}
        runs = [
            await runtime.in_background(document(url, key=f"k{number}", retry=retry, delay=number))
            for number in range(30)
        ]
        ended = await asyncio.gather(*(runtime.until_state(runId=run_id) for run_id in runs))
        assert {reply.json["run"]["status"] for reply in ended} == {"succeeded"}
        took = [after_ms(reply.json["run"], "finishedAt") for reply in ended]
        assert took == [number + (number % 3) * HOUR_MS for number in range(30)]

    played(virtual, play)


def flaky_by_key() -> Callable[[EndpointCall], Coroutine[Any, Any, EndpointReply]]:
    async def handler(call: EndpointCall) -> EndpointReply:
        fails = int(call.json["idempotencyKey"].split("-")[0].removeprefix("k")) % 3
        return EndpointReply(status=503 if call.attempt <= fails else 200)

    return handler


# --- the two clocks ---


def test_signatures_and_metrics_are_of_real_time(virtual: AtomicServer) -> None:
    secret = (virtual.data_dir / "dev-signing-secret").read_text().strip()

    async def play(runtime: Timed) -> None:
        verified: list[Any] = []

        async def endpoint(call: EndpointCall) -> EndpointReply:
            # It refuses a timestamp that is five minutes old or ahead.
            verified.append(Webhook(secret).verify(call.body, dict(call.headers)))
            return EndpointReply(status=503 if len(verified) < 3 else 200)

        url, retry = runtime.endpoint("/signed", endpoint), {"count": 5, "backOff": 10 * DAY_MS}
        run_id = await runtime.in_background(
            document(url, key="k", retry={**retry, "maxBackOff": 20 * DAY_MS})
        )
        reply = await runtime.until_state(runId=run_id)
        assert (reply.json["run"]["status"], len(verified)) == ("succeeded", 3)
        assert after_ms(reply.json["run"], "finishedAt") == 30 * DAY_MS
        text = (await runtime.request("GET", "/metrics")).body.decode()
        metrics = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        assert float(metrics["atomic_run_seconds_count"]) == 1
        assert 0 < float(metrics["atomic_run_seconds_sum"]) < 30
        assert float(metrics["atomic_schedule_lag_seconds_sum"]) == 0

    played(virtual, play)


# --- refusals ---


@pytest.mark.parametrize(
    ("path", "body", "field", "cure"),
    [
        ("advance", {"by": -1}, "by", "greater than or equal to 0"),
        ("advance", {"by": 1.5}, "by", "integer"),
        ("advance", {"to": "yesterday"}, "to", "use a time as in"),
        ("advance", {"to": "2025-12-31T23:59:59Z"}, "to", f"never goes back, and it is {START}"),
        ("advance", {"to": "9999-01-01T00:00:00Z"}, "to", "use a time before"),
        ("advance", {"by": 1, "to": START}, "body", "`by` (milliseconds) or `to` (a time), and not both"),
        ("advance", {}, "body", "give `by`"),
        ("advance", {"hours": 1}, "hours", "unknown field"),
        ("until", {}, "body", "give `runId` or `stepId`, and not both"),
        ("until", {"runId": "r", "stepId": "s"}, "runId", "use the id of a run"),
        ("until", {"stepId": "s"}, "stepId", "use the id of a step"),
        ("until", {"runId": f"run_{'0' * 32}", "status": ["done"]}, "status.0", "'waiting'"),
        ("until", {"runId": f"run_{'0' * 32}", "status": []}, "status", "at least 1"),
        ("until", {"runId": f"run_{'0' * 32}", "max": -1}, "max", "greater than or equal to 0"),
    ],
)
def test_bad_input_is_named_with_the_cure(
    virtual: AtomicServer, path: str, body: dict[str, Any], field: str, cure: str
) -> None:
    async def play(runtime: Timed) -> None:
        reply = await runtime.dev("POST", f"time/{path}", body)
        assert_problem(reply, 400, "invalid-request")
        assert field in [error["field"] for error in reply.json["errors"]]
        assert cure in reply.json["detail"]
        assert await runtime.now_ms() == 0

    played(virtual, play)


def test_what_is_not_reached_is_said_with_the_reason(virtual: AtomicServer) -> None:
    async def play(runtime: Timed) -> None:
        unknown = await runtime.until_state(runId=f"run_{'0' * 32}")
        assert_problem(unknown, 404, "not-found")
        assert unknown.json["detail"] == "runId: this server has no such run."
        url = runtime.endpoint("/later", answer_ok)
        run_id = await runtime.in_background(document(url, key="k", delay=2 * HOUR_MS))

        early = await runtime.until_state(runId=run_id, max=HOUR_MS)
        assert_problem(early, 408, "time-not-reached")
        assert "`max` is over" in early.json["detail"]
        assert (early.json["status"], early.json["stepStatus"]) == (408, "pending")
        assert after_ms(early.json, "now") == HOUR_MS
        assert after_ms(early.json, "nextDue") == 2 * HOUR_MS

        never = await runtime.until_state(runId=run_id, status=["waiting"])
        assert_problem(never, 408, "time-not-reached")
        assert "The run is succeeded" in never.json["detail"]
        assert "nothing is due any more" in never.json["detail"]
        assert never.json["nextDue"] is None

    played(virtual, play)


def test_without_virtual_time_the_rest_works(server: AtomicServer) -> None:
    async def main() -> None:
        async with timed(server) as runtime:
            assert (await runtime.dev("GET", "time")).json["virtual"] is False
            for method, path in (("PUT", "time"), ("POST", "time/advance"), ("POST", "time/until")):
                refused = await runtime.dev(method, path, {})
                assert_problem(refused, 409, "time-is-real")
                assert "--virtual-time" in refused.json["detail"]
            url = runtime.endpoint("/a", answer_ok)
            first = await runtime.start(document(url, key="k"))
            assert (await runtime.dev("POST", "crash")).status == 204
            assert (await runtime.start(document(url, key="k"))).body == first.body
            assert (await runtime.dev("POST", "reset")).status == 204
            assert (await runtime.get("/runs")).json["runs"] == []

    asyncio.run(main())


def test_pages_of_other_servers_do_not_reach_it(virtual: AtomicServer) -> None:
    async def play(runtime: Timed) -> None:
        for method, path in (("POST", "reset"), ("POST", "crash"), ("GET", "time"), ("PUT", "time")):
            headers = {"Origin": "http://evil.example"}
            refused = await runtime.request(method, f"/_dev/{path}", headers=headers)
            assert_problem(refused, 403, "foreign-origin")
            renamed = await runtime.request(method, f"/_dev/{path}", headers={"Host": "evil.example"})
            assert_problem(renamed, 421, "misdirected")

    played(virtual, play)


def test_without_dev_these_paths_do_not_exist(tmp_path_factory: pytest.TempPathFactory) -> None:
    server = AtomicServer(tmp_path_factory.mktemp("locked") / "data", dev=False)
    server.start()

    async def main() -> None:
        async with timed(server) as runtime:
            nowhere = await runtime.request("GET", "/_dev/nowhere")
            for method, path in (("GET", "time"), ("POST", "crash"), ("POST", "reset"), ("PUT", "time")):
                reply = await runtime.dev(method, path)
                assert (reply.status, reply.body) == (404, nowhere.body)

    asyncio.run(main())
    assert server.stop() == 0


# --- reset, crash, end ---


def test_a_crash_drops_the_callers_and_the_attempt_is_made_again(virtual: AtomicServer) -> None:
    async def play(runtime: Timed) -> None:
        gate = Gate()
        url = runtime.endpoint("/slow", gate)
        await runtime.advance(by=DAY_MS)
        caller = asyncio.create_task(runtime.start(document(url, key="k")))
        await gate.entered.wait()
        moving = asyncio.create_task(runtime.advance(by=HOUR_MS))
        await asyncio.sleep(0.05)
        gate.entered.clear()

        assert (await runtime.dev("POST", "crash")).status == 204

        with pytest.raises(aiohttp.ClientError):
            await caller
        await gate.entered.wait()
        assert await runtime.now_ms() == DAY_MS
        gate.open()
        # What moves the time goes on with the next engine.
        assert (await moving).status == 200
        reply = await runtime.start(document(url, key="k"))
        assert (reply.status, reply.json["attempts"]) == (200, 2)
        log = (await runtime.get(f"/steps/{reply.json['id']}")).json["attemptLog"]
        assert [made["outcome"] for made in log] == ["no_answer", "succeeded"]

    played(virtual, play)


def test_a_reset_leaves_nothing_of_what_is_in_flight(virtual: AtomicServer) -> None:
    async def play(runtime: Timed) -> None:
        gate = Gate()
        url = runtime.endpoint("/slow", gate)
        await runtime.advance(by=DAY_MS)
        await runtime.in_background(document(url, key="k"))
        await gate.entered.wait()
        moving = asyncio.create_task(runtime.advance(by=HOUR_MS))
        await asyncio.sleep(0.05)

        replies = await asyncio.gather(runtime.dev("POST", "reset"), runtime.dev("POST", "crash"))

        assert [reply.status for reply in replies] == [204, 204]
        assert_problem(await moving, 503, "unavailable")
        gate.open()
        await asyncio.sleep(0.05)
        assert (await runtime.dev("GET", "time")).json["nextDue"] is None
        assert await runtime.now_ms() == 0
        assert (await runtime.get("/runs")).json["runs"] == []
        assert (await runtime.start(document(url, key="k"))).json["attempts"] == 1

    played(virtual, play)


def test_it_ends_at_once_while_time_is_moved(tmp_path_factory: pytest.TempPathFactory) -> None:
    server = AtomicServer(tmp_path_factory.mktemp("ending") / "data", "--virtual-time")
    server.start()

    async def main() -> None:
        async with timed(server) as runtime:
            gate = Gate()
            await runtime.in_background(document(runtime.endpoint("/slow", gate), key="k"))
            await gate.entered.wait()
            moving = asyncio.create_task(runtime.advance(by=HOUR_MS))
            await asyncio.sleep(0.05)
            ending = asyncio.create_task(asyncio.to_thread(server.stop))
            assert_problem(await moving, 503, "unavailable")
            gate.open()
            assert await ending == 0

    asyncio.run(main())
    assert "Traceback" not in server.log()
