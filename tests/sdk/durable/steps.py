"""Steps (1-1 to 1-20) and waits (2-1 to 2-5)."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from atomic.sdk import Call, Retry, StepFailedError
from sdk.durable.flows import VARIANTS, Flow, ends, fails, noting, results, runs, serve, start, until
from sdk.durable.forms import Shouted
from sdk.world import World

FAST = Retry(count=3, back_off=0.02, jitter="none", strategy="fixed")


@contextmanager
def dying() -> Iterator[tuple[str, list[str]]]:
    """A step whose process dies in every odd call, so nothing answers; yields its URL and its calls."""
    called: list[str] = []

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            called.append(self.headers["Idempotency-Key"])
            if len(called) % 2:
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'"alive"')

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/dying", called
        finally:
            server.shutdown()
            thread.join()


def case_results_of_steps_and_values(world: World) -> None:
    """A greeting, a name, a step that needs another, a nested result, no result."""

    def flow(ctx: Any, name: str) -> Flow:
        greeting = yield ctx.step("/greet", name, name="custom_step_name")
        value = yield ctx.run("custom_value_name", lambda: f"Hello, {name}!")
        longer = yield ctx.step("/greet", greeting)
        nested = yield ctx.step("/nested", name)
        same = yield ctx.run("nested", lambda: nested)
        nothing = yield ctx.run("nothing", lambda: None)
        return [greeting, value, longer, nested, same, nothing, (yield ctx.step("/nothing"))]

    serve(world, "flow", flow, wait=5)
    world.step("/greet", lambda name: f"Hello, {name}!")
    world.step("/nested", lambda name: {"user": {"name": name, "tags": ["a", None]}, "count": 2})
    world.step("/nothing", lambda payload: None)
    hello, nested = "Hello, Ann!", {"user": {"name": "Ann", "tags": ["a", None]}, "count": 2}
    started = start(world, "flow", "Ann")
    expected = [hello, hello, "Hello, Hello, Ann!!", nested, nested, None, None]
    assert ends(world, started) == [expected] * 2
    for run in runs(world, started):
        names = {step.step_name for step in run.steps}
        assert names == {"custom_step_name", "custom_value_name", "nested", "nothing", None}


def case_a_step_has_a_form_of_its_own(world: World) -> None:
    """The type of a step says how its result is written, and how it is read."""

    def flow(ctx: Any, text: str) -> Flow:
        return (yield ctx.step("/same", text, result=Shouted))

    def same(text: Shouted) -> Shouted:
        return text

    serve(world, "flow", flow, wait=5)
    world.step("/same", same)
    started = start(world, "flow", "hello world")
    assert ends(world, started) == ["HELLO WORLD"] * 2
    assert [run.steps[0].response for run in runs(world, started)] == ["HELLO WORLD"] * 2


def case_a_replay_skips_what_is_done(world: World) -> None:
    """Neither a step nor a value runs again, and a failed step raises its error again."""
    ran: list[str] = []
    caught: list[str] = []
    note = noting(ran)

    def flow(ctx: Any, payload: Any) -> Flow:
        step = yield ctx.step("/note", "step")
        value = yield ctx.run("value", lambda: note("value"))
        try:
            yield ctx.step("/fail", "failure", retry=0)
        except StepFailedError as error:
            caught.append(error.reason)
        yield ctx.sleep(0.3)
        return [step, value]

    def fail(payload: str) -> None:
        ran.append(payload)
        raise ValueError("no luck")

    serve(world, "flow", flow)
    world.step("/note", note)
    world.step("/fail", fail)
    assert results(world, "flow") == [["step", "value"]] * 2
    assert sorted(ran) == sorted(["step", "value", "failure"] * 2)
    assert set(caught) == {"ValueError: no luck"}
    assert len(caught) >= 4


def third(payload: str, call: Call) -> str:
    """A step that succeeds in its third attempt."""
    if call.attempt < 3:
        raise ConnectionError("not yet")
    return payload


def case_steps_are_retried_by_their_policy(world: World) -> None:
    """Success at last, exhaustion, pauses of the step's own, no retry at all, a caught failure."""
    grown = Retry(count=5, back_off=0.02, factor=3, jitter="none")

    def flow(ctx: Any, payload: Any) -> Flow:
        done = yield ctx.step("/third", "a", retry=FAST)
        own = yield ctx.step("/third", "b", retry=grown, name="own")
        reasons = []
        for number, retry in enumerate((FAST, 0)):
            try:
                yield ctx.step("/never", "c", retry=retry, key=number)
            except StepFailedError as error:
                reasons.append([error.attempts, error.reason])
        return [done, own, reasons, (yield ctx.step("/third", "fallback", retry=FAST, key="last"))]

    def uncaught(ctx: Any, retries: int) -> Flow:
        yield ctx.step("/never", "c", retry=FAST if retries else 0)

    def never(payload: str) -> None:
        raise ValueError("never")

    serve(world, "flow", flow, wait=2)
    serve(world, "uncaught", uncaught)
    world.step("/third", third)
    world.step("/never", never)
    told = [[4, "ValueError: never"], [1, "ValueError: never"]]
    started = start(world, "flow")
    for retries in (0, 3):
        fails(world, "uncaught", "never", retries, key=f"uncaught{retries}")
    assert ends(world, started) == [["a", "b", told, "fallback"]] * 2
    for run in runs(world, started):
        assert [step.attempts for step in run.steps] == [3, 3, 4, 1, 3]
        begun = [datetime.fromisoformat(made.started_at) for made in run.steps[1].attempt_log]
        assert begun[1] - begun[0] >= timedelta(seconds=0.02)
        assert begun[2] - begun[1] >= timedelta(seconds=0.06)


