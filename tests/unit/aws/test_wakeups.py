"""A message from the queue is parsed as a wake-up or refused; no message causes another error."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic.adapters.aws.wakeups import (
    PoisonMessage,
    Wakeup,
    encode_dead_letter,
    encode_wakeup,
    parse_wakeup,
)
from atomic.protocol import keys
from unit.strategies import examples, json_values

STEP = keys.root_of(keys.run_id("acme", "createUser", "k"))
GOOD: dict[str, Any] = {"v": 1, "stepId": STEP, "at": 17}


def test_what_is_encoded_is_parsed() -> None:
    assert parse_wakeup(encode_wakeup(STEP, 17)) == Wakeup(STEP, 17)
    assert parse_wakeup(encode_dead_letter(STEP)) == Wakeup(STEP, dead_letter=True)
    assert json.loads(encode_wakeup(STEP, 17)) == GOOD


def test_members_that_a_later_version_added_are_skipped() -> None:
    assert parse_wakeup(json.dumps(GOOD | {"new": [1]})) == Wakeup(STEP, 17)


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
def test_an_invalid_message_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(PoisonMessage):
        parse_wakeup(json.dumps(GOOD | change))


@pytest.mark.parametrize("body", ["", "null", "[]", "1", "[" * 900, "9" * 999, '"\ud800"', "{}", "\x00"])
def test_no_wakeup_at_all(body: str) -> None:
    with pytest.raises(PoisonMessage):
        parse_wakeup(body)


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
def test_any_text_is_a_wakeup_or_refused(body: str) -> None:
    try:
        wakeup = parse_wakeup(body)
    except PoisonMessage:
        return
    assert keys.is_step_id(wakeup.step_id)
