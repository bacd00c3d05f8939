"""Hooks: what they are told, in which order, and that they change nothing."""

import asyncio
import functools
import json
import logging
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import pytest

from atomic.sdk import (
    AsyncContext,
    Call,
    Context,
    End,
    HandlerCall,
    Hooks,
    NonRetryable,
    Operation,
    StepFailedError,
    ValueAttempt,
)
from atomic.sdk._endpoints.endpoint import Endpoint
from atomic.sdk._endpoints.serving import RawPath, Request
from atomic.sdk._wire.answers import HandlerResponse
from atomic.sdk._wire.transport import HttpRequest, HttpResponse
from sdk.scripted import FAILED, GOES_ON, Script, answer, called, called_async, done

Flow = Iterator[Any]
both = pytest.mark.parametrize("variant", ["def", "async"])
current: ContextVar[str] = ContextVar("current", default="nothing")


class Recorder(Hooks):
    """Records what it is told."""

    def __init__(self, name: str = "", told: list[str] | None = None) -> None:
        self._name = name
        self.told: list[str] = [] if told is None else told
        self._open: list[object] = []

    def _starts(self, subject: object, text: str) -> None:
        self._open.append(subject)
        self.told.append(f"{self._name}{text}")

    def _ends(self, subject: object, end: End) -> None:
        self._open.remove(subject)
        error = type(end.error).__name__ if end.error is not None else ""
        self.told.append(" ".join(filter(None, [f"{self._name}-", end.outcome, error])))

    def call_started(self, call: HandlerCall) -> None:
        kind = "workflow" if call.is_workflow else "step"
        name = call.function.rpartition(".")[2]
        self._starts(call, f"{kind} {name} {call.call.attempt}")

    call_ended = operation_ended = attempt_ended = _ends

    def operation_started(self, operation: Operation) -> None:
        replayed = " again" if operation.is_replayed else ""
        self._starts(operation, f"{operation.kind} {operation.name}{replayed}")

    def attempt_started(self, attempt: ValueAttempt) -> None:
        self._starts(attempt, f"attempt {attempt.name} {attempt.number}")

    @property
    def is_complete(self) -> bool:
        """Whether everything that has started has ended."""
        return not self._open


def handler(variant: str, flow: Callable[[Any], Flow]) -> Any:
    """A workflow of both kinds; `flow` yields its calls."""

    def blocking(ctx: Context) -> Any:
        for made in flow(ctx):
            result = made
        return result

    async def asynchronous(ctx: AsyncContext) -> Any:
        for made in flow(ctx):
            result = await made
        return result

    return blocking if variant == "def" else asynchronous


def told(variant: str, flow: Any, answers: Any, **options: Any) -> tuple[list[str], list[str]]:
    """What the hooks were told in one call, and which steps were posted."""
    recorder = Recorder()
    _, posted = call(variant, handler(variant, flow), answers, hooks=[recorder], **options)
    assert recorder.is_complete
    return recorder.told[1:-1], posted


def call(variant: str, served: Any, answers: Any, **options: Any) -> tuple[HandlerResponse, list[str]]:
    if variant == "def":
        return called(served, answers, **options)
    return asyncio.run(called_async(served, answers, **options))


