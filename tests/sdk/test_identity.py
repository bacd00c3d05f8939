"""Which keys the steps of a handler get."""

import asyncio
import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from atomic.protocol.keys import is_idempotency_key
from atomic.sdk._identity import Scope, current_scope, enter_strand, step_key

KEYS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=255)
SUFFIXES = st.one_of(st.from_regex(r"(@[0-9]{1,3})*(#[0-9]{1,4})?", fullmatch=True), KEYS.map("/{}".format))


def test_the_first_call_of_each_url_has_the_run_s_own_key() -> None:
    scope = Scope()
    assert [scope.suffix(url) for url in ("a", "b", "a", "a", "b")] == ["", "", "#2", "#3", "#2"]
    assert step_key("order-1", "") == "order-1"


@given(KEYS, SUFFIXES)
def test_a_key_is_always_usable(key: str, suffix: str) -> None:
    assert is_idempotency_key(step_key(key, suffix))


@given(KEYS, SUFFIXES, KEYS, SUFFIXES)
def test_keys_do_not_meet(key: str, suffix: str, other: str, other_suffix: str) -> None:
    same = (key, suffix) == (other, other_suffix)
    assert (step_key(key, suffix) == step_key(other, other_suffix)) is same


def test_a_key_with_other_characters_is_usable() -> None:
    assert is_idempotency_key(step_key("k", "/größe 7"))


def test_a_chosen_key_does_not_meet_a_numbered_one() -> None:
    assert step_key("order-1", "#2") != step_key(step_key("order-1", "#2"), "")[:-17]


def suffixes_when(order: tuple[int, ...]) -> dict[str, str]:
    """Three tasks of two steps each, whose first steps end in this order."""

    async def main() -> dict[str, str]:
        owner, root, found = object(), Scope(), {}
        gates = [asyncio.Event() for _ in order]

        async def strand(number: int) -> None:
            found[f"first {number}"] = current_scope(owner, root).suffix("first")
            await gates[number].wait()
            found[f"second {number}"] = current_scope(owner, root).suffix("second")

        async def open_gates() -> None:
            for number in order:
                gates[number].set()
                await asyncio.sleep(0.001)

        enter_strand(owner, root)
        found["before"] = current_scope(owner, root).suffix("first")
        await asyncio.gather(*[strand(number) for number in range(len(order))], open_gates())
        found["after"] = current_scope(owner, root).suffix("first")
        return found

    return asyncio.run(main())


def test_tasks_get_the_same_keys_in_whatever_order_they_go_on() -> None:
    [first, *others] = [suffixes_when(order) for order in itertools.permutations(range(3))]
    assert all(other == first for other in others)
    assert (first["before"], first["after"]) == ("", "#2")
    assert first["second 1"] == "@2"
    assert first["first 1"] == "@2"


def test_tasks_of_tasks_have_scopes_of_their_own() -> None:
    async def main() -> list[str]:
        owner, root = object(), Scope()
        enter_strand(owner, root)

        async def leaf() -> str:
            return current_scope(owner, root).suffix("x")

        async def branch() -> Any:
            current_scope(owner, root)
            return await asyncio.gather(leaf(), leaf())

        pairs = await asyncio.gather(branch(), branch())
        return [suffix for pair in pairs for suffix in pair]

    assert asyncio.run(main()) == ["@1@1", "@1@2", "@2@1", "@2@2"]
