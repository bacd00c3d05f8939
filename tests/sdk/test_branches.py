"""The concurrent branches of `async def` handlers while their steps are unfinished."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from atomic.sdk import AsyncContext, StepFailedError
from atomic.sdk._calls.branches import Branches
from sdk.in_process import DAY, InProcess, in_process

FAST, SLOW = 0.25, 8.0


def serve(app: InProcess) -> None:
    app.step("fast", FAST)
    app.step("slow", SLOW)
    app.step("later", 2 * SLOW)
    app.step("bad", FAST, "no luck")
    app.step("worse", SLOW, "no luck later")
    app.step("note")


def played(handler: Any, *, late: str = "none", **options: Any) -> tuple[Any, InProcess]:
    """Run a workflow; return its response and the application. The answers of one step can be delayed."""

    async def play(app: InProcess) -> tuple[Any, InProcess]:
        serve(app)
        app.client.late[late] = 0.05
        app.workflow(handler, **options)
        return await app.start(), app

    return in_process(play)


class TestNothingLeaks:
    def test_exceptions_that_are_returned_are_those_of_steps(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            found = await asyncio.gather(
                ctx.step("fast", 1), ctx.step("slow", 2), ctx.step("bad", 3), return_exceptions=True
            )
            return [type(each).__name__ if isinstance(each, Exception) else each for each in found]

        response, app = played(main)
        assert response == [1, 2, "StepFailedError"]
        assert [status for status, _ in app.answers] == [202, 200]

    def test_finally_waits_for_its_step(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            try:
                return await ctx.step("slow", "work")
            finally:
                await ctx.step("note", "release")

        response, app = played(main)
        assert response == "work"
        assert app.effects == [(0.0, "slow work"), (pytest.approx(SLOW), "note release")]

    def test_no_end_of_a_handler_comes_before_its_steps(self) -> None:
        async def returns_in_finally(ctx: AsyncContext) -> Any:
            value = "none"
            try:
                value = await ctx.step("slow", "value")
            finally:
                return value  # noqa: B012 - this is under test

        async def catches_all(ctx: AsyncContext) -> Any:
            try:
                return await ctx.step("slow", "value")
            except BaseException:
                return "caught"

        async def suppresses(ctx: AsyncContext) -> Any:
            with suppress(BaseException):
                return await ctx.step("slow", "value")
            return "suppressed"

        async def raises(ctx: AsyncContext) -> Any:
            try:
                return await ctx.step("slow", "value")
            except BaseException:
                raise ValueError("other") from None

        for handler in (returns_in_finally, catches_all, suppresses, raises):
            response, app = played(handler)
            assert response == "value", handler.__name__
            assert [status for status, _ in app.answers] == [202, 200]

    def test_a_context_manager_ends_when_its_block_does(self) -> None:
        @asynccontextmanager
        async def held(ctx: AsyncContext) -> AsyncIterator[None]:
            await ctx.step("note", "lock")
            try:
                yield
            finally:
                await ctx.step("note", "unlock")

        async def main(ctx: AsyncContext) -> Any:
            async with held(ctx):
                await ctx.sleep(30 * DAY)
                await ctx.step("slow", "work")

        _, app = played(main)
        assert app.done == ["note lock", "slow work", "note unlock"]
        assert app.effects[-1][0] >= 30 * DAY + SLOW

    def test_tasks_that_are_waited_for_have_ended(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            tasks = [asyncio.ensure_future(ctx.step(name, name)) for name in ("fast", "slow", "bad")]
            await asyncio.wait(tasks)
            return [task.done() and str(task.exception() or task.result())[:8] for task in tasks]

        response, _ = played(main)
        assert response == ["fast", "slow", "The step"]

    def test_what_is_held_is_let_go(self) -> None:
        lock = asyncio.Lock()
        inside: list[str] = []

        async def main(ctx: AsyncContext) -> Any:
            async with lock:
                inside.append("in")
                try:
                    await ctx.sleep(DAY)
                finally:
                    inside.append("out")
            return lock.locked()

        response, _ = played(main)
        assert response is False
        assert inside == ["in", "out", "in", "out"]

    def test_a_handler_that_never_stops_trying_is_answered_for(self) -> None:
        tries: list[int] = []

        async def main(ctx: AsyncContext) -> Any:
            for number in range(50):
                try:
                    return await ctx.step("slow", "value")
                except BaseException:
                    tries.append(number)
            return "never"

        response, app = played(main)
        assert response == "value"
        assert len(tries) == 50
        assert [post for post in app.client.posts if post.get("stepInvokeUrl", "").endswith("slow")][
            2:
        ] == []


class TestOthersGoOn:
    def test_until_they_wait_too(self) -> None:
        async def chain(ctx: AsyncContext) -> None:
            for number in range(3):
                await ctx.step("fast", number)
            await ctx.sleep(DAY)
            await ctx.step("note", "end")

        async def main(ctx: AsyncContext) -> Any:
            await asyncio.gather(ctx.sleep(30 * DAY), chain(ctx))

        _, app = played(main)
        assert [round(second) for second, _ in app.effects[:3]] == [0, 0, 0]
        assert app.answers[0] == (202, pytest.approx(3 * FAST, abs=0.1))
        assert DAY < app.effects[-1][0] < DAY + 10

    @pytest.mark.parametrize("how", ["gather", "group", "background", "wait"])
    def test_what_they_do_beside_steps_is_awaited(self, how: str) -> None:
        """Before its first step, a task cannot be recognized as the handler's."""

        async def asks(ctx: AsyncContext) -> None:
            await asyncio.sleep(0.3)
            await ctx.step("note", "asked")
            await ctx.sleep(2 * DAY)

        async def main(ctx: AsyncContext) -> Any:
            if how == "gather":
                await asyncio.gather(ctx.sleep(DAY), asks(ctx))
            elif how == "group":
                async with asyncio.TaskGroup() as group:
                    group.create_task(ctx.sleep(DAY))
                    group.create_task(asks(ctx))
            elif how == "wait":
                await asyncio.wait(
                    [asyncio.ensure_future(ctx.sleep(DAY)), asyncio.ensure_future(asks(ctx))]
                )
            else:
                background = asyncio.create_task(asks(ctx))
                await ctx.sleep(DAY)
                await background

        _, app = played(main, wait=15)
        assert app.effects == [(pytest.approx(0.3), "note asked")]
        assert [status for status, _ in app.answers] == [202, 202, 200]
        assert all(seconds < 1 for _, seconds in app.answers)

    def test_work_of_the_handler_s_own_has_its_time_and_no_more(self) -> None:
        ended: list[str] = []

        async def works(seconds: float) -> None:
            await asyncio.sleep(seconds)
            ended.append(f"{seconds}")

        async def main(ctx: AsyncContext) -> Any:
            await asyncio.gather(ctx.step("slow"), works(1.5), works(10))

        _, app = played(main, wait=1)
        assert app.answers[0] == (202, pytest.approx(3, abs=0.5))
        assert ended == ["1.5", "1.5", "10"]

    def test_a_handler_may_work_as_long_as_it_likes_when_nothing_waits(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            await ctx.step("fast")
            await asyncio.sleep(18)

        _, app = played(main, wait=1)
        assert app.answers == [(200, pytest.approx(18 + FAST))]

    def test_a_semaphore_keeps_the_others_waiting(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            gate = asyncio.Semaphore(2)

            async def one(number: int) -> Any:
                async with gate:
                    return await ctx.step("slow", number, timeout=0)

            return await asyncio.gather(*[one(number) for number in range(5)])

        response, app = played(main, wait=1)
        assert response == [0, 1, 2, 3, 4]
        assert [round(second / SLOW) for second, _ in app.effects] == [0, 0, 1, 1, 2]
        assert all(seconds < 1.5 for _, seconds in app.answers)

    def test_a_worker_of_a_queue_waits_no_longer_than_the_handler(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            queue: asyncio.Queue[int] = asyncio.Queue()
            found = []

            async def works() -> None:
                while True:
                    found.append(await ctx.step("fast", await queue.get()))
                    queue.task_done()

            worker = asyncio.create_task(works())
            for number in range(3):
                await queue.put(number)
                await ctx.sleep(DAY)
            await queue.join()
            worker.cancel()
            return found

        response, app = played(main, wait=2)
        assert response == [0, 1, 2]
        assert all(seconds < 2.5 for _, seconds in app.answers)

    def test_a_call_that_is_not_worth_waiting_for_suspends_at_once(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            await ctx.sleep(30 * DAY)
            await asyncio.gather(
                ctx.sleep(DAY), asyncio.gather(ctx.sleep(2 * DAY), ctx.step("slow", timeout=0))
            )
            async with asyncio.TaskGroup() as group:
                group.create_task(ctx.sleep(DAY))

        _, app = played(main, wait=15)
        assert all(seconds < 0.1 for _, seconds in app.answers)


class TestTheLoop:
    """The SDK's tracking of the handler's tasks does not affect other tasks."""

    def test_the_application_s_task_factory_goes_on_making_tasks(self) -> None:
        made: list[str] = []

        async def main(ctx: AsyncContext) -> Any:
            return await asyncio.gather(ctx.step("fast", 1), ctx.step("slow", 2))

        async def play(app: InProcess) -> Any:
            def factory(loop: Any, coroutine: Any, **options: Any) -> Any:
                made.append(str(coroutine))
                return asyncio.Task(coroutine, loop=loop, **options)

            asyncio.get_running_loop().set_task_factory(factory)
            serve(app)
            app.workflow(main)
            assert await app.start() == [1, 2]
            first = asyncio.get_running_loop().get_task_factory()
            assert await app.start() == [1, 2]
            return first is asyncio.get_running_loop().get_task_factory()

        assert in_process(play)
        assert any("_main" in name for name in made)

    def test_what_a_library_began_meanwhile_goes_on(self) -> None:
        begun: list[asyncio.Task[None]] = []

        async def works() -> None:
            await asyncio.Event().wait()

        async def main(ctx: AsyncContext) -> Any:
            if not begun:
                begun.append(asyncio.create_task(works()))
            await ctx.sleep(DAY)
            return begun[0].done()

        response, app = played(main)
        assert response is False
        assert [status for status, _ in app.answers] == [202, 200]
        begun[0].cancel()


class TestRealFailures:
    def test_a_failure_is_raised_beside_a_step_that_goes_on(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            try:
                await asyncio.gather(ctx.step("bad"), ctx.sleep(30 * DAY))
            except StepFailedError as error:
                return await ctx.step("note", error.response["detail"])

        response, app = played(main)
        assert response == "no luck"
        assert app.effects[-1] == (pytest.approx(FAST), "note no luck")

    def test_a_failure_is_raised_through_many_a_gather(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            inner = asyncio.gather(ctx.step("bad"), ctx.sleep(DAY))
            for _ in range(9):
                inner = asyncio.gather(inner, ctx.sleep(DAY))
            try:
                await inner
            except StepFailedError:
                await ctx.step("note", "caught")

        _, app = played(main)
        assert app.effects[-1] == (pytest.approx(FAST, abs=0.1), "note caught")

    def test_an_uncaught_failure_ends_the_workflow_at_once(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            await asyncio.gather(ctx.step("bad"), ctx.step("slow"))

        async def play(app: InProcess) -> Any:
            serve(app)
            app.workflow(main, wait=5)
            with pytest.raises(StepFailedError):
                await app.start(retry=5)
            return app.answers

        assert in_process(play) == [(500, pytest.approx(FAST))]

    def test_a_task_cancelled_for_a_failure_may_clean_up(self) -> None:
        async def works(ctx: AsyncContext) -> None:
            try:
                await ctx.step("slow", "work")
                await ctx.step("note", "worked")
            except asyncio.CancelledError:
                await ctx.step("slow", "tidy")
                raise

        async def main(ctx: AsyncContext) -> Any:
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(works(ctx))
                    group.create_task(ctx.step("bad"))
            except* StepFailedError:
                pass
            await ctx.step("note", "end")

        _, app = played(main)
        # In the replay both have settled, the failure first, as before.
        assert app.done == ["slow work", "bad None", "slow tidy", "note end"]

    def test_a_task_cancelled_by_a_suspension_does_nothing(self) -> None:
        async def works(ctx: AsyncContext) -> None:
            try:
                await ctx.step("slow", "work")
            except asyncio.CancelledError:
                await ctx.step("note", "tidy")
                raise

        async def main(ctx: AsyncContext) -> Any:
            async with asyncio.TaskGroup() as group:
                group.create_task(works(ctx))
                group.create_task(ctx.step("later"))

        _, app = played(main)
        assert app.done == ["slow work", "later None"]

    def test_a_task_may_be_cancelled_while_it_waits(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            task = asyncio.create_task(ctx.sleep(30 * DAY))
            await ctx.step("slow")
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            return await ctx.step("fast", "end", timeout=0)

        response, app = played(main)
        assert response == "end"
        assert len(app.answers) == 3

    def test_an_unretrieved_exception_of_a_task_is_kept(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            task = asyncio.create_task(ctx.step("bad"))
            await ctx.sleep(DAY)
            try:
                await task
            except StepFailedError as error:
                return error.response["detail"]

        assert played(main)[0] == "no luck"

    def test_a_handler_that_cancels_itself_has_failed(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            raise asyncio.CancelledError

        async def play(app: InProcess) -> Any:
            app.workflow(main)
            with pytest.raises(StepFailedError) as failed:
                await app.start()
            return failed.value.response["detail"]

        assert in_process(play) == "RuntimeError: The handler cancelled itself."


class TestOrder:
    """When the handler is called again both have settled, and their order is kept."""

    def test_the_first_of_two_stays_the_first(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            tasks = {asyncio.create_task(ctx.step(name, name)) for name in ("later", "slow")}
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            [first] = done
            await ctx.step("later", f"after {first.result()}")
            return await ctx.step("note", first.result())

        response, app = played(main)
        assert response == "slow"
        assert app.done.count("later after slow") == 1

    def test_a_race_with_a_sleep_is_a_time_out_that_lasts(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            step, limit = (asyncio.create_task(call) for call in (ctx.step("slow", "value"), ctx.sleep(5)))
            done, _ = await asyncio.wait({step, limit}, return_when=asyncio.FIRST_COMPLETED)
            await ctx.step("later", [task is step for task in done])
            return [task is step for task in done]

        assert played(main)[0] == [False]

    def test_as_they_complete(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            calls = [ctx.step(name, name) for name in ("later", "slow", "fast")]
            return [await ctx.step("later", await call) for call in asyncio.as_completed(calls)]

        response, app = played(main)
        assert response == ["fast", "slow", "later"]
        assert len(app.effects) == 6

    @pytest.mark.parametrize("listed", [list, tuple, dict.fromkeys])
    def test_branches_that_are_taken_as_they_complete_stay_the_same(self, listed: Any) -> None:
        """asyncio puts its arguments into a set, whose order varies."""

        async def branch(ctx: AsyncContext, number: int) -> Any:
            return await ctx.step("note", await ctx.step("slow", number))

        async def main(ctx: AsyncContext) -> Any:
            branches = listed(branch(ctx, number) for number in range(9))
            return sorted([await each for each in asyncio.as_completed(branches)])

        response, app = played(main)
        assert response == [*range(9)]
        assert app.done[:9] == [f"slow {number}" for number in range(9)]
        assert len(app.done) == 18

    def test_tasks_may_be_listed_among_what_is_taken_as_it_completes(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            task, twice = asyncio.create_task(ctx.step("slow", 1)), ctx.step("note", 2)
            calls = [twice, task, ctx.step("fast", 3), twice]
            return [await each for each in asyncio.as_completed(calls)]

        assert played(main)[0] == [2, 3, 1]

    def test_the_first_failure_stays_the_first(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            try:
                await asyncio.gather(ctx.step("worse"), ctx.step("bad"))
            except StepFailedError as error:
                await ctx.step("later", error.response["detail"])
                return await ctx.step("note", error.response["detail"])

        assert played(main)[0] == "no luck"
        assert played(main, late="bad")[0] == "no luck"

    def test_a_branch_does_not_get_ahead_of_another(self) -> None:
        """In a replay, one branch's step may have settled before the step that another branch waits for."""

        async def main(ctx: AsyncContext) -> Any:
            order: list[str] = []

            async def branch(name: str, *steps: str) -> None:
                for step in steps:
                    await ctx.step(step, name)
                    order.append(f"{name} {step}")

            await asyncio.gather(
                branch("a", "fast", "fast", "fast"), branch("b", "slow"), branch("c", "later")
            )
            return await ctx.step("note", order)

        for late in ("none", "fast"):
            response, _ = played(main, late=late)
            assert response == ["a fast", "a fast", "a fast", "b slow", "c later"]

    def test_a_task_that_somebody_knows_ends_before_the_next_answer_comes(self) -> None:
        seen: list[list[str]] = []

        async def main(ctx: AsyncContext) -> Any:
            seen.append([])
            first, last = (asyncio.create_task(ctx.step(name)) for name in ("fast", "slow"))
            first.add_done_callback(lambda _: seen[-1].append(f"last is done: {last.done()}"))
            await asyncio.gather(first, last)
            await ctx.sleep(DAY)
            return seen[-1]

        response, _ = played(main, wait=0)
        assert response == seen[-1] == ["last is done: False"]

    def test_the_parts_of_a_gather_are_delivered_together(self, monkeypatch: pytest.MonkeyPatch) -> None:
        checks: list[int] = []
        is_calm = Branches._is_calm

        async def counted(branches: Branches) -> bool:
            checks[-1] += 1
            return await is_calm(branches)

        async def main(ctx: AsyncContext) -> Any:
            checks.append(0)
            found = await asyncio.gather(*[ctx.step("note", number) for number in range(100)])
            await ctx.sleep(DAY)
            return found

        monkeypatch.setattr(Branches, "_is_calm", counted)
        response, _ = played(main)
        assert response == list(range(100))
        assert checks[-1] < 10