class TestOperations:
    @both
    def test_steps_sleeps_and_values(self, variant: str) -> None:
        def flow(ctx: Any) -> Flow:
            yield ctx.step("pay")
            yield ctx.step("pay", name="pay again")
            yield ctx.sleep(0, name="nap")
            yield ctx.run("drawn", lambda: 7)

        answers = {"pay": done(), "nap": done(), "drawn": done(7)}
        assert told(variant, flow, answers)[0] == [
            *("step pay", "- succeeded", "step pay again", "- succeeded", "timer nap", "- succeeded"),
            *("value drawn", "attempt drawn 1", "- succeeded", "- succeeded"),
        ]

    @both
    def test_a_step_that_goes_on(self, variant: str) -> None:
        heard, _ = told(variant, lambda ctx: iter([ctx.step("pay")]), {"pay": GOES_ON})
        assert heard == ["step pay", "- suspended"]

    @both
    def test_a_failed_step(self, variant: str) -> None:
        heard, _ = told(variant, lambda ctx: iter([ctx.step("pay")]), {"pay": FAILED})
        assert heard == ["step pay", "- failed StepFailedError"]

    @both
    def test_opening_and_awaiting_an_event(self, variant: str) -> None:
        def flow(ctx: Any) -> Flow:
            yield ctx.open_event("ok")
            yield ctx.event("ok")

        heard, _ = told(variant, flow, {"ok": lambda _: done("yes")})
        assert heard == ["event ok", "- succeeded"] * 2

    @both
    def test_retries_of_a_value(self, variant: str) -> None:
        failures = iter([OSError("no"), None])

        def draw() -> int:
            if error := next(failures):
                raise error
            return 7

        def flow(ctx: Any) -> Flow:
            yield ctx.run("drawn", draw, retry=1)

        heard, _ = told(variant, flow, {"drawn": done(7)}, wait=10)
        assert heard == [
            "value drawn",
            *("attempt drawn 1", "- failed OSError", "attempt drawn 2", "- succeeded"),
            "- succeeded",
        ]

    @both
    def test_batches_and_branches(self, variant: str) -> None:
        def flow(ctx: Any) -> Flow:
            yield ctx.map([1, 2], "pay")

        heard, _ = told(variant, flow, {"pay": done()})
        assert sorted(heard) == sorted(["step pay", "- succeeded"] * 2)

    @both
    def test_what_had_ended_before_is_replayed(self, variant: str) -> None:
        ids: list[str] = []

        class Ids(Hooks):
            def operation_started(self, operation: Operation) -> None:
                ids.append(operation.step_id)

        def flow(ctx: Any) -> Flow:
            yield ctx.step("pay")
            yield ctx.step("ship")

        call(variant, handler(variant, flow), {"pay": done(), "ship": GOES_ON}, hooks=[Ids()])
        print_ = "74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b"  # of null
        paid = {"kind": "http", "status": "succeeded", "fingerprint": print_, "response": 1}
        shipping = {"kind": "http", "status": "running", "fingerprint": print_}
        steps = [
            {"id": ids[0], "finishedAt": "2026-01-01T00:00:00.000Z", **paid},
            {"id": ids[1], **shipping},
        ]
        page = answer(200, parent="run_1-root", steps=steps, next=None)
        answers = {"results": page, "pay": done(), "ship": done()}
        heard, posted = told(variant, flow, answers, attempt=2, token="t")
        assert heard == ["step pay again", "- succeeded", "step ship", "- suspended"]
        assert posted == ["results"]


class TestCalls:
    @both
    def test_a_call_that_succeeds(self, variant: str) -> None:
        recorder = Recorder()
        call(
            variant,
            handler(variant, lambda ctx: iter([ctx.step("pay")])),
            {"pay": done()},
            hooks=[recorder],
        )
        assert (recorder.told[0], recorder.told[-1]) == (f"workflow {named(variant)} 1", "- succeeded")

    @both
    def test_a_call_that_is_suspended(self, variant: str) -> None:
        recorder = Recorder()
        served = handler(variant, lambda ctx: iter([ctx.step("pay")]))
        response, _ = call(variant, served, {"pay": GOES_ON}, hooks=[recorder], attempt=2)
        assert (response.status, recorder.told[0][-1], recorder.told[-1]) == (202, "2", "- suspended")

    @both
    def test_a_call_that_fails(self, variant: str) -> None:
        recorder = Recorder()

        def flow(_: Any) -> Flow:
            raise NonRetryable("no")
            yield

        response, _ = call(variant, handler(variant, flow), {}, hooks=[recorder])
        assert (response.status, recorder.told[-1]) == (500, "- failed NonRetryable")

    @both
    def test_a_result_without_a_form_in_json(self, variant: str) -> None:
        recorder = Recorder()
        served = handler(variant, lambda ctx: iter([ctx.run("n", lambda: 1)]))
        call(variant, lambda_of(served), {"n": done(1)}, hooks=[recorder])
        assert recorder.told[-1] == "- failed SerializationError"

    def test_a_request_that_is_not_for_it_is_no_call(self) -> None:
        recorder = Recorder()
        served = Endpoint(lambda payload: payload, is_workflow=False, options={"hooks": [recorder]})
        request = Request(origin="https://app.test", at=RawPath("", "/x"), headers={}, body=b"{}")
        assert (served.answer(request).status, recorder.told) == (400, [])