def case_a_step_without_a_policy_is_retried(world: World) -> None:
    """Two failures, with the pauses of the default policy."""

    def flow(ctx: Any, payload: Any) -> Flow:
        return (yield ctx.step("/third", "at last"))

    serve(world, "flow", flow)
    world.step("/third", third)
    started = start(world, "flow")
    assert ends(world, started) == ["at last"] * 2
    for run in runs(world, started):
        retry = run.steps[0].retry
        assert (retry.strategy, retry.factor, retry.jitter) == ("exponential", 2, "full")
        assert (retry.count, retry.back_off) == (25, 1000)


def case_types_of_errors_say_what_is_retried(world: World) -> None:
    """An error of this type is retried, and no other one: of a step, and of a value."""

    class TransientError(Exception):
        pass

    quick = {"count": 3, "back_off": 0.001}
    retried, not_retried = Retry(**quick, on=TransientError), Retry(**quick, never=TransientError)

    def flow(ctx: Any, payload: Any) -> Flow:
        errors: list[Exception] = [TransientError("once")]

        def unreliable() -> str:
            if errors:
                raise errors.pop()
            return "done"

        done = yield ctx.run("retried", unreliable, retry=retried)
        errors.append(TransientError("always"))
        try:
            yield ctx.run("not retried", unreliable, retry=not_retried)
        except TransientError as error:
            return [done, str(error), (yield ctx.step("/second", retry=retried))]

    def uncaught(ctx: Any, payload: Any) -> Flow:
        yield ctx.step("/second", retry=not_retried)

    def second(call: Call) -> int:
        if call.attempt == 1:
            raise TransientError("not yet")
        return call.attempt

    serve(world, "flow", flow, wait=2)
    serve(world, "uncaught", uncaught)
    world.step("/second", second)
    assert results(world, "flow") == [["done", "always", 2]] * 2
    fails(world, "uncaught", "TransientError: not yet")


def case_an_attempt_is_made_at_most_once(world: World) -> None:
    """Its process dies in the first attempt: without a retry the step fails, with one it succeeds."""

    def flow(ctx: Any, given: list[Any]) -> Flow:
        url, retries = given
        retry = Retry(count=retries, back_off=0.02, jitter="none")
        return (yield ctx.step(url, on_lost="fail", retry=retry))

    serve(world, "flow", flow)
    for variant in VARIANTS:
        with dying() as (url, called):
            with pytest.raises(StepFailedError, match="attempt"):
                world.start(f"/{variant}/flow", [url, 0], key=f"once/{variant}")
            assert len(called) == 1
        with dying() as (url, called):
            assert world.start(f"/{variant}/flow", [url, 1], key=f"again/{variant}").response == "alive"
            assert len(called) == 2


def case_waits(world: World) -> None:
    """A wait, names, one after the other, units, an hour."""

    def flow(ctx: Any, payload: Any) -> Flow:
        yield ctx.sleep(0.2)
        yield ctx.sleep(0.2, name="wait-1")
        yield ctx.sleep(timedelta(seconds=0.2), name="wait-2")
        return "awake"

    def long(ctx: Any, unit: str) -> Flow:
        yield ctx.sleep(timedelta(**{unit: 1}), name="nap")

    serve(world, "flow", flow)
    serve(world, "long", long)
    started = start(world, "flow")
    for unit, seconds in (("minutes", 60), ("hours", 3600)):
        for outcome in start(world, "long", unit, key=unit):
            timer = until(lambda run=outcome: world.run_of(run).steps)[0]
            assert (timer.step_name, timer.kind, timer.status) == ("nap", "timer", "pending")
            lasts = datetime.fromisoformat(timer.due_at or "") - datetime.fromisoformat(timer.created_at)
            assert round(lasts.total_seconds()) == seconds
    assert ends(world, started) == ["awake"] * 2
    for run in runs(world, started):
        assert [step.step_name for step in run.steps] == ["sleep", "wait-1", "wait-2"]
        assert run.root.attempts > 1
