"""The idempotency keys of a handler's steps."""

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic.protocol.keys import is_idempotency_key
from atomic.sdk._calls import identity
from atomic.sdk._calls.identity import (
    OpenedEvent,
    OpenedEvents,
    Position,
    Scope,
    current_scope,
    enter_branch,
    in_new_branch,
    step_key,
)

KEYS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=255)
# Few keys, so that two drawn ones are often equal.
WORDS = st.sampled_from(["", "a", "a#2", "@1", "/a", "2", "https://app.test/a"])
NUMBERS = st.integers(1, 3)
PATHS = st.lists(WORDS, max_size=3).map(tuple)
POSITIONS = st.builds(Position, PATHS, st.none() | WORDS | KEYS, NUMBERS)


def test_the_first_call_of_each_step_has_the_run_s_own_key() -> None:
    scope = Scope()
    keys = [step_key("order-1", scope.position(url)) for url in ("a", "b", "a", "a", "b")]
    assert keys[:2] == ["order-1", "order-1"]
    assert [key[:-17] for key in keys[2:]] == ["order-1#2", "order-1#3", "order-1#2"]
    assert keys[2] == keys[4] != keys[3]


def test_a_key_is_counted_for_its_step() -> None:
    scope = Scope()
    calls = [("pay", "1"), ("pay", "2"), ("pay", "1"), ("mail", "1"), ("pay", None)]
    found = [scope.position(step, key) for step, key in calls]
    assert [(position.key, position.number) for position in found] == [
        ("1", 1),
        ("2", 1),
        ("1", 2),
        ("1", 1),
        (None, 1),
    ]


@given(KEYS, POSITIONS)
def test_a_key_is_always_usable(key: str, position: Position) -> None:
    assert is_idempotency_key(step_key(key, position))


@given(KEYS | WORDS, POSITIONS, KEYS | WORDS, POSITIONS)
def test_keys_do_not_collide(key: str, position: Position, other: str, other_position: Position) -> None:
    same = (key, position) == (other, other_position)
    assert (step_key(key, position) == step_key(other, other_position)) is same


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Position(key="a#2"), Position(key="a", number=2)),
        (Position(key=""), Position()),
        (Position(("1",), "a"), Position(key="@1/a")),
        (Position(("",), "a"), Position(key="a")),
        (Position(("1", "2")), Position(("12",))),
    ],
)
def test_no_chosen_key_collides_with_a_generated_one(one: Position, other: Position) -> None:
    assert step_key("order-1", one) != step_key("order-1", other)


def test_a_key_with_other_characters_is_usable() -> None:
    assert is_idempotency_key(step_key("k", Position(key="größe 7")))


Names = dict[str, Position]


def positions_when(order: tuple[int, ...], *, keyed: bool = False, late: bool = False) -> Names:
    """Three tasks of two steps each, which resume in this order.

    The `late` tasks do not begin with a step.
    """

    async def main() -> Names:
        owner, root, found = object(), Scope(), {}
        gates = [asyncio.Event() for _ in order]

        def call(step: str, key: str | None = None) -> Position:
            return current_scope(owner, root).position(step, key)

        async def strand(number: int) -> None:
            key = str(number) if keyed else None
            if late:
                await gates[number].wait()
            found[f"first {number}"] = call("first", key)
            await gates[number].wait()
            found[f"second {number}"] = call("second", key)

        async def open_gates() -> None:
            for number in order:
                gates[number].set()
                await asyncio.sleep(0.001)

        enter_branch(owner, root)
        found["before"] = call("first")
        await asyncio.gather(*[strand(number) for number in range(len(order))], open_gates())
        found["after"] = call("first")
        return found

    return asyncio.run(main())


@pytest.mark.parametrize("keyed", [False, True])
def test_tasks_get_the_same_keys_in_whatever_order_they_go_on(keyed: bool) -> None:
    orders = itertools.permutations(range(3))
    [first, *others] = [positions_when(order, keyed=keyed) for order in orders]
    assert all(other == first for other in others)
    assert (first["before"], first["after"]) == (Position(), Position(number=2))
    for step in ("first", "second"):
        assert len({first[f"{step} {number}"] for number in range(3)}) == 3


def test_calls_with_keys_are_the_same_whichever_task_makes_them() -> None:
    orders = itertools.permutations(range(3))
    [first, *others] = [positions_when(order, keyed=True, late=True) for order in orders]
    assert all(other == first for other in others)
    assert positions_when((1, 0), late=True) != positions_when((0, 1), late=True)


