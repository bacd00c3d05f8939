"""`LocalAtomic.serve`: applications of every framework in one process, in virtual time."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from flask import Flask
from starlette.applications import Starlette

from atomic.sdk import (
    AsyncContext,
    Client,
    Context,
    NonRetryable,
    aws_lambda,
    django,
    fastapi,
    flask,
    starlette,
)
from atomic.testing import DifferentReplayError, LocalAtomic, NoProgressError, NotReachedError, run
from sdk import django_sites


def in_local(story: Callable[[LocalAtomic], Awaitable[Any]], **options: Any) -> Any:
    async def main() -> Any:
        async with LocalAtomic(**options) as local:
            return await story(local)

    return run(main())


def shop(endpoints: Any, *, is_async: bool) -> None:
    """The same workflow in both kinds of functions: charge, three days, mail."""

    @endpoints.step
    def charge(order: dict[str, Any]) -> dict[str, Any]:
        return {"charged": order["total"]}

    if is_async:

        @endpoints.workflow
        async def order(ctx: AsyncContext, order: dict[str, Any]) -> Any:
            paid = await ctx.step("charge", order)
            await ctx.sleep(timedelta(days=3))
            await asyncio.gather(ctx.step("mail", paid), ctx.step("mail", paid))
            return paid
    else:

        @endpoints.workflow
        def order(ctx: Context, order: dict[str, Any]) -> Any:
            paid = ctx.step("charge", order)
            ctx.sleep(timedelta(days=3))
            ctx.gather(ctx.call("mail", paid), ctx.call("mail", paid))
            return paid


def applications() -> dict[str, Callable[[], Any]]:
    return {
        "fastapi": lambda: fastapi.Endpoints(FastAPI()),
        "starlette": lambda: starlette.Endpoints(Starlette()),
        "flask": lambda: flask.Endpoints(Flask("shop")),
        "lambda": lambda: aws_lambda.Endpoints(),
    }


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("name", applications())
@pytest.mark.parametrize("always_replay", [False, True])
def test_an_application_of_each_framework_runs_in_virtual_time(
    name: str, is_async: bool, always_replay: bool
) -> None:
    endpoints = applications()[name]()
    shop(endpoints, is_async=is_async)

    async def story(local: LocalAtomic) -> None:
        local.serve(endpoints)
        mail = local.answer("mail", ConnectionError("no route"), {"sent": True})
        run = await local.run("order", {"total": 7})
        assert (run.status, run.result) == ("succeeded", {"charged": 7})
        assert run.steps["charge"].payload == {"total": 7}
        assert run.steps["charge"].response == {"charged": 7}
        assert len(mail.calls) == 3
        assert sorted(step.attempts for step in run.steps.all("mail")) == [1, 2]
        assert "+3 days" in run.timeline()

    began_s = time.monotonic()
    in_local(story, always_replay=always_replay)
    assert time.monotonic() - began_s < 30


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("site", [django_sites.Wsgi, django_sites.Asgi])
def test_django_runs_in_virtual_time(site: Callable[[tuple[Any, ...]], Any], is_async: bool) -> None:
    """Under ASGI, Django has one thread for what is called in the context of one request."""
    endpoints = django.Endpoints("shop")
    charged: list[int] = []

    @endpoints.step
    def charge(total: int) -> int:
        charged.append(total)
        return total

    if is_async:

        @endpoints.workflow
        async def order(ctx: AsyncContext, total: int) -> int:
            paid: int = await ctx.step(charge, total)
            await ctx.sleep(timedelta(days=3))
            return paid
    else:

        @endpoints.workflow
        def order(ctx: Context, total: int) -> int:
            paid: int = ctx.step(charge, total)
            ctx.sleep(timedelta(days=3))
            return paid

    async def story(local: LocalAtomic) -> None:
        local.serve(site(tuple(endpoints.urlpatterns)), base_url="http://127.0.0.1/shop")
        run = await local.run("order", 7)
        assert (run.status, run.result, charged) == ("succeeded", 7, [7])

    in_local(story)


@pytest.mark.parametrize("ends_with", [None, RuntimeError("after the answer")])
def test_what_an_application_does_after_its_answer_does_not_delay_it(ends_with: Exception | None) -> None:
    """Real time of a thread that the loop does not know, as Django has one at the end of a request."""
    calls: list[Any] = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        calls.append(await receive())
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"1", "more_body": True})
        await send({"type": "http.response.body", "body": b"2"})
        ended: Future[None] = Future()
        # The loop may end before, and then nobody may cancel what the thread is about to set.
        ended.set_running_or_notify_cancel()
        threading.Timer(0.2, ended.set_result, [None]).start()
        await asyncio.wrap_future(ended)
        if ends_with is not None:
            raise ends_with

    async def story(local: LocalAtomic) -> None:
        local.serve(app)
        run = await local.run("order")
        assert (run.status, run.result, len(calls)) == ("succeeded", 12, 1)

    in_local(story)


def test_answers_come_in_order_and_errors_fail_attempts_or_steps() -> None:
    endpoints = fastapi.Endpoints(FastAPI())

    @endpoints.workflow
    def order(ctx: Context) -> Any:
        return [ctx.step("charge"), ctx.step("mail", retry=3)]

    async def story(local: LocalAtomic) -> None:
        local.serve(endpoints)
        charge = local.answer("charge", ValueError("busy"), TimeoutError(), lambda call: call.attempt)
        local.answer("mail", NonRetryable("no such address"))
        run = await local.run("order")
        assert run.steps["charge"].attempts == 3
        assert [attempt.error_kind for attempt in run.steps["charge"].attempt_log[:2]] == [
            "endpoint_answered",
            "timed_out",
        ]
        assert run.steps["charge"].response == 3 == len(charge.calls)
        assert run.steps["mail"].attempts == 1
        assert run.status == "failed"
        assert "no such address" in str(run.error)

    in_local(story)


def test_an_event_a_reminder_and_time_that_is_moved_by_hand() -> None:
    endpoints = starlette.Endpoints(Starlette())

    @endpoints.workflow
    async def approval(ctx: AsyncContext) -> Any:
        return await ctx.event("approved", deadline=timedelta(days=3))

    async def story(local: LocalAtomic) -> None:
        local.serve(endpoints)
        run = await local.start("approval")
        run = await local.until(run, step="approved")
        assert run.status in {"running", "waiting"}
        await local.advance(days=2, hours=6)
        assert (await local.look(run)).steps["approved"].status == "pending"
        await local.send_event(run, "approved", {"by": "Ann"})
        run = await local.until(run)
        assert run.result == {"by": "Ann"}
        assert run.snapshot() == "event approved 1"
        late = await local.run("approval")
        assert late.status == "failed"
        with pytest.raises(NotReachedError, match=r"waited for step 'paid' there, but the run has ended"):
            await local.until(late, step="paid")

    in_local(story)


def test_a_blocking_client_reaches_the_engine_from_a_thread_but_never_blocks_its_loop() -> None:
    endpoints = flask.Endpoints(Flask("shop"))
    shop(endpoints, is_async=False)

    async def story(local: LocalAtomic) -> None:
        url = local.serve(endpoints, "https://shop.test")
        local.answer("mail", None)
        client = Client()
        given = ("order", f"{url}/order", {"total": 1})
        done = await asyncio.to_thread(client.start, *given, key="1", timeout=timedelta(days=4))
        assert done.response == {"charged": 1}
        with pytest.raises(RuntimeError, match="blocks the event loop of the test"):
            client.start(*given, key="1")

    in_local(story)


def test_a_plain_function_of_fastapi_is_a_step_whose_thread_the_time_waits_for() -> None:
    app = FastAPI()
    endpoints = fastapi.Endpoints(app)

    @app.post("/slow")
    def slow() -> str:
        time.sleep(0.05)
        return "done"

    @endpoints.workflow
    async def order(ctx: AsyncContext) -> Any:
        return await ctx.step("slow", attempt_timeout=0.02 + 1)

    async def story(local: LocalAtomic) -> None:
        local.serve(app)
        run = await local.run("order")
        assert run.result == "done"
        assert run.steps["slow"].attempts == 1

    in_local(story)


def test_a_handler_that_makes_no_progress_fails_the_test_with_a_sentence() -> None:
    ended: list[bytes] = []

    async def again(scope: Any, receive: Any, send: Any) -> None:
        """A handler that waits for a step that has ended, for ever."""
        headers = [(b"atomic-waiting-for", step_id) for step_id in ended]
        await send({"type": "http.response.start", "status": 202 if ended else 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def story(local: LocalAtomic) -> None:
        local.serve(again)
        first = await local.run("first")
        ended.append(first.root.id.encode())
        await local.run("order")

    with pytest.raises(
        NoProgressError, match=r"run run_\w+: the handler https://app.test/order was called"
    ):
        in_local(story)


def test_always_replay_names_the_first_call_that_differs_between_replays() -> None:
    endpoints = fastapi.Endpoints(FastAPI())
    calls: list[int] = []

    @endpoints.workflow
    async def order(ctx: AsyncContext) -> Any:
        calls.append(1)
        await ctx.step("charge")
        await ctx.step("mail" if len(calls) % 2 else "post")
        await ctx.step("end")

    async def story(local: LocalAtomic) -> None:
        local.serve(endpoints)
        for name in ("charge", "mail", "post", "end"):
            local.answer(name, name)
        await local.run("order")

    with pytest.raises(DifferentReplayError) as raised:
        in_local(story, always_replay=True)
    said = str(raised.value)
    assert "the workflow 'order' is not deterministic" in said
    assert "as its call 2 of the context" in said
    assert "-step post" in said
    assert "+step mail" in said


def test_a_replay_that_ends_without_a_call_is_told() -> None:
    endpoints = fastapi.Endpoints(FastAPI())
    calls: list[int] = []

    @endpoints.workflow
    async def order(ctx: AsyncContext) -> str:
        calls.append(1)
        await ctx.step("charge")
        if len(calls) < 3:
            await ctx.step("mail")
        return "done"

    async def story(local: LocalAtomic) -> None:
        local.serve(endpoints)
        local.answer("charge", 1)
        local.answer("mail", 1)
        await local.run("order")

    with pytest.raises(DifferentReplayError, match="call 3 ended without 'step mail', which call 2 had"):
        in_local(story, always_replay=True)


def test_what_is_no_application_is_refused_by_name() -> None:
    async def story(local: LocalAtomic) -> None:
        with pytest.raises(TypeError, match="dict cannot be called"):
            local.serve({})
        with pytest.raises(TypeError, match="takes 1 arguments"):
            local.serve(lambda request: request)
        with pytest.raises(TypeError, match="at least one answer"):
            local.answer("charge")

    in_local(story)


def test_a_signing_secret_of_the_environment_does_not_refuse_calls_of_the_test(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ATOMIC_SIGNING_SECRET", "whsec_MfKQ9r8GKYqTwjUPD8ILPZIo2LaLaSw=")
    endpoints = fastapi.Endpoints(FastAPI())

    @endpoints.workflow
    def order() -> str:
        return "done"

    async def story(local: LocalAtomic) -> None:
        local.serve(endpoints)
        assert (await local.run("order")).result == "done"

    in_local(story)
