"""What comes out of a queue is a hint or is refused; no message makes the reader fail otherwise."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic.adapters.aws.hints import Hint, PoisonMessage, encode_dead_letter, encode_hint, parse_hint
from atomic.protocol import keys
from unit.strategies import examples, json_values

STEP = keys.root_of(keys.run_id("acme", "createUser", "k"))
GOOD: dict[str, Any] = {"v": 1, "stepId": STEP, "at": 17}


def test_what_is_encoded_is_parsed() -> None:
    assert parse_hint(encode_hint(STEP, 17)) == Hint(STEP, 17)
    assert parse_hint(encode_dead_letter(STEP)) == Hint(STEP, dead_letter=True)
    assert json.loads(encode_hint(STEP, 17)) == GOOD


def test_members_that_a_later_version_added_are_skipped() -> None:
    assert parse_hint(json.dumps(GOOD | {"new": [1]})) == Hint(STEP, 17)


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"v": 0},
        {"v": True},
        {"v": 1.0},
        {"v": "1"},
        {"v": None},
        {"stepId": None},
        {"stepId": [STEP]},
        {"stepId": STEP + "\n"},
        {"stepId": STEP.upper()},
        {"stepId": "run_x-root"},
        {"padding": "x" * 1_000},
    ],
)
def test_poison(change: dict[str, Any]) -> None:
    with pytest.raises(PoisonMessage):
        parse_hint(json.dumps(GOOD | change))


@pytest.mark.parametrize("body", ["", "null", "[]", "1", "[" * 900, "9" * 999, '"\ud800"', "{}", "\x00"])
def test_no_hint_at_all(body: str) -> None:
    with pytest.raises(PoisonMessage):
        parse_hint(body)


bodies = (
    st.text()
    | json_values.map(json.dumps)
    | st.dictionaries(st.sampled_from(["v", "stepId", "at", "deadLetter"]), json_values).map(json.dumps)
    | st.fixed_dictionaries({"v": st.just(1) | json_values, "stepId": st.just(STEP) | json_values}).map(
        json.dumps
    )
)


@examples(500)
@given(bodies)
def test_any_text_is_a_hint_or_poison(body: str) -> None:
    try:
        hint = parse_hint(body)
    except PoisonMessage:
        return
    assert keys.is_step_id(hint.step_id)