def lambda_of(served: Any) -> Any:
    """The same function, with a result that JSON does not have."""
    if asyncio.iscoroutinefunction(served):

        async def asynchronous(ctx: AsyncContext) -> Any:
            await served(ctx)
            return object()

        return asynchronous

    def blocking(ctx: Context) -> Any:
        served(ctx)
        return object()

    return blocking


def named(variant: str) -> str:
    return "blocking" if variant == "def" else "asynchronous"


def step_answer(function: Any, hooks: list[Hooks], *, on_loop: bool) -> HandlerResponse:
    """Call a step once, on an event loop or in a thread without one."""
    endpoint = Endpoint(function, is_workflow=False, options={"hooks": hooks})
    call = {"runId": "r", "stepId": "r-s", "workflowName": "w", "idempotencyKey": "k", "attempt": 1}
    body = json.dumps({**call, "payload": 5}).encode()
    request = Request(origin="https://app.test", at=RawPath("", "/x"), headers={}, body=body)
    return asyncio.run(endpoint.answer_async(request)) if on_loop else endpoint.answer(request)


class Marking(Hooks):
    """Sets a variable of the context at each start, and sets it back at each end."""

    def __init__(self) -> None:
        self._tokens: list[Any] = []

    def _starts(self, name: str) -> None:
        self._tokens.append(current.set(name))

    def _ends(self, _: object, __: End) -> None:
        current.reset(self._tokens.pop())

    def call_started(self, _: HandlerCall) -> None:
        self._starts("call")

    def attempt_started(self, _: ValueAttempt) -> None:
        self._starts("attempt")

    call_ended = attempt_ended = _ends


class TestContexts:
    """What a hook sets in the context is there in the function, and can be taken back."""

    @pytest.mark.parametrize("on_loop", [False, True])
    @pytest.mark.parametrize("kind", ["def", "async", "wrapped", "returns an awaitable"])
    def test_of_a_step(self, kind: str, on_loop: bool, caplog: pytest.LogCaptureFixture) -> None:
        def plain(payload: int) -> Any:
            return current.get()

        async def asynchronous(payload: int) -> Any:
            before = current.get()
            await asyncio.sleep(0)
            return [before, current.get()]

        @functools.wraps(asynchronous)
        def wrapped(payload: int) -> Any:
            return asynchronous(payload)

        def returning(payload: int) -> Any:
            return asynchronous(payload)

        functions = {"def": plain, "async": asynchronous, "wrapped": wrapped}
        response = step_answer(functions.get(kind, returning), [Marking()], on_loop=on_loop)
        seen = json.loads(response.body)
        assert (seen, caplog.records) == ("call" if kind == "def" else ["call", "call"], [])
        assert current.get() == "nothing"

    @both
    def test_of_a_workflow_and_its_values(self, variant: str, caplog: pytest.LogCaptureFixture) -> None:
        seen: list[str] = []

        def flow(ctx: Any) -> Flow:
            seen.append(current.get())
            yield ctx.run("n", lambda: seen.append(current.get()))
            seen.append(current.get())

        call(variant, handler(variant, flow), {"n": done()}, hooks=[Marking()])
        assert (seen, caplog.records) == (["call", "attempt", "call"], [])

    def test_of_branches_in_threads(self) -> None:
        def main(ctx: Context) -> Any:
            return ctx.gather(lambda: current.get(), lambda: current.get())

        response, _ = called(main, {}, hooks=[Marking()])
        assert json.loads(response.body) == ["call", "call"]


@dataclass
class Failing(Hooks):
    """Fails in each of its methods. A dataclass is not hashable."""

    def _fail(self, *_: object) -> None:
        raise LookupError("a broken hook")

    call_started = call_ended = operation_started = operation_ended = _fail
    attempt_started = attempt_ended = _fail


