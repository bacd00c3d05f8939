"""Attempt tokens: only the attempt of that step, of that client, opens."""

from hypothesis import given
from hypothesis import strategies as st

from atomic.protocol import keys
from atomic.protocol.headers import attempt_token, parse_attempt_token

KEY, OTHER_KEY = b"p" * 32, b"q" * 32
ROOT = keys.root_of(keys.run_id("acme", "w", "k"))
STEPS = [ROOT, keys.step_id(keys.run_of(ROOT), keys.identity("acme", "w", ROOT, "https://a", "", "k"))]


@given(st.sampled_from(STEPS), st.integers(1, 10**9))
def test_a_token_says_of_which_attempt_it_is(step_id: str, attempt: int) -> None:
    token = attempt_token(KEY, step_id, attempt)
    assert parse_attempt_token([KEY], step_id, token) == attempt
    [other] = [each for each in STEPS if each != step_id]
    assert parse_attempt_token([KEY], other, token) is None
    assert parse_attempt_token([OTHER_KEY], step_id, token) is None
    assert parse_attempt_token([KEY], step_id, f"{attempt + 1}.{token.partition('.')[2]}") is None


def test_anything_else_is_no_token() -> None:
    token = attempt_token(KEY, ROOT, 2)
    wrong = [
        "",
        "2",
        "2.",
        token[2:],
        f"0{token}",
        f"{token} ",
        f" {token}",
        f"{token}0",
        token[:-1],
        f"{token}\n",
    ]
    wrong += [token.upper(), f"٢{token[1:]}", f"-{token}", token[:-1] + chr(ord(token[-1]) ^ 1), "ä" * 34]
    assert [each for each in wrong if parse_attempt_token([KEY], ROOT, each) is not None] == []


def test_without_a_key_there_is_none() -> None:
    assert parse_attempt_token([], ROOT, attempt_token(b"", ROOT, 1)) is None
