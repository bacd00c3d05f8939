"""Batches of `async def` handlers, in virtual time: what they start, when they end, what replays see."""

import asyncio
import itertools
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from atomic.domain.records import progress_record, spec_record
from atomic.domain.steps import Step
from atomic.sdk import (
    AsyncContext,
    Batch,
    InvalidRequestError,
    RetryAfter,
    SerializationError,
    StepFailedError,
    UnavailableError,
)
from atomic.sdk._calls.batches import BatchPolicy, Progress
from atomic.testing import EndpointCall, EndpointReply
from sdk.in_process import DAY, InProcess, in_process

FAST, SLOW, SLOWER = 0.25, 8.0, 16.0


def played(
    handler: Any, serve: Callable[[InProcess], None] | None = None, retry: int = 0, **options: Any
) -> tuple[Any, InProcess]:
    """Run a workflow; return its response and the application.

    The step "for" takes as many seconds as its payload says, and fails when that is negative.
    """

    async def play(app: InProcess) -> tuple[Any, InProcess]:
        async def takes(call: EndpointCall) -> EndpointReply:
            app.effects.append((asyncio.get_running_loop().time(), f"for {call.payload}"))
            await asyncio.sleep(abs(call.payload))
            if call.payload < 0:
                return EndpointReply(status=500, json={"detail": "no"}, headers={"Atomic-No-Retry": "true"})
            return EndpointReply(json=call.payload)

        app.serve("for", takes)
        app.step("slow", SLOW)
        app.step("note")
        if serve is not None:
            serve(app)
        app.workflow(handler, **options)
        return await app.start(retry=retry), app

    return in_process(play)


def statuses(batch: Batch[Any]) -> str:
    return "".join(item.status[0] if item.status != "started" else "l" for item in batch)


def posts_of(app: InProcess, name: str) -> list[dict[str, Any]]:
    return [post for post in app.client.posts if post.get("stepInvokeUrl", "").endswith(f"/{name}")]


