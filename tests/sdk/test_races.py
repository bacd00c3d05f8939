"""Races and waits for a condition, of `async def` handlers in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from atomic.sdk import AsyncContext, ConditionNotMetError, InvalidRequestError, RetryAfter, StepFailedError
from atomic.testing import EndpointCall, EndpointReply
from sdk.in_process import DAY, InProcess, in_process


def played(
    handler: Any, serve: Callable[[InProcess], None] | None = None, retry: int = 0, **options: Any
) -> tuple[Any, InProcess]:
    """Run a workflow; return its response and the application."""

    async def play(app: InProcess) -> tuple[Any, InProcess]:
        app.step("fast", 1.0)
        app.step("slow", 8.0)
        app.step("bad", 1.0, "no luck")
        app.step("note")
        if serve is not None:
            serve(app)
        app.workflow(handler, **options)
        return await app.start(retry=retry), app

    return in_process(play)


def met_at(number: int, answer: Callable[[int], Any] = lambda number: {"is": number}) -> Any:
    """Serve the step "check", which says nothing before its call of this number."""

    def serve(app: InProcess) -> None:
        calls = 0

        async def check(call: EndpointCall) -> EndpointReply:
            nonlocal calls
            calls += 1
            app.effects.append((asyncio.get_running_loop().time(), f"check {call.payload}"))
            return EndpointReply(json=answer(calls) if calls >= number else None)

        app.serve("check", check)

    return serve


@dataclass
class Found:
    number: int


def count(before: Found | None) -> tuple[bool, Found]:
    """A check with a state, which is None at first."""
    found = Found(1 if before is None else before.number + 1)
    return found.number == 3, found


def found_at(number: int) -> Found:
    """A check with a payload."""
    return Found(number)


async def alone(call: Awaitable[Any]) -> Any:
    """A branch of one call."""
    return await call


class TestRaces:
    @pytest.mark.parametrize("kind", ["race", "parallel"])
    def test_a_value_that_is_computed_is_left_in_its_own_task(self, kind: str) -> None:
        left: list[str] = []

        async def compute() -> int:
            try:
                await asyncio.sleep(100)
            finally:
                await asyncio.sleep(0)
                left.append("computed")
            return 1

        async def quick() -> str:
            await asyncio.sleep(0.1)
            return "quick"

        async def main(ctx: AsyncContext) -> Any:
            calls = {"slow": ctx.run("slow", compute), "quick": quick()}
            if kind == "race":
                return list(await ctx.race(calls))
            batch = await ctx.parallel(calls, min_successful=1)
            return [(item.name, item.result) for item in batch.succeeded]

        response, _ = played(main)
        assert response == {"race": ["quick", "quick"], "parallel": [["quick", "quick"]]}[kind]
        assert left == ["computed"]

    def test_the_first_one_wins_in_each_replay(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            won = await ctx.race({"slow": ctx.step("slow", 1), "fast": ctx.step("fast", 2)})
            # Meanwhile the other one ends.
            await ctx.sleep(60)
            await ctx.step("note", won[0])
            return won

        for wait in (0.1, 5.0):
            response, app = played(main, wait=wait)
            assert response == ["fast", 2]
            assert app.done[-1] == "note fast"
            assert (
                len({post["idempotencyKey"] for post in app.client.posts if post.get("kind") == "value"})
                == 1
            )

    def test_what_ended_first_wins_whenever_the_handler_is_called(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            calls = {"slow": ctx.step("slow", 1), "late": ctx.sleep(9), "bad": ctx.step("fast", 2)}
            tasks = [asyncio.ensure_future(ctx.step(name, 0, key=name)) for name in ("fast", "slow")]
            await asyncio.wait(tasks)
            return await ctx.race(calls)

        assert played(main, wait=0.1)[0] == ["bad", 2]

    @pytest.mark.parametrize("kind", ["race", "wait", "branches"])
    def test_a_failure_that_ended_first_wins_however_slow_its_answer_is(self, kind: str) -> None:
        """A success is known from the results; a failure is asked for, and its answer takes its time."""
        seen: list[Any] = []

        async def first(ctx: AsyncContext) -> Any:
            calls = {"slow": ctx.step("slow", 1), "bad": ctx.step("bad", 2)}
            if kind == "race":
                return (await ctx.race(calls))[0]
            if kind == "branches":
                return (await ctx.race({name: alone(call) for name, call in calls.items()}))[0]
            tasks = [asyncio.ensure_future(call) for call in calls.values()]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return [await task for task in done]

        async def main(ctx: AsyncContext) -> Any:
            try:
                seen.append(await asyncio.wait_for(first(ctx), 0.5 if ctx.attempt == 1 else 60))
            except TimeoutError:
                raise RetryAfter(20) from None
            except StepFailedError as error:
                seen.append(error.reason)

        played(main, lambda app: app.client.late.update(bad=2.0), wait=5.0, retry=1)
        assert seen == ["no luck"]

    def test_a_failure_may_win(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            with pytest.raises(StepFailedError):
                await ctx.race({"slow": ctx.step("slow", 1), "bad": ctx.step("bad", 2)})
            await ctx.sleep(60)

        played(main, wait=0.1)

    def test_a_sleep_is_a_deadline_of_several_steps(self) -> None:
        async def both(ctx: AsyncContext) -> Any:
            return [await ctx.step("slow", 1), await ctx.step("slow", 2)]

        async def main(ctx: AsyncContext) -> Any:
            name, _ = await ctx.race({"late": ctx.sleep(5), "both": both(ctx)})
            await ctx.sleep(DAY)
            return name

        response, app = played(main, wait=0.1)
        assert response == "late"
        assert app.done == ["slow 1"]

    def test_what_lost_is_cancelled(self) -> None:
        async def both(ctx: AsyncContext) -> Any:
            return [await ctx.step("slow", 5), await ctx.step("fast", 9)]

        async def main(ctx: AsyncContext) -> Any:
            calls = {"event": ctx.event("never"), "fast": ctx.step("fast", 2), "sleep": ctx.sleep(DAY)}
            won = await ctx.race({**calls, "both": both(ctx)})
            await ctx.sleep(60, name="end")
            run = await ctx._client.get(ctx.run_id)
            return [won, {step.step_name or step.step_invoke_url[-4:]: step.status for step in run.steps}]

        for wait in (0.1, 5.0):
            [won, statuses], app = played(main, wait=wait)
            assert won == ["fast", 2]
            lost = {"never": "cancelled", "sleep": "cancelled", "both: slow": "cancelled"}
            assert statuses.items() >= {**lost, "fast": "succeeded", "end": "succeeded"}.items()
            assert "fast 9" not in app.done

    def test_what_lost_is_no_sign_of_changed_code(self) -> None:
        """A replay does not run the branch that lost, and asks for none of its steps."""

        async def both(ctx: AsyncContext) -> Any:
            return [await ctx.step("fast", 1), await ctx.step("slow", 2)]

        async def main(ctx: AsyncContext) -> Any:
            await ctx.race({"late": ctx.sleep(4), "both": both(ctx), "slow": ctx.step("slow", 3)})
            await ctx.sleep(DAY)
            return [await ctx.version("new", 2), ctx.unused_results]

        assert played(main, wait=0.1)[0] == [2, 0]

    def test_a_race_of_none_is_refused(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            with pytest.raises(ValueError, match="at least one call"):
                await ctx.race({})

        played(main)


class TestAsyncio:
    """What is documented of asyncio's own functions around steps."""

    def test_timeout_ends_the_wait_and_not_the_step(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            try:
                async with asyncio.timeout(0.5):
                    await ctx.step("slow", 1)
            except TimeoutError:
                return "late"

        response, app = played(main, wait=5.0)
        assert (response, app.done) == ("late", ["slow 1"])

    def test_wait_and_as_completed_go_on_with_the_first(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            tasks = {asyncio.ensure_future(ctx.step(name, name)) for name in ("slow", "fast")}
            done, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            first = [task.result() for task in done]
            await asyncio.wait(left)
            calls = asyncio.as_completed([ctx.step("slow", 1, key=1), ctx.step("fast", 2, key=2)])
            return [*first, await next(iter(calls))]

        assert played(main, wait=0.1)[0] == ["fast", 2]


class TestUntil:
    def test_it_ends_with_what_the_check_found(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            return await ctx.until("check", {"job": 7}, every=60)

        response, app = played(main, met_at(4))
        assert response == {"is": 4}
        times = [at for at, _ in app.effects]
        assert times == pytest.approx([0, 60, 120, 180], abs=1)

    def test_pauses_grow(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            return await ctx.until("check", every=60, back_off=2)

        _, app = played(main, met_at(4))
        assert [at for at, _ in app.effects] == pytest.approx([0, 60, 180, 420], abs=1)

    def test_a_state_goes_from_check_to_check(self) -> None:
        def serve(app: InProcess) -> None:
            async def check(call: EndpointCall) -> EndpointReply:
                return EndpointReply(json=[call.payload >= 3, call.payload + 1])

            app.serve("check", check)

        async def main(ctx: AsyncContext) -> Any:
            return await ctx.until("check", every=60, state=0)

        assert played(main, serve)[0] == 4

    def test_a_function_is_given_its_state_and_its_types_count(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            found = await ctx.until(count, every=60, state=None)
            return [type(found).__name__, found.number, (await ctx.until(found_at, 7, every=60)).number]

        assert played(main, wait=0.1)[0] == ["Found", 3, 7]

    @pytest.mark.parametrize("check", ["check", lambda: next(answers)])
    def test_its_name_is_that_of_its_checks_and_pauses(self, check: Any) -> None:
        global answers
        answers = iter([0, 1])

        async def main(ctx: AsyncContext) -> Any:
            return bool(await ctx.until(check, every=60, deadline=600, name="paid"))

        response, app = played(main, met_at(2))
        assert response is True
        shown = [post["stepName"] for post in app.client.posts if "parent" in post]
        assert set(shown) == {"paid", "begin of paid"}
        assert {post.get("kind", "step") for post in app.client.posts if "parent" in post} >= {"timer"}

    def test_it_gives_up_at_its_deadline(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            with pytest.raises(ConditionNotMetError, match="deadline is over") as caught:
                await ctx.until("check", every=60, deadline=150)
            await ctx.sleep(DAY)
            return caught.value.attempts

        response, app = played(main, met_at(99))
        assert response == 4
        assert [at for at, _ in app.effects] == pytest.approx([0, 60, 120, 150], abs=1)

    def test_it_gives_up_after_so_many_attempts(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            await ctx.until("check", every=60, max_attempts=3)

        with pytest.raises(StepFailedError, match="not met at check 3"):
            played(main, met_at(99))

    def test_a_function_gets_a_state_that_is_none(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            return await ctx.until(lambda state: [state is None, "met"], state=None, every=60)

        assert played(main)[0] == "met"

    def test_a_name_is_that_of_the_checks_and_of_the_pauses(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            await ctx.until("check", every=60, name="parcel")
            await ctx.until(lambda state: [state == 1, state + 1], state=0, every=60, name="letter")
            return [step.step_name for step in (await ctx._client.get(ctx.run_id)).steps]

        response, _ = played(main, met_at(2))
        assert sorted(name for name in response if name) == ["letter"] * 3 + ["parcel"] * 3

    def test_a_function_runs_once_for_each_check(self) -> None:
        calls = []

        async def check() -> bool:
            calls.append(1)
            return len(calls) == 3

        async def main(ctx: AsyncContext) -> Any:
            found = await ctx.until(check, every=60)
            await ctx.sleep(DAY)
            return found

        response, app = played(main)
        assert (response, len(calls)) == (True, 3)
        assert len(app.answers) > 2

    @pytest.mark.parametrize(
        ("why", "options"),
        [
            ("every", {}),
            ("every", {"every": 0}),
            ("back_off", {"every": 1, "back_off": 0.5}),
            ("max_attempts", {"every": 1, "max_attempts": 0}),
            ("deadline", {"every": 1, "deadline": -1}),
            ("there is no such option", {"every": 1, "backoff": 2}),
            ("state", {"every": 1, "state": 1, "payload": 2}),
        ],
    )
    def test_bad_input_is_refused_before_anything_is_posted(self, why: str, options: Any) -> None:
        async def main(ctx: AsyncContext) -> Any:
            with pytest.raises(ValueError, match=why) as caught:
                await ctx.until("check", **options)
            assert isinstance(caught.value, InvalidRequestError)

        assert played(main, met_at(1))[1].done == []

    def test_a_check_without_a_state_in_its_answer_is_told(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            await ctx.until("check", every=1, state=3)

        with pytest.raises(StepFailedError, match="the next state"):
            played(main, met_at(1))