def test_each_branch_of_a_batch_has_its_keys_to_itself() -> None:
    """Also with another number of branches, whichever calls first; and so has each task below a branch."""
    handler = Scope()
    branches = [handler.below("gather1", str(number)) for number in range(2)]
    scopes = [handler, handler.below("saga1"), *branches, *(branch.branch() for branch in branches)]
    found = [scope.position("pay", "1") for scope in scopes]
    assert len(set(found)) == len(scopes)
    assert handler.below("gather1", "1").position("pay", "1") == found[3]
    # A task's call is the same whether another task has made one or not.
    assert handler.below("gather1", "1").branch().position("pay", "1") == found[3]


def test_a_task_that_uses_another_s_key_has_it_as_its_own() -> None:
    root = Scope()
    one, two = root.branch(), root.branch()
    found = [
        scope.position("pay", key)
        for scope in (one, two, root)
        for key in ("a", "a", "b" if scope is two else "c")
    ]
    assert len(set(found)) == len(found)
    assert [position.path for position in found] == [
        *[("",)] * 3,
        ("2",),
        ("2",),
        ("",),
        (),
        (),
        (),
    ]
    assert root.position("mail", "a").path == ("",)


def test_tasks_of_tasks_have_scopes_of_their_own() -> None:
    async def main() -> list[str]:
        owner, root = object(), Scope()
        enter_branch(owner, root)

        async def leaf() -> str:
            return current_scope(owner, root).position("x").readable

        async def branch() -> Any:
            current_scope(owner, root)
            return await asyncio.gather(leaf(), leaf())

        pairs = await asyncio.gather(branch(), branch())
        return [text for pair in pairs for text in pair]

    assert asyncio.run(main()) == ["@1@1", "@1@2", "@2@1", "@2@2"]


def positions_of_makers(order: tuple[int, ...]) -> Names:
    """Three tasks that first start tasks of their own, which end in this order, and then call a step."""

    async def main() -> Names:
        owner, root, found = object(), Scope(), {}
        gates = [asyncio.Event() for _ in order]
        identity.watch(asyncio.get_running_loop())
        identity.task_maker.set(in_new_branch)
        enter_branch(owner, root)

        def call(step: str) -> Position:
            return current_scope(owner, root).position(step)

        async def leaf(number: int, name: str) -> None:
            found[f"leaf {number} {name}"] = call("leaf")
            await gates[number].wait()

        async def maker(number: int) -> None:
            await asyncio.gather(leaf(number, "a"), leaf(number, "b"))
            found[f"own {number}"] = call("own")

        async def open_gates() -> None:
            for number in order:
                gates[number].set()
                await asyncio.sleep(0.001)

        await asyncio.gather(*[maker(number) for number in range(len(order))], open_gates())
        return found

    return asyncio.run(main())


def test_tasks_that_begin_with_tasks_of_their_own_are_told_apart() -> None:
    [first, *others] = [positions_of_makers(order) for order in itertools.permutations(range(3))]
    assert all(other == first for other in others)
    assert len(set(first.values())) == 9
    assert first["leaf 1 b"] == Position(("2", "2"))
    assert first["own 1"] == Position(("2",))


class TestOpenedEvents:
    def opened(self, *events: tuple[str, tuple[str, ...], int]) -> OpenedEvents:
        found = OpenedEvents()
        for name, path, number in events:
            found.add(OpenedEvent(name, Position(path, None, number), None))
        return found

    def taken(self, events: OpenedEvents, path: tuple[str, ...] = ()) -> Position | None:
        event = events.take("x", path)
        return None if event is None else event.position

    def test_each_is_waited_for_once_in_the_order_of_opening(self) -> None:
        events = self.opened(("x", (), 1), ("y", (), 1), ("x", (), 2))
        assert [self.taken(events) for _ in range(3)] == [Position(), Position(number=2), None]

    def test_the_nearest_branch_comes_first(self) -> None:
        one, two, inner = ("1",), ("2",), ("1", "2")
        events = self.opened(("x", (), 1), ("x", two, 1), ("x", one, 1), ("x", inner, 1))
        order = [self.taken(events, inner) for _ in range(4)]
        assert order == [Position(inner), Position(one), Position(), Position(two)]
