"""Start tokens: only what was made under the key is valid, and only until its end."""

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from atomic.protocol.start_tokens import StartToken, is_start_token, parse_start_token, start_token

KEY, OTHER_KEY = b"p" * 32, b"q" * 32
URL = "https://app.test/order"
TOKEN = StartToken(
    client_id="acme",
    key_id="0123456789ab",
    workflows={"order": URL},
    key_prefix="user-1:",
    steps=False,
    ends_s=2_000_000_000,
)
TEXT = start_token(KEY, TOKEN)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@given(st.dictionaries(st.text(min_size=1), st.text(), min_size=1), st.booleans(), st.integers(1, 2**40))
def test_a_token_says_what_it_was_made_for(workflows: dict[str, str], steps: bool, ends_s: int) -> None:
    token = replace(TOKEN, workflows=workflows, steps=steps, ends_s=ends_s)
    text = start_token(KEY, token)
    assert text.isascii()
    assert is_start_token(text)
    assert parse_start_token([KEY], text, ends_s - 1) == token
    assert parse_start_token([KEY], text, ends_s) is None
    assert parse_start_token([OTHER_KEY], text, 0) is None


def test_without_a_key_there_is_none() -> None:
    assert parse_start_token([], start_token(b"", TOKEN), 0) is None


@given(st.text())
def test_a_text_is_no_token(text: str) -> None:
    assert parse_start_token([KEY], text, 0) is None
    assert parse_start_token([KEY], f"ast_{text}", 0) is None


def test_10_000_changed_tokens_are_refused() -> None:
    chance = random.Random(16)
    for _ in range(10_000):
        at = chance.randrange(len(TEXT))
        way = chance.randrange(3)
        if way == 0:
            forged = TEXT[:at] + chance.choice(ALPHABET.replace(TEXT[at], "")) + TEXT[at + 1 :]
        elif way == 1:
            forged = TEXT[:at]
        else:
            forged = TEXT + chance.choice([*ALPHABET, "=", ".", "\n", "ä"])
        assert parse_start_token([KEY], forged, 0) is None, forged
    assert parse_start_token([KEY], TEXT, 0) == TOKEN


def test_it_covers_its_workflows_at_their_urls_under_its_prefix() -> None:
    covered = [
        TOKEN.covers(name, url, key)
        for name in ("order", "refund")
        for url in (URL, f"{URL}/x")
        for key in ("user-1:7", "user-1:", "user-12", "user-1", "x-user-1:7")
    ]
    assert covered == [True, True, *[False] * 18]