@both
def test_errors_of_hooks_are_logged_once_and_change_nothing(
    variant: str, caplog: pytest.LogCaptureFixture
) -> None:
    def flow(ctx: Any) -> Flow:
        yield ctx.step("pay")
        yield ctx.step("pay")
        yield ctx.run("n", lambda: 1)

    recorder, answers = Recorder(), {"pay": done(), "n": done(1)}
    with caplog.at_level(logging.ERROR, "atomic.sdk"):
        response, posted = call(variant, handler(variant, flow), answers, hooks=[Failing(), recorder])
    assert (json.loads(response.body), recorder.is_complete) == (1, True)
    assert posted == call(variant, handler(variant, flow), answers)[1]
    names = ["call_started", "operation_started", "operation_ended", "attempt_started"]
    logged = [record.getMessage() for record in caplog.records]
    assert logged == [
        f"the hook Failing.{name} failed; its further errors are not logged"
        for name in [*names, "attempt_ended", "call_ended"]
    ]


OWN_TRACE, OTHER_TRACE = (f"00-{digit * 32}-{'2' * 16}-01" for digit in "13")


class Posting(Hooks):
    """Gives this as the trace context of posts, or raises it."""

    def __init__(self, given: Any) -> None:
        self._given = given

    def traceparent(self, call: Call) -> str:
        if isinstance(self._given, Exception):
            raise self._given
        given: str = self._given
        return given


@both
@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ([], None),
        ([""], None),
        ([OWN_TRACE], OWN_TRACE),
        (["", OWN_TRACE, OTHER_TRACE], OWN_TRACE),
        ([OWN_TRACE + "\r\n"], OWN_TRACE),
        # What is no trace context could change what is posted, and is not sent.
        (["no trace", 7, OWN_TRACE + "\r\nx: y", OSError("down"), OTHER_TRACE], OTHER_TRACE),
    ],
)
def test_a_hook_may_give_the_trace_context_of_posts(
    variant: str, given: list[Any], sent: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flow(ctx: Any) -> Flow:
        yield ctx.step("pay")

    seen, send = [], Script.send

    def send_and_note(script: Script, request: HttpRequest) -> HttpResponse:
        seen.append(request.headers.get("traceparent"))
        return send(script, request)

    monkeypatch.setattr(Script, "send", send_and_note)
    call(variant, handler(variant, flow), {"pay": done()}, hooks=list(map(Posting, given)))
    assert seen == [sent]


def test_ends_come_in_reverse_order() -> None:
    heard: list[str] = []
    step_answer(lambda payload: payload, [Recorder("a ", heard), Recorder("b ", heard)], on_loop=False)
    assert heard == ["a step <lambda> 1", "b step <lambda> 1", "b - succeeded", "a - succeeded"]


def test_an_endpoint_that_answers_later() -> None:
    recorder = Recorder()

    def later(payload: Any, call: Call) -> Any:
        return call.answer_later(60)

    assert step_answer(later, [recorder], on_loop=False).status == 202
    assert recorder.told == ["step later 1", "- postponed"]


class TestRefusals:
    def test_a_hook_that_is_async(self) -> None:
        class Late(Hooks):
            async def call_ended(self, call: HandlerCall, end: End) -> None: ...

        with pytest.raises(TypeError, match=r"write `def call_ended` in .*Late, not `async def`"):
            Endpoint(lambda payload: payload, is_workflow=False, options={"hooks": [Late()]})

    @pytest.mark.parametrize("hooks", [Recorder(), [print], "hooks", [Recorder]])
    def test_what_is_no_list_of_hooks(self, hooks: Any) -> None:
        with pytest.raises(TypeError, match="hooks: give a list of objects"):
            Endpoint(lambda payload: payload, is_workflow=False, options={"hooks": hooks})


def test_the_error_of_a_step_is_the_one_that_the_workflow_gets() -> None:
    seen: list[Any] = []

    class Errors(Hooks):
        def operation_ended(self, operation: Operation, end: End) -> None:
            seen.append(end.error)

    def main(ctx: Context) -> Any:
        with pytest.raises(StepFailedError) as raised:
            ctx.step("pay")
        seen.append(raised.value)

    called(main, {"pay": FAILED}, hooks=[Errors()])
    assert seen[0] is seen[1]
