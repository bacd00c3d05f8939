"""Tokens of callback URLs: only what was made under the key is valid, and only until its end."""

import random
import statistics
import time
from base64 import urlsafe_b64encode

from hypothesis import given
from hypothesis import strategies as st

from atomic.protocol import keys
from atomic.protocol.callbacks import Callback, callback_token, parse_callback_token

KEY, OTHER_KEY = b"p" * 32, b"q" * 32
RUN = keys.run_id("acme", "w", "k")
EVENT = keys.step_id(RUN, keys.identity("acme", "w", keys.root_of(RUN), "event", "payment", "k"))
CALLBACK = Callback(EVENT, 2_000_000_000)
TOKEN = callback_token(KEY, CALLBACK)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**32 - 1))
def test_a_token_says_which_event_it_completes(number: int, ends_s: int) -> None:
    callback = Callback(keys.step_id(RUN, f"{number:032x}"), ends_s)
    token = callback_token(KEY, callback)
    assert (len(token), set(token) <= set(ALPHABET)) == (70, True)
    assert parse_callback_token([KEY], token, ends_s - 1) == callback
    assert parse_callback_token([KEY], token, ends_s) is None
    assert parse_callback_token([OTHER_KEY], token, 0) is None


def test_without_a_key_there_is_none() -> None:
    assert parse_callback_token([], callback_token(b"", CALLBACK), 0) is None


@given(st.text())
def test_a_text_is_no_token(text: str) -> None:
    assert parse_callback_token([KEY], text, 0) is None


def forged(chance: random.Random) -> str:
    """A text that is not the token, made from it in one of several ways."""
    raw = bytearray(52)
    way = chance.randrange(7)
    if way == 0:
        at = chance.randrange(len(TOKEN))
        return TOKEN[:at] + chance.choice(ALPHABET.replace(TOKEN[at], "")) + TOKEN[at + 1 :]
    if way == 1:
        return TOKEN[: chance.randrange(len(TOKEN))]
    if way == 2:
        return TOKEN + chance.choice([*ALPHABET, "=", "==", "A" * 4, "\n", "ä", "%"])
    if way == 3:
        return callback_token(chance.randbytes(32), CALLBACK)
    if way == 4:
        raw[:] = chance.randbytes(chance.choice((0, 1, 51, 52, 53, 500)))
        return urlsafe_b64encode(raw).rstrip(b"=").decode()
    if way == 5:
        # The event of another, or a later end, with the same proof.
        raw[:36] = chance.randbytes(36)
        return urlsafe_b64encode(raw).decode()[:48] + TOKEN[48:]
    return "".join(chance.choice(ALPHABET) for _ in TOKEN)


def test_10_000_forgeries_are_refused() -> None:
    chance = random.Random(15)
    forgeries = [forged(chance) for _ in range(10_000)]
    assert [text for text in forgeries if parse_callback_token([KEY], text, 0) is not None] == []
    assert parse_callback_token([KEY], TOKEN, 0) == CALLBACK


def test_all_texts_take_the_same_time() -> None:
    chance = random.Random(7)
    kinds = {
        "valid": TOKEN,
        "wrong at its begin": ("A" if TOKEN[0] != "A" else "B") + TOKEN[1:],
        "wrong at its end": TOKEN[:-4] + "".join(chance.choice(ALPHABET) for _ in "1234"),
        "of other bytes": urlsafe_b64encode(chance.randbytes(52)).rstrip(b"=").decode(),
        "short": TOKEN[:-1],
        "no base64": "ä" * 70,
    }
    took: dict[str, list[int]] = {kind: [] for kind in kinds}
    # In turns, so that other work of the machine meets all kinds alike.
    for _ in range(2_000):
        for kind, text in kinds.items():
            began = time.perf_counter_ns()
            parse_callback_token([KEY], text, 0)
            took[kind].append(time.perf_counter_ns() - began)
    medians = {kind: statistics.median(times) for kind, times in took.items()}
    # Wide bounds: this finds work that is left out for some texts.
    assert max(medians.values()) < 4 * min(medians.values()), medians