class TestMap:
    def test_each_item_has_its_outcome(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            batch = await ctx.map([0, FAST, -FAST, SLOW], "for")
            error = batch[2].error
            assert isinstance(error, StepFailedError)
            with pytest.raises(StepFailedError):
                batch.results()
            found = [item.result for item in batch.succeeded], [item.index for item in batch.failed]
            return [*found, len(batch), batch.ended_by, batch.counts]

        response, app = played(main)
        counts = {"succeeded": 3, "failed": 1, "started": 0, "not_started": 0}
        assert response == [[0, FAST, SLOW], [2], 4, "all_completed", counts]
        assert [status for status, _ in app.answers] == [202, 200]

    def test_an_empty_batch_costs_nothing(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            batches = [await ctx.map([], "for"), await ctx.parallel([])]
            return [[batch.results(), batch.ended_by] for batch in batches] + [await ctx.gather()]

        response, app = played(main)
        assert response == [[[], "all_completed"], [[], "all_completed"], []]
        assert len(posts_of(app, "for")) == 0

    def test_no_more_than_so_many_are_unfinished_at_a_time(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            return (await ctx.map([3.0] * 10, "for", concurrency=3)).results()

        for wait in (0.5, 60.0):
            response, app = played(main, wait=wait)
            assert response == [3.0] * 10
            starts = [at for at, effect in app.effects]
            assert len(starts) == 10, "each item is started once"
            for at in starts:
                assert sum(other <= at < other + 3.0 for other in starts) <= 3

    def test_a_replay_starts_the_same_items_in_the_same_order(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            return (await ctx.map([16, 1, 2, 3, 1, 2], "for", concurrency=2)).results()

        response, app = played(main, wait=0.5)
        assert response == [16, 1, 2, 3, 1, 2]
        assert [effect for _, effect in app.effects] == [f"for {n}" for n in (16, 1, 2, 3, 1, 2)]
        assert len({post["idempotencyKey"] for post in posts_of(app, "for")}) == 6

    def test_items_that_are_not_started_are_not_posted(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            batch = await ctx.map([1, 1, SLOW, 1, 1], "for", concurrency=2, min_successful=2)
            return [statuses(batch), batch.ended_by, batch.results()]

        response, app = played(main, wait=60.0)
        assert response[0] in {"ssnnn", "sslnn"}
        assert response[1:] == ["min_successful", [1, 1]]
        assert len(posts_of(app, "for")) <= 3

    def test_keys_tell_the_items_apart_whatever_their_order(self) -> None:
        orders = itertools.cycle([[2, 1, 3], [3, 2, 1], [1, 2, 3]])

        async def main(ctx: AsyncContext) -> Any:
            return sorted((await ctx.map(next(orders), "for", key=int)).results())

        response, app = played(main, wait=0.5)
        assert response == [1, 2, 3]
        assert len(app.effects) == 3
        assert len(app.answers) > 1

    @pytest.mark.parametrize("concurrency", [None, 1, 2])
    def test_keys_tell_how_the_batch_ended_whatever_the_order(self, concurrency: int | None) -> None:
        orders = itertools.cycle([[2, 1, 4, 3], [4, 3, 2, 1], [1, 2, 3, 4]])
        found = set()

        async def main(ctx: AsyncContext) -> Any:
            items = next(orders)
            batch = await ctx.map(items, "for", key=int, concurrency=concurrency, min_successful=1)
            found.add(tuple(sorted(zip(items, (item.status for item in batch), strict=True))))
            assert [item.index for item in batch] == [0, 1, 2, 3]
            await ctx.sleep(60)
            return [items[item.index] == item.result for item in batch.succeeded]

        response, app = played(main, wait=0.5)
        assert response == [True]
        assert len(app.answers) > 1
        assert len(found) == 1
        if concurrency is not None:
            starts = [at for at, _ in app.effects]
            assert all(starts.count(at) <= concurrency for at in starts)

    @pytest.mark.parametrize("kind", ["map", "parallel", "race"])
    def test_an_early_end_goes_with_its_items_whatever_their_order(self, kind: str) -> None:
        seen: list[Any] = []

        async def main(ctx: AsyncContext) -> Any:
            items = [FAST, DAY, 2 * DAY]
            items = items if ctx.attempt == 1 else [3 * DAY, *items[::-1]]
            calls = {str(item): ctx.step("for", item, key=str(item)) for item in items if kind != "map"}
            if kind == "race":
                seen.append(await ctx.race(calls))
            elif kind == "parallel":
                batch = await ctx.parallel(calls, min_successful=1)
                seen.append({item.name: item.status for item in batch if item.status != "not_started"})
            else:
                batch = await ctx.map(items, "for", key=str, min_successful=1)
                places = {items[item.index]: item.status for item in batch if item.status != "not_started"}
                seen.append(places)
            await ctx.sleep(60)

        _, app = played(main)
        assert len(seen) >= 2
        assert all(each == seen[0] for each in seen)
        assert {post["payload"] for post in posts_of(app, "for")} == {FAST, DAY, 2 * DAY}

    def test_an_early_end_counts_when_the_number_of_items_changes(self) -> None:
        seen: list[str] = []

        async def main(ctx: AsyncContext) -> Any:
            items = [[FAST, DAY, DAY], [FAST, DAY, DAY, DAY], [FAST, DAY]][min(ctx.attempt, 3) - 1]
            seen.append(statuses(await ctx.map(items, "for", min_successful=1)))
            await ctx.sleep(60)
            await ctx.sleep(60)

        played(main, wait=0.5)
        assert [*dict.fromkeys(seen)] == ["sll", "slln", "sl"]

    def test_what_a_dead_attempt_started_is_no_sign_of_changed_code(self) -> None:
        """An attempt that died had started an item that its successor ends the batch without."""

        async def batch(ctx: AsyncContext) -> Any:
            items = [FAST, 2 * FAST, SLOW]
            return statuses(await ctx.map(items, "for", concurrency=2, min_successful=2))

        async def main(ctx: AsyncContext) -> Any:
            try:
                found = await asyncio.wait_for(batch(ctx), 1.5 * FAST if ctx.attempt == 1 else 60)
            except TimeoutError:
                raise RetryAfter(1) from None
            return [found, ctx.unused_results, await ctx.version("change", 3)]

        response, app = played(main, wait=5.0, retry=1)
        assert (response, len(posts_of(app, "for"))) == (["ssn", 0, 3], 3)

    def test_a_name_is_that_of_each_step(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            return (await ctx.map([1, 2], "for", name="wait a little")).results()

        response, app = played(main, wait=0.5)
        assert response == [1, 2]
        assert {post["stepName"] for post in posts_of(app, "for")} == {"wait a little"}

    def test_each_step_has_the_name_of_its_item(self) -> None:
        given = iter([[3, 1, 2], [1, 2, 3], [2, 3, 1]])

        async def main(ctx: AsyncContext) -> Any:
            items = next(given)
            batch = await ctx.map(items, "for", name=lambda item: f"for {item}", key=int, concurrency=2)
            assert [item.name for item in batch] == [f"for {item}" for item in items]
            return [batch.results() == items, ctx.unused_results]

        response, app = played(main, wait=1.5)
        assert response == [True, 0]
        assert [(post["stepName"], post["payload"]) for post in posts_of(app, "for")] == [
            ("for 1", 1),
            ("for 2", 2),
            ("for 3", 3),
        ]

    def test_two_maps_of_one_step_share_nothing(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            one, two = await asyncio.gather(ctx.map([1, 2], "for"), ctx.map([1, 2], "for"))
            three = await ctx.map([1], "for")
            alone = await ctx.step("for", 1)
            return [*one.results(), *two.results(), *three.results(), alone]

        response, app = played(main)
        assert response == [1, 2, 1, 2, 1, 1]
        assert len(app.effects) == 6


class TestEnds:
    """How a batch ended early is the same in every replay, whatever has ended since."""

    def test_so_many_have_succeeded(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            batch = await ctx.map([SLOWER, 1, -1, 2, 10], "for", min_successful=2)
            # Here the others end, while the handler is suspended.
            await ctx.sleep(3600)
            await ctx.step("note", batch.results() if not batch.failed else statuses(batch))
            return [statuses(batch), batch.ended_by]

        response, app = played(main, wait=0.5)
        assert response == ["lsfsl", "min_successful"]
        assert app.done[-1] == "note lsfsl"
        assert {post["stepName"] for post in app.client.posts if post.get("kind") == "value"} == {
            "end of map"
        }

    def test_more_have_failed_than_are_tolerated(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            batch = await ctx.map([SLOWER, -1, 2, -3, -12], "for", tolerated_failures=1)
            await ctx.sleep(3600)
            return [statuses(batch), batch.ended_by]

        response, _ = played(main, wait=0.5)
        assert response == ["lfsfl", "failures_exceeded"]

    def test_failures_that_are_tolerated_end_nothing(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            batch = await ctx.map([-1, 2, 5], "for", tolerated_failures=1)
            return [statuses(batch), batch.ended_by]

        response, app = played(main, wait=0.5)
        assert response == ["fss", "all_completed"]
        assert not [post for post in app.client.posts if post.get("kind") == "value"]

    @pytest.mark.parametrize(("share", "ended"), [("39%", "fflll"), ("40%", "fffll"), ("100%", "fffss")])
    def test_a_share_of_failures_is_tolerated(self, share: str, ended: str) -> None:
        async def main(ctx: AsyncContext) -> Any:
            batch = await ctx.map([-1, -2, -3, 4, 5], "for", tolerated_failures=share)
            return statuses(batch)

        assert played(main, wait=0.5)[0] == ended

    def test_random_batches_end_the_same_in_each_replay(self) -> None:
        for seed in range(40):
            chance = random.Random(seed)
            items = [
                chance.choice([1, -1]) * round(chance.uniform(0.1, 15), 2)
                for _ in range(chance.randint(1, 9))
            ]
            policy = {
                "concurrency": chance.choice([None, 1, 2, 3]),
                "min_successful": chance.choice([None, chance.randint(1, len(items))]),
                "tolerated_failures": chance.choice([None, 0, 1, 2]),
            }
            seen: list[list[Any]] = []
            response, app = played(_twice_ending(items, policy, chance.uniform(1, 20), seen), wait=0.5)
            assert all(each == response for each in seen), f"seed {seed}: {seen}"
            started = len({post["idempotencyKey"] for post in posts_of(app, "for")})
            assert started >= len(response[0]) - response[0].count("n"), f"seed {seed}"


def _twice_ending(items: list[float], policy: Any, pause_s: float, seen: list[list[Any]]) -> Any:
    """A handler that notes how its batch ended, and is called again when more of it has ended."""

    async def main(ctx: AsyncContext) -> Any:
        batch = await ctx.map(items, "for", **policy)
        found = [statuses(batch), batch.ended_by]
        seen.append(found)
        await ctx.sleep(pause_s)
        await ctx.sleep(3600)
        await ctx.step("note", found)
        return found

    return main


class TestParallel:
    def test_branches_call_several_steps(self) -> None:
        async def branch(ctx: AsyncContext, seconds: float) -> float:
            first: float = await ctx.step("for", seconds)
            await ctx.sleep(5)
            second: float = await ctx.step("for", seconds + 0.5)
            return first + second

        async def main(ctx: AsyncContext) -> Any:
            batch = await ctx.parallel([branch(ctx, n) for n in (3, 1, 2)], concurrency=2)
            return batch.results()

        response, app = played(main, wait=0.5)
        assert response == [6.5, 2.5, 4.5]
        assert len(app.effects) == 6

    def test_calls_of_every_kind_stand_side_by_side(self) -> None:
        async def branch(ctx: AsyncContext) -> str:
            return str(await ctx.step("for", 1))

        async def main(ctx: AsyncContext) -> Any:
            batch = await ctx.parallel(
                [ctx.step("for", 2), branch(ctx), ctx.sleep(100), ctx.map([1], "for")]
            )
            values = [item.result for item in batch]
            return [*values[:3], values[3].results()]

        assert played(main)[0] == [2, "1", None, [1]]

    def test_a_branch_that_raises_has_failed(self) -> None:
        async def branch(ctx: AsyncContext) -> None:
            await ctx.step("for", 1)
            raise KeyError("mine")

        async def main(ctx: AsyncContext) -> Any:
            batch = await ctx.parallel([branch(ctx), ctx.step("for", 2)])
            return [statuses(batch), type(batch[0].error).__name__]

        assert played(main, wait=0.5)[0] == ["fs", "KeyError"]

    def test_branches_that_did_not_start_are_let_go(self) -> None:
        async def branch(ctx: AsyncContext, seconds: float) -> Any:
            return await ctx.step("for", seconds)

        async def main(ctx: AsyncContext) -> Any:
            batch = await ctx.parallel(
                [branch(ctx, 1), branch(ctx, SLOW), ctx.step("for", 5), branch(ctx, 2)],
                concurrency=2,
                min_successful=1,
            )
            await ctx.sleep(60)
            return statuses(batch)

        response, app = played(main, wait=0.5)
        assert response[:2] == "sl"
        assert response[3] == "n"
        assert len(app.effects) <= 3

    def test_what_is_no_call_fails_the_workflow(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            return (await ctx.parallel([3])).results()  # type: ignore[list-item]

        with pytest.raises(StepFailedError, match="parallel takes calls of the context"):
            played(main)

    def test_a_batch_that_is_not_awaited_fails_the_workflow(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            ctx.map([1], "for")  # type: ignore[unused-coroutine]

        with pytest.raises(StepFailedError, match="Not awaited: map 'for'"):
            played(main)


class TestNames:
    def test_the_end_and_the_steps_of_a_batch_are_shown_with_its_name(self) -> None:
        async def branch(ctx: AsyncContext) -> Any:
            await ctx.sleep(1)
            await ctx.run("code", lambda: 7)
            return await ctx.step("note", 1)

        async def main(ctx: AsyncContext) -> Any:
            calls = [branch(ctx), ctx.step("for", SLOWER)]
            return statuses(await ctx.parallel(calls, min_successful=1, name="load"))

        response, app = played(main, wait=0.5)
        assert response == "sl"
        shown = {post.get("stepName", "") for post in app.client.posts if "parent" in post}
        assert shown == {"load 0: sleep", "load 0: code", "load 0: note", "", "end of load"}

    def test_a_branch_has_a_name_of_its_own(self) -> None:
        async def later(ctx: AsyncContext) -> Any:
            return await ctx.gather(inner(ctx), ctx.step("for", 2))

        async def inner(ctx: AsyncContext) -> Any:
            return await ctx.step("note", 1, name="deposit")

        async def main(ctx: AsyncContext) -> Any:
            calls = {"flight": later(ctx), "hotel": ctx.step("for", 1, name="book")}
            batch = await ctx.parallel(calls, name="trip")
            return [[item.name for item in batch], batch.results()]

        response, app = played(main)
        assert response == [["flight", "hotel"], [[1, 2], 1]]
        shown = {post.get("stepName", "") for post in app.client.posts if "parent" in post}
        # A branch within a branch has the outer name, unless it has its own.
        assert shown == {"flight: deposit", "flight: for", "book"}

    def test_names_are_told_apart_by_themselves(self) -> None:
        """A batch with a name keeps the identity of its steps whatever other batches come before it."""

        async def branch(ctx: AsyncContext, number: int) -> Any:
            return await ctx.step("note", number)

        def main_with(more: list[str | None]) -> Any:
            async def main(ctx: AsyncContext) -> None:
                for name in more:
                    await ctx.gather(branch(ctx, 0), name=name)
                for _ in range(2):
                    await ctx.gather(branch(ctx, 1), name="load")

            return main

        def keys(more: list[str | None]) -> list[str]:
            posts = posts_of(played(main_with(more))[1], "note")
            return [post["idempotencyKey"] for post in posts if post["payload"] == 1]

        alone = keys([])
        assert len(set(alone)) == 2
        assert keys([None, "other", "gather"]) == alone

    def test_errors_tell_the_name(self) -> None:
        async def not_awaited(ctx: AsyncContext) -> Any:
            ctx.gather(ctx.step("for", 1), name="load")  # type: ignore[unused-coroutine]

        async def never_met(ctx: AsyncContext) -> Any:
            await ctx.until(lambda: False, every=1, max_attempts=1, name="paid")

        with pytest.raises(StepFailedError, match="Not awaited: gather 'load'"):
            played(not_awaited)
        with pytest.raises(StepFailedError, match="The condition 'paid' is not met at check 1"):
            played(never_met)

    def test_a_long_name_is_cut(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            async def branch() -> Any:
                return await ctx.step("note", 1)

            return await ctx.gather(branch(), name="n" * 255)

        response, app = played(main)
        assert response == [1]
        assert {len(post["stepName"]) for post in posts_of(app, "note")} == {255}

    @pytest.mark.parametrize(
        "call",
        [
            lambda ctx: ctx.parallel([], name=""),
            lambda ctx: ctx.gather(name=3),
            lambda ctx: ctx.race({"a": asyncio.Future()}, name=""),
            lambda ctx: ctx.until("check", every=1, name=b"n"),
            lambda ctx: ctx.map([1], "for", name=lambda item: item),
        ],
    )
    def test_a_name_is_a_text(self, call: Any) -> None:
        async def main(ctx: AsyncContext) -> Any:
            with pytest.raises(InvalidRequestError, match=r"^name: use a text that is not empty"):
                call(ctx)

        played(main)


class TestGather:
    def test_results_come_in_order(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            return await ctx.gather(ctx.step("for", 3), ctx.step("for", 1), ctx.step("for", 2))

        assert played(main)[0] == [3, 1, 2]

    def test_the_first_failure_is_raised_at_once(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            try:
                await ctx.gather(ctx.step("for", SLOWER), ctx.step("for", -2), ctx.step("for", -5))
            except StepFailedError as error:
                caught = error.step_id
            await ctx.sleep(3600)
            return caught

        response, app = played(main, wait=0.5)
        assert response == played(main, wait=0.5)[0]
        assert len(app.effects) == 3

    def test_errors_may_be_among_the_results(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            found = await ctx.gather(ctx.step("for", 1), ctx.step("for", -2), return_exceptions=True)
            return [found[0], type(found[1]).__name__]

        assert played(main, wait=0.5)[0] == [1, "StepFailedError"]


def without_end() -> Iterator[int]:
    """Numbers without an end; a batch must not take more than it needs to refuse them."""
    yield from range(100_001)
    raise AssertionError("the batch asked for one more")


class TestBadInput:
    @pytest.mark.parametrize(
        ("why", "call"),
        [
            ("concurrency", lambda ctx: ctx.map([1], "for", concurrency=0)),
            ("concurrency", lambda ctx: ctx.map([1], "for", concurrency=True)),
            ("concurrency", lambda ctx: ctx.parallel([ctx.step("for", 1)], concurrency=-1)),
            ("min_successful", lambda ctx: ctx.map([1], "for", min_successful=0)),
            ("min_successful: 2 of 1", lambda ctx: ctx.map([1], "for", min_successful=2)),
            ("tolerated_failures", lambda ctx: ctx.map([1], "for", tolerated_failures=-1)),
            *[
                (
                    "tolerated_failures",
                    partial(AsyncContext.map, items=[1], step="for", tolerated_failures=wrong),
                )
                for wrong in ("1", "%", "0.5%", "-1%", "101%", "²%", " 5%", 1.5)
            ],
            ("there is no such option", lambda ctx: ctx.map([1], "for", tolerated=1)),
            ("there is no such option", lambda ctx: ctx.parallel([], retry=1)),
            ("items 1 and 3", lambda ctx: ctx.map([3, 1, 2, 1], "for", key=lambda item: item)),
            ("100000 at most", lambda ctx: ctx.map(range(100_001), "for")),
            ("100000 at most", lambda ctx: ctx.map(without_end(), "for")),
            ("a set has another order", lambda ctx: ctx.map({1, 2}, "for")),
            ("a list of them", lambda ctx: ctx.map("abc", "for")),
        ],
    )
    def test_it_is_refused_before_anything_is_posted(self, why: str, call: Any) -> None:
        async def main(ctx: AsyncContext) -> Any:
            with pytest.raises(ValueError, match=why) as caught:
                await call(ctx)
            assert isinstance(caught.value, InvalidRequestError)
            ctx._unawaited.calls.clear()

        assert posts_of(played(main)[1], "for") == []

    def test_an_item_without_a_form_in_json_is_found_first(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            with pytest.raises(SerializationError):
                await ctx.map([1, 2, object()], "for")

        assert posts_of(played(main)[1], "for") == []


class TestThousands:
    def test_few_are_posted_at_a_time(self) -> None:
        now, most = 0, 0

        async def main(ctx: AsyncContext) -> Any:
            return sum((await ctx.map(range(10_000), "quick")).results())

        def serve(app: InProcess) -> None:
            app.step("quick")
            send = app.client._send

            async def counted(request: Any) -> Any:
                nonlocal now, most
                now += 1
                most = max(most, now)
                try:
                    return await send(request)
                finally:
                    now -= 1

            app.client._send = counted  # type: ignore[method-assign]

        response, app = played(main, serve, wait=15.0)
        assert response == sum(range(10_000))
        assert len(posts_of(app, "quick")) == 10_000
        assert most <= 70

    def test_no_row_grows_with_the_items(self) -> None:
        def largest_row(count: int) -> int:
            largest = 0

            async def main(ctx: AsyncContext) -> Any:
                return len((await ctx.map([SLOW] * count, "for")).results())

            def serve(app: InProcess) -> None:
                store = app._atomic.engine.store
                replace = store.replace

                async def measured(step: Step, expected_version: int) -> Step | None:
                    nonlocal largest
                    largest = max(largest, len(repr([spec_record(step), progress_record(step)])))
                    return await replace(step, expected_version)

                store.replace = measured  # type: ignore[method-assign]

            response, app = played(main, serve, wait=1.0)
            assert response == count
            assert len(app.answers) > 1
            return largest

        assert largest_row(1_500) <= 1.1 * largest_row(150)


class TestProgress:
    def test_what_was_started_is_started_again_in_any_order_of_ends(self) -> None:
        """A replay learns of what has ended in another order, and still starts all that was started."""
        for seed in range(300):
            chance = random.Random(seed)
            count = chance.randint(1, 30)
            policy = BatchPolicy(concurrency=chance.randint(1, 5))
            first = Progress(count, policy, 64)
            started, under_way, ended = [], [], set()
            for _ in range(chance.randint(0, 60)):
                while (ask := first.next(may_start=True, may_wait=True)) is not None:
                    started.append(ask.at)
                    under_way.append(ask.at)
                if under_way:
                    at = under_way.pop(chance.randrange(len(under_way)))
                    first.ended(at, result=at)
                    ended.add(at)
            again = Progress(count, policy, 64)
            found = []
            asked: list[Any] = []
            while True:
                while (ask := again.next(may_start=True, may_wait=True)) is not None:
                    found.append(ask.at)
                    asked.append(ask)
                known = [ask for ask in asked if ask.at in ended]
                if not known:
                    break
                told = chance.choice(known)
                asked.remove(told)
                again.ended(told.at, result=told.at)
            assert found[: len(started)] == started == list(range(len(started))), f"seed {seed}"

    def test_a_small_batch_starts_although_the_time_is_over(self) -> None:
        late = Progress(3, BatchPolicy(), 64)
        asked = [late.next(may_start=False, may_wait=False) for _ in range(3)]
        assert [ask and ask.at for ask in asked] == [0, 1, 2]
        assert late.cause is None

    def test_items_that_had_no_time_do_not_wait_for_others(self) -> None:
        """What the others wait for may never end, so the handler must be called again in any case."""
        late = Progress(5, BatchPolicy(), 2)
        for _ in range(2):
            ask = late.next(may_start=False, may_wait=False)
            assert ask is not None
            late.unfinished(ask, None)
        assert late.next(may_start=False, may_wait=False) is None
        assert isinstance(late.cause, UnavailableError)
        assert late.next(may_start=True, may_wait=False) is not None
        assert late.cause is None
