"""Events of a workflow: which one a call waits for, and its deadline."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from atomic.sdk import (
    AsyncContext,
    Client,
    EventRejectedError,
    EventTimeoutError,
    HeartbeatMissedError,
    InvalidRequestError,
    NotAnOpenEventError,
    StepFailedError,
)
from atomic.testing import EndpointCall, EndpointReply
from sdk.in_process import DAY, InProcess, in_process


@dataclass
class Paid:
    """A typed result."""

    amount: int


def played(handler: Any, **options: Any) -> tuple[Any, InProcess]:
    """Run a workflow; return its response.

    Its step `ask` completes an event; the payload is id and answer.
    """

    async def play(app: InProcess) -> tuple[Any, InProcess]:
        async def ask(call: EndpointCall) -> EndpointReply:
            event_id, answer = call.payload
            await app.client.complete(event_id, answer)
            return EndpointReply(json="asked")

        app.serve("ask", ask)
        app.step("note")
        app.workflow(handler, **options)
        return await app.start(), app

    return in_process(play)


def test_an_opened_event_is_the_one_that_is_waited_for() -> None:
    async def main(ctx: AsyncContext) -> Any:
        event_id = await ctx.open_event("approval")
        await ctx.sleep(DAY)
        await ctx.step("ask", [event_id, "yes"])
        await ctx.sleep(DAY)
        return await ctx.event("approval")

    assert played(main)[0] == "yes"


def test_events_of_a_loop_are_numbered() -> None:
    async def main(ctx: AsyncContext) -> Any:
        found = []
        for answer in ("a", "b", "c"):
            await ctx.step("ask", [await ctx.open_event("reply"), answer])
            found.append(await ctx.event("reply"))
            await ctx.sleep(DAY)
        return found

    assert played(main)[0] == ["a", "b", "c"]


def test_events_without_an_opening_are_numbered_too() -> None:
    async def main(ctx: AsyncContext) -> Any:
        found = []
        for _ in range(3):
            try:
                await ctx.event("reply", deadline=60)
            except EventTimeoutError as error:
                found.append(error.step_id)
        return len(set(found))

    response, app = played(main)
    assert response == 3
    assert len(app.answers) == 4


def test_several_are_opened_and_then_waited_for_in_order() -> None:
    async def main(ctx: AsyncContext) -> Any:
        ids = [await ctx.open_event("vote") for _ in range(3)]
        await asyncio.gather(*[ctx.step("ask", [event_id, at]) for at, event_id in enumerate(ids)])
        return [await ctx.event("vote") for _ in ids]

    assert played(main)[0] == [0, 1, 2]


@pytest.mark.parametrize("where", ["above", "below", "beside"])
def test_an_event_may_be_opened_in_another_task(where: str) -> None:
    async def opens(ctx: AsyncContext) -> None:
        await ctx.step("ask", [await ctx.open_event("vote"), where])

    async def waits(ctx: AsyncContext) -> Any:
        if where == "beside":
            await ctx.sleep(DAY)
        return await ctx.event("vote")

    async def main(ctx: AsyncContext) -> Any:
        if where == "above":
            await opens(ctx)
            [found] = await asyncio.gather(waits(ctx))
        elif where == "below":
            await asyncio.gather(opens(ctx))
            found = await waits(ctx)
        else:
            _, found = await asyncio.gather(opens(ctx), waits(ctx))
        return found

    assert played(main)[0] == where


class TestDeadlines:
    @pytest.mark.parametrize("where", ["open", "event", "both"])
    def test_an_event_that_is_not_completed_is_an_error_of_the_workflow(self, where: str) -> None:
        async def main(ctx: AsyncContext) -> Any:
            opened = 60 if where in {"open", "both"} else None
            event_id = await ctx.open_event("approval", deadline=opened)
            await ctx.step("note", event_id)
            try:
                await ctx.event("approval", deadline=60 if where in {"event", "both"} else None)
            except EventTimeoutError as error:
                await ctx.step("note", "nobody")
                await ctx.sleep(DAY)
                # In a much later call, `open_event` returns the same id and raises nothing.
                return error.step_id == event_id
            return "never"

        response, app = played(main)
        assert response is True
        assert app.effects[-1] == (pytest.approx(60, abs=0.1), "note nobody")

    def test_it_can_be_handled_like_any_failure(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            try:
                await ctx.event("approval", deadline=60)
            except StepFailedError as error:
                return error.detail

        assert played(main)[0] == "The event was not completed within 60000 ms."

    def test_it_counts_from_the_wait_when_it_was_given_there(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            await ctx.open_event("approval")
            await ctx.sleep(DAY)
            try:
                await ctx.event("approval", deadline=60)
            except EventTimeoutError:
                return await ctx.step("note", "nobody")

        _, app = played(main)
        assert app.effects == [(pytest.approx(DAY + 60, abs=0.1), "note nobody")]

    def test_it_counts_from_the_opening_when_it_was_given_there(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            await ctx.open_event("approval", deadline=60)
            await ctx.sleep(DAY)
            try:
                await ctx.event("approval")
            except EventTimeoutError:
                return await ctx.step("note", "nobody")

        _, app = played(main)
        assert app.effects == [(pytest.approx(DAY, abs=0.1), "note nobody")]


class TestHeartbeats:
    @pytest.mark.parametrize("where", ["open", "event", "both"])
    def test_an_event_without_a_heartbeat_is_an_error_of_the_workflow(self, where: str) -> None:
        async def main(ctx: AsyncContext) -> Any:
            await ctx.open_event("report", heartbeat=60 if where in {"open", "both"} else None)
            try:
                await ctx.event(
                    "report", heartbeat=60 if where in {"event", "both"} else None, deadline=DAY
                )
            except HeartbeatMissedError as error:
                await ctx.step("note", "nobody")
                await ctx.sleep(DAY)
                return [error.last_error_kind, error.code]

        response, app = played(main)
        assert response == ["heartbeat_missed", "heartbeat-missed"]
        assert app.effects == [(pytest.approx(60, abs=0.1), "note nobody")]

    def test_its_default_is_that_of_the_event(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            return await ctx.event("report", heartbeat=60, default="nobody")

        assert played(main)[0] == "nobody"

    def test_who_is_at_work_is_heard(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            event_id = await ctx.open_event("report", heartbeat=60)
            await ctx.step("begin", event_id)
            return await ctx.event("report")

        async def play(app: InProcess) -> Any:
            async def begin(call: EndpointCall) -> EndpointReply:
                work.append(asyncio.create_task(at_work(call.payload)))
                return EndpointReply(json="begun")

            async def at_work(event_id: str) -> None:
                for number in range(100):
                    await asyncio.sleep(50)
                    if number % 2:
                        assert (await app.client.heartbeat("w", "k", "report")).was == "open"
                    else:
                        assert (await app.client.heartbeat_step(event_id)).status == "pending"
                await app.client.complete(event_id, "done")
                with pytest.raises(NotAnOpenEventError):
                    await app.client.heartbeat("w", "k", "report")
                with pytest.raises(NotAnOpenEventError):
                    await app.client.heartbeat_step(event_id)

            work: list[asyncio.Task[None]] = []
            app.serve("begin", begin)
            app.workflow(main)
            response = await app.start()
            await asyncio.gather(*work)
            return response

        assert in_process(play) == "done"

    def test_two_heartbeats_of_one_event_differ(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            await ctx.open_event("report", heartbeat=60)
            return await ctx.event("report", heartbeat=61)

        with pytest.raises(StepFailedError, match="open_event gave it a heartbeat of 60000 ms"):
            played(main)


class TestMessages:
    def test_a_loop_goes_on_over_days_and_ends_by_its_deadline(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            said = [text async for text in ctx.events("reply", deadline=2 * DAY)]
            again = ctx.events("reply", deadline=DAY)
            return [said, [text async for text in again], [text async for text in again]]

        async def play(app: InProcess) -> Any:
            async def others() -> None:
                for text in ("a", "b", "b"):
                    await asyncio.sleep(1.5 * DAY)
                    told = await app.client.signal("w", "k", "reply", text, next=True)
                    assert told.was == "open"
                # After the end of the first loop.
                await asyncio.sleep(2.5 * DAY)
                assert (await app.client.signal("w", "k", "reply", "c", next=True)).name == "reply#5"

            app.workflow(main)
            response, _ = await asyncio.gather(app.start(), others())
            return response

        assert in_process(play) == [["a", "b", "b"], ["c"], []]

    def test_a_rejected_message_is_an_error_of_its_turn(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            replies, said = ctx.events("reply", result=int), list[Any]()
            while "no" not in said:
                try:
                    said.append(await anext(replies))
                except EventRejectedError as error:
                    said.append(error.reason)
            return [*said, await anext(replies)]

        async def play(app: InProcess) -> Any:
            await app.client.signal("w", "k", "reply", 1, next=True)
            await app.client.reject("w", "k", "reply", "no", number=2)
            await app.client.signal("w", "k", "reply", 3, next=True)
            app.workflow(main)
            return await app.start()

        assert in_process(play) == [1, "no", 3]

    def test_the_same_id_is_the_same_message(self) -> None:
        async def play(app: InProcess) -> list[tuple[str, str]]:
            told = [
                await app.client.signal("w", "k", "reply", "yes", next=True, id=message)
                for message in (7, "7", "other")
            ]
            with pytest.raises(NotAnOpenEventError):
                await app.client.signal("w", "k", "reply", "no", next=True, id=7)
            return [(event.name, event.was) for event in told]

        assert in_process(play) == [("reply", "early"), ("reply", "done"), ("reply#2", "early")]

    def test_a_message_takes_no_number(self) -> None:
        client = Client("http://atomic.test", client_id="me")
        with pytest.raises(InvalidRequestError, match=r"^number: next=True finds the number"):
            client.signal("w", "k", "e", next=True, number=2)
        with pytest.raises(InvalidRequestError, match=r"^id: it is for a message"):
            client.signal("w", "k", "e", id="m")


def test_a_key_is_its_step_s_and_its_branch_s_own() -> None:
    """Two batches with the same keys share no steps and no events."""

    async def batch(ctx: AsyncContext, items: list[str]) -> list[Any]:
        return [await ctx.step("note", item, key=str(number)) for number, item in enumerate(items)]

    async def main(ctx: AsyncContext) -> Any:
        first = await batch(ctx, ["a", "b"])
        await ctx.sleep(DAY)
        second = await batch(ctx, ["c", "d"])
        side = await asyncio.gather(batch(ctx, ["e", "f"]), batch(ctx, ["g", "h"]))
        return [first, second, *side]

    response, app = played(main)
    assert response == [["a", "b"], ["c", "d"], ["e", "f"], ["g", "h"]]
    assert len(app.effects) == 8


class TestNames:
    """Others tell events by the names that the workflow gives them."""

    def test_a_result_may_come_before_the_run(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            await ctx.sleep(DAY)
            return await ctx.event("paid", result=Paid, deadline=60)

        async def play(app: InProcess) -> Any:
            app.workflow(main)
            early = await app.client.signal("w", "k", "paid", Paid(amount=42))
            assert (early.was, early.status, early.name) == ("early", "succeeded", "paid")
            assert (await app.client.signal("w", "k", "paid", {"amount": 42})).was == "done"
            with pytest.raises(NotAnOpenEventError):
                await app.client.signal("w", "k", "paid", {"amount": 43})
            return await app.start()

        assert in_process(play) == {"amount": 42}

    @pytest.mark.parametrize("opens", [False, True])
    def test_the_next_of_a_name_is_told_by_its_number(self, opens: bool) -> None:
        async def main(ctx: AsyncContext) -> Any:
            if opens:
                for _ in range(3):
                    await ctx.open_event("reply")
            return [await ctx.event("reply") for _ in range(3)]

        async def play(app: InProcess) -> Any:
            app.workflow(main)
            told = [await app.client.signal("w", "k", "reply", at, number=at) for at in (3, 1)]
            assert [event.name for event in told] == ["reply#3", "reply"]
            started = asyncio.create_task(app.start())
            await asyncio.sleep(DAY)
            assert (await app.client.signal("w", "k", "reply", 2, number=2)).was == "open"
            return await started

        assert in_process(play) == [1, 2, 3]

    @pytest.mark.parametrize("is_early", [True, False])
    def test_a_rejection_is_an_error_of_the_call(self, is_early: bool) -> None:
        async def main(ctx: AsyncContext) -> Any:
            try:
                await ctx.event("paid")
            except EventRejectedError as error:
                await ctx.sleep(DAY)
                return [error.code, error.reason, error.response, error.last_error_kind]

        async def play(app: InProcess) -> Any:
            app.workflow(main)
            started = None if is_early else asyncio.create_task(app.start())
            await asyncio.sleep(DAY)
            told = await app.client.reject("w", "k", "paid", "declined", more={"by": "bank"})
            assert told.was == ("early" if is_early else "open")
            with pytest.raises(EventRejectedError, match="declined"):
                await app.client.wait(told.id)
            return await (started or app.start())

        response = {"by": "bank", "detail": "declined"}
        assert in_process(play) == ["event-rejected", "declined", response, "event_rejected"]

    def test_a_nested_workflow_has_events_of_its_own(self) -> None:
        inner_ids: list[str] = []

        async def inner(ctx: AsyncContext) -> Any:
            inner_ids.append(ctx.step_id)
            return await ctx.event("paid")

        async def main(ctx: AsyncContext) -> Any:
            return [await ctx.event("paid"), await ctx.step("inner")]

        async def play(app: InProcess) -> Any:
            app.workflow(main)
            app.workflow(inner, name="inner")
            await app.client.signal("w", "k", "paid", "outer")
            started = asyncio.create_task(app.start())
            await asyncio.sleep(DAY)
            told = await app.client.signal("w", "k", "paid", "inner", parent=inner_ids[0])
            assert (told.was, told.parent) == ("open", inner_ids[0])
            with pytest.raises(InvalidRequestError, match="parent"):
                await app.client.signal("w", "other", "paid", parent=inner_ids[0])
            return await started

        assert in_process(play) == ["outer", "inner"]

    def test_what_a_task_asks_for_is_told_by_its_id_unless_it_was_opened_before(self) -> None:
        async def waits(ctx: AsyncContext, name: str) -> Any:
            return await ctx.event(name, deadline=60, default="nobody")

        async def main(ctx: AsyncContext) -> Any:
            await ctx.open_event("a", deadline=60)
            return await asyncio.gather(waits(ctx, "a"), waits(ctx, "b"), ctx.event("c"))

        async def play(app: InProcess) -> Any:
            app.workflow(main)
            for name in "abc":
                await app.client.signal("w", "k", name, f"to {name}")
            return await app.start()

        assert in_process(play) == ["to a", "nobody", "to c"]

    @pytest.mark.parametrize("name", ["", "reply#2", "#1", 7])
    def test_a_name_that_means_another_event_is_refused(self, name: Any) -> None:
        async def main(ctx: AsyncContext) -> Any:
            for call in (ctx.event, ctx.open_event):
                with pytest.raises(InvalidRequestError, match="event: use a text"):
                    call(name)
            return "refused"

        assert played(main)[0] == "refused"

    def test_arguments_that_are_wrong(self) -> None:
        client = Client("http://127.0.0.1:9")
        for number in (0, True, "2"):
            with pytest.raises(InvalidRequestError, match="number"):
                client.signal("w", "k", "e", number=number)  # type: ignore[arg-type]
        with pytest.raises(InvalidRequestError, match="event"):
            client.signal("w", "k", "\ud800")
        for detail in ("", None):
            with pytest.raises(InvalidRequestError, match="detail"):
                client.reject("w", "k", "e", detail)  # type: ignore[arg-type]
        with pytest.raises(InvalidRequestError, match="more"):
            client.reject("w", "k", "e", "no", more=[1])


class TestDefaults:
    def test_it_is_the_result_when_the_deadline_is_over(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            first = await ctx.event("reply", deadline=60, default=None)
            await ctx.sleep(DAY)
            return [first, await ctx.event("reply", result=int, deadline=60, default="nobody")]

        response, app = played(main)
        assert response == [None, "nobody"]
        assert app.answers[-1][0] == 200

    def test_it_does_not_hide_a_result_or_a_rejection(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            found = await ctx.event("a", deadline=60, default=0)
            with pytest.raises(EventRejectedError):
                await ctx.event("b", deadline=60, default=0)
            return found

        async def play(app: InProcess) -> Any:
            app.workflow(main)
            await app.client.signal("w", "k", "a", 1)
            await app.client.reject("w", "k", "b", "no")
            return await app.start()

        assert in_process(play) == 1

    def test_it_is_the_result_of_a_race_or_a_batch_as_well(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            event = ctx.event("a", deadline=60, default="nobody")
            both = await ctx.gather(event, ctx.step("note", 1))
            slow = ctx.sleep(DAY)
            won = await ctx.race({"event": ctx.event("b", deadline=60, default="late"), "slow": slow})
            await ctx.sleep(DAY)
            return [*both, *won]

        assert played(main)[0] == ["nobody", 1, "event", "late"]

    def test_without_a_deadline_it_is_refused(self) -> None:
        async def main(ctx: AsyncContext) -> Any:
            with pytest.raises(InvalidRequestError, match="deadline"):
                ctx.event("a", default=1)
            await ctx.open_event("b", deadline=60)
            return await ctx.event("b", default="nobody")

        assert played(main)[0] == "nobody"
