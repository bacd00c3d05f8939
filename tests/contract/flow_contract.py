"""What every `FlowStore` must do. Inherit `FlowContract`, or `ServerFlowContract`, and define `store`."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

from atomic.application.flow_store import FlowStore, LeasedSlot, ServerFlowStore
from atomic.domain.flow import FlowEntry, Rate
from atomic.domain.flow_table import HANDED_MS, Entered, Entering, FlowKey, Handed, Members
from atomic.domain.pointers import Singleton, line_of

NOW_MS = 1_790_000_000_000
AT = FlowKey("acme", "k")
LEASE_MS = 50_000


def asking(name: str, *entries: FlowEntry, **members: Any) -> Entering:
    """A step that is due; its first version."""
    asked = Entering(
        client_id="acme",
        step_id=name,
        version=1,
        created_at_ms=NOW_MS,
        entries=entries,
        below=(),
        attempt_ms=20_000,
        until_ms=NOW_MS + LEASE_MS,
    )
    return replace(asked, **members)


def one(**members: Any) -> FlowEntry:
    """An entry for a key with one slot."""
    return FlowEntry(**{"key": "k", "concurrency": 1, **members})


def names(handed: Any) -> list[str]:
    return [each.step_id for each in handed]


class FlowContract:
    """Inherit and define `store`."""

    def store(self) -> AbstractAsyncContextManager[FlowStore]:
        raise NotImplementedError

    def on_store(self, body: Callable[[FlowStore], Awaitable[None]]) -> None:
        async def main() -> None:
            async with self.store() as store:
                await body(store)

        asyncio.run(main())

    def test_slots_are_taken_and_handed_to_the_next_in_line(self) -> None:
        async def body(store: FlowStore) -> None:
            entry = FlowEntry(key="k", concurrency=2)
            found = [await store.enter(asking(f"s{n}", entry), NOW_MS + n) for n in range(5)]
            assert [each.key for each in found] == ["", "", "k", "k", "k"]
            assert found[2].turn < found[3].turn < found[4].turn
            state = await store.state(AT)
            assert state is not None
            assert (state.running, state.queued, state.oldest_ms) == (2, 3, NOW_MS + 2)
            handed = await store.leave(AT, "s1", 2, NOW_MS + 10)
            assert handed == [Handed("s2", 20_000)]
            assert await store.leave(AT, "s1", 2, NOW_MS + 10) == []
            assert await store.enter(asking("s2", entry, version=2), NOW_MS + 11) == Entered()
            # A newcomer does not pass those in line.
            assert (await store.enter(asking("s5", entry), NOW_MS + 12)).key == "k"
            assert names(await store.leave(AT, "s0", 2, NOW_MS + 13)) == ["s3"]

        self.on_store(body)

    def test_asking_again_changes_neither_a_slot_nor_a_place(self) -> None:
        async def body(store: FlowStore) -> None:
            for _ in range(3):
                assert await store.enter(asking("a", one()), NOW_MS) == Entered()
            first = await store.enter(asking("b", one()), NOW_MS)
            await store.enter(asking("c", one()), NOW_MS)
            again = asking("b", one(), line=first.key, turn=first.turn)
            assert await store.enter(again, NOW_MS + 5) == first
            state = await store.state(AT)
            assert state is not None
            assert (state.running, state.queued) == (1, 2)

        self.on_store(body)

    def test_what_was_taken_anew_is_not_given_up_by_an_older_end(self) -> None:
        async def body(store: FlowStore) -> None:
            await store.enter(asking("a", one(), version=1), NOW_MS)
            # The next attempt asks before the end of the first one is told.
            await store.enter(asking("a", one(), version=3), NOW_MS)
            await store.enter(asking("b", one()), NOW_MS)
            assert await store.leave(AT, "a", 3, NOW_MS) == []
            assert await store.leave(AT, "b", 1, NOW_MS) == []
            state = await store.state(AT)
            assert state is not None
            assert (state.running, state.queued) == (1, 1)
            assert names(await store.leave(AT, "a", 4, NOW_MS)) == ["b"]

        self.on_store(body)

    def test_a_step_that_leaves_the_line_is_not_handed_a_slot(self) -> None:
        async def body(store: FlowStore) -> None:
            turns = {name: (await store.enter(asking(name, one()), NOW_MS)).turn for name in "abc"}
            assert await store.leave(AT, "b", 2, NOW_MS, turn=turns["b"]) == []
            assert names(await store.leave(AT, "a", 2, NOW_MS)) == ["c"]

        self.on_store(body)

    def test_priorities_and_fair_values_take_turns(self) -> None:
        async def body(store: FlowStore) -> None:
            await store.enter(asking("inside", one()), NOW_MS)
            arrivals = [
                *((f"large{n}", one(fair="large")) for n in range(3)),
                ("small0", one(fair="small")),
                ("urgent", one(priority=5)),
            ]
            for name, entry in arrivals:
                await store.enter(asking(name, entry), NOW_MS)
            order, name = [], "inside"
            for _ in arrivals:
                [name] = names(await store.leave(AT, name, 2, NOW_MS))
                order.append(name)
            assert order == ["urgent", "large0", "small0", "large1", "large2"]

        self.on_store(body)

    def test_a_retry_has_its_place_from_before(self) -> None:
        async def body(store: FlowStore) -> None:
            places = {}
            for name in ("a", "b", "c", "d"):
                places[name] = await store.enter(asking(name, one()), NOW_MS)
            assert names(await store.leave(AT, "a", 2, NOW_MS)) == ["b"]
            assert names(await store.leave(AT, "b", 3, NOW_MS)) == ["c"]
            again = asking("b", one(), version=3, line="k", turn=places["b"].turn)
            assert (await store.enter(again, NOW_MS)).turn == places["b"].turn
            assert names(await store.leave(AT, "c", 3, NOW_MS)) == ["b"]

        self.on_store(body)

    def test_steps_below_one_that_is_inside_for_its_run_need_no_slot(self) -> None:
        async def body(store: FlowStore) -> None:
            await store.enter(asking("root", one(scope="run")), NOW_MS)
            assert await store.enter(asking("child", one(), below=("root",)), NOW_MS) == Entered()
            assert (await store.enter(asking("other", one(), below=("else",)), NOW_MS)).key == "k"
            await store.leave(AT, "root", 9, NOW_MS)
            # A slot for an attempt is for that attempt alone.
            assert (await store.enter(asking("third", one(), below=("other",)), NOW_MS)).key == "k"

        self.on_store(body)

    def test_several_keys_are_taken_in_one_order_and_all_are_given_up(self) -> None:
        async def body(store: FlowStore) -> None:
            both = (one(key="z"), one(key="a"))
            assert await store.enter(asking("first", *both), NOW_MS) == Entered()
            assert (await store.enter(asking("second", *both[::-1]), NOW_MS)).key == "a"
            await store.leave(FlowKey("acme", "a"), "first", 2, NOW_MS)
            # It has the slot under `a` and waits under `z`.
            assert (await store.enter(asking("second", *both), NOW_MS)).key == "z"
            assert names(await store.leave(FlowKey("acme", "z"), "first", 2, NOW_MS)) == ["second"]
            assert await store.enter(asking("second", *both), NOW_MS) == Entered()

        self.on_store(body)

    def test_a_rate_gives_each_attempt_a_time_of_its_own(self) -> None:
        async def body(store: FlowStore) -> None:
            paced = FlowEntry(key="k", rate=Rate(10, 1000))
            times = [(await store.enter(asking(f"s{n}", paced), NOW_MS)).at_ms for n in range(4)]
            assert times[0] == 0
            gaps = [later - NOW_MS for later in times[1:]]
            assert all(100 * n <= gap <= 103 * n for n, gap in enumerate(gaps, 1))
            has_time = asking("s1", paced, has_time=True)
            assert await store.enter(has_time, times[1]) == Entered()

        self.on_store(body)

    def test_who_comes_after_a_pin_does_not_wait_behind_times_of_the_rate_before(self) -> None:
        async def body(store: FlowStore) -> None:
            paced = FlowEntry(key="k", rate=Rate(1, 3_600_000))
            times = [(await store.enter(asking(f"s{n}", paced), NOW_MS)).at_ms for n in range(20)]
            assert times[-1] > NOW_MS + 19 * 3_600_000
            await store.pin(AT, {"pinned_rate": Rate(10, 1000)}, NOW_MS + 2_000)
            after = [(await store.enter(asking(f"n{n}", paced), NOW_MS + 2_000)).at_ms for n in range(3)]
            assert max(after) < NOW_MS + 2_500
            # A pin of other members leaves the times as they are.
            await store.pin(AT, {"pinned_rate": Rate(10, 1000), "is_paused": False}, NOW_MS + 2_000)
            assert (await store.enter(asking("n3", paced), NOW_MS + 2_000)).at_ms > after[-1]

        self.on_store(body)

    def test_a_step_that_waits_for_one_rate_uses_up_no_other(self) -> None:
        async def body(store: FlowStore) -> None:
            fast, slow = FlowEntry(key="a", rate=Rate(1, 1000)), FlowEntry(key="b", rate=Rate(1, 60_000))
            assert await store.enter(asking("first", fast), NOW_MS) == Entered()
            at_ms = (await store.enter(asking("both", fast, slow), NOW_MS)).at_ms
            assert NOW_MS + 1_000 < at_ms < NOW_MS + 1_100
            # Nothing has begun under the other key, so its next one begins, at once or when it may.
            assert await store.enter(asking("both", fast, slow, has_time=True), at_ms) == Entered()
            at_ms += 90_000
            assert await store.enter(asking("second", fast), at_ms) == Entered()
            assert (await store.enter(asking("later", slow, fast), at_ms)).at_ms < at_ms + 1_100
            assert await store.enter(asking("other", slow), at_ms) == Entered()

        self.on_store(body)

    def test_under_a_limit_only_those_inside_wait_for_their_time(self) -> None:
        async def body(store: FlowStore) -> None:
            entry = one(rate=Rate(1, 1000))
            assert await store.enter(asking("a", entry), NOW_MS) == Entered()
            assert (await store.enter(asking("b", entry), NOW_MS)).key == "k"
            await store.leave(AT, "a", 2, NOW_MS)
            assert (await store.enter(asking("b", entry), NOW_MS)).at_ms > NOW_MS
            state = await store.state(AT)
            assert state is not None
            assert (state.running, state.queued) == (1, 0)

        self.on_store(body)

    def test_the_numbers_of_the_newest_step_hold_and_a_pin_counts_more(self) -> None:
        async def body(store: FlowStore) -> None:
            await store.enter(asking("a", one(concurrency=2)), NOW_MS)
            old = asking("b", one(concurrency=9), created_at_ms=NOW_MS - 1)
            await store.enter(old, NOW_MS)
            state = await store.state(AT)
            assert state is not None
            assert state.row.most == 2
            assert (await store.enter(asking("c", one(concurrency=2)), NOW_MS)).key == "k"
            assert names(await store.pin(AT, {"pinned_concurrency": 3}, NOW_MS)) == ["c"]
            await store.enter(asking("d", one(concurrency=1)), NOW_MS)
            state = await store.state(AT)
            assert state is not None
            assert (state.row.most, state.running, state.queued) == (3, 3, 1)
            await store.pin(AT, {"pinned_concurrency": None}, NOW_MS)
            for name in ("a", "b"):
                assert await store.leave(AT, name, 2, NOW_MS) == []
            assert names(await store.leave(AT, "c", 2, NOW_MS)) == ["d"]

        self.on_store(body)

    def test_a_paused_key_lets_nobody_in_until_it_is_resumed(self) -> None:
        async def body(store: FlowStore) -> None:
            entry = FlowEntry(key="k", concurrency=9)
            await store.enter(asking("inside", entry), NOW_MS)
            assert await store.pin(AT, {"is_paused": True, "note": "slow ☕"}, NOW_MS) == []
            assert await store.enter(asking("inside", entry), NOW_MS) == Entered()
            [state] = await store.states("acme", after="", limit=9)
            assert (state.row.is_paused, state.row.note) == (True, "slow ☕")
            assert [(await store.enter(asking(n, entry), NOW_MS)).key for n in "ab"] == ["k", "k"]
            await store.leave(AT, "inside", 2, NOW_MS)
            assert names(await store.pin(AT, {"is_paused": False}, NOW_MS)) == ["a", "b"]

        self.on_store(body)

    def test_a_pause_holds_steps_of_a_key_without_a_limit_too(self) -> None:
        async def body(store: FlowStore) -> None:
            entry = FlowEntry(key="k")
            assert await store.pin(AT, {"is_paused": True}, NOW_MS) == []
            places = {name: await store.enter(asking(name, entry), NOW_MS) for name in "ab"}
            assert [place.key for place in places.values()] == ["k", "k"]
            assert names(await store.pin(AT, {"is_paused": False}, NOW_MS)) == ["a", "b"]
            # Who was handed a slot is inside, also when the key is paused before it takes the slot.
            await store.pin(AT, {"is_paused": True}, NOW_MS)
            for name, place in places.items():
                asked = asking(name, entry, version=2, line="k", turn=place.turn)
                assert await store.enter(asked, NOW_MS) == Entered()
                assert await store.leave(AT, name, 3, NOW_MS, turn=place.turn) == []
            state = await store.state(AT)
            assert state is not None
            assert (state.running, state.queued) == (0, 0)

        self.on_store(body)

    def test_keys_of_two_clients_are_apart_and_listed_in_their_order(self) -> None:
        async def body(store: FlowStore) -> None:
            for key in ("c", "a", "b"):
                await store.enter(asking("s", one(key=key)), NOW_MS)
            other = asking("t", one(key="a"), client_id="globex")
            assert await store.enter(other, NOW_MS) == Entered()
            first = await store.states("acme", after="", limit=2)
            assert [state.key for state in first] == ["a", "b"]
            rest = await store.states("acme", after="b", limit=2)
            assert [(state.key, state.running) for state in rest] == [("c", 1)]
            assert await store.state(FlowKey("globex", "b")) is None

        self.on_store(body)

    def test_who_has_a_slot_and_who_is_in_line(self) -> None:
        async def body(store: FlowStore) -> None:
            two = FlowEntry(key="k", concurrency=2)
            for number, name in enumerate("badcfe"):
                await store.enter(asking(name, two), NOW_MS + number)
            members = await store.members(AT, 3)
            assert sorted(slot.step_id for slot in members.slots) == ["a", "b"]
            in_line = [(each.step_id, each.since_ms - NOW_MS) for each in members.waiting]
            assert in_line == [("d", 2), ("c", 3), ("f", 4)]
            assert len((await store.members(AT, 1)).slots) == 1
            for other in (FlowKey("globex", "k"), FlowKey("acme", "other")):
                assert await store.members(other, 3) == Members((), ())

        self.on_store(body)

    def test_a_list_goes_on_after_the_longest_key(self) -> None:
        line = line_of(Singleton("k" * 128, "queue"))

        async def body(store: FlowStore) -> None:
            await store.enter(asking("s", line), NOW_MS)
            assert [state.key for state in await store.states("acme", after="", limit=1)] == [line.key]
            assert await store.states("acme", after=line.key, limit=1) == []

        self.on_store(body)


class ServerFlowContract(FlowContract):
    """The same for `ServerFlowStore`."""

    def store(self) -> AbstractAsyncContextManager[ServerFlowStore]:
        raise NotImplementedError

    def test_a_slot_is_found_when_its_lease_has_ended_and_can_be_kept(self) -> None:
        async def body(store: ServerFlowStore) -> None:
            await store.enter(asking("a", one()), NOW_MS)
            await store.enter(asking("b", one()), NOW_MS)
            assert await store.leased_until(NOW_MS + LEASE_MS, 10) == []
            ended = await store.leased_until(NOW_MS + LEASE_MS + 1, 10)
            assert ended == [LeasedSlot(AT, "a")]
            await store.keep(AT, "a", NOW_MS + 2 * LEASE_MS)
            assert await store.leased_until(NOW_MS + LEASE_MS + 1, 10) == []
            await store.leave(AT, "a", 2, NOW_MS)
            # Who was handed a slot has to take it within a shorter time.
            assert await store.leased_until(NOW_MS + HANDED_MS + 1, 10) == [LeasedSlot(AT, "b")]

        self.on_server(body)

    def test_only_keys_that_nothing_needs_are_forgotten(self) -> None:
        async def body(store: ServerFlowStore) -> None:
            for key in ("held", "idle", "pinned", "recent"):
                await store.enter(asking("s", FlowEntry(key=key)), NOW_MS)
            for key in ("idle", "pinned", "recent"):
                await store.leave(FlowKey("acme", key), "s", 2, NOW_MS)
            await store.pin(FlowKey("acme", "pinned"), {"pinned_rate": Rate(1, 2)}, NOW_MS)
            await store.enter(asking("t", FlowEntry(key="recent")), NOW_MS + 10)
            await store.leave(FlowKey("acme", "recent"), "t", 2, NOW_MS + 10)
            assert await store.forget(NOW_MS + 5, 10) == 1
            left = await store.states("acme", after="", limit=9)
            assert [state.key for state in left] == ["held", "pinned", "recent"]

        self.on_server(body)

    def on_server(self, body: Callable[[ServerFlowStore], Awaitable[None]]) -> None:
        async def main() -> None:
            async with self.store() as store:
                await body(store)

        asyncio.run(main())
