"""Different identities never collide, and ids show what they are."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from atomic.protocol import keys
from unit.strategies import examples

# Parts that contain common separators.
parts = st.text("ab#:/|-\x00\x01é", max_size=4)


@examples(250)
@given(st.tuples(*[parts] * 6), st.tuples(*[parts] * 6))
def test_two_identities_never_meet(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assume(one != other)
    assert keys.identity(*one) != keys.identity(*other)
    if one[:3] != other[:3]:
        assert keys.run_id(*one[:3]) != keys.run_id(*other[:3])


@examples(150)
@given(parts, parts, parts)
def test_moving_characters_between_parts_changes_the_identity(a: str, b: str, c: str) -> None:
    ways = {(a, b + c, ""), (a + b, c, ""), (a + b + c, "", ""), ("", a + b + c, ""), ("", "", a + b + c)}
    assert len({keys.run_id(*way) for way in ways}) == len(ways)
    assert len({keys.identity("", *way, "", "") for way in ways}) == len(ways)


PARENT = "run_" + "ab" * 16 + "-root"
BASE = ("acme", "createUser", PARENT, "https://app.example/a", "mail", "k1")


@pytest.mark.parametrize("position", range(6))
def test_every_part_counts(position: int) -> None:
    changed = [*BASE]
    changed[position] += "x"
    assert keys.identity(*changed) != keys.identity(*BASE)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a#b", "c", "k"), ("a", "b#c", "k")),
        (("a", "b", "ck"), ("a", "bc", "k")),
        (("é", "b", "k"), ("e\u0301", "b", "k")),
        (("a", "B", "k"), ("a", "b", "k")),
        (("a", "%41", "k"), ("a", "A", "k")),
    ],
)
def test_names_are_byte_exact(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    assert keys.run_id(*one) != keys.run_id(*other)


def test_ids_are_the_same_for_ever() -> None:
    """Rows that older versions wrote must be found."""
    assert keys.run_id("acme", "createUser", "k1") == "run_" + RUN_HASH
    assert keys.identity(*BASE) == IDENTITY


RUN_HASH = "fa410e245388fda938381c7d829db068"
IDENTITY = "019d9f9b19490f477f442fd5fbb8a0e8"


def test_the_steps_of_a_parent_are_one_range_of_ids() -> None:
    one = {keys.identity("acme", "w", PARENT, url, "", "k") for url in ("a", "b", "c")}
    other = {keys.identity("acme", "w", PARENT.replace("a", "c"), url, "", "k") for url in ("a", "b", "c")}
    assert {identity[:8] for identity in one} == {keys.children_prefix(PARENT)}
    assert not {identity[:8] for identity in other} & {keys.children_prefix(PARENT)}
    assert len({identity[8:] for identity in one | other}) == 6


@pytest.mark.parametrize("key", ["k", "k" * 255])
def test_a_scoped_key_is_a_key_of_its_own(key: str) -> None:
    identities = [
        keys.identity("acme", "w", parent, "u", "", key) for parent in (PARENT, PARENT[:-4] + "f" * 32)
    ]
    scoped = {keys.scoped_key(key, identity) for identity in identities}
    assert len(scoped) == 2
    assert all(keys.is_idempotency_key(text) and text.startswith(key[:200]) for text in scoped)


def test_a_step_id_holds_its_run() -> None:
    run = keys.run_id("acme", "createUser", "k1")
    step = keys.step_id(run, keys.identity(*BASE))
    assert keys.is_run_id(run)
    assert keys.is_step_id(step)
    assert keys.run_of(step) == run
    assert keys.root_of(run) == f"{run}-root"
    assert keys.is_step_id(keys.root_of(run))
    assert keys.run_of(keys.root_of(run)) == run


HEX = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    "text",
    ["", "run_", f"run_{HEX[1:]}", f"run_{HEX}0", f"run_{HEX.upper()}", f"run_{HEX}\n", f" run_{HEX}", HEX,
     f"RUN_{HEX}", f"run-{HEX}", f"run_{HEX}-root", "run_" + "g" * 32, "run_" + "١" * 32],
)  # fmt: skip
def test_what_is_no_run_id(text: str) -> None:
    assert not keys.is_run_id(text)


@pytest.mark.parametrize(
    "text",
    ["", "-", f"run_{HEX}", f"run_{HEX}-", f"run_{HEX}-ROOT", f"run_{HEX}-root\n", f"run_{HEX}-{HEX}0",
     f"run_{HEX}-{HEX}-root", f"run_{HEX}_{HEX}", f"-{HEX}", f"run_{HEX}-root/..", f"run_{HEX}--root"],
)  # fmt: skip
def test_what_is_no_step_id(text: str) -> None:
    assert not keys.is_step_id(text)


@pytest.mark.parametrize("text", ["a", "A1", "acme", "acme-test_2", "0", "x" * 64, "Docs", "healthy"])
def test_client_ids(text: str) -> None:
    assert keys.is_client_id(text)


@pytest.mark.parametrize(
    "text", ["", "-a", "_a", "a b", "a/b", "a.b", "x" * 65, "é", "acme\n", "a\x00", ".", "..", "%41"]
)
def test_what_is_no_client_id(text: str) -> None:
    assert not keys.is_client_id(text)


@pytest.mark.parametrize("name", sorted(keys.RESERVED_CLIENT_IDS))
def test_no_client_is_called_like_a_route(name: str) -> None:
    assert not keys.is_client_id(name)


@pytest.mark.parametrize("route", ["dashboard", "docs", "health", "openapi.json", "metrics", "favicon.ico"])
def test_no_route_of_the_server_can_be_a_client(route: str) -> None:
    assert not keys.is_client_id(route)


@pytest.mark.parametrize("key", ["a", "!", "~", "k" * 255, "0b9c-11", "a#b:c/d|e", '"', "%20"])
def test_idempotency_keys(key: str) -> None:
    assert keys.is_idempotency_key(key)


@pytest.mark.parametrize(
    "key", ["", "k" * 256, "a b", " a", "a\n", "a\r\nX: y", "a\x00", "\x7f", "é", "e\u0301", "😀", "\ud800"]
)
def test_what_is_no_idempotency_key(key: str) -> None:
    assert not keys.is_idempotency_key(key)


@pytest.mark.parametrize(
    ("key", "is_restart", "next_key"),
    [
        ("k", False, "k/2"),
        ("k/2", True, "k/3"),
        ("k/9", True, "k/10"),
        ("order/2", False, "order/2/2"),
        ("another", True, "another/2"),
        ("k/02", True, "k/02/2"),
        ("/2", True, "/2/2"),
    ],
)
def test_the_key_of_a_restart_has_its_number(key: str, *, is_restart: bool, next_key: str) -> None:
    assert keys.restart_key(key, is_restart=is_restart) == next_key


def test_the_key_of_a_restart_is_never_too_long() -> None:
    long = ["x" * length for length in range(250, 256)]
    made = {key: keys.restart_key(key, is_restart=False) for key in long}
    assert all(keys.is_idempotency_key(key) for key in made.values())
    assert len({*made.values()}) == len(long)
    for key in made.values():
        assert keys.restart_key(key, is_restart=True) == f"{key[:-2]}/3"
