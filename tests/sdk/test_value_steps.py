"""Values: computed once, the same at each call of the handler, in `def` and `async def`."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from atomic.protocol import problems
from atomic.sdk import AsyncContext, Context, NonRetryable, Retry, RetryAfter
from atomic.sdk._wire.answers import HandlerResponse
from atomic.sdk._wire.transport import HttpResponse
from sdk.in_process import InProcess, in_process
from sdk.scripted import GOES_ON, NOBODY, answer, called, called_async, done, refused

NONE = answer(200, parent="run_1-root", steps=[], next=None)
Act = Callable[[Any], Any]


def handler(variant: str, act: Act) -> Any:
    """A workflow that makes one call of the context."""

    def blocking(ctx: Context) -> Any:
        return act(ctx)

    async def asynchronous(ctx: AsyncContext) -> Any:
        return await act(ctx)

    return blocking if variant == "def" else asynchronous


def call(variant: str, act: Act, answers: Any, **options: Any) -> tuple[HandlerResponse, list[str]]:
    """Call it once; its answer and what it asked for."""
    served = handler(variant, act)
    if variant == "def":
        return called(served, answers, **options)
    return asyncio.run(called_async(served, answers, **options))


def stored(**changes: Any) -> Callable[[dict[str, Any]], HttpResponse]:
    """A server that stores what is posted, or answers with another value that it has."""

    def post(document: dict[str, Any]) -> HttpResponse:
        assert document["kind"] == "value"
        assert document.keys() == {
            "workflowName",
            "kind",
            "stepName",
            "idempotencyKey",
            "parent",
            "payload",
        }
        return done(changes.get("has", document["payload"]))

    return post


both = pytest.mark.parametrize("variant", ["def", "async"])


@both
class TestRun:
    def test_the_value_is_posted_and_returned(self, variant: str) -> None:
        response, asked = call(variant, lambda ctx: ctx.run("n", lambda: [1, 2]), {"n": stored()})
        assert (json.loads(response.body), asked) == ([1, 2], ["n"])

    def test_the_first_writer_wins(self, variant: str) -> None:
        response, _ = call(variant, lambda ctx: ctx.run("n", lambda: 1), {"n": stored(has=2)})
        assert json.loads(response.body) == 2

    def test_it_has_the_type_that_was_asked_for_or_that_the_function_says(self, variant: str) -> None:
        def moment() -> datetime:
            return datetime(2026, 1, 1, tzinfo=UTC)

        def act(ctx: Any) -> Any:
            got = ctx.run("n", moment) if variant == "def" else ctx.run("n", moment, returns=datetime)
            return got if isinstance(got, datetime) else checked(got)

        async def checked(got: Any) -> datetime:
            moment = await got
            assert isinstance(moment, datetime)
            return moment

        response, _ = call(variant, act, {"n": stored()})
        assert json.loads(response.body) == "2026-01-01T00:00:00Z"

    def test_what_would_come_back_as_something_else_is_refused(self, variant: str) -> None:
        response, asked = call(variant, lambda ctx: ctx.run("n", lambda: (1, 2)), {})
        assert (response.status, response.headers["atomic-no-retry"], asked) == (500, "true", [])
        assert "value 'n'" in json.loads(response.body)["detail"].lower()

    def test_an_earlier_attempts_value_is_used(self, variant: str) -> None:
        known: list[dict[str, Any]] = []

        def post(document: dict[str, Any]) -> HttpResponse:
            known.append(document)
            return done(document["payload"])

        call(variant, lambda ctx: ctx.run("n", lambda: 7), {"n": post})
        value = value_of(7, step_id_of(known[0]))
        results = answer(200, parent="run_1-root", steps=[value], next=None)
        response, asked = again(variant, lambda ctx: ctx.run("n", lambda: 8), {"results": results})
        assert (json.loads(response.body), asked) == (7, ["results"])
        one = {"results": NONE, "result": results}
        response, asked = again(variant, lambda ctx: ctx.run("n", lambda: 8), one)
        assert (json.loads(response.body), asked) == (7, ["results", "result"])

    def test_it_is_looked_for_before_the_function_runs(self, variant: str) -> None:
        def never() -> int:
            raise AssertionError("the function ran")

        answers = {"results": NONE, "result": NOBODY}
        response, asked = again(variant, lambda ctx: ctx.run("n", never), answers)
        assert (response.status, response.headers["atomic-refused"]) == (503, "true")
        assert asked == ["results", "result"]

    def test_a_server_that_does_not_tell_costs_a_run_of_the_function(self, variant: str) -> None:
        answers = {"results": answer(403), "result": answer(403), "n": stored(has="first")}
        response, asked = again(variant, lambda ctx: ctx.run("n", lambda: "second"), answers)
        assert (json.loads(response.body), asked) == ("first", ["results", "result", "n"])

    def test_its_error_is_the_handlers(self, variant: str) -> None:
        def fails() -> None:
            raise ConnectionError("away")

        response, asked = call(variant, lambda ctx: ctx.run("n", fails), {})
        assert (response.status, asked) == (500, [])
        assert json.loads(response.body)["detail"] == "ConnectionError: away"
        assert "atomic-no-retry" not in response.headers

    def test_a_post_that_is_refused_suspends(self, variant: str) -> None:
        response, _ = call(variant, lambda ctx: ctx.run("n", lambda: 1), {"n": NOBODY})
        assert (response.status, response.headers["atomic-refused"]) == (503, "true")

    def test_the_function_calls_no_steps(self, variant: str) -> None:
        response, asked = call(variant, lambda ctx: ctx.run("n", lambda: ctx.step("x")), {})
        assert (response.status, response.headers["atomic-no-retry"], asked) == (500, "true", [])
        assert "'n' calls 'x'" in json.loads(response.body)["detail"]

    @pytest.mark.parametrize(
        ("act", "said"),
        [
            (lambda ctx: ctx.run("", lambda: 1), "name:"),
            (lambda ctx: ctx.run("n", 5), "give a function"),
            (lambda ctx: ctx.run("n", lambda: 1, retry="often"), "retry: use a Retry"),
            (lambda ctx: ctx.run("n", lambda: 1, retry=True), "retry: use a Retry"),
            (lambda ctx: ctx.run("n", lambda: 1, retry=-1), "retry: count"),
            (lambda ctx: ctx.run("n", lambda: 1, retry=Retry(on="5xx")), "type of exception"),
            (lambda ctx: ctx.run("n", lambda: 1, retry=Retry(never=(KeyError, 5))), "type of exception"),  # type: ignore[arg-type]
            (lambda ctx: ctx.step("x", name=5), "name:"),
            (lambda ctx: ctx.sleep(1, name=""), "name:"),
            (lambda ctx: ctx.version("v", 0), "newest:"),
            (lambda ctx: ctx.version("v", True), "newest:"),
        ],
    )
    def test_what_is_wrong_is_named(self, variant: str, act: Act, said: str) -> None:
        response, asked = call(variant, act, {})
        assert (response.status, asked) == (500, [])
        assert said in json.loads(response.body)["detail"]


@both
class TestRetries:
    def run(self, variant: str, errors: list[Exception], retry: Any, wait: float = 5.0) -> Any:
        def function() -> str:
            if errors:
                raise errors.pop(0)
            return "well"

        return call(variant, lambda ctx: ctx.run("n", function, retry=retry), {"n": stored()}, wait=wait)[0]

    def test_an_error_is_retried_as_often_as_asked(self, variant: str) -> None:
        policy = Retry(count=2, back_off=0.001)
        assert self.run(variant, [KeyError(), ValueError()], policy).status == 200
        assert self.run(variant, [KeyError()] * 3, policy).status == 500
        assert self.run(variant, [KeyError()], None).status == 500

    def test_by_type(self, variant: str) -> None:
        on = Retry(count=9, back_off=0.001, on=(ConnectionError, TimeoutError))
        assert self.run(variant, [ConnectionResetError(), TimeoutError()], on).status == 200
        assert self.run(variant, [ConnectionResetError(), KeyError()], on).status == 500
        never = Retry(count=9, back_off=0.001, never=LookupError)
        assert self.run(variant, [ValueError()], never).status == 200
        assert self.run(variant, [KeyError()], never).status == 500

    def test_what_was_raised_on_purpose_is_not_retried(self, variant: str) -> None:
        policy = Retry(count=9, back_off=0.001)
        assert self.run(variant, [NonRetryable("no")], policy).headers["atomic-no-retry"] == "true"
        assert self.run(variant, [RetryAfter(7)], policy).headers["retry-after"] == "7"

    def test_a_pause_that_does_not_fit_is_left_to_the_handlers_retries(self, variant: str) -> None:
        policy = Retry(count=9, back_off=60, jitter="none")
        assert self.run(variant, [KeyError()], policy, wait=1.0).status == 500


@both
class TestOthers:
    def test_now_uuid_and_random(self, variant: str) -> None:
        kept = {
            "now": "2026-01-01T00:00:00Z",
            "uuid": "12345678-1234-5678-1234-567812345678",
            "random": 0.5,
        }
        for name, kind in (("now", datetime), ("uuid", UUID), ("random", float)):
            for answers in ({name: stored()}, {name: stored(has=kept[name])}):
                response, asked = call(variant, lambda ctx, name=name: getattr(ctx, name)(), answers)
                assert asked == [name]
                assert response.status == 200
            assert json.loads(response.body) == kept[name]
            assert kind is not None

    def test_a_run_that_comes_for_the_first_time_has_the_newest_version(self, variant: str) -> None:
        newest = {"version v": stored()}
        assert json.loads(call(variant, lambda ctx: ctx.version("v", 3), newest)[0].body) == 3
        response, asked = again(
            variant, lambda ctx: ctx.version("v", 3), {"results": NONE, "result": NONE, **newest}
        )
        assert (json.loads(response.body), asked) == (3, ["results", "result", "version v"])

    def test_a_run_that_went_on_without_it_has_version_0(self, variant: str) -> None:
        went_on = answer(200, parent="run_1-root", steps=[value_of(1, "run_1-" + "a" * 32)], next=None)
        answers = {"results": went_on, "result": NONE, "version v": stored()}
        response, _ = again(variant, lambda ctx: ctx.version("v", 3), answers)
        assert json.loads(response.body) == 0

    def test_what_was_stored_first_counts(self, variant: str) -> None:
        response, _ = call(variant, lambda ctx: ctx.version("v", 3), {"version v": stored(has=1)})
        assert json.loads(response.body) == 1

    def test_without_the_results_nothing_is_decided(self, variant: str) -> None:
        answers = {"results": answer(403), "result": NONE}
        response, _ = again(variant, lambda ctx: ctx.version("v", 3), answers)
        assert (response.status, response.headers["atomic-refused"]) == (503, "true")

    def test_a_name_is_the_steps(self, variant: str) -> None:
        posted: list[dict[str, Any]] = []

        def post(document: dict[str, Any]) -> HttpResponse:
            posted.append(document)
            return GOES_ON

        call(variant, lambda ctx: ctx.step("charge", 1, name="deposit"), {"charge": post})
        call(variant, lambda ctx: ctx.step("charge", 1), {"charge": post})
        call(variant, lambda ctx: ctx.sleep(60, name="cool down"), {"cool down": post})
        call(variant, lambda ctx: ctx.sleep(60), {"sleep": post})
        assert [document.get("stepName") for document in posted] == ["deposit", None, "cool down", "sleep"]
        assert {document["idempotencyKey"] for document in posted} == {"k"}

    def test_a_name_is_shown_in_errors(self, variant: str) -> None:
        failed = refused(problems.STEP_FAILED, "No luck.", id="run_1-x", stepName="deposit")

        def act(ctx: Any) -> Any:
            return ctx.step("charge", object(), name="deposit")

        response, _ = call(variant, act, {"charge": failed})
        assert "charge" in json.loads(response.body)["detail"]


def again(variant: str, act: Act, answers: Any) -> tuple[HandlerResponse, list[str]]:
    return call(variant, act, answers, attempt=2, token="2.t")


def step_id_of(document: dict[str, Any]) -> str:
    from atomic.sdk._calls.identity import step_id

    return step_id("dev", "run_1", document)


def value_of(response: Any, step_id: str) -> dict[str, Any]:
    return {
        "id": step_id,
        "kind": "value",
        "status": "succeeded",
        "stepName": "n",
        "fingerprint": "f",
        "finishedAt": "2026-01-01T00:00:00.000Z",
        "response": response,
    }


def test_a_call_that_is_not_awaited_is_reported_with_its_line() -> None:
    async def forgets(ctx: AsyncContext) -> None:
        ctx.now()
        ctx.version("change", 1)
        ctx.run("n", lambda: 1)

    response, _ = asyncio.run(called_async(forgets, {}))
    line = forgets.__code__.co_firstlineno
    detail = json.loads(response.body)["detail"]
    for offset, what in ((1, "value 'now'"), (2, "value 'change'"), (3, "value 'n'")):
        assert f"{what} (test_value_steps.py, line {line + offset})" in detail


def test_a_version_is_the_same_in_all_branches_for_one_request() -> None:
    async def main(ctx: AsyncContext) -> Any:
        first = await ctx.version("change", 2)
        rest = await asyncio.gather(*[ctx.version("change", 3) for _ in range(3)])
        await ctx.sleep(60)
        return [first, *rest, await ctx.version("change", 4)]

    async def played(app: InProcess) -> Any:
        app.workflow(main)
        return [await app.start(), len([post for post in app.client.posts if post.get("kind") == "value"])]

    assert in_process(played) == [[2, 2, 2, 2, 2], 1]


def test_a_slow_function_is_not_cut_off_when_others_are_suspended() -> None:
    ran: list[int] = []

    async def slow() -> str:
        ran.append(1)
        await asyncio.sleep(12)
        return "slow"

    async def main(ctx: AsyncContext) -> Any:
        return await asyncio.gather(ctx.step("step", 1), ctx.run("slow", slow))

    async def played(app: InProcess) -> Any:
        app.step("step", 5.0)
        app.workflow(main)
        return await app.start()

    assert (in_process(played), ran) == ([1, "slow"], [1])


def test_values_of_a_loop_are_numbered_and_survive_a_crash_between_them() -> None:
    ran: list[int] = []

    async def main(ctx: AsyncContext) -> Any:
        got = []
        for number in range(4):
            got.append(await ctx.run("n", lambda number=number: ran.append(number) or number))  # type: ignore[misc]
            if ctx.attempt == 1 and number == 1:
                raise ConnectionError("away")
        return got

    async def played(app: InProcess) -> Any:
        app.workflow(main)
        return await app.start(retry=3)

    assert (in_process(played), ran) == ([0, 1, 2, 3], [0, 1, 2, 3])


def test_a_value_may_have_the_name_of_a_version() -> None:
    async def main(ctx: AsyncContext) -> Any:
        return [await ctx.run("version change", lambda: "a text"), await ctx.version("change", 2)]

    async def play(app: InProcess) -> Any:
        app.workflow(main)
        return await app.start()

    assert in_process(play) == ["a text", 2]
